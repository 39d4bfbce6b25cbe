"""Jobs as the API tells of them: without any credential, for programs and for people who script."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.visit import Mode
from labtrawl.errors import Conflict, Missing
from labtrawl.store import jobs, ledger
from labtrawl.store.engine import NOW_MS
from labtrawl.store.jobs import NEXT_CHANGE

MOST = 500

TOLD = (
    "SELECT j.id, j.resource, j.state, j.hold_reason, j.priority, j.attempt, j.area_id, a.kind,"
    " a.gitlab_id, a.full_path, j.processed_items, j.total_items, j.requests, j.retries, j.stage,"
    " j.error_reason, j.error_message, j.run_after, j.lease_holder, j.lease_expires_at, j.fence,"
    " j.wanted, j.created_at, j.started_at, j.finished_at, j.updated_at, j.change"
    " FROM job AS j JOIN area AS a ON a.id = j.area_id"
)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A job with its area; instants in milliseconds."""

    id: int
    resource: str
    state: str
    hold_reason: str | None
    priority: int
    attempt: int
    area_id: int
    area_kind: str
    gitlab_id: int
    full_path: str
    processed_items: int
    total_items: int | None
    requests: int
    retries: int
    stage: str
    error_reason: str | None
    error_message: str | None
    run_after: int | None
    lease_holder: str | None
    lease_expires_at: int | None
    fence: int
    wanted: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    updated_at: int
    change: int


def one(connection: Connection, job_id: int) -> TaskRow:
    """Return a job; Missing where there is none."""
    row = connection.exec_driver_sql(f"{TOLD} WHERE j.id = ?", (job_id,)).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    return TaskRow(*row)


def claimable(connection: Connection, limit: int) -> list[TaskRow]:
    """Return what a crawler could claim now, best first, at most 500."""
    rows = connection.exec_driver_sql(
        f"{TOLD} WHERE j.state = 'queued' AND j.run_after IS NULL"
        " AND EXISTS (SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id"
        " WHERE x.area_id = j.area_id AND c.state = 'active')"
        " ORDER BY j.priority DESC, j.id LIMIT ?",
        (min(limit, MOST),),
    ).all()
    return [TaskRow(*row) for row in rows]


def after(connection: Connection, job_id: int, limit: int, state: str | None) -> list[TaskRow]:
    """Return the jobs with larger numbers than `job_id`, in one state or all, at most 500."""
    which, given = ("", ()) if state is None else (" AND j.state = ?", (state,))
    rows = connection.exec_driver_sql(
        f"{TOLD} WHERE j.id > ?{which} ORDER BY j.id LIMIT ?", (job_id, *given, min(limit, MOST))
    ).all()
    return [TaskRow(*row) for row in rows]


def area_kind(connection: Connection, area_id: int) -> str:
    """Return what kind of area this is; Missing where there is none."""
    row = connection.exec_driver_sql("SELECT kind FROM area WHERE id = ?", (area_id,)).first()
    if row is None:
        raise Missing(f"there is no area {area_id}")
    return str(row[0])


def add(connection: Connection, wanted: jobs.PlannedJob) -> TaskRow:
    """Queue a job that a person asks for; Conflict where that list has an open one.

    A list that was read before is read whole again, by the job that it has.
    """
    area_id, resource = wanted.area_id, wanted.resource
    job_id = jobs.reopen(
        connection, area_id, resource, Mode.SWEEP, failed=True, cancelled=True, anew=True
    )
    if job_id is not None:
        prioritise(connection, job_id, wanted.priority)
    elif not jobs.is_known(connection, area_id, resource):
        job_id = jobs.enqueue(connection, wanted)
    if job_id is None:
        raise Conflict(
            f"a job for {wanted.resource} of area {wanted.area_id} is open already; wait for its"
            " end, or cancel it"
        )
    ledger.open_row(connection, wanted.area_id, wanted.resource, job_id)
    return one(connection, job_id)


def prioritise(connection: Connection, job_id: int, priority: int) -> TaskRow:
    """Let an open job be claimed earlier or later; Missing, Conflict where that has no use."""
    changed = connection.exec_driver_sql(
        f"UPDATE job SET priority = ?, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        " WHERE id = ? AND state IN ('queued', 'running', 'held')",
        (priority, job_id),
    ).rowcount
    row = one(connection, job_id)
    if not changed:
        raise Conflict(f"job {job_id} is {row.state}: it will not be claimed again")
    return row
