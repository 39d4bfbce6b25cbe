"""The figures of the overview."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from labtrawl.domain.failure import cause_of
from labtrawl.domain.job import OPEN_STATES, JobState
from labtrawl.store import gaps
from labtrawl.store.pages.jobs import COLUMNS, COUNTED, JOINED, JobRow
from labtrawl.store.schema import area, job, ledger, segment

AT_WORK = 8
MINUTE_MS = 60_000
# Files of the last minute that the throughput looks at.
RECENT = 5_000
# Failed jobs whose messages are read, the newest; and how many causes of a reason are told.
READ, TOLD = 500, 4


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over everything. They cost a walk over an index: who shows them keeps them a while.

    `gaps` are the lists that hold less; of `unexplained` ones nobody knows why.
    """

    jobs: Mapping[str, int]
    areas: Mapping[str, int]
    records: int
    requests: int
    gaps: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs that wait for the same thing."""

    why: str
    number: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Failed jobs whose messages differ in addresses and numbers only, and the newest of them."""

    words: str
    number: int
    newest_id: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed jobs with the same reason, and the newest of them.

    `causes` are those of the newest 500 failed jobs, the most frequent ones.
    """

    reason: str
    number: int
    newest_id: int
    newest_at: int
    message: str
    causes: Sequence[Cause] = ()


@dataclass(frozen=True, slots=True)
class Now:
    """What happens at this moment."""

    at_work: Sequence[JobRow]
    waiting: Sequence[Waiting]
    failures: Sequence[FailureGroup]
    discovering: bool
    records_last_minute: int
    change: int


def _count_by(connection: Connection, column: object) -> dict[str, int]:
    query = select(column, func.count()).group_by(column).order_by(column)  # type: ignore[call-overload]
    return {str(row[0]): int(row[1]) for row in connection.execute(query).all()}


def totals(connection: Connection) -> Totals:
    """Count the jobs by state, the areas by kind, all records and requests so far."""
    by_state, less = _count_by(connection, job.c.state), gaps.by_reason(connection)
    return Totals(
        jobs={state.value: by_state.get(state.value, 0) for state in JobState},
        areas=_count_by(connection, area.c.kind),
        records=connection.execute(select(func.sum(ledger.c.collected))).scalar() or 0,
        requests=connection.execute(select(func.sum(job.c.requests))).scalar() or 0,
        gaps=sum(less.values()),
        unexplained=less.get(gaps.NOBODY_KNOWS, 0),
    )


def _at_work(connection: Connection) -> list[JobRow]:
    query = (
        select(*COLUMNS)
        .select_from(JOINED)
        .where(job.c.state == JobState.RUNNING)
        .order_by(job.c.id)
        .limit(AT_WORK)
    )
    return [JobRow(*row) for row in connection.execute(query).all()]


def _waiting(connection: Connection, queued: JobState, held: JobState) -> list[Waiting]:
    later = select(job.c.id, job.c.run_after).where(job.c.run_after.is_not(None)).limit(COUNTED)
    pauses = later.subquery()
    number, until = connection.execute(select(func.count(), func.min(pauses.c.run_after))).one()
    due = select(job.c.id).where(job.c.state == queued, job.c.run_after.is_(None)).limit(COUNTED)
    free = connection.execute(select(func.count()).select_from(due.subquery())).scalar() or 0
    holds = select(job.c.hold_reason).where(job.c.state == held).limit(COUNTED).subquery()
    reason = holds.c.hold_reason
    query = select(reason, func.count()).group_by(reason).order_by(reason)
    found = [Waiting("crawler", free), Waiting("later", number, until)]
    found += [Waiting(row[0], row[1]) for row in connection.execute(query).all()]
    return [each for each in found if each.number]


def _failures(connection: Connection) -> list[FailureGroup]:
    failed = (
        select(job.c.id, job.c.error_reason)
        .where(job.c.state == JobState.FAILED)
        .order_by(job.c.id.desc())
        .limit(COUNTED)
        .subquery()
    )
    query = select(failed.c.error_reason, func.count(), func.max(failed.c.id))
    groups = connection.execute(query.group_by(failed.c.error_reason)).all()
    causes = _causes(connection) if groups else {}
    found = [
        _group(connection, reason, (number, newest_id), causes.get(reason, {}))
        for reason, number, newest_id in groups
    ]
    return sorted(found, key=lambda group: (-group.newest_at, group.reason))


def _causes(connection: Connection) -> Mapping[str, Mapping[str, Cause]]:
    """Return the causes of the newest failed jobs, by reason and words."""
    query = (
        select(job.c.id, job.c.error_reason, job.c.error_message)
        .where(job.c.state == JobState.FAILED)
        .order_by(job.c.id.desc())
        .limit(READ)
    )
    found: dict[str, dict[str, Cause]] = {}
    for number, reason, message in connection.execute(query).all():
        words, same = cause_of(message or ""), found.setdefault(reason, {})
        newest = same.get(words, Cause(words, 0, number))
        same[words] = replace(newest, number=newest.number + 1)
    return found


def _group(
    connection: Connection, reason: str, counted: tuple[int, int], causes: Mapping[str, Cause]
) -> FailureGroup:
    number, newest_id = counted
    query = select(job.c.finished_at, job.c.updated_at, job.c.error_message)
    finished_at, updated_at, message = connection.execute(query.where(job.c.id == newest_id)).one()
    frequent = sorted(causes.values(), key=lambda cause: (-cause.number, -cause.newest_id))
    newest_at = finished_at or updated_at
    return FailureGroup(reason, number, newest_id, newest_at, message or "", frequent[:TOLD])


def _discovering(connection: Connection) -> bool:
    """While an account's discovery is open, more areas may come."""
    discovery = (job.c.resource == "discovery", job.c.state.in_(OPEN_STATES))
    return connection.execute(select(job.c.id).where(*discovery).limit(1)).first() is not None


def _records_since(connection: Connection, instant: int) -> int:
    newest = (
        select(segment.c.records, segment.c.created_at)
        .order_by(segment.c.id.desc())
        .limit(RECENT)
        .subquery()
    )
    query = select(func.sum(newest.c.records)).where(newest.c.created_at > instant)
    return connection.execute(query).scalar() or 0


def now(connection: Connection, now_ms: int) -> Now:
    """Return what happens at this moment; every part of it reads an index up to a limit."""
    newest = connection.execute(select(func.max(job.c.change))).scalar()
    return Now(
        at_work=_at_work(connection),
        waiting=_waiting(connection, JobState.QUEUED, JobState.HELD),
        failures=_failures(connection),
        discovering=_discovering(connection),
        records_last_minute=_records_since(connection, now_ms - MINUTE_MS),
        change=newest or 0,
    )
