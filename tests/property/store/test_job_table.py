"""Any row of things that happen to jobs keeps what the job table promises."""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine

from labtrawl.dispatch import reports
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.domain.visit import Mode, Schedule
from labtrawl.errors import Conflict, LeaseLost
from labtrawl.protocol.messages import LedgerReport, ProgressUpdate, SegmentReport
from labtrawl.store import commands, jobs, leases, visits
from labtrawl.store.engine import Connection, Database, open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.operations import Action
from tests.integration.store.table import account, area, job
from tests.property.store import many
from tests.rig import postgresql

RETRY = RetryPolicy(attempts=2, base_seconds=0.0, ceiling_seconds=0.0)
RESOURCES = ("issues", "labels", "members")
HOLDERS = st.sampled_from(["a", "b"])
PICK = st.integers(0, 10**6)
MARKS = st.none() | st.integers(1, 100)
HOUR = 3_600_000
SCHEDULE = Schedule(every=HOUR, sweep_every=HOUR, discover_every=HOUR)
OUTCOMES = st.sampled_from(["completed", "paused", "failed"])
REASONS = st.sampled_from(["forbidden", "unavailable", "rate_limited", "disk", "credential"])

_template: list[Path] = []


def _fresh_database() -> Path:
    """A copy of one migrated file: migrating takes longer than a whole example."""
    if not _template:
        path = Path(tempfile.mkdtemp(prefix="labtrawl-")) / "template.sqlite"
        atexit.register(shutil.rmtree, path.parent)
        migrate(path)
        _template.append(path)
    target = Path(tempfile.mkdtemp(prefix="labtrawl-")) / "labtrawl.sqlite"
    shutil.copy(_template[0], target)
    return target


class JobTable(RuleBasedStateMachine):
    """Crawlers, people and time act on three lists of one area."""

    def __init__(self) -> None:
        super().__init__()
        self.database = self._open()
        self.engine: Engine = open_engine(self.database, read_only=False)
        self.number = 0
        self.leased: list[leases.ClaimedJob] = []
        self.sent: list[tuple[int, jobs.Origin, ProgressUpdate]] = []
        self.seen: dict[int, tuple[str, int, int, int, int]] = {}
        self.committed: dict[str, int] = {}
        self.net: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.paused: set[int] = set()
        with self.engine.begin() as connection:
            self.area_id = area(connection, 7, {account(connection, 1): 30})
            for resource in RESOURCES:
                job(connection, self.area_id, resource)

    def teardown(self) -> None:
        self.engine.dispose()
        self._remove()

    def _open(self) -> Database:
        return _fresh_database()

    def _remove(self) -> None:
        assert isinstance(self.database, Path)
        shutil.rmtree(self.database.parent)

    def _next(self) -> int:
        self.number += 1
        return self.number

    @rule(holder=HOLDERS, limit=st.integers(1, 3))
    def claim(self, holder: str, limit: int) -> None:
        claim_id = f"claim-{self._next()}"
        with self.engine.begin() as c:
            claimed = leases.claim(c, holder, claim_id, limit, 60.0)
            assert leases.claim(c, holder, claim_id, limit, 60.0) == claimed
        self.leased += claimed

    @rule(holder=HOLDERS, pick=PICK)
    @precondition(lambda self: self.leased)
    def renew(self, holder: str, pick: int) -> None:
        one = self.leased[pick % len(self.leased)]
        with self.engine.begin() as c:
            (told,) = leases.renew(c, holder, [(one.job_id, one.fence)], 60.0)
            assert told.lost is not jobs.is_held_by(c, one.job_id, holder, one.fence)

    def _report(self, holder: str, pick: int, **fields: Any) -> None:
        """Send a report under some lease that was given once; a stale one changes nothing."""
        one = self.leased[pick % len(self.leased)]
        message_id = f"{self._next():026d}"
        told: dict[str, Any] = {"task_id": str(one.job_id), "epoch": one.fence, "timestamp": 0}
        update = ProgressUpdate(**(told | fields))
        self.sent.append((one.job_id, jobs.Origin(holder, message_id, one.fence), update))
        self._deliver(-1)

    def _deliver(self, index: int) -> None:
        job_id, origin, update = self.sent[index]
        with self.engine.begin() as c:
            is_ours = jobs.is_held_by(c, job_id, origin.name, origin.fence)
            before = _everything(c)
            try:
                reports.apply(c, job_id, origin, update, reports.Delay(RETRY, 0.0, SCHEDULE))
            except LeaseLost:
                assert not is_ours
                assert _everything(c) == before
                return
            if _everything(c) != before:
                assert is_ours
                for segment in update.segments:
                    self.committed[segment.name] = self.committed.get(segment.name, 0) + 1
                if update.status == "completed" and not (update.ledger and update.ledger.reason):
                    resource = str(_resource_of(c, job_id))
                    known = self.marks.get(resource, 0)
                    self.marks[resource] = max(known, update.watermark or 0)

    @rule(
        holder=HOLDERS,
        pick=PICK,
        items=st.integers(-5, 100),
        is_cursor_only=st.booleans(),
        counts=st.sampled_from([(None, 0), (3, 0), (0, 0), (0, 3), (1, 2)]),
    )
    @precondition(lambda self: self.leased)
    def checkpoint(
        self,
        holder: str,
        pick: int,
        items: int,
        is_cursor_only: bool,
        counts: tuple[int | None, int],
    ) -> None:
        name = f"s{self._next()}"
        added, removed = counts
        self.net[name] = (3 if added is None else added) - removed
        segments = [
            SegmentReport(name=name, length=1, sha256="0", records=3, added=added, removed=removed)
        ]
        self._report(
            holder,
            pick,
            status="processing",
            processed_items=items,
            cursor=name,
            segments=[] if is_cursor_only else segments,
        )

    @rule(
        holder=HOLDERS,
        pick=PICK,
        status=OUTCOMES,
        reason=REASONS,
        may_retry=st.booleans(),
        mark=MARKS,
        is_whole=st.booleans(),
    )
    @precondition(lambda self: self.leased)
    def end(
        self,
        holder: str,
        pick: int,
        status: str,
        reason: str,
        may_retry: bool,
        mark: int | None,
        is_whole: bool,
    ) -> None:
        report = LedgerReport(expected=3, reason=None if is_whole else "changed")
        self._report(
            holder,
            pick,
            status=status,
            reason=reason if status == "failed" else "",
            retryable=may_retry,
            ledger=report if status == "completed" else None,
            watermark=mark,
        )

    @rule(pick=PICK)
    @precondition(lambda self: self.sent)
    def send_again(self, pick: int) -> None:
        """The same message, at any later time."""
        self._deliver(pick % len(self.sent))

    @rule(holder=HOLDERS)
    def crawler_dies(self, holder: str) -> None:
        with self.engine.begin() as c:
            leases.rescue_holder(c, holder, RETRY)

    @rule()
    def leases_run_out(self) -> None:
        with self.engine.begin() as c:
            c.exec_driver_sql("UPDATE job SET lease_expires_at = 1 WHERE state = 'running'")
            leases.rescue_expired(c, RETRY)

    @rule(holder=HOLDERS, pick=PICK)
    def crawler_comes_back(self, holder: str, pick: int) -> None:
        held = {(one.job_id, one.fence) for one in self.leased[: pick % 4]}
        with self.engine.begin() as c:
            leases.release_unheld(c, holder, held)

    @rule(pick=PICK, reason=st.sampled_from(list(HoldReason)))
    def hold(self, pick: int, reason: HoldReason) -> None:
        with self.engine.begin() as c:
            jobs.hold(c, self._any_job(c, pick), reason)

    @rule(reason=st.sampled_from(list(HoldReason)))
    def resume(self, reason: HoldReason) -> None:
        with self.engine.begin() as c:
            account(c, 1)
            jobs.resume(c, reason)
            if reason is HoldReason.PAUSED:
                held = c.exec_driver_sql("SELECT id FROM job WHERE wanted = 'pause'").all()
                self.paused &= {row[0] for row in held}

    @rule(pick=PICK, what=st.sampled_from(["pause", "resume", "cancel"]))
    def person_commands(self, pick: int, what: str) -> None:
        command = {
            "pause": commands.pause_job,
            "resume": commands.resume_job,
            "cancel": commands.cancel_job,
        }[what]
        with self.engine.begin() as c:
            job_id = self._any_job(c, pick)
            before = _everything(c)
            try:
                command(c, job_id)
            except Conflict:
                assert _everything(c) == before
                return
        (self.paused.add if what == "pause" else self.paused.discard)(job_id)

    @rule()
    def time_passes(self) -> None:
        with self.engine.begin() as c:
            c.exec_driver_sql("UPDATE job SET run_after = 1 WHERE run_after IS NOT NULL")
            leases.make_due(c)

    @rule(pick=PICK)
    def person_retries(self, pick: int) -> None:
        with self.engine.begin() as c:
            job_id = self._any_job(c, pick)
            before = _everything(c)
            try:
                jobs.retry(c, job_id)
            except Conflict:
                assert _everything(c) == before

    @rule(action=st.sampled_from(list(Action)), size=st.integers(1, 3))
    def person_does_it_to_all(self, action: Action, size: int) -> None:
        open_ones = many.do_to_all(self.engine, action, size)
        if action is Action.PAUSE:
            self.paused |= open_ones
        elif action is not Action.PRIORITY:
            self.paused.clear()

    @rule(
        resource=st.sampled_from(RESOURCES), mode=st.sampled_from(list(Mode)), mends=st.booleans()
    )
    def list_is_read_again(self, resource: str, mode: Mode, mends: bool) -> None:
        with self.engine.begin() as c:
            before = _everything(c)
            opened = jobs.reopen(c, self.area_id, resource, mode, failed=mends, cancelled=mends)
            assert (opened is None) == (_everything(c) == before)

    @rule(resource=st.sampled_from(RESOURCES))
    def somebody_knows_of_changes(self, resource: str) -> None:
        with self.engine.begin() as c:
            visits.tell(c, self.area_id, resource)

    @rule()
    def visits_are_due(self) -> None:
        with self.engine.begin() as c:
            c.exec_driver_sql("UPDATE visit SET next_at = 1 WHERE next_at IS NOT NULL")
            c.exec_driver_sql("UPDATE visit SET sweep_at = 1 WHERE sweep_at IS NOT NULL")
            visits.open_due(c, SCHEDULE, 2)

    @rule(resource=st.sampled_from(RESOURCES), only_first=st.booleans())
    def plan_again(self, resource: str, only_first: bool) -> None:
        planned = jobs.PlannedJob(self.area_id, resource)
        with self.engine.begin() as c:
            (jobs.enqueue_first if only_first else jobs.enqueue)(c, planned)

    def _any_job(self, connection: Connection, pick: int) -> int:
        ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM job ORDER BY id").all()]
        return int(ids[pick % len(ids)])

    @invariant()
    def moves_are_legal_and_counters_never_go_back(self) -> None:
        with self.engine.begin() as c:
            rows = c.exec_driver_sql(
                "SELECT id, state, fence, processed_items, next_segment, cursor, requests FROM job"
            ).all()
        for job_id, state, fence, items, segment, cursor, requests in rows:
            begins_anew = items == 0 and cursor is None
            now = (state, fence, items, segment, requests)
            before = self.seen.get(job_id)
            if before is not None:
                told = zip(before[1:], now[1:], strict=True)
                back = [n for n, (old, new) in enumerate(told) if new < old]
                assert back == [] or (back == [1] and begins_anew)
                assert many.is_reachable(JobState(before[0]), JobState(now[0])), (before, now)
            self.seen[job_id] = now

    @invariant()
    def what_was_paused_is_not_worked_on_unasked(self) -> None:
        with self.engine.begin() as c:
            going_on = c.exec_driver_sql(
                "SELECT id FROM job WHERE state = 'queued' OR (state = 'running' AND wanted = 'run')"
            ).all()
            ended = c.exec_driver_sql(
                "SELECT id FROM job WHERE state IN ('completed', 'failed', 'cancelled')"
            ).all()
        self.paused -= {row[0] for row in ended}
        assert self.paused & {row[0] for row in going_on} == set()

    @invariant()
    def each_list_has_one_open_job_and_each_running_one_a_lease(self) -> None:
        with self.engine.begin() as c:
            open_twice = c.exec_driver_sql(
                "SELECT area_id, resource FROM job WHERE state IN ('queued', 'running', 'held')"
                " GROUP BY area_id, resource HAVING COUNT(*) > 1"
            ).all()
            unleased = c.exec_driver_sql(
                "SELECT id FROM job WHERE (state = 'running') <> (lease_holder IS NOT NULL)"
                " OR (state = 'running' AND account_id IS NULL)"
            ).all()
        assert (open_twice, unleased) == ([], [])

    @invariant()
    def each_lease_is_an_attempt_and_only_the_last_of_a_running_job_is_open(self) -> None:
        with self.engine.begin() as c:
            many.check_attempts(c)

    @invariant()
    def what_was_committed_is_there_once_and_counted(self) -> None:
        assert set(self.committed.values()) <= {1}
        with self.engine.begin() as c:
            names = {row[0] for row in c.exec_driver_sql("SELECT name FROM segment").all()}
            collected = c.exec_driver_sql("SELECT SUM(collected) FROM ledger").scalar_one()
        assert names == set(self.committed)
        assert collected == sum(self.net[name] for name in names)

    @invariant()
    def watermark_is_the_latest_that_a_whole_reading_told(self) -> None:
        with self.engine.begin() as c:
            rows = c.exec_driver_sql("SELECT resource, COALESCE(watermark, 0) FROM visit").all()
        told = {row[0]: row[1] for row in rows if row[1]}
        assert told == {resource: mark for resource, mark in self.marks.items() if mark}


def _resource_of(connection: Connection, job_id: int) -> str:
    found = connection.exec_driver_sql("SELECT resource FROM job WHERE id = ?", (job_id,))
    return str(found.scalar_one())


def _everything(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [
        [
            tuple(row)
            for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").all()
        ]
        for table in ("job", "segment", "ledger", "account", "visit")
    ]


class JobTableOnPostgreSQL(JobTable):
    """The same on the other database."""

    def _open(self) -> Database:
        return postgresql.server().fresh()

    def _remove(self) -> None:
        assert isinstance(self.database, Secret)
        postgresql.server().drop(self.database)


TestJobTable = JobTable.TestCase
TestJobTable.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestJobTableOnPostgreSQL = JobTableOnPostgreSQL.TestCase
TestJobTableOnPostgreSQL.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
