"""An API token of the scope `crawler` at the crawlers' socket: a proof like that of a child."""

from pathlib import Path

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.protocol import proof
from labtrawl.store import tokens
from labtrawl.store.tokens import TokenScope
from tests.integration.doors.adapters import Http
from tests.integration.doors.whole import Whole, whole
from tests.integration.protocol.wire import raw_peer


async def _token(site: Whole, scope: TokenScope) -> Secret:
    site.manager.board.auth.token_secrets = lambda: site.store.read(tokens.crawler_secrets)
    created = await site.store.write(lambda c: tokens.create(c, "lab", frozenset({scope})))
    return created.text


@pytest.mark.seed("S2.45", "S2.78")
@pytest.mark.parametrize(
    ("scope", "name", "outcome"),
    [
        (TokenScope.CRAWLER, "elsewhere-1", "registered"),
        (TokenScope.CRAWLER, "crawler-1", "closed"),
        (TokenScope.READ, "elsewhere-1", "rejected"),
    ],
)
async def test_token_opens_the_socket_by_its_scope_and_for_names_of_its_own(
    tmp_path: Path, scope: TokenScope, name: str, outcome: str
) -> None:
    async with whole(tmp_path) as site:
        text = await _token(site, scope)
        async with raw_peer(site.api) as peer:
            assert await peer.register(name, proof.secret_of(text.reveal())) == outcome


async def test_name_that_one_token_took_is_closed_to_another_at_every_door(tmp_path: Path) -> None:
    async with whole(tmp_path) as site:
        first, second = [await _token(site, TokenScope.CRAWLER) for _ in range(2)]
        async with raw_peer(site.api) as peer:
            secret = proof.secret_of(first.reveal())
            assert await peer.register("elsewhere-1", secret) == "registered"
        async with raw_peer(site.api) as peer:
            secret = proof.secret_of(second.reveal())
            assert await peer.register("elsewhere-1", secret) == "closed"
        door = Http(site.url, second.reveal(), name="elsewhere-1")
        body = {"id": "elsewhere-1", "type": "crawler", "protocol": 2, "nonce": "n"}
        status, told = await door.ask("POST", "/api/internal2/connect", body)
        assert (status, told["error"]["code"]) == (409, "conflict")


async def test_report_without_an_id_is_refused_and_costs_its_job_nothing(tmp_path: Path) -> None:
    async with whole(tmp_path) as site:
        site.announce()
        await site.plant(1)
        door = Http(site.url, "token-of-the-child")
        await door.connect()
        _, (task,) = await door.say("request_jobs", {"limit": 1, "requestId": "a"}, "")
        told = {"taskId": task["taskId"], "epoch": 1, "status": "completed", "timestamp": 1}
        assert await door.say("PROGRESS_UPDATE", told, "") == ("ERROR", "bad_message")
        path = f"/api/internal2/tasks/{task['taskId']}"
        status, _ = await door.ask("DELETE", path, {"epoch": 1})
        states = await site.store.read(
            lambda c: c.exec_driver_sql("SELECT state FROM job").scalars().all()
        )
        assert (status, states) == (422, ["running"])
        status, _ = await door.ask("DELETE", path, {"epoch": 1}, "01J00000000000000000000009")
        assert status == 200
