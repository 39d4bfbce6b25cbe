"""One function a message: what it does, in one transaction, and what it answers.

A door decodes, calls and encodes; it holds no rule. Effect and record of a message are one
transaction, and the answer is made after the commit.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.dataset.layout import SegmentPrefix, parse_segment_name
from labtrawl.dispatch import planner, reports
from labtrawl.dispatch.credentials import Credentials
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import (
    BadMessage,
    ConfigError,
    Conflict,
    DiskFull,
    LabtrawlError,
    LeaseLost,
    Missing,
    StoreError,
)
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.protocol.ids import is_message_id
from labtrawl.store import jobs, leases
from labtrawl.store.engine import Connection, Store

log = logs.get("backend.direct-communication-manager")

# How long an empty answer is kept back: a job that appears meanwhile starts at once.
HOLD_SECONDS = 2.0
MOST_JOBS = 100
# Digits of the largest number of a job that fits the database (2^63).
LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with."""

    store: Store
    credentials: Credentials
    retry: RetryPolicy
    lease_seconds: float
    clock: Clock
    jitter: Callable[[], float] = random.random


Handler = Callable[[Desk, Caller, wire.Envelope], Awaitable[Reply | None]]


def _reply(type_: str, key: str, payload: object) -> Reply:
    return Reply(type_, key, msgspec.Raw(msgspec.json.encode(payload)))


async def request_jobs(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Lease due jobs to the caller; waits a little where there are none."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RequestJobs)
    claim_id = asked.request_id or envelope.id
    if not claim_id:
        raise BadMessage("a request for jobs needs an id, or its answer could not be repeated")
    claim = _Claim(caller.name, claim_id, min(asked.limit, MOST_JOBS), asked.resource)
    claimed = await _claim(desk, claim) if claim.limit > 0 else []
    tasks = [await _task(desk, job) for job in claimed]
    return _reply("jobResponse", "jobs_available", [task for task in tasks if task is not None])


@dataclass(frozen=True, slots=True)
class _Claim:
    holder: str
    id: str
    limit: int
    resource: str | None


async def _claim(desk: Desk, wanted: _Claim) -> list[leases.ClaimedJob]:
    """Claim, or wait a little until there is something to claim."""
    end = desk.clock.monotonic() + HOLD_SECONDS
    while True:
        ticket = desk.store.changes.ticket()
        if await desk.store.read(
            lambda c: leases.has_due(c, wanted.holder, wanted.id, wanted.resource)
        ):
            claimed = await desk.store.write(
                lambda c: leases.claim(
                    c, wanted.holder, wanted.id, wanted.limit, desk.lease_seconds, wanted.resource
                )
            )
            if claimed:
                return claimed
        if not await _woken(ticket, end - desk.clock.monotonic()):
            return []


async def _woken(ticket: asyncio.Event, seconds: float) -> bool:
    """Say whether something was committed within `seconds`."""
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await ticket.wait()
    except TimeoutError:
        return False
    return True


async def _task(desk: Desk, job: leases.ClaimedJob) -> wire.Task | None:
    """Build what a crawler gets; a job without a usable token waits for one, its neighbours go on."""
    try:
        token = await desk.credentials.access_token(job.account_id)
    except ConfigError as error:
        said = str(error)
        log.error("token_unusable", account=job.account_id, error=said)
        await desk.store.write(lambda c: reports.without_credential(c, job.job_id, said))
        return None
    prefix = SegmentPrefix(
        job.instance_id, job.area_kind, job.gitlab_id, job.resource, job.job_id, job.fence
    )
    return wire.Task(
        task_id=str(job.job_id),
        command=job.resource,
        gitlab_api_url=job.instance_url,
        credentials=wire.Credentials(access_token=token.reveal()),
        resource_type=job.area_kind,
        resource_id=str(job.gitlab_id),
        full_path=job.full_path,
        data_types=[job.resource],
        custom_parameters=wire.CustomParameters(resume_state=job.cursor),
        lease=wire.Lease(epoch=job.fence, expires_at=job.lease_expires_at),
        priority=job.priority,
        attempt=job.attempt,
        account_id=str(job.account_id),
        provider_id=str(job.instance_id),
        segments=wire.Segments(prefix=prefix.text, next=job.next_segment),
        gitlab_version=job.gitlab_version,
        processed_items=job.processed_items,
    )


async def renew_leases(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Prolong what is still the caller's; the answer names what is lost."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RenewLeases)
    held = [(task_number(one.task_id), one.epoch) for one in asked.leases]
    renewed = await desk.store.write(
        lambda c: leases.renew(c, caller.name, held, desk.lease_seconds)
    )
    answers = [await _renewed(desk, one) for one in renewed]
    return _reply("jobResponse", "leases_renewed", wire.LeasesRenewed(leases=answers))


async def _renewed(desk: Desk, renewal: leases.Renewal) -> wire.RenewedLease:
    if renewal.account_id is None:
        return wire.RenewedLease(task_id=str(renewal.job_id), lost=True)
    return wire.RenewedLease(
        task_id=str(renewal.job_id),
        expires_at=renewal.expires_at,
        access_token=await _newest_token(desk, renewal.account_id),
    )


async def _newest_token(desk: Desk, account_id: int) -> str | None:
    """None where it cannot be read: the lease goes on with the token that the crawler has."""
    try:
        return (await desk.credentials.access_token(account_id)).reveal()
    except ConfigError as error:
        log.error("token_unusable", account=account_id, error=str(error))
        return None


async def progress_update(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Apply a report: once, in order, under its lease. State is shown, events are committed."""
    update = msgspec.json.decode(envelope.payload, type=wire.ProgressUpdate)
    job_id = task_number(update.task_id)
    _check_names(update, job_id)
    origin = _origin(caller, envelope, update.epoch)
    if not reports.is_event(update):
        await desk.store.write(lambda c: reports.show(c, job_id, origin, update))
        return _reply("message", "ACK", wire.Ack(ids=[origin.message_id]))
    delay = reports.Delay(desk.retry, desk.jitter())
    await desk.store.write(lambda c: reports.apply(c, job_id, origin, update, delay))
    return _acked(update.task_id, origin.message_id, {})


def _origin(caller: Caller, envelope: wire.Envelope, epoch: int) -> jobs.Origin:
    """What tells a message from a later one: only ids that grow can be compared."""
    if envelope.id is None or not is_message_id(envelope.id):
        raise BadMessage(f"{envelope.id!r} is no id: a report is applied once by its ULID")
    return jobs.Origin(caller.name, envelope.id, epoch)


def _check_names(update: wire.ProgressUpdate, job_id: int) -> None:
    """A lease commits files of its own making only."""
    for segment in update.segments:
        place = parse_segment_name(segment.name)
        if place is None or (place.job_id, place.fence) != (job_id, update.epoch):
            raise BadMessage(f"{segment.name!r} is no segment of job {job_id}, {update.epoch}")


async def jobs_discovered(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Store proposed jobs that nobody had before; the answer counts them."""
    found = msgspec.json.decode(envelope.payload, type=wire.JobsDiscovered)
    job_id = task_number(found.task_id)
    origin = _origin(caller, envelope, found.epoch)

    def store(connection: Connection) -> int:
        if jobs.was_applied(connection, job_id, origin):
            return 0
        instance_id = jobs.place_of(connection, job_id).instance_id
        new = sum(planner.queue_job(connection, instance_id, job_id, one) for one in found.jobs)
        jobs.mark_applied(connection, job_id, origin)
        return new

    new = await desk.store.write(store)
    return _acked(found.task_id, origin.message_id, {"new": new})


def _acked(task_id: str, message_id: str, result: dict[str, int]) -> Reply:
    results = {message_id: dict(result)} if result else {}
    return _reply("message", "ACK", wire.Ack(up_to={task_id: message_id}, results=results))


def task_number(task_id: str) -> int:
    """Return the job's number; BadMessage for what is none."""
    if not (task_id.isascii() and task_id.isdecimal() and len(task_id) <= LONGEST_NUMBER):
        raise BadMessage(f"{task_id!r} is not the id of a job")
    return int(task_id)


HANDLERS: dict[str, Handler] = {
    "request_jobs": request_jobs,
    "renew_leases": renew_leases,
    "PROGRESS_UPDATE": progress_update,
    "JOBS_DISCOVERED": jobs_discovered,
}
# Messages about one job take effect in the order sent.
ORDERED = frozenset({"PROGRESS_UPDATE", "JOBS_DISCOVERED"})


async def handle(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply | None:
    """Do what a message asks for, whatever door it came through; every failure is a LabtrawlError.

    An event that can never be applied ends its job: what its crawler sends behind it would move
    the cursor past a hole. What `can_come_again` has changed nothing and may be sent again.
    """
    try:
        return await HANDLERS[envelope.key](desk, caller, envelope)
    except LabtrawlError as error:
        failure = error
    except msgspec.MsgspecError as error:
        failure = BadMessage(f"the payload of {envelope.key} has another shape: {error}")
    except Exception as error:
        log.exception("handler_broke", key=envelope.key)
        failure = BadMessage(f"{envelope.key} could not be applied: {type(error).__name__}")
    if envelope.key in ORDERED and not can_come_again(failure):
        await _break_off(desk, caller, envelope, str(failure))
    raise failure


def can_come_again(error: LabtrawlError) -> bool:
    """Say whether it was the database's state of the moment that refused a message."""
    final = isinstance(error, LeaseLost | Missing | Conflict)
    return isinstance(error, DiskFull) or (isinstance(error, StoreError) and not final)


async def _break_off(desk: Desk, caller: Caller, envelope: wire.Envelope, why: str) -> None:
    try:
        about = msgspec.json.decode(envelope.payload, type=wire.Holding)
        job_id = task_number(about.task_id)
    except (msgspec.MsgspecError, BadMessage):
        return  # about no job: there is none to be ended
    await desk.store.write(lambda c: reports.break_off(c, job_id, caller.name, about.epoch, why))
