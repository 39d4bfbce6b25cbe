"""What leases and jobs do while a GitLab takes its time to renew a token."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec

from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.domain.credential import Secret
from labtrawl.errors import Unauthorized
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller
from labtrawl.store import leases
from tests.integration.protocol.wire import RETRY, website


@dataclass
class Tokens:
    """Gives tokens as the test wants; counts how often it was asked."""

    give: Callable[[], Awaitable[Secret]]
    asked: int = 0

    async def access_token(self, _account_id: int) -> Secret:
        self.asked += 1
        return await self.give()


def _desk(manager: DirectCommunicationManager, tokens: Tokens) -> Desk:
    return replace(manager.board.desk, credentials=cast("Credentials", tokens))


async def _ask(desk: Desk, key: str, payload: dict[str, Any]) -> Any:
    raw = msgspec.Raw(msgspec.json.encode(payload))
    envelope = wire.Envelope(origin="crawler-1", type="jobRequest", key=key, payload=raw, id="r")
    reply = await handle(desk, Caller("crawler-1"), envelope)
    assert reply is not None
    return msgspec.json.decode(reply.payload)


async def test_renewal_is_answered_though_no_newer_token_comes(tmp_path: Path) -> None:
    """Without an answer the crawler would stop jobs whose token is still good."""

    async def never() -> Secret:
        await asyncio.Event().wait()
        raise AssertionError

    async with website(tmp_path) as site, site.serving() as manager:
        await site.plant(3)
        held = await site.claim("crawler-1", 3)
        named = [{"taskId": str(one.job_id), "epoch": one.fence} for one in held]
        tokens = Tokens(never)
        async with asyncio.timeout(5):
            renewed = await _ask(_desk(manager, tokens), "renew_leases", {"leases": named})
        assert [sorted(one) for one in renewed["leases"]] == [["expiresAt", "taskId", "wanted"]] * 3
        assert tokens.asked == 1


async def test_jobs_of_one_account_ask_for_its_token_once(tmp_path: Path) -> None:
    """One after the other would wait longer than the first lease lasts."""

    async def give() -> Secret:
        return Secret("t")

    async with website(tmp_path) as site, site.serving() as manager:
        await site.plant(3)
        tokens = Tokens(give)
        tasks = await _ask(_desk(manager, tokens), "request_jobs", {"limit": 3})
        assert [task["credentials"]["accessToken"] for task in tasks] == ["t"] * 3
        assert tokens.asked == 1


async def test_job_that_went_to_another_while_its_token_was_asked_for_stays_there(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        (job_id,) = await site.plant(1)

        async def refuse() -> Secret:
            await site.store.write(lambda c: leases.rescue_holder(c, "crawler-1", RETRY))
            await site.claim("crawler-2", 1)
            raise Unauthorized("no token")

        assert await _ask(_desk(manager, Tokens(refuse)), "request_jobs", {"limit": 1}) == []
        lease = await site.store.read(lambda c: leases.lease_of(c, job_id))
        assert lease == leases.Lease("crawler-2", 2)
