"""One function a message: what it does, in one transaction, and what it answers.

A door decodes, calls and encodes; it holds no rule. Effect and record of a message are one
transaction, and the answer is made after the commit.
"""

from collections.abc import Awaitable, Callable

import msgspec

from labtrawl import logs
from labtrawl.dispatch import reports
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.grants import request_budget
from labtrawl.dispatch.handout import renew_leases, request_jobs, task_number
from labtrawl.dispatch.manifests import request_manifest
from labtrawl.dispatch.refreshing import token_refresh_request
from labtrawl.dispatch.statistics import count
from labtrawl.dispatch.telling import jobs_discovered, progress_update
from labtrawl.errors import (
    BadMessage,
    Conflict,
    DiskFull,
    LabtrawlError,
    LeaseLost,
    Missing,
    StoreError,
)
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.store import leases

log = logs.get("backend.direct-communication-manager")

Handler = Callable[[Desk, Caller, wire.Envelope], Awaitable[Reply | None]]

HANDLERS: dict[str, Handler] = {
    "request_jobs": request_jobs,
    "renew_leases": renew_leases,
    "request_budget": request_budget,
    "request_manifest": request_manifest,
    "PROGRESS_UPDATE": progress_update,
    "JOBS_DISCOVERED": jobs_discovered,
    "TOKEN_REFRESH_REQUEST": token_refresh_request,
}
# Messages about one job take effect in the order sent.
ORDERED = frozenset({"PROGRESS_UPDATE", "JOBS_DISCOVERED"})


async def handle(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply | None:
    """Do what a message asks for, whatever door it came through; every failure is a LabtrawlError.

    An event that can never be applied ends its job: what its crawler sends behind it would move
    the cursor past a hole. What `can_come_again` has changed nothing and may be sent again.
    """
    try:
        return await _handler(envelope.key)(desk, caller, envelope)
    except LabtrawlError as error:
        failure = error
    except msgspec.MsgspecError as error:
        failure = BadMessage(f"the payload of {envelope.key} has another shape: {error}")
    except Exception as error:
        log.exception("handler_broke", key=envelope.key)
        failure = BadMessage(f"{envelope.key} could not be applied: {type(error).__name__}")
    desk.statistics.refused[failure.reason] += 1
    if envelope.key in ORDERED and not can_come_again(failure):
        await _break_off(desk, caller, envelope, str(failure))
    raise failure


async def exchange(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply | None:
    """Do as `handle` for a door that counts nothing itself."""
    count(desk.statistics.received, envelope.key)
    reply = await handle(desk, caller, envelope)
    if reply is not None:
        count(desk.statistics.sent, reply.key)
    return reply


def _handler(key: str) -> Handler:
    if key not in HANDLERS:
        raise BadMessage(f"{key[:64]!r} is no message that a crawler can send")
    return HANDLERS[key]


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
    lease = leases.Lease(caller.name, about.epoch)
    await desk.store.write(lambda c: reports.break_off(c, job_id, lease, why, desk.schedule))
