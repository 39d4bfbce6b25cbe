"""One function a message: what it does, in one transaction, and what it answers.

A door decodes, calls and encodes; it holds no rule. Effect and record of a message are one
transaction, and the answer is made after the commit.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from labtrawl.clock import Clock
from labtrawl.dataset.layout import SegmentPrefix, parse_segment_name
from labtrawl.dispatch import planner, reports
from labtrawl.dispatch.credentials import Credentials
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import BadMessage
from labtrawl.protocol import messages as wire
from labtrawl.store import jobs, leases
from labtrawl.store.engine import Connection, Store

# How long an empty answer is kept back: a job that appears meanwhile starts at once.
HOLD_SECONDS = 2.0
MOST_JOBS = 100


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with."""

    store: Store
    credentials: Credentials
    retry: RetryPolicy
    lease_seconds: float
    clock: Clock
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a message, as its door made sure."""

    name: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    type: str
    key: str
    payload: msgspec.Raw


Handler = Callable[[Desk, Caller, wire.Envelope], Awaitable[Reply | None]]


def _reply(type_: str, key: str, payload: object) -> Reply:
    return Reply(type_, key, msgspec.Raw(msgspec.json.encode(payload)))


async def request_jobs(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Lease due jobs to the caller; waits a little where there are none."""
    asked = msgspec.json.decode(envelope.payload, type=wire.RequestJobs)
    claim_id = asked.request_id or envelope.id or ""
    limit = max(0, min(asked.limit, MOST_JOBS))
    end = desk.clock.monotonic() + HOLD_SECONDS
    claimed: list[leases.ClaimedJob] = []
    while not claimed:
        ticket = desk.store.changes.ticket()
        if await desk.store.read(
            lambda c: leases.has_due(c, caller.name, claim_id, asked.resource)
        ):
            claimed = await desk.store.write(
                lambda c: leases.claim(
                    c, caller.name, claim_id, limit, desk.lease_seconds, asked.resource
                )
            )
        if not await _woken(ticket, 0.0 if claimed else end - desk.clock.monotonic()):
            break
    tasks = [await _task(desk, job) for job in claimed]
    return _reply("jobResponse", "jobs_available", tasks)


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


async def _task(desk: Desk, job: leases.ClaimedJob) -> wire.Task:
    token = await desk.credentials.access_token(job.account_id)
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
    token = await desk.credentials.access_token(renewal.account_id)
    return wire.RenewedLease(
        task_id=str(renewal.job_id), expires_at=renewal.expires_at, access_token=token.reveal()
    )


async def progress_update(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Apply a report: once, in order, under its lease. State is shown, events are committed."""
    update = msgspec.json.decode(envelope.payload, type=wire.ProgressUpdate)
    job_id = task_number(update.task_id)
    _check_names(update, job_id)
    origin = jobs.Origin(caller.name, envelope.id or "", update.epoch)
    if not reports.is_event(update):
        await desk.store.write(lambda c: reports.show(c, job_id, origin, update))
        return _reply("message", "ACK", wire.Ack(ids=[origin.message_id]))
    delay = reports.Delay(desk.retry, desk.jitter())
    await desk.store.write(lambda c: reports.apply(c, job_id, origin, update, delay))
    return _acked(update.task_id, origin.message_id, {})


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
    origin = jobs.Origin(caller.name, envelope.id or "", found.epoch)

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
    if not task_id.isdecimal():
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
