"""The sandbox's own HTTP/1.1: several requests at once, waits, odd callers, idle connections."""

import asyncio
import re
import time
from urllib.parse import urlsplit

import pytest

from labtrawl.sandbox import Fault, Options, World, running


async def raw(url: str, text: bytes) -> bytes:
    """All that a server says on one connection until it closes it."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    writer.write(text)
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said


def get(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    head = [f"{method} {path} HTTP/{version}", "Host: sandbox", *lines, "", ""]
    return "\r\n".join(head).encode()


async def test_requests_sent_at_once_are_answered_in_their_order(world: World) -> None:
    options = Options(faults=(Fault(path="metadata", kind="delay", retry_after_seconds=0.05),))
    async with running(world, options) as server:
        said = await raw(
            server.url,
            get("/api/v4/metadata")
            + get("/api/v4/none")
            + get("/-/sandbox/health", "Connection: close"),
        )
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"401", b"404", b"200"]
    assert said.endswith(b"\r\nconnection: close\r\n\r\nok")


async def test_request_in_pieces_is_one_request(world: World) -> None:
    token = world.accounts[0].token
    text = get("/api/v4/version", f"Private-Token: {token}", "Connection: close")
    async with running(world) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for index in range(0, len(text), 7):
            writer.write(text[index : index + 7])
            await writer.drain()
            await asyncio.sleep(0)
        said = await reader.read()
        writer.close()
    assert said.startswith(b"HTTP/1.1 200 OK\r\ndate: ")


async def test_head_has_the_headers_of_get_and_no_body(world: World) -> None:
    token = f"Private-Token: {world.accounts[0].token}"
    async with running(world) as server:
        path = "/api/v4/projects?per_page=3"
        whole = await raw(server.url, get(path, token, "Connection: close"))
        head = await raw(server.url, get(path, token, "Connection: close", method="HEAD"))
    headers, _, body = whole.partition(b"\r\n\r\n")
    kept = [
        line for line in headers.split(b"\r\n") if not line.startswith((b"x-request-id", b"date"))
    ]
    assert [line for line in kept if line not in head] == []
    assert (bool(body), head.partition(b"\r\n\r\n")[2]) == (True, b"")


@pytest.mark.parametrize("text", [b"nonsense\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_what_is_no_http_gets_400_and_the_end(world: World, text: bytes) -> None:
    async with running(world) as server:
        said = await raw(server.url, text)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_caller_of_http_1_0_and_a_whole_address_are_understood(world: World) -> None:
    async with running(world) as server:
        said = await raw(server.url, get(f"{server.url}/-/sandbox/health", version="1.0"))
    assert (said[:15], said[-2:]) == (b"HTTP/1.1 200 OK", b"ok")


async def test_caller_who_asks_first_may_send_a_body(world: World) -> None:
    head = get(
        "/-/sandbox/faults", "Content-Length: 2", "Expect: 100-continue", "Connection: close",
        method="POST",
    )  # fmt: skip
    async with running(world) as server:
        said = await raw(server.url, head + b"[]")
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_idle_connection_is_closed(world: World) -> None:
    async with running(world, Options(keep_alive_seconds=0)) as server, asyncio.timeout(5):
        assert await raw(server.url, b"") == b""


async def test_latency_is_each_answers_own(world: World) -> None:
    """A hundred answers that wait together take little longer than one."""
    text = get("/api/v4/version", "Connection: close")
    async with running(world, Options(latency_ms=100)) as server:
        before = time.monotonic()
        said = await asyncio.gather(*(raw(server.url, text) for _ in range(100)))
        took_seconds = time.monotonic() - before
    assert [answer[:12] for answer in said] == [b"HTTP/1.1 401"] * 100
    assert 0.1 <= took_seconds < 2


async def test_slow_reader_gets_all_of_many_large_answers(world: World) -> None:
    token = f"Private-Token: {world.accounts[0].token}"
    path = "/api/v4/projects?membership=true&per_page=100"
    async with running(world) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2048)
        writer.write(get(path, token) * 99 + get(path, token, "Connection: close"))
        said = await reader.read()
        writer.close()
    assert said.count(b"HTTP/1.1 200 OK") == 100
