"""The job table: claim, renew, report, complete, fail, hold, resume, cancel, rescue.

The hot statements are raw SQL. Every change by a crawler is guarded by (job, fence, running): what
comes late from an older lease changes nothing. Leases use the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from labtrawl.domain.job import HoldReason, JobState
from labtrawl.domain.visit import Mode
from labtrawl.errors import Conflict, LeaseLost, Missing
from labtrawl.store.engine import NOW_MS

# The same number for all rows of one statement: whoever reads on from it misses none of them.
NEXT_CHANGE = "(SELECT COALESCE(MAX(change), 0) + 1 FROM job)"
FREE = "lease_holder = NULL, lease_expires_at = NULL, claim_id = NULL, wanted = 'run'"
# A lease that ends while its job was asked to pause leaves it held: the wish outlives the crawler.
AGAIN = (
    "state = CASE WHEN wanted = 'pause' THEN 'held' ELSE 'queued' END,"
    " hold_reason = CASE WHEN wanted = 'pause' THEN 'paused' END"
)


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job to be queued."""

    area_id: int
    resource: str
    priority: int = 0
    parent_id: int | None = None
    hold_reason: HoldReason | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent a message about a job, with which id and under which fence."""

    name: str
    message_id: str
    fence: int


def enqueue(connection: Connection, new: PlannedJob) -> int | None:
    """Queue a job; return its id, or None where that (area, resource) is open already."""
    state = JobState.HELD if new.hold_reason else JobState.QUEUED
    row = connection.exec_driver_sql(
        "INSERT INTO job (area_id, resource, state, hold_reason, priority, parent_id, created_at,"
        f" updated_at, change) VALUES (?, ?, ?, ?, ?, ?, {NOW_MS}, {NOW_MS}, {NEXT_CHANGE})"
        " ON CONFLICT DO NOTHING RETURNING id",
        (new.area_id, new.resource, state, new.hold_reason, new.priority, new.parent_id),
    ).first()
    return row[0] if row else None


def enqueue_first(connection: Connection, new: PlannedJob) -> int | None:
    """Queue a job unless that (area, resource) ever had one: discovery is not a reason to re-read."""
    known = is_known(connection, new.area_id, new.resource)
    return None if known else enqueue(connection, new)


ENQUEUE_NEW = f"""
INSERT INTO job (area_id, resource, state, priority, parent_id, created_at, updated_at, change)
SELECT CAST(? AS INTEGER), CAST(? AS TEXT), 'queued', CAST(? AS INTEGER), CAST(? AS INTEGER),
  {NOW_MS}, {NOW_MS}, {NEXT_CHANGE}
WHERE NOT EXISTS (SELECT 1 FROM job WHERE area_id = ? AND resource = ?)
ON CONFLICT DO NOTHING
"""


def enqueue_new(connection: Connection, new: Sequence[PlannedJob]) -> int:
    """Do as `enqueue_first` for many; return how many were queued."""
    values = [
        (one.area_id, one.resource, one.priority, one.parent_id, one.area_id, one.resource)
        for one in new
    ]
    return connection.exec_driver_sql(ENQUEUE_NEW, values).rowcount if values else 0


def add_completed(connection: Connection, new: PlannedJob) -> None:
    """Add the job of a list of which nothing is to be read before its next visit."""
    connection.exec_driver_sql(
        "INSERT INTO job (area_id, resource, state, priority, created_at, finished_at, updated_at,"
        f" change) VALUES (?, ?, 'completed', ?, {NOW_MS}, {NOW_MS}, {NOW_MS}, {NEXT_CHANGE})",
        (new.area_id, new.resource, new.priority),
    )


def is_known(connection: Connection, area_id: int, resource: str) -> bool:
    """Say whether a list ever had a job."""
    before = connection.exec_driver_sql(
        "SELECT 1 FROM job WHERE area_id = ? AND resource = ? LIMIT 1", (area_id, resource)
    ).first()
    return before is not None


# A cursor with a mark (`crawler.cursor.Cursor.tag`), and what no cursor is like.
MARKED = '%"tag":%'
NEVER = ""

REOPEN = f"""
UPDATE job SET state = 'queued', mode = ?, processed_items = 0, total_items = NULL,
  cursor = CASE WHEN state = 'completed' AND cursor LIKE CAST(? AS TEXT)
    THEN '{{"last":' || cursor || '}}' END,
  read_role = NULL, attempt = 0, stage = '', error_reason = NULL,
  error_message = NULL, run_after = NULL, started_at = NULL, finished_at = NULL,
  updated_at = {NOW_MS}, change = {NEXT_CHANGE}
WHERE id = (SELECT MAX(id) FROM job WHERE area_id = ? AND resource = ?)
  AND (state = 'completed' OR state = CAST(? AS TEXT) OR state = CAST(? AS TEXT))
  AND NOT EXISTS (SELECT 1 FROM job AS o WHERE o.area_id = job.area_id
    AND o.resource = job.resource AND o.state IN ('queued', 'running', 'held'))
RETURNING id
"""


def reopen(
    connection: Connection,
    area_id: int,
    resource: str,
    mode: Mode,
    failed: bool = False,
    cancelled: bool = False,
    anew: bool = False,
) -> int | None:
    """Open the job of a list for another visit, from its beginning; return its id.

    Of a completed one-page list the next visit keeps GitLab's mark, unless it is to be read `anew`.

    None where it is open already, or there is none that completed (or, where asked for, failed or
    was cancelled). The fence and the numbers of segments go on, requests are those of a job's whole
    life. An area that nobody sees has to be held by `hold_unseen` afterwards.
    """
    also = (JobState.FAILED if failed else None, JobState.CANCELLED if cancelled else None)
    row = connection.exec_driver_sql(
        REOPEN, (mode, NEVER if anew else MARKED, area_id, resource, *also)
    ).first()
    return row[0] if row else None


def was_applied(connection: Connection, job_id: int, origin: Origin) -> bool:
    """Say whether this message took effect before; refuse what comes from an older lease.

    Raises LeaseLost where (job, fence, running, holder) does not hold, Missing for no such job.
    """
    row = connection.exec_driver_sql(
        "SELECT state, fence, lease_holder, applied_origin, applied_id FROM job WHERE id = ?",
        (job_id,),
    ).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    return is_repeat(job_id, origin, *row)


def is_repeat(
    job_id: int,
    origin: Origin,
    state: str,
    fence: int,
    holder: str | None,
    applied_origin: str | None,
    applied_id: str,
) -> bool:
    """Judge as `was_applied` by what the job's row says."""
    if fence == origin.fence and applied_origin == origin.name and origin.message_id <= applied_id:
        return True
    if state != JobState.RUNNING or fence != origin.fence or holder != origin.name:
        raise LeaseLost(f"job {job_id} is no longer under lease {origin.fence} of {origin.name}")
    return False


def is_held_by(connection: Connection, job_id: int, holder: str, fence: int) -> bool:
    """Say whether a job is running under this lease."""
    held = connection.exec_driver_sql(
        "SELECT 1 FROM job WHERE id = ? AND state = 'running' AND fence = ? AND lease_holder = ?",
        (job_id, fence, holder),
    ).first()
    return held is not None


def mark_applied(connection: Connection, job_id: int, origin: Origin) -> None:
    """Record, in the transaction of its effect, that a message took effect."""
    connection.exec_driver_sql(
        "UPDATE job SET applied_origin = ?, applied_id = ? WHERE id = ?",
        (origin.name, origin.message_id, job_id),
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; counters never go back."""

    processed_items: int = 0
    total_items: int | None = None
    requests: int = 0
    retries: int = 0
    stage: str = ""


def progress(connection: Connection, job_id: int, report: Progress) -> None:
    """Take the maximum of each counter, and the newest stage."""
    connection.exec_driver_sql(
        "UPDATE job SET processed_items = MAX(processed_items, ?),"
        " total_items = COALESCE(?, total_items), requests = MAX(requests, earlier_requests + ?),"
        " retries = MAX(retries, earlier_retries + ?), stage = ?,"
        f" updated_at = {NOW_MS}, change = {NEXT_CHANGE} WHERE id = ?",
        (
            report.processed_items,
            report.total_items,
            report.requests,
            report.retries,
            report.stage,
            job_id,
        ),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What an event does to its job: all of it is one change.

    `cursor` is None where it stays, `origin` where the message has no id that grows; a job that
    gets on has its tries back, a sweep only beyond what an earlier try read. `records` are what was
    committed: how much was found changed, whoever reads on. `is_end` ends the job well.
    """

    progress: Progress = field(default_factory=Progress)
    origin: Origin | None = None
    cursor: str | None = None
    segments: int = 0
    records: int = 0
    is_end: bool = False


# Counters take the maximum, so that they never go back. A list of lists may get on without a record.
TOLD = f"""processed_items = MAX(processed_items, ?), total_items = COALESCE(?, total_items),
  requests = MAX(requests, earlier_requests + ?), retries = MAX(retries, earlier_retries + ?),
  cursor = COALESCE(?, cursor), next_segment = next_segment + ?,
  attempt = CASE WHEN ? >= processed_items + CASE mode WHEN 'sweep' THEN 1 ELSE 0 END THEN 1 ELSE attempt END,
  applied_origin = COALESCE(?, applied_origin), applied_id = COALESCE(?, applied_id),
  updated_at = {NOW_MS}, change = {NEXT_CHANGE}"""
STEP = f"UPDATE job SET {TOLD}, stage = ?, changed_items = changed_items + ? WHERE id = ?"
END = (
    f"UPDATE job SET {TOLD}, stage = '', changed_items = 0, state = 'completed', {FREE},"
    f" finished_at = {NOW_MS} WHERE id = ? AND state = 'running'"
)


def step(connection: Connection, job_id: int, new: Step) -> None:
    """Move a job on by what an event says: counters, cursor, that the event took effect, the end."""
    told, origin, is_on = new.progress, new.origin, new.cursor is not None
    values = (
        told.processed_items,
        told.total_items,
        told.requests,
        told.retries,
        new.cursor,
        new.segments if is_on else 0,
        told.processed_items if is_on else -1,
        origin.name if origin else None,
        origin.message_id if origin else None,
    )
    if new.is_end:
        connection.exec_driver_sql(END, (*values, job_id))
    else:
        connection.exec_driver_sql(STEP, (*values, told.stage, new.records, job_id))


def begin_no_later(connection: Connection, job_id: int) -> None:
    """Let a job have begun now, where the clock was set back to before that.

    What is seen from now on would be older than its visit else, and count as not seen by it.
    """
    connection.exec_driver_sql(
        f"UPDATE job SET started_at = {NOW_MS} WHERE id = ? AND started_at > {NOW_MS}", (job_id,)
    )


def fail(connection: Connection, job_id: int, reason: str, message: str) -> None:
    """End a running job that cannot go on; a person may queue it again."""
    connection.exec_driver_sql(
        f"UPDATE job SET state = 'failed', {FREE}, error_reason = ?, error_message = ?,"
        f" finished_at = {NOW_MS}, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        " WHERE id = ? AND state = 'running'",
        (reason, message, job_id),
    )


def retry_later(
    connection: Connection,
    job_id: int,
    message: str,
    delay_seconds: float,
    is_try: bool = True,
) -> None:
    """Queue a running job again, not before `delay_seconds` from now; `is_try` counts as failed.

    It waits where nobody sees its area by now.
    """
    connection.exec_driver_sql(
        f"UPDATE job SET {AGAIN}, {FREE}, error_message = ?,"
        f" run_after = CASE WHEN wanted = 'run' THEN {NOW_MS} + ? END,"
        " attempt = MAX(attempt - ?, 0),"
        f" updated_at = {NOW_MS}, change = {NEXT_CHANGE} WHERE id = ? AND state = 'running'",
        (message, int(delay_seconds * 1000), 0 if is_try else 1, job_id),
    )
    hold_unseen(connection, job_id)


def hold(connection: Connection, job_id: int, reason: HoldReason, message: str = "") -> None:
    """Make an open job wait for a reason, a wanted pause before all; it keeps its cursor."""
    connection.exec_driver_sql(
        f"UPDATE job SET state = 'held', {FREE}, error_message = ?,"
        " hold_reason = CASE WHEN wanted = 'pause' THEN 'paused' ELSE ? END,"
        f" run_after = NULL, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        " WHERE id = ? AND state IN ('running', 'queued')",
        (message or None, reason, job_id),
    )


def resume(connection: Connection, reason: HoldReason, account_id: int | None = None) -> int:
    """Queue again what was held for `reason` (of the areas `account_id` sees); return how many."""
    return connection.exec_driver_sql(
        f"UPDATE job SET state = 'queued', hold_reason = NULL, updated_at = {NOW_MS},"
        f" change = {NEXT_CHANGE} WHERE state = 'held' AND hold_reason = ?"
        " AND (CAST(? AS INTEGER) IS NULL OR"
        " area_id IN (SELECT area_id FROM area_access WHERE account_id = ?))",
        (reason, account_id, account_id),
    ).rowcount


def resume_area(connection: Connection, area_id: int) -> int:
    """Queue again what was held in an area that nobody saw; return how many."""
    return connection.exec_driver_sql(
        f"UPDATE job SET state = 'queued', hold_reason = NULL, updated_at = {NOW_MS},"
        f" change = {NEXT_CHANGE} WHERE area_id = ? AND state = 'held' AND hold_reason = ?",
        (area_id, HoldReason.UNSEEN),
    ).rowcount


def hold_unseen(connection: Connection, job_id: int | None = None) -> int:
    """Hold what is queued in areas that no usable account sees, or one such job; return how many."""
    which, given = ("", ()) if job_id is None else (" AND id = ?", (job_id,))
    return connection.exec_driver_sql(
        "UPDATE job SET state = 'held', run_after = NULL, hold_reason = CASE WHEN EXISTS"
        " (SELECT 1 FROM area AS a WHERE a.id = job.area_id AND a.unseen_at IS NOT NULL)"
        " THEN 'unseen' ELSE 'credential' END,"
        f" updated_at = {NOW_MS}, change = {NEXT_CHANGE} WHERE state = 'queued' AND NOT EXISTS ("
        "SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id"
        f" WHERE x.area_id = job.area_id AND c.state = 'active'){which}",
        given,
    ).rowcount


def retry(connection: Connection, job_id: int) -> None:
    """Queue a failed or cancelled job again, from its cursor; it waits where no account can read it.

    Conflict where it is neither, or where that (area, resource) has an open job by now.
    """
    changed = connection.exec_driver_sql(
        "UPDATE job SET state = 'queued', error_reason = NULL, error_message = NULL, attempt = 0,"
        f" finished_at = NULL, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
        " WHERE id = ? AND state IN ('failed', 'cancelled') AND NOT EXISTS (SELECT 1 FROM job AS o"
        " WHERE o.area_id = job.area_id AND o.resource = job.resource"
        " AND o.state IN ('queued', 'running', 'held'))",
        (job_id,),
    ).rowcount
    if not changed:
        raise Conflict(
            f"job {job_id} is neither failed nor cancelled, or another job does its work by now;"
            " there is nothing to retry"
        )
    hold_unseen(connection, job_id)


@dataclass(frozen=True, slots=True)
class JobPlace:
    """What a job is about, and who runs it."""

    resource: str
    attempt: int
    area_id: int
    instance_id: int
    account_id: int
    area_kind: str
    mode: Mode


def place_of(connection: Connection, job_id: int) -> JobPlace:
    """Return what a claimed job is about."""
    row = connection.exec_driver_sql(
        "SELECT j.resource, j.attempt, j.area_id, a.instance_id, j.account_id, a.kind, j.mode"
        " FROM job AS j JOIN area AS a ON a.id = j.area_id WHERE j.id = ?",
        (job_id,),
    ).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    return JobPlace(row[0], row[1], row[2], row[3], row[4], row[5], Mode(row[6]))
