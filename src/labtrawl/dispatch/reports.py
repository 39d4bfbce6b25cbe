"""What a crawler's report does to the database: one guarded transaction a report."""

from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.dispatch import planner, visiting
from labtrawl.domain.failure import GapReason, RetryPolicy
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import Mode, Schedule
from labtrawl.errors import BadMessage, RateLimited
from labtrawl.protocol.messages import LedgerReport, ProgressUpdate, SegmentReport
from labtrawl.store import accounts, jobs, leases, ledger, manifest
from labtrawl.store.engine import Connection

SHOWN = "processing"
MOST_WINDOWS = 1000
Once = Callable[[Connection], bool]
"""What has an effect at most once, and says whether this was the time."""
# Failures that say something about GitLab, not about the attempt: no retry can mend them.
# Whatever GitLab asks for: within a day one looks again.
LONGEST_WAIT_SECONDS = 86_400.0
PERMANENT = {reason.value for reason in GapReason} - {GapReason.FAILED}


@dataclass(frozen=True, slots=True)
class Delay:
    """When a job is worked on again.

    A failed attempt is put off by the policy and a random number in 0 … 1; what has ended is
    scheduled.
    """

    policy: RetryPolicy
    random: float
    schedule: Schedule = planner.NO_SCHEDULE


def is_event(update: ProgressUpdate) -> bool:
    """Say whether a report has an effect that must not be lost; the others only show."""
    return update.status != SHOWN or update.cursor is not None or bool(update.segments)


def show(connection: Connection, job_id: int, origin: jobs.Origin, update: ProgressUpdate) -> bool:
    """Show how far a job is; not recorded as applied, since it may overtake a re-sent event.

    False where something newer took effect before.
    """
    is_new = not jobs.was_applied(connection, job_id, origin)
    if is_new:
        jobs.progress(connection, job_id, _progress(update))
    return is_new


def apply(
    connection: Connection,
    job_id: int,
    origin: jobs.Origin,
    update: ProgressUpdate,
    delay: Delay,
) -> bool:
    """Apply an event once: segments, cursor, counters, discovered areas, the job's end.

    False where it was applied before. Raises LeaseLost where it comes from an older lease; then
    nothing is changed.
    """
    if jobs.was_applied(connection, job_id, origin):
        return False
    jobs.mark_applied(connection, job_id, origin)
    effect(connection, job_id, origin.fence, update, delay)
    return True


def effect(
    connection: Connection, job_id: int, fence: int, update: ProgressUpdate, delay: Delay
) -> None:
    """Do what a report says, to a job that is running under `fence`; it is known to be no repeat."""
    jobs.progress(connection, job_id, _progress(update))
    _commit_segments(connection, job_id, fence, update)
    _record_areas(connection, job_id, update, delay.schedule)
    if update.status == "completed":
        _complete(connection, job_id, update, delay.schedule)
    elif update.status == "paused":
        leases.give_back(connection, job_id)
    elif update.status == "credential_expiry":
        without_credential(connection, job_id, update.error or update.message)
    elif update.status == "failed":
        _fail(connection, job_id, update, delay)


def _progress(update: ProgressUpdate) -> jobs.Progress:
    return jobs.Progress(
        update.processed_items, update.total_items, update.requests, update.retries, update.stage
    )


def _commit_segments(
    connection: Connection, job_id: int, fence: int, update: ProgressUpdate
) -> None:
    new = [
        manifest.ClosedSegment(one.name, one.length, one.sha256, one.records)
        for one in update.segments
    ]
    manifest.commit(connection, job_id, fence, new)
    if update.cursor is not None:
        jobs.advance(connection, job_id, update.cursor, len(new))
    records = sum(one.records for one in new)
    if records:
        place = jobs.place_of(connection, job_id)
        objects = sum(_objects(one) for one in update.segments)
        is_known = place.mode is Mode.CHANGES
        ledger.count(connection, place.area_id, place.resource, objects, is_known)
        jobs.count_changed(connection, job_id, records)


def _objects(segment: SegmentReport) -> int:
    """Return how many more objects are there by a segment; BadMessage where it cannot be."""
    added = segment.records if segment.added is None else segment.added
    if min(added, segment.removed) < 0 or added + segment.removed > segment.records:
        raise BadMessage(
            f"{added} objects more and {segment.removed} fewer do not fit {segment.records} records"
        )
    return added - segment.removed


def _record_areas(
    connection: Connection, job_id: int, update: ProgressUpdate, schedule: Schedule
) -> None:
    if update.areas:
        place = jobs.place_of(connection, job_id)
        for found in update.areas:
            planner.record_area(connection, place.instance_id, place.account_id, found, schedule)


def _complete(
    connection: Connection, job_id: int, update: ProgressUpdate, schedule: Schedule
) -> None:
    place = jobs.place_of(connection, job_id)
    report = update.ledger or LedgerReport()
    if report.reason and report.reason not in set(GapReason):
        raise BadMessage(f"{report.reason[:64]!r} is no reason for a gap")
    reason = GapReason(report.reason) if report.reason else None
    entry = ledger.Entry(report.expected, report.expected_by, reason, report.detail)
    close = ledger.close_changes if place.mode is Mode.CHANGES else ledger.close_row
    close(connection, place.area_id, place.resource, entry)
    ledger.set_windows(connection, place.area_id, place.resource, _windows(report))
    jobs.complete(connection, job_id)
    visiting.completed(connection, job_id, place, update, schedule)


def _windows(report: LedgerReport) -> list[ledger.Window]:
    if len(report.windows) > MOST_WINDOWS:
        raise BadMessage(f"a list of {len(report.windows)} windows is longer than {MOST_WINDOWS}")
    return [
        ledger.Window(one.since, one.until, one.expected, one.collected) for one in report.windows
    ]


def _fail(connection: Connection, job_id: int, update: ProgressUpdate, delay: Delay) -> None:
    place = jobs.place_of(connection, job_id)
    if update.reason == HoldReason.CREDENTIAL:
        without_credential(connection, job_id, update.error)
    elif update.reason == HoldReason.DISK:
        jobs.hold(connection, job_id, HoldReason.DISK, update.error)
    elif update.reason == RateLimited.reason:
        # To be told to wait is no failed try: however often, the job goes on afterwards.
        seconds = _wait_seconds(update, delay.policy.ceiling_seconds)
        jobs.retry_later(connection, job_id, update.error, seconds, is_try=False)
    elif update.retryable and delay.policy.may_retry(place.attempt):
        seconds = _wait_seconds(update, delay.policy.delay(place.attempt, delay.random))
        jobs.retry_later(connection, job_id, update.error, seconds)
    else:
        known = update.reason in PERMANENT
        reason = GapReason(update.reason) if known else GapReason.FAILED
        _end(connection, job_id, place, reason, update.error)
        visiting.failed(connection, job_id, place, delay.schedule)


def _wait_seconds(update: ProgressUpdate, otherwise: float) -> float:
    asked = update.retry_after_seconds
    return otherwise if asked is None else min(max(asked, 0.0), LONGEST_WAIT_SECONDS)


def _end(
    connection: Connection, job_id: int, place: jobs.JobPlace, reason: GapReason, detail: str
) -> None:
    entry = ledger.Entry(reason=reason, detail=detail)
    ledger.explain(connection, place.area_id, place.resource, entry)
    jobs.fail(connection, job_id, reason, detail)


def break_off(connection: Connection, job_id: int, holder: str, fence: int, why: str) -> None:
    """End a job of which a report can never be applied; nothing where the lease is not theirs."""
    if jobs.is_held_by(connection, job_id, holder, fence):
        place = jobs.place_of(connection, job_id)
        _end(connection, job_id, place, GapReason.FAILED, why)


def without_credential(connection: Connection, job_id: int, error: str) -> None:
    """The token of the job's account is of no use: another account goes on, or the job waits.

    It waits too for an account whose token can be renewed: that one stays, and would get it again.
    """
    place = jobs.place_of(connection, job_id)
    is_refused = accounts.refuse(connection, place.account_id)
    if is_refused and accounts.another_sees(connection, place.account_id, place.area_id):
        leases.give_back(connection, job_id)
    else:
        jobs.hold(connection, job_id, HoldReason.CREDENTIAL, error)
    jobs.hold_unseen(connection)
