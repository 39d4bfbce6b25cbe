"""What a crawler's report does to the database: one guarded transaction a report."""

from dataclasses import dataclass

from labtrawl.dispatch import planner
from labtrawl.domain.failure import GapReason, RetryPolicy
from labtrawl.domain.job import HoldReason
from labtrawl.protocol.messages import LedgerReport, ProgressUpdate
from labtrawl.store import accounts, jobs, leases, ledger, manifest
from labtrawl.store.engine import Connection

SHOWN = "processing"
# Failures that say something about GitLab, not about the attempt: no retry can mend them.
PERMANENT = {reason.value for reason in GapReason} - {GapReason.FAILED}


@dataclass(frozen=True, slots=True)
class Delay:
    """How a failed attempt is put off: the policy, and a random number in 0 … 1."""

    policy: RetryPolicy
    random: float


def is_event(update: ProgressUpdate) -> bool:
    """Say whether a report has an effect that must not be lost; the others only show."""
    return update.status != SHOWN or update.cursor is not None or bool(update.segments)


def show(connection: Connection, job_id: int, origin: jobs.Origin, update: ProgressUpdate) -> None:
    """Show how far a job is; not recorded as applied, since it may overtake a re-sent event."""
    if not jobs.was_applied(connection, job_id, origin):
        jobs.progress(connection, job_id, _progress(update))


def apply(
    connection: Connection,
    job_id: int,
    origin: jobs.Origin,
    update: ProgressUpdate,
    delay: Delay,
) -> None:
    """Apply an event once: segments, cursor, counters, discovered areas, the job's end.

    Raises LeaseLost where it comes from an older lease; then nothing is changed.
    """
    if jobs.was_applied(connection, job_id, origin):
        return
    jobs.mark_applied(connection, job_id, origin)
    jobs.progress(connection, job_id, _progress(update))
    _commit_segments(connection, job_id, origin, update)
    _record_areas(connection, job_id, update)
    if update.status == "completed":
        _complete(connection, job_id, update.ledger or LedgerReport())
    elif update.status == "paused":
        leases.give_back(connection, job_id)
    elif update.status == "failed":
        _fail(connection, job_id, update, delay)


def _progress(update: ProgressUpdate) -> jobs.Progress:
    return jobs.Progress(
        update.processed_items, update.total_items, update.requests, update.retries, update.stage
    )


def _commit_segments(
    connection: Connection, job_id: int, origin: jobs.Origin, update: ProgressUpdate
) -> None:
    new = [
        manifest.ClosedSegment(one.name, one.length, one.sha256, one.records)
        for one in update.segments
    ]
    manifest.commit(connection, job_id, origin.fence, new)
    if update.cursor is not None:
        jobs.advance(connection, job_id, update.cursor, len(new))
    records = sum(one.records for one in new)
    if records:
        place = jobs.place_of(connection, job_id)
        ledger.count(connection, place.area_id, place.resource, records)


def _record_areas(connection: Connection, job_id: int, update: ProgressUpdate) -> None:
    if update.areas:
        place = jobs.place_of(connection, job_id)
        for found in update.areas:
            planner.record_area(connection, place.instance_id, place.account_id, found)


def _complete(connection: Connection, job_id: int, report: LedgerReport) -> None:
    place = jobs.place_of(connection, job_id)
    reason = GapReason(report.reason) if report.reason else None
    entry = ledger.Entry(report.expected, report.expected_by, reason, report.detail)
    ledger.close_row(connection, place.area_id, place.resource, entry)
    jobs.complete(connection, job_id)


def _fail(connection: Connection, job_id: int, update: ProgressUpdate, delay: Delay) -> None:
    place = jobs.place_of(connection, job_id)
    if update.reason == HoldReason.CREDENTIAL:
        _without_credential(connection, job_id, place, update.error)
    elif update.reason == HoldReason.DISK:
        jobs.hold(connection, job_id, HoldReason.DISK, update.error)
    elif update.retryable and delay.policy.may_retry(place.attempt):
        seconds = update.retry_after_seconds or delay.policy.delay(place.attempt, delay.random)
        jobs.retry_later(connection, job_id, update.error, seconds)
    else:
        known = update.reason in PERMANENT
        reason = GapReason(update.reason) if known else GapReason.FAILED
        entry = ledger.Entry(reason=reason, detail=update.error)
        ledger.explain(connection, place.area_id, place.resource, entry)
        jobs.fail(connection, job_id, reason, update.error)


def _without_credential(
    connection: Connection, job_id: int, place: jobs.JobPlace, error: str
) -> None:
    """GitLab refused the token: another account goes on, or the job waits for a new token."""
    accounts.refuse(connection, place.account_id)
    if accounts.another_sees(connection, place.account_id, place.area_id):
        leases.give_back(connection, job_id)
    else:
        jobs.hold(connection, job_id, HoldReason.CREDENTIAL, error)
    jobs.hold_unseen(connection)
