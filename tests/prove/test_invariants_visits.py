"""Invariants of lists that are read again: nothing forgotten, nothing twice, wherever it breaks.

A GitLab of one project changes while two crawlers read its issues and what belongs to them, page by
page, in an order drawn from a seed. Crawlers die before a message or after it took effect, and the
database breaks at any statement. The watermark may never stand beyond what was not read.
"""

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from labtrawl.domain.visit import Schedule
from labtrawl.errors import LabtrawlError
from labtrawl.protocol.messages import (
    LedgerReport,
    ProgressUpdate,
    RequestManifest,
    SegmentReport,
)
from labtrawl.store import jobs, leases, ledger, visits
from labtrawl.store.engine import Connection
from tests.prove.sim import RETRY, Crash, Sim, sim

pytestmark = pytest.mark.prove

SCHEDULE = Schedule(every=1000, sweep_every=10**9)
LISTS = ("issues", "issue_discussions")
PAGE = 2
ROUNDS = 3
MOST_EVENTS = 400
# Each run breaks at another point; the seed says which of so many neighbours it is.
EVENT_STRIDE, STATEMENT_STRIDE = 3, 23
# Messages that come once more after a crawler died.
LATE = 6
BEGAN_AT = 1_700_000_000_000

Version = tuple[int, int]


@dataclass(slots=True)
class Project:
    """Issues with their versions, by the server's own clock; the lists of both show the same."""

    now: int = BEGAN_AT
    issues: dict[int, Version] = field(default_factory=dict)

    def change(self, number: int) -> None:
        """Make an issue, or change it."""
        self.now += 1
        self.issues[number] = (self.issues.get(number, (0, 0))[0] + 1, self.now)

    def page(self, since: int | None, after: list[int]) -> list[tuple[int, int, int]]:
        """(updated_at, id, version) of what follows: by id, or by the instant of the change."""
        self.now += 1
        told = [(at, number, version) for number, (version, at) in self.issues.items()]
        if since is None:
            return sorted((row for row in told if row[1] > after[1]), key=lambda row: row[1])[:PAGE]
        return sorted(row for row in told if row[0] >= since and list(row[:2]) > after)[:PAGE]


@dataclass(slots=True)
class Play:
    """One run of the story; `break_at` counts what can break: events, or statements."""

    world: Sim
    random: Random
    break_at: int
    project: Project = field(default_factory=Project)
    files: dict[str, list[Version]] = field(default_factory=dict)
    is_calm: bool = True
    is_torn: bool = False
    left: int = 0
    broken: int = 0

    def reached(self) -> bool:
        """Count one point at which something may break; say whether it is the one."""
        self.left += 1
        self.broken += self.left == self.break_at
        return self.left == self.break_at

    async def read(self, one: leases.ClaimedJob, holder: str) -> AsyncGenerator[None]:
        """Read a list as a crawler does: compare, commit a segment a page, complete."""
        cursor = json.loads(one.cursor or "null") or {"began": self.project.now, "after": [0, 0]}
        known = await self._known(one, holder)
        number = one.next_segment
        is_torn, self.is_torn = self.is_torn and one.resource == "issues", False
        reason = "changed" if is_torn else None
        while rows := self.project.page(one.since, cursor["after"]):
            yield
            cursor["after"] = list(rows[-1][:2])
            fresh = [(each, version) for _, each, version in rows if (each, version) not in known]
            new = len({each for each, _ in fresh} - {each for each, _ in known})
            known |= set(fresh)
            segments = [self._segment(one, number, fresh, new)] if fresh else []
            number += len(segments)
            await self._say(
                one, holder, status="processing", cursor=json.dumps(cursor), segments=segments
            )
            if not self.is_calm and self.random.random() < 0.4:
                self.project.change(self.random.randint(1, 8))
            if is_torn:
                break
        yield
        report = LedgerReport(reason=reason)
        await self._say(one, holder, status="completed", ledger=report, watermark=cursor["began"])

    def _segment(
        self, one: leases.ClaimedJob, number: int, fresh: list[Version], new: int
    ) -> SegmentReport:
        name = f"i1/project-7/{one.resource}/j{one.job_id}-f{one.fence}-{number:06d}.jsonl.zst"
        self.files[name] = fresh
        return SegmentReport(name=name, length=1, sha256="0", records=len(fresh), added=new)

    async def _known(self, one: leases.ClaimedJob, holder: str) -> set[Version]:
        asked = RequestManifest(task_id=str(one.job_id), epoch=one.fence)
        told = await self.world.send(holder, "request_manifest", asked)
        return {each for row in told.get("segments", []) for each in self.files[row["name"]]}

    async def _say(self, one: leases.ClaimedJob, holder: str, **fields: Any) -> None:
        """Send an event; the crawler may die before it, or after it took effect."""
        told: dict[str, Any] = {"task_id": str(one.job_id), "epoch": one.fence, "timestamp": 0}
        if self.reached():
            raise Crash
        await self.world.send(holder, "PROGRESS_UPDATE", ProgressUpdate(**(told | fields)))
        if self.reached():
            raise Crash

    async def settle(self) -> None:
        """Let two crawlers work until nothing is left, one page of either at a time."""
        running: dict[str, AsyncGenerator[None]] = {}
        while True:
            for holder in ("crawler-1", "crawler-2"):
                if holder not in running and (one := await self._claim(holder)) is not None:
                    running[holder] = self.read(one, holder)
            if not running:
                return
            holder = self.random.choice(sorted(running))
            try:
                await anext(running[holder])
            except StopAsyncIteration:
                del running[holder]
            except (Crash, LabtrawlError):
                del running[holder]
                await self._again_and_again(holder)

    async def _claim(self, holder: str) -> leases.ClaimedJob | None:
        self.world.numbers += 1
        claim_id = f"claim-{self.world.numbers}"
        for _ in range(2):  # a database that breaks is asked again
            with contextlib.suppress(LabtrawlError):
                found = await self.world.store.write(
                    lambda c: leases.claim(c, holder, claim_id, 1, 60)
                )
                return found[0] if found else None
        raise AssertionError("the database broke twice")

    async def _again_and_again(self, holder: str) -> None:
        """A crawler died: its job is free, and each of its messages comes once more, all too late."""
        for _ in range(2):
            with contextlib.suppress(LabtrawlError):
                await self.world.store.write(lambda c: leases.rescue_holder(c, holder, RETRY))
                break
        for envelope in self.world.sent[-LATE:]:
            if envelope.key == "PROGRESS_UPDATE":
                with contextlib.suppress(LabtrawlError):  # its lease is another's
                    await self.world.deliver(envelope.origin, envelope)

    async def open_due(self, let: Callable[[Connection], None]) -> None:
        for _ in range(2):
            with contextlib.suppress(LabtrawlError):
                await self.world.store.write(let)
                return

    async def check(self) -> None:
        """What the watermark says to be read is there, and nothing is there twice."""
        rows = await self.world.store.read(_rows)
        for name in LISTS:
            found = [each for row in rows.segments if row[0] == name for each in self.files[row[1]]]
            assert len(found) == len(set(found)), f"{name}: twice"
            mark = rows.watermarks.get(name) or 0
            unread = [
                (each, version)
                for each, (version, at) in self.project.issues.items()
                if at < mark and (each, version) not in found
            ]
            assert unread == [], f"{name}: the watermark passed {unread}"
            assert rows.collected[name] == len({each for each, _ in found})

    async def check_end(self) -> None:
        """Everything is there as it is now."""
        await self.check()
        rows = await self.world.store.read(_rows)
        newest = {(each, version) for each, (version, _) in self.project.issues.items()}
        for name in LISTS:
            found = {each for row in rows.segments if row[0] == name for each in self.files[row[1]]}
            assert newest - found == set(), f"{name}: forgotten"
        assert set(rows.states) == {"completed"}


@dataclass(frozen=True, slots=True)
class _Rows:
    segments: list[tuple[str, str]]
    watermarks: dict[str, int | None]
    collected: dict[str, int]
    states: list[str]


def _rows(connection: Connection) -> _Rows:
    def ask(what: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(what).all()]

    return _Rows(
        [(row[0], row[1]) for row in ask("SELECT resource, name FROM segment ORDER BY id")],
        {row[0]: row[1] for row in ask("SELECT resource, watermark FROM visit")},
        {row[0]: row[1] for row in ask("SELECT resource, collected FROM ledger")},
        [row[0] for row in ask("SELECT state FROM job")],
    )


def _let_all_be_due(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1 WHERE next_at IS NULL")
    _let_parents_be_due(connection)


def _let_parents_be_due(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET next_at = 1 WHERE next_at IS NOT NULL")
    visits.open_due(connection, SCHEDULE, 100)


def _plant_nested(connection: Connection) -> None:
    job_id = jobs.enqueue(connection, jobs.PlannedJob(1, "issue_discussions"))
    ledger.open_row(connection, 1, "issue_discussions", job_id)


async def _tell_the_story(play: Play) -> None:
    """A first reading, then rounds: changes while both lists are read, and one more look in peace."""
    for number in range(1, 6):
        play.project.change(number)
    for turn in range(ROUNDS):
        play.is_calm = False
        play.is_torn = turn == 1
        await play.settle()
        await play.check()
        play.is_calm = True
        await play.open_due(_let_parents_be_due)
        await play.settle()
        await play.check_end()
        play.project.change(turn + 1)
        await play.open_due(_let_all_be_due)


@contextlib.asynccontextmanager
async def _play(folder: Path, seed: int, break_at: int) -> AsyncGenerator[Play]:
    async with sim(folder) as world:
        world.desk = replace(world.desk, schedule=SCHEDULE)
        await world.store.write(_plant_nested)
        yield Play(world, Random(seed), break_at)


async def test_list_read_again_forgets_nothing_whoever_dies_before_or_after_any_event(
    tmp_path: Path, prove_seed: int
) -> None:
    for point in range(1 + prove_seed % EVENT_STRIDE, MOST_EVENTS, EVENT_STRIDE):
        async with _play(tmp_path / str(point), prove_seed + point, point) as play:
            await _tell_the_story(play)
            if not play.broken:
                assert point > 40
                return
    pytest.fail("the story never came to its end")


async def test_list_read_again_forgets_nothing_wherever_the_database_breaks(
    tmp_path: Path, prove_seed: int
) -> None:
    """A transaction leaves no half behind, whichever statement of it fails."""
    for point in range(1 + prove_seed % STATEMENT_STRIDE, 10 * MOST_EVENTS, STATEMENT_STRIDE):
        async with _play(tmp_path / str(point), prove_seed + point, 0) as play:
            statements = _Breaking(point)
            engine = play.world.store._writer
            event.listen(engine, "before_cursor_execute", statements)
            await _tell_the_story(play)
            if not statements.is_broken:
                assert point > 200
                return
    pytest.fail("the story never came to its end")


@dataclass(slots=True, eq=False)
class _Breaking:
    """Breaks one statement, as a disk would."""

    left: int
    is_broken: bool = False

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            self.is_broken = True
            raise OperationalError("SELECT", None, Exception("disk I/O error"))
