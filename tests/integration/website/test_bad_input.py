"""Whatever is sent to whatever address: a plain refusal or a plain answer, never a fault of ours.

Each route of the table gets hostile paths, queries, cookies, headers, forms and JSON. The answer is
below 500, says nothing of the code, and has one shape: JSON for programs, a page for people.
"""

import asyncio
import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from labtrawl.website.access import AUDIENCE, WEBSOCKET
from tests.integration.website import world
from tests.integration.website.conftest import Client, Reply

TEXTS = (
    "",
    " ",
    "\x00",
    "'",
    '"><script>alert(1)</script>',
    "{{7*7}}${7*7}",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\r\nSet-Cookie: a=b",
    "-1",
    "0",
    "1e309",
    "9223372036854775808",
    "1" * 400,
    "NaN",
    "true",
    "null",
    "%",
    "%ff%fe",
    "\N{FULLWIDTH DIGIT ONE}",
    "\ud83d\ude00 \N{COMBINING ACUTE ACCENT}".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x" * 10_000,
    "SELECT 1; DROP TABLE job",
    "a:b",
    "1:x",
    "2026-13-45T99:99:99Z",
)
NAMES = (
    *("after", "before", "state", "resource", "area", "kind", "path", "token", "since", "ids"),
    *("view", "watch", "job", "text", "level", "program", "place", "span", "first", "sort"),
    *("code", "q", "told", "size", "action", "by", "outcome", "from", "to", "until", "error"),
)
BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"1e400",
    b"NaN",
    b'{"a":' * 200 + b"1" + b"}" * 200,
    b"[" * 100_000,
    b'{"action":"status","action":"pause"}',
    b'{"id":-1,"limit":1e99,"area":null,"resource":{"$ne":1}}',
    b'{"id":"\xff\xfe"}',
    b'{"ids":[' + b"1," * 5000 + b"1]}",
    b'{"areaId":99999999999999999999,"command":"issues"}',
    b'{"because":"' + b"x" * 12_000 + b'"}',
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
    b"a=1&a=2&%00=%ff&ids=x&state=asleep&because=&action=explode",
    b"&" * 16_000,
    b"x" * 20_000,
)
KINDS = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-7",
    "",
    "\xff",
)
HEADERS = (
    {"Range": "bytes=" + ",".join(f"{n}-{n}" for n in range(500))},
    {"Cookie": "=;;;a=\xff; labtrawl=" + "x" * 4000},
    {"Accept": "x" * 5000},
    {"Accept": "application/json"},
    {"Last-Event-ID": "9" * 18},
    {"Last-Event-ID": "\xb2"},
    {"If-None-Match": '"' * 300},
    {"Idempotency-Key": "\xe4" * 300},
    {"X-Labtrawl-Client": "\t'--"},
    {"Authorization": "Bearer \xff"},
    {"Host": "evil.example"},
    {"Accept-Encoding": "gzip;q=x, *;q=-1"},
)
STREAMS = re.compile(r"/live$|^/streams$|/download|/archive")


@dataclass(frozen=True)
class Try:
    """One request: `who` asks, a letter of `Everybody`."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


def filled(rng: random.Random, path: str) -> str:
    """A path with something in each of its places, half the time something that could be meant."""
    return re.sub(
        r"\{[^}]+\}",
        lambda _: "1" if rng.random() < 0.5 else quote(rng.choice(TEXTS)[:300], safe="/"),
        path,
    )


def query(rng: random.Random) -> str:
    pairs = (
        f"{rng.choice(NAMES)}={quote(rng.choice(TEXTS)[:3000])}" for _ in range(rng.randrange(4))
    )
    return "?" + "&".join(pairs)


def tries(rng: random.Random, method: str, path: str, count: int) -> Iterator[Try]:
    for _ in range(count):
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": ""}
        if rng.random() < 0.4:
            headers |= rng.choice(HEADERS)
        body = b"" if method == "GET" and rng.random() < 0.8 else rng.choice(BODIES)
        if body or rng.random() < 0.3:
            headers["Content-Type"] = rng.choice(KINDS)
        yield Try(method, filled(rng, path) + query(rng), headers, body)


def wrong(asked: Try, reply: Reply) -> str:
    """What is wrong with an answer, "" where nothing is."""
    packed = reply.headers.get("content-encoding") == "gzip"
    text = (gzip.decompress(reply.body) if packed else reply.body).decode("utf-8", "replace")
    if not 200 <= reply.status < 500:
        return f"{reply.status} {text[:300]}"
    if "Traceback" in text or 'File "' in text:
        return "it shows our code"
    if reply.headers.get("x-content-type-options") != "nosniff":
        return "it has not our headers"
    if "set-cookie" in reply.headers and "a=b" in reply.headers["set-cookie"]:
        return "it sends a header of the asker's"
    if reply.status >= 400:
        return refusal(asked, reply, text)
    return ""


def refusal(asked: Try, reply: Reply, text: str) -> str:
    kind = reply.headers.get("content-type", "")
    if asked.path.startswith("/api/") or "json" in kind:
        try:
            error: dict[str, Any] = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            return f"no JSON of ours: {text[:200]}"
        return "" if error["code"] and error["message"] else f"says nothing: {text[:200]}"
    return "" if re.search(r"<h1[^>]*>[^<]+</h1>", text) else f"no page in words: {text[:200]}"


async def ask(client: Client, asked: Try) -> Reply | None:
    """The answer; None from a stream, which would not end, and from a connection that was cut."""
    own = {"Origin": client.url} if asked.headers.get("Origin") == "" else {}
    if STREAMS.search(asked.path.partition("?")[0]):
        status = await client.status(asked.method, asked.path, asked.headers | own)
        assert status < 500, (asked, status)
        return None
    # The body goes as it is: its bytes are no text.
    length = {"Content-Length": str(len(asked.body)), "Connection": "close"}
    reader, writer = await client.begin(asked.method, asked.path, asked.headers | own | length)
    writer.write(asked.body)
    reply = await client.read(reader)
    client.end(writer)
    return reply


@pytest.fixture
async def people(stranger: Client) -> list[Client]:
    """An admin, and a token of each scope."""
    await stranger.write(lambda connection: world.build(connection, projects=4))
    return [
        stranger.by(cookie=await stranger.session()),
        stranger.by(bearer=await stranger.token("admin")),
        stranger.over_socket(),
        stranger,
    ]


async def assault(people: list[Client], seed: int, count: int) -> list[str]:
    """Send `count` requests to each route; what was wrong."""
    rng = random.Random(seed)
    found = []
    for method, path in sorted(AUDIENCE):
        if method == WEBSOCKET or path == "/sign-out":
            continue
        for asked in tries(rng, method, path, count):
            reply = await ask(rng.choice(people[:3] if rng.random() < 0.9 else people), asked)
            if reply is not None and (told := wrong(asked, reply)):
                found.append(f"seed {seed}: {asked}"[:1500] + f"\n{told}")
    return found


async def test_no_route_breaks_on_bad_input(people: list[Client]) -> None:
    seed = random.randrange(2**32)
    assert "\n\n".join(await assault(people, seed, 6)) == ""


@pytest.mark.proof
@pytest.mark.timeout(1800)
async def test_no_route_breaks_on_much_bad_input(people: list[Client]) -> None:
    seed = random.randrange(2**32)
    assert "\n\n".join(await assault(people, seed, 200)) == ""


RAW = (
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b; " * 10_000 + b"\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"\r\n" * 5000,
)


async def test_bytes_that_are_no_request_close_one_connection_only(stranger: Client) -> None:
    for raw in RAW:
        reader, writer = await stranger.open()
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert not answer or re.match(rb"HTTP/1\.1 (101|4\d\d|200) ", answer), (raw, answer[:200])
        assert b"Traceback" not in answer
        assert (await stranger.get("/livez")).status == 200


async def test_many_ranges_cost_nothing(stranger: Client) -> None:
    """Starlette CVE-2025-62727: time that grows with the square of the ranges."""
    ranges = "bytes=" + ",".join(f"{each}-{each + 1}" for each in range(5_000))
    reply = await stranger.get("/static/app.css", Range=ranges)
    assert reply.status in {200, 416, 431, 400}


async def leave(stranger: Client, count: int) -> None:
    """F6: ask for `count` paths below the shipped files, none of which shows a file of the machine."""
    rng = random.Random(count)
    parts: tuple[str, ...] = (
        "..",
        ".",
        "%2e%2e",
        "%252e%252e",
        "%2f",
        "\\",
        "%5c",
        "etc",
        "passwd",
        "app.css",
        "%00",
    )
    parts += (
        "static",
        "vendor",
        "..;",
        "%c0%ae%c0%ae",
        "\N{FULLWIDTH FULL STOP}" * 2,
        "~",
        "C:",
        "",
    )
    reader, writer = await stranger.open()
    for _ in range(count):
        path = "/".join(rng.choices(parts, k=rng.randrange(1, 9)))
        writer.write(
            f"GET /static/{quote(path, safe='/%;~:')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = await reader.readexactly(int(length[1]))
        assert head[9:12] in {b"404", b"400"} or path.endswith("app.css"), (path, head)
        assert b"root:" not in body


async def test_path_of_a_file_never_leaves_what_is_shipped(stranger: Client) -> None:
    await leave(stranger, 400)


@pytest.mark.proof
async def test_path_of_a_file_never_leaves_what_is_shipped_in_many_tries(stranger: Client) -> None:
    await leave(stranger, 5_000)
