"""What a job does when GitLab refuses its token: it asks the website for the newest, once a request.

Tokens are renewed by the website only; a pair that was renewed since the task came is no failure.
"""

import hashlib
import secrets

import msgspec

from labtrawl import logs
from labtrawl.crawler.engine import Running
from labtrawl.crawler.purse import Ask
from labtrawl.domain.credential import Secret
from labtrawl.errors import LeaseLost, ProtocolError, StoreError
from labtrawl.protocol.messages import TokenRefreshRequest, TokenRefreshResponse

log = logs.get("crawler")

# A renewal takes as long as GitLab takes for a token; the website gives up after 30 s.
ASK_SECONDS = 40.0


async def ask_newer(ask: Ask, running: Running, refused: Secret) -> bool:
    """Get another token for a job than the one that GitLab refused; say whether there is one.

    Raises LeaseLost where the job is not ours any more.
    """
    if running.token != refused:
        return True
    task = running.task
    wanted = TokenRefreshRequest(
        request_id=secrets.token_hex(16),
        provider_id=task.provider_id,
        account_id=task.account_id,
        task_id=task.task_id,
        epoch=task.lease.epoch,
        refused_sha256=hashlib.sha256(refused.reveal().encode()).hexdigest(),
    )
    try:
        envelope = await ask("message", "TOKEN_REFRESH_REQUEST", wanted, ASK_SECONDS)
        answer = msgspec.json.decode(envelope.payload, type=TokenRefreshResponse)
    except LeaseLost:
        raise
    except (TimeoutError, StoreError, ProtocolError, msgspec.MsgspecError) as error:
        log.warning("no_newer_token", job=task.task_id, error=str(error) or type(error).__name__)
        return False
    if not answer.success or not answer.access_token:
        log.warning("no_newer_token", job=task.task_id, error=answer.error)
        return False
    running.token = Secret(answer.access_token)
    logs.conceal(running.token)
    return True
