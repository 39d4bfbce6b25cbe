"""How many requests are under way at once, over real sockets."""

import asyncio

import pytest

from labtrawl.errors import Unavailable
from labtrawl.http import Limits, Origin, open_http
from tests.integration.http.wire import LOOPBACK, Reply, listening, ok


async def test_more_requests_than_connections_wait_their_turn() -> None:
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        async with open_http(origin, Limits(connections=2), "t/1") as http:
            answers = await asyncio.gather(*(http.get("/", {}) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert wire.connections <= 2


async def test_requests_that_fail_leave_fewer_at_once_and_answers_bring_them_back() -> None:
    replies = {"/bad": ok(status="502 Bad Gateway"), "/good": ok(), "/cut": Reply(b"", "close")}
    async with listening(replies) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        async with open_http(origin, Limits(connections=16, is_adaptive=True), "t/1") as http:
            begun = http.concurrency
            for _ in range(3):
                await http.get("/bad", {})
                with pytest.raises(Unavailable):
                    await http.get("/cut", {})
            failed = http.concurrency
            for _ in range(20):
                await asyncio.gather(*(http.get("/good", {}) for _ in range(20)))
            assert (begun, failed, http.concurrency) == (16, 1, 16)


async def test_cancelled_requests_give_their_turns_back() -> None:
    async with listening({"/hang": Reply(b"", then="hang"), "/": ok()}) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        async with open_http(origin, Limits(connections=1), "t/1") as http, asyncio.timeout(5):
            hanging = asyncio.create_task(http.get("/hang", {}))
            await wire.hanging.wait()
            waiting = [asyncio.create_task(http.get("/", {})) for _ in range(3)]
            await asyncio.sleep(0)
            for task in (waiting[0], hanging, waiting[1]):
                task.cancel()
            assert (await waiting[2]).status == 200
            assert (await http.get("/", {})).status == 200
