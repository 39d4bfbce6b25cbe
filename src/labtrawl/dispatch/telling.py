"""What crawlers tell: how far a job is, what it committed, which jobs it discovered."""

from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from labtrawl.dataset.layout import parse_segment_name
from labtrawl.dispatch import planner, reports
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handout import LONGEST_ID, task_number
from labtrawl.domain.failure import GapReason
from labtrawl.domain.visit import Schedule
from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.protocol.ids import is_message_id
from labtrawl.store import accounts, jobs, leases, messages
from labtrawl.store.engine import Connection

_progress = msgspec.json.Decoder(wire.ProgressUpdate)


async def progress_update(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Apply a report: once, in order, under its lease. State is shown, events are committed."""
    update = _progress.decode(envelope.payload)
    if not update.epoch:
        return await _told_without_lease(desk, caller, envelope.id, update)
    job_id = task_number(update.task_id)
    _check_names(update, job_id)
    origin = _origin(caller, envelope, update.epoch)
    if not reports.is_event(update):
        if not _keep(desk, job_id, origin, update):
            await _count(desk, lambda c: reports.show(c, job_id, origin, update))
            desk.shown.confirm(job_id, origin, desk.clock.monotonic())
        return Reply("message", "ACK", wire.Ack(ids=[origin.message_id]))
    delay = reports.Delay(desk.retry, desk.jitter(), desk.schedule)
    if await _count(desk, lambda c: reports.apply(c, job_id, origin, update, delay)):
        _count_records(desk, update)
    desk.shown.settled(job_id, origin)
    return _acked(update.task_id, origin.message_id, {})


def take_state(desk: Desk, caller: Caller, envelope: wire.Envelope) -> str | None:
    """Take a report of state that needs no look into the database; return its id.

    None for all others, and for what has to be refused: they go through `progress_update`.
    """
    try:
        update = _progress.decode(envelope.payload)
        if not update.epoch or reports.is_event(update):
            return None
        origin = _origin(caller, envelope, update.epoch)
        kept = _keep(desk, task_number(update.task_id), origin, update)
    except (msgspec.MsgspecError, BadMessage):
        return None
    return origin.message_id if kept else None


def _keep(desk: Desk, job_id: int, origin: jobs.Origin, update: wire.ProgressUpdate) -> bool:
    return desk.shown.take(job_id, origin, update, desk.clock.monotonic())


async def _count(desk: Desk, work: reports.Once) -> bool:
    is_new = await desk.store.write(work)
    if not is_new:
        desk.statistics.duplicates += 1
    return is_new


def _count_records(desk: Desk, update: wire.ProgressUpdate) -> None:
    for segment in update.segments:
        place = parse_segment_name(segment.name)
        if place is not None:
            desk.statistics.records[place.resource] += segment.records


def _origin(caller: Caller, envelope: wire.Envelope, epoch: int) -> jobs.Origin:
    """What tells a message from a later one: only ids that grow can be compared."""
    if envelope.id is None or not is_message_id(envelope.id):
        said = (envelope.id or "")[:64]
        raise BadMessage(f"{said!r} is no id: a report is applied once by its ULID")
    return jobs.Origin(caller.name, envelope.id, epoch)


def _check_names(update: wire.ProgressUpdate, job_id: int) -> None:
    """A lease commits files of its own making only."""
    for segment in update.segments:
        place = parse_segment_name(segment.name)
        if place is None or (place.job_id, place.fence) != (job_id, update.epoch):
            said = segment.name[:200]
            raise BadMessage(f"{said!r} is no segment of job {job_id}, {update.epoch}")


@dataclass(frozen=True, slots=True)
class _Untracked:
    """A report without an epoch, known by what `_identity` says."""

    caller: Caller
    known_as: str
    job_id: int
    update: wire.ProgressUpdate
    delay: reports.Delay
    lease_seconds: float

    def apply(self, connection: Connection) -> bool:
        """Do what it says, once; LeaseLost where another has the job in hand.

        A repeat stays one though its job has ended meanwhile.
        """
        if not messages.record_once(connection, self.caller.name, self.known_as):
            return False
        lease = leases.lease_of(connection, self.job_id)
        if lease.holder != self.caller.name and not self.caller.is_admin:
            raise LeaseLost(f"job {self.job_id} is not in the hands of {self.caller.name}")
        if self.caller.dialect == 1:
            leases.prolong(connection, lease.holder, self.lease_seconds)
        reports.effect(connection, self.job_id, lease.fence, self.update, self.delay)
        return True


def _identity(message_id: str | None, update: wire.ProgressUpdate) -> str:
    """Return what tells a report without an epoch from others (protocol, guarantee 1)."""
    known = message_id or f"PROGRESS_{update.task_id}_{update.timestamp}"
    if len(known) > LONGEST_ID:
        raise BadMessage(f"an id or timestamp is longer than {LONGEST_ID} characters")
    return known


async def _told_without_lease(
    desk: Desk, caller: Caller, message_id: str | None, update: wire.ProgressUpdate
) -> Reply:
    """Take a report that names no epoch: from who has the job in hand, or from an admin."""
    if update.segments or update.cursor is not None:
        raise BadMessage("what commits segments or a cursor names the epoch of its lease")
    told = _Untracked(
        caller,
        _identity(message_id, update),
        task_number(update.task_id),
        _kept_elsewhere(update) if caller.dialect == 1 else update,
        reports.Delay(desk.retry, desk.jitter(), desk.schedule),
        desk.legacy_lease_seconds,
    )
    is_new = await _count(desk, told.apply)
    desk.budget.prolong_charge(update.task_id, desk.clock.now_ms())
    return _taken(message_id, update.task_id, {"new": is_new})


def _taken(message_id: str | None, task_id: str, result: dict[str, int]) -> Reply:
    """Acknowledge what named no epoch: by its id, where it has one."""
    ids = [message_id] if message_id else []
    return Reply("message", "ACK", wire.Ack(ids=ids, results={task_id: dict(result)}))


def _kept_elsewhere(update: wire.ProgressUpdate) -> wire.ProgressUpdate:
    """A peer of dialect 1 writes files of its own: the ledger says so, and that it has none here."""
    if update.status != "completed":
        return update
    report = wire.LedgerReport(
        expected=update.total_items if update.total_items is not None else update.processed_items,
        expected_by="a crawler of dialect 1",
        reason=GapReason.ELSEWHERE,
        detail="it is in that crawler's own files",
    )
    return replace(update, ledger=report)


async def jobs_discovered(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Store proposed jobs that nobody had before; the answer counts them."""
    found = msgspec.json.decode(envelope.payload, type=wire.JobsDiscovered)
    job_id = task_number(found.task_id)
    if not found.epoch:
        return await _discovered_without_lease(desk, caller, envelope.id, found)
    origin = _origin(caller, envelope, found.epoch)

    def store(connection: Connection) -> int | None:
        if jobs.was_applied(connection, job_id, origin):
            return None
        new = _plan(connection, job_id, found, desk.schedule)
        jobs.mark_applied(connection, job_id, origin)
        return new

    new = await desk.store.write(store)
    if new is None:
        desk.statistics.duplicates += 1
    return _acked(found.task_id, origin.message_id, {"new": new or 0})


def _plan(
    connection: Connection, job_id: int, found: wire.JobsDiscovered, schedule: Schedule
) -> int:
    place = jobs.place_of(connection, job_id)
    new = planner.queue_jobs(connection, place.instance_id, job_id, found.jobs, schedule)
    if new and accounts.is_refused(connection, place.account_id):
        jobs.hold_unseen(connection)  # since this discovery began; nobody else may see the areas
    return new


async def _discovered_without_lease(
    desk: Desk, caller: Caller, message_id: str | None, found: wire.JobsDiscovered
) -> Reply:
    """Queueing is the same however often it is asked for: it needs no record of its own."""
    job_id = task_number(found.task_id)

    def store(connection: Connection) -> int:
        lease = leases.lease_of(connection, job_id)
        if lease.holder != caller.name and not caller.is_admin:
            raise LeaseLost(f"job {job_id} is not in the hands of {caller.name}")
        return _plan(connection, job_id, found, desk.schedule)

    new = await desk.store.write(store)
    return _taken(message_id, found.task_id, {"new": new})


def _acked(task_id: str, message_id: str, result: dict[str, int]) -> Reply:
    results = {message_id: dict(result)} if result else {}
    return Reply("message", "ACK", wire.Ack(up_to={task_id: message_id}, results=results))
