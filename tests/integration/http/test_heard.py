"""Whoever keeps the statistics hears of each request that came to its end."""

from labtrawl.errors import Unavailable
from labtrawl.http import Limits, Origin, open_http
from tests.integration.http.wire import LOOPBACK, Reply, listening, ok


async def test_each_request_is_heard_with_its_status_length_and_time() -> None:
    heard: list[tuple[str, int, int, float]] = []
    replies = {"/api/v4/groups?page=1": ok(b"[1, 2]"), "/api/v4/cut": Reply(b"", then="reset")}
    async with listening(replies) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        told = open_http(origin, Limits(), "test", heard=lambda *each: heard.append(each))
        async with told as http:
            await http.get("/api/v4/groups?page=1", {})
            try:
                await http.get("/api/v4/cut", {})
            except Unavailable:
                heard.append(("failed", 0, 0, 0.0))
    assert [each[:3] for each in heard] == [
        ("/api/v4/groups", 200, 6),
        ("/api/v4/cut", 0, 0),
        ("failed", 0, 0),
    ]
    assert all(0 <= each[3] < 30 for each in heard)
