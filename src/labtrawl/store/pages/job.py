"""One job with everything that belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select

from labtrawl.errors import Conflict, Missing
from labtrawl.store import jobs
from labtrawl.store.pages.jobs import COLUMNS, JOINED, JobRow
from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.schema import account, area, attempt, instance, job, ledger, segment

CHILDREN = 25
SEGMENTS = 20


@dataclass(frozen=True, slots=True)
class JobLife:
    """What only the job's own page shows."""

    fence: int
    lease_holder: str | None
    lease_expires_at: int | None
    parent_id: int | None
    cursor: str | None
    retries: int
    priority: int
    created_at: int
    started_at: int | None
    finished_at: int | None
    instance_name: str
    web_url: str
    wanted: str


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A committed file of the dataset."""

    id: int
    name: str
    length: int
    records: int
    created_at: int


@dataclass(frozen=True, slots=True)
class SegmentSum:
    """All committed files of a job together."""

    files: int
    records: int
    length: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What was expected of a list and what was collected."""

    expected: int | None
    expected_by: str
    collected: int
    reason: str | None
    detail: str
    completed_at: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lease of a job: who had it, when, and what came of it; an open one has no outcome.

    `requests` and `message` are those of this attempt alone.
    """

    fence: int
    holder: str
    account: str | None
    began_at: int
    ended_at: int | None
    outcome: str | None
    reason: str | None
    message: str | None
    requests: int


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job's page."""

    row: JobRow
    life: JobLife
    parent: JobRow | None
    ledger: LedgerRow | None
    segments: Sequence[SegmentFile]
    segment_sum: SegmentSum
    children: Page[JobRow]
    attempts: Sequence[Attempt]


LIFE: tuple[ColumnElement[Any], ...] = (
    job.c.fence,
    job.c.lease_holder,
    job.c.lease_expires_at,
    job.c.parent_id,
    job.c.cursor,
    job.c.retries,
    job.c.priority,
    job.c.created_at,
    job.c.started_at,
    job.c.finished_at,
    instance.c.name,
    area.c.web_url,
    job.c.wanted,
)


def _life(connection: Connection, job_id: int) -> JobLife:
    home = job.join(area, area.c.id == job.c.area_id).join(instance)
    query = select(*LIFE).select_from(home).where(job.c.id == job_id)
    return JobLife(*connection.execute(query).one())


def _row(connection: Connection, job_id: int) -> JobRow | None:
    query = select(*COLUMNS).select_from(JOINED).where(job.c.id == job_id)
    found = connection.execute(query).first()
    return JobRow(*found) if found else None


def _ledger(connection: Connection, row: JobRow) -> LedgerRow | None:
    found = connection.execute(
        select(
            ledger.c.expected,
            ledger.c.expected_by,
            ledger.c.collected,
            ledger.c.reason,
            ledger.c.detail,
            ledger.c.completed_at,
        ).where(ledger.c.area_id == row.area_id, ledger.c.resource == row.resource)
    ).first()
    return LedgerRow(*found) if found else None


def _segments(connection: Connection, job_id: int) -> list[SegmentFile]:
    query = (
        select(
            segment.c.id,
            segment.c.name,
            segment.c.length,
            segment.c.records,
            segment.c.created_at,
        )
        .where(segment.c.job_id == job_id)
        .order_by(segment.c.id.desc())
        .limit(SEGMENTS)
    )
    return [SegmentFile(*row) for row in connection.execute(query).all()]


def _segment_sum(connection: Connection, job_id: int) -> SegmentSum:
    query = select(
        func.count(),
        func.coalesce(func.sum(segment.c.records), 0),
        # A sum of large integers is a decimal on PostgreSQL.
        cast(func.coalesce(func.sum(segment.c.length), 0), BigInteger),
    ).where(segment.c.job_id == job_id)
    return SegmentSum(*connection.execute(query).one())


def attempts(connection: Connection, job_id: int) -> list[Attempt]:
    """Return the newest attempts of a job, the oldest of them first; no more than ten are kept."""
    query = (
        select(
            attempt.c.fence,
            attempt.c.holder,
            account.c.username,
            attempt.c.began_at,
            attempt.c.ended_at,
            attempt.c.outcome,
            attempt.c.reason,
            attempt.c.message,
            attempt.c.requests,
        )
        .select_from(attempt.outerjoin(account, account.c.id == attempt.c.account_id))
        .where(attempt.c.job_id == job_id)
        .order_by(attempt.c.fence)
    )
    return [Attempt(*row) for row in connection.execute(query).all()]


def children(connection: Connection, job_id: int, place: Place[int]) -> Page[JobRow]:
    """Return one page of the jobs that this one discovered, oldest first."""
    query = select(*COLUMNS).select_from(JOINED).where(job.c.parent_id == job_id)
    query = query.limit(CHILDREN + 1)
    if place.before is not None:
        query = query.where(job.c.id < place.before).order_by(job.c.id.desc())
    else:
        query = query.where(job.c.id > (place.after or 0)).order_by(job.c.id)
    rows = [JobRow(*row) for row in connection.execute(query).all()]
    return cut(rows, place, CHILDREN)


def job_detail(connection: Connection, job_id: int, place: Place[int]) -> JobDetail:
    """Return a job's page; Missing where there is none."""
    row = _row(connection, job_id)
    if row is None:
        raise Missing(f"There is no job {job_id}.")
    life = _life(connection, job_id)
    return JobDetail(
        row=row,
        life=life,
        parent=_row(connection, life.parent_id) if life.parent_id else None,
        ledger=_ledger(connection, row),
        segments=_segments(connection, job_id),
        segment_sum=_segment_sum(connection, job_id),
        children=children(connection, job_id, place),
        attempts=attempts(connection, job_id),
    )


def retry(connection: Connection, job_id: int) -> None:
    """Queue a failed or cancelled job again; Conflict where another for the same list is open."""
    row = _row(connection, job_id)
    if row is None:
        raise Missing(f"There is no job {job_id}.")
    twin = connection.execute(
        select(job.c.id).where(
            job.c.area_id == row.area_id,
            job.c.resource == row.resource,
            job.c.state.in_(("queued", "running", "held")),
        )
    ).scalar()
    if twin is not None and twin != job_id:
        raise Conflict(f"Job {twin} reads the same list already, so job {job_id} is not needed.")
    jobs.retry(connection, job_id)
