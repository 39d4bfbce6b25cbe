"""What a crawler's report does to the database: one guarded transaction a report."""

from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.dispatch import planner, visiting
from labtrawl.domain.failure import GapReason, RetryPolicy
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import Mode, Schedule
from labtrawl.errors import BadMessage, RateLimited
from labtrawl.gitlab import catalog
from labtrawl.protocol.messages import LedgerReport, ProgressUpdate, SegmentReport
from labtrawl.store import accounts, consents, jobs, leases, ledger, manifest
from labtrawl.store.engine import Connection

SHOWN = "processing"
MOST_WINDOWS = 1000
MOST_FIELDS = 1000
LONGEST_FIELD = 200
Once = Callable[[Connection], bool]
"""What has an effect at most once, and says whether this was the time."""
# Failures that say something about GitLab, not about the attempt: no retry can mend them.
# Whatever GitLab asks for: within a day one looks again.
LONGEST_WAIT_SECONDS = 86_400.0
GAP_REASONS = frozenset(GapReason)
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
    work = leases.at_work(connection, job_id, origin)
    if work is None:
        return False
    _effect(_Report(connection, job_id, origin.fence, origin, update, delay, work))
    return True


def effect(
    connection: Connection, job_id: int, fence: int, update: ProgressUpdate, delay: Delay
) -> None:
    """Do what a report says, to a job that is running under `fence`; it is known to be no repeat."""
    work = leases.at_work(connection, job_id, None)
    if work is not None:
        _effect(_Report(connection, job_id, fence, None, update, delay, work))


@dataclass(frozen=True, slots=True)
class _Report:
    """A report that takes effect, and the job as it finds it."""

    connection: Connection
    job_id: int
    fence: int
    origin: jobs.Origin | None
    update: ProgressUpdate
    delay: Delay
    work: leases.AtWork


def _effect(report: _Report) -> None:
    connection, job_id, update = report.connection, report.job_id, report.update
    is_end = update.status == "completed"
    records, objects = _commit_segments(report)
    step = jobs.Step(
        _progress(update), report.origin, update.cursor, len(update.segments), records, is_end
    )
    jobs.step(connection, job_id, step)
    if report.work.now < report.work.began_at:
        jobs.begin_no_later(connection, job_id)
    _count_withheld(report)
    _record_areas(report)
    if is_end:
        _complete(report, records, objects)
        return
    if records:
        _count(report, objects)
    if update.status == "paused":
        leases.give_back(connection, job_id)
    elif update.status == "credential_expiry":
        without_credential(connection, job_id, update.error or update.message)
    elif update.status == "failed":
        _fail(report)


def _progress(update: ProgressUpdate) -> jobs.Progress:
    return jobs.Progress(
        update.processed_items, update.total_items, update.requests, update.retries, update.stage
    )


def _commit_segments(report: _Report) -> tuple[int, int]:
    """Name the segments in the manifest; return their records, and how many objects are more."""
    segments = report.update.segments
    if not segments:
        return 0, 0
    new = [
        manifest.ClosedSegment(one.name, one.length, one.sha256, one.records) for one in segments
    ]
    manifest.commit(report.connection, report.job_id, report.fence, new)
    records = sum(one.records for one in segments)
    return records, sum(_objects(one) for one in segments) if records else 0


def _count_withheld(report: _Report) -> None:
    """Count fields that the policy did not let pass; BadMessage for what no policy would say."""
    withheld, place = report.update.withheld, report.work.place
    if len(withheld) > MOST_FIELDS or any(
        len(field) > LONGEST_FIELD or not 0 < count < 1 << 31 for field, count in withheld.items()
    ):
        raise BadMessage("what was withheld is told by field, each with a number")
    consents.withhold(report.connection, place.area_id, place.resource, withheld)


def _count(report: _Report, objects: int) -> None:
    place = report.work.place
    is_known = place.mode is Mode.CHANGES
    ledger.count(report.connection, place.area_id, place.resource, objects, is_known)


def _objects(segment: SegmentReport) -> int:
    """Return how many more objects are there by a segment; BadMessage where it cannot be."""
    added = segment.records if segment.added is None else segment.added
    if min(added, segment.removed) < 0 or added + segment.removed > segment.records:
        raise BadMessage(
            f"{added} objects more and {segment.removed} fewer do not fit {segment.records} records"
        )
    return added - segment.removed


def _record_areas(report: _Report) -> None:
    place, schedule = report.work.place, report.delay.schedule
    for found in report.update.areas:
        planner.record_area(report.connection, place.instance_id, place.account_id, found, schedule)


def _complete(report: _Report, records: int, objects: int) -> None:
    connection, place, update = report.connection, report.work.place, report.update
    told = update.ledger or LedgerReport()
    if told.reason and told.reason not in GAP_REASONS:
        raise BadMessage(f"{told.reason[:64]!r} is no reason for a gap")
    reason = GapReason(told.reason) if told.reason else None
    if reason is None and (not update.processed_items or _is_one_object(place)):
        # What is switched off answers as if it were empty (doc/api/issues.md).
        reason = _off(connection, place)
    entry = ledger.Entry(told.expected, told.expected_by, reason, told.detail)
    close = ledger.close_changes if place.mode is Mode.CHANGES else ledger.close_row
    close(connection, place.area_id, place.resource, entry, objects)
    ledger.set_windows(connection, place.area_id, place.resource, _windows(told))
    visiting.completed(connection, report.work, records, update, report.delay.schedule)


def _windows(report: LedgerReport) -> list[ledger.Window]:
    if len(report.windows) > MOST_WINDOWS:
        raise BadMessage(f"a list of {len(report.windows)} windows is longer than {MOST_WINDOWS}")
    return [
        ledger.Window(one.since, one.until, one.expected, one.collected) for one in report.windows
    ]


def _fail(report: _Report) -> None:
    connection, job_id, update = report.connection, report.job_id, report.update
    place, delay = report.work.place, report.delay
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


def _is_one_object(place: jobs.JobPlace) -> bool:
    resource = catalog.find(place.area_kind, place.resource)
    return resource is not None and resource.single and not resource.parent


def _off(connection: Connection, place: jobs.JobPlace) -> GapReason | None:
    is_off = place.resource in ledger.switched_off(connection, place.area_id)
    return GapReason.FEATURE_OFF if is_off else None


def _end(
    connection: Connection, job_id: int, place: jobs.JobPlace, reason: GapReason, detail: str
) -> None:
    is_refused = reason in (GapReason.FORBIDDEN, GapReason.EMPTY_REPOSITORY)
    why = _off(connection, place) if is_refused else None
    entry = ledger.Entry(reason=why or reason, detail=detail)
    ledger.explain(connection, place.area_id, place.resource, entry)
    jobs.fail(connection, job_id, reason, detail)


def break_off(
    connection: Connection, job_id: int, lease: leases.Lease, why: str, schedule: Schedule
) -> None:
    """End a job of which a report can never be applied; nothing where the lease is not theirs."""
    if jobs.is_held_by(connection, job_id, lease.holder, lease.fence):
        place = jobs.place_of(connection, job_id)
        _end(connection, job_id, place, GapReason.FAILED, why)
        visiting.failed(connection, job_id, place, schedule)


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
