"""HEAD, which uptime checkers ask with: what GET answers, without a body, to the same people."""

import asyncio

import pytest
from sqlalchemy import Connection

from tests.integration.website import world
from tests.integration.website.conftest import Client, Reply
from tests.integration.website.test_who import TWINS, WHO, everybody, everything, filled, twin

ALONE = ("/livez", "/readyz", "/sign-in", "/static/{name:path}", "/operations/new")
API = ("/api/internal2/health", "/api/admin/health", "/api/openapi.json")
PAGES = [path for method, path in TWINS if method == "GET"]
PATHS = [*ALONE, *API, *PAGES, *(twin("GET", path) for path in PAGES)]
# What differs from one answer to the next.
OWN = {"date", "content-length"}


def told(reply: Reply) -> tuple[int, dict[str, str]]:
    kept = {name: value for name, value in reply.headers.items() if name not in OWN}
    return reply.status, kept


@pytest.mark.parametrize("at_once", [1, pytest.param(len(WHO), marks=pytest.mark.proof)])
async def test_head_of_a_page_is_answered_as_its_get_to_everybody(
    stranger: Client, at_once: int
) -> None:
    await stranger.write(world.one_job)
    known = await everybody(stranger)
    before = await stranger.store.read(everything)
    for number, path in enumerate(map(filled, PATHS)):
        for who in (WHO[(number * at_once + each) % len(WHO)] for each in range(at_once)):
            got, head = [await known[who].ask(each, path) for each in ("GET", "HEAD")]
            assert (path, who, told(head), head.body) == (path, who, told(got), b"")
    assert await stranger.store.read(everything) == before


@pytest.mark.parametrize("path", ["/livez", "/static/app.css", "/api/openapi.json"])
async def test_head_tells_the_length_of_what_get_sends(admin: Client, path: str) -> None:
    got, head = [await admin.ask(each, path) for each in ("GET", "HEAD")]
    assert (got.status, int(got.headers["content-length"])) == (200, len(got.body))
    assert (head.headers["content-length"], head.body) == (got.headers["content-length"], b"")


async def test_connection_goes_on_after_a_head(stranger: Client) -> None:
    reader, writer = await stranger.begin("HEAD", "/livez", {})
    async with asyncio.timeout(10):
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        second = await reader.read()
    assert [each.split(b"\r\n")[0] for each in (first, second)] == [b"HTTP/1.1 200 OK"] * 2
    assert second.endswith(b'\r\n\r\n{"alive":true}')


async def test_head_of_the_api_is_written_down_as_what_was_looked_up(stranger: Client) -> None:
    bearer = await stranger.token("read")
    asked = await stranger.by(bearer=bearer).ask("HEAD", "/api/admin/health")
    newest = "SELECT action, target, outcome FROM audit ORDER BY id DESC LIMIT 1"
    noted = await stranger.write(lambda c: tuple(c.exec_driver_sql(newest).one()))
    assert (asked.status, noted) == (
        200,
        ("GET /api/admin/health", "/api/admin/health", "200"),
    )


async def test_head_keeps_no_session_awake(admin: Client) -> None:
    def seen(connection: Connection) -> list[int]:
        return list(connection.exec_driver_sql("SELECT seen_at FROM session").scalars())

    await admin.write(lambda c: c.exec_driver_sql("UPDATE session SET seen_at = seen_at - 600000"))
    before = await admin.write(seen)
    assert (await admin.ask("HEAD", "/")).status == 200
    assert await admin.write(seen) == before
    assert (await admin.ask("GET", "/")).status == 200
    assert await admin.write(seen) != before


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET, HEAD"),
        ("/sign-in", "GET, HEAD, POST"),
        ("/logs/download", "GET"),
        ("/streams", "GET"),
        ("/sign-out", "POST"),
    ],
)
async def test_refused_method_tells_whether_head_is_answered(
    admin: Client, path: str, allowed: str
) -> None:
    refused = await admin.ask("DELETE", path, {"Origin": admin.url})
    assert (refused.status, refused.headers["allow"]) == (405, allowed)
