"""`TOKEN_REFRESH_REQUEST`: the access token that is valid now, for whoever may have it."""

from datetime import UTC, datetime

import msgspec

from labtrawl import logs
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handout import task_number
from labtrawl.errors import BadMessage, LabtrawlError, LeaseLost, Unauthorized
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller, Reply, Tier
from labtrawl.store import accounts, jobs, leases
from labtrawl.store.engine import Connection

log = logs.get("backend.direct-communication-manager")


async def token_refresh_request(desk: Desk, caller: Caller, envelope: wire.Envelope) -> Reply:
    """Answer with a token for one account; a failure is an answer too, in words.

    A caller with an API token alone gets that of a job that it has in hand, and no other.
    """
    asked = msgspec.json.decode(envelope.payload, type=wire.TokenRefreshRequest)
    try:
        answer = await _answer(desk, caller, asked)
    except LabtrawlError as error:
        if caller.dialect > 1:
            raise
        answer = _refusal(asked, error)  # the only words for it that dialect 1 has
    return Reply("message", "TOKEN_REFRESH_RESPONSE", answer)


async def _answer(
    desk: Desk, caller: Caller, asked: wire.TokenRefreshRequest
) -> wire.TokenRefreshResponse:
    account_id = await desk.store.read(lambda c: _account(c, caller, asked))
    try:
        if not await desk.store.read(lambda c: accounts.may_be_used(c, account_id)):
            raise Unauthorized(f"account {account_id} may not be used: switched off, or not agreed")
        token = await desk.credentials.refresh(account_id, asked.refused_sha256)
    except LabtrawlError as error:
        log.warning("token_not_refreshed", account=account_id, reason=error.reason)
        return _refusal(asked, error)
    return wire.TokenRefreshResponse(
        request_id=asked.request_id,
        success=True,
        access_token=token.secret.reveal(),
        expires_at=_instant(token.expires_at),
        provider_id=asked.provider_id or None,
    )


def _refusal(asked: wire.TokenRefreshRequest, error: LabtrawlError) -> wire.TokenRefreshResponse:
    return wire.TokenRefreshResponse(request_id=asked.request_id, success=False, error=str(error))


def _account(connection: Connection, caller: Caller, asked: wire.TokenRefreshRequest) -> int:
    """Return whose token is asked for; raises where the caller may not have it."""
    if asked.task_id:
        job_id = task_number(asked.task_id)
        lease = leases.lease_of(connection, job_id)
        if not caller.is_admin and (lease.holder, lease.fence) != (caller.name, asked.epoch):
            raise LeaseLost(f"job {job_id} is not under lease {asked.epoch} of {caller.name}")
        return jobs.place_of(connection, job_id).account_id
    if caller.tier is Tier.TOKEN:
        raise BadMessage("with an API token, name the job (taskId, epoch) that needs a token")
    return task_number(asked.account_id)


def _instant(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
