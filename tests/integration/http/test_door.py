"""The door over real sockets: what it sends, what it refuses, and that an answer is whole or none."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest

from labtrawl.errors import ConfigError, LabtrawlError, Unavailable, UnexpectedReply
from labtrawl.http import Answer, Http, Limits, Origin, open_http
from tests.integration.http.wire import LOOPBACK, Reply, Wire, listening, ok

QUICK = Limits(connect_seconds=2, total_seconds=0.3)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def gzipped(body: bytes, *headers: str) -> Reply:
    return ok(gzip.compress(body), "Content-Encoding: gzip", *headers)


async def ask(wire: Wire, path: str, limits: Limits = QUICK) -> Answer:
    origin = Origin(wire.base(), address_allow=LOOPBACK)
    async with open_http(origin, limits, "labtrawl/test") as http:
        return await http.get(path, {"authorization": "Bearer abc"})


async def test_get_sends_the_path_below_the_base_and_returns_the_whole_answer() -> None:
    reply = ok(b'[{"id": 1}]', "X-Next-Page: 2", "Link: <a>", "Link: <b>", "X-Name: caf\xe9")
    async with listening({"/gitlab/api/v4/groups?page=1": reply}) as wire:
        origin = Origin(wire.base(path="/gitlab/"), address_allow=LOOPBACK)
        async with open_http(origin, Limits(), "labtrawl/test (me@example.org)") as http:
            answer = await http.get("/api/v4/groups?page=1", {"authorization": "Bearer abc"})
    assert answer == Answer(
        200,
        {"content-length": "11", "x-next-page": "2", "link": "<a>, <b>"},
        b'[{"id": 1}]',
        wire.base(path="/gitlab/api/v4/groups?page=1"),
    )
    first, *rest = wire.heads[0].rstrip().split("\r\n")
    assert first == "GET /gitlab/api/v4/groups?page=1 HTTP/1.1"
    assert sorted(line.lower() for line in rest) == [
        "accept-encoding: gzip",
        "accept: */*",
        "authorization: bearer abc",
        f"host: 127.0.0.1:{wire.port}",
        "user-agent: labtrawl/test (me@example.org)",
    ]


async def test_request_with_a_body_sends_it() -> None:
    async with listening({"/api/graphql": ok(b"{}")}) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        async with open_http(origin, QUICK, "t/1") as http:
            answer = await http.request("POST", "/api/graphql", {}, b'{"query":"{}"}')
    assert answer.status == 200
    assert wire.heads[0].startswith("POST /api/graphql HTTP/1.1\r\n")
    assert "content-length: 14\r\n" in wire.heads[0].lower()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_redirect_to_another_host_is_returned_and_never_followed(status: str) -> None:
    async with listening({}) as other:
        moved = ok(b"", f"Location: {other.base()}/api/v4/user", status=status)
        async with listening({"/api/v4/user": moved}) as wire:
            answer = await ask(wire, "/api/v4/user")
    assert (answer.status, answer.headers["location"]) == (
        int(status[:3]),
        f"{other.base()}/api/v4/user",
    )
    assert other.connections == 0


@pytest.mark.parametrize("path", ["{other}/api", "//127.0.0.1:{port}/api", "@127.0.0.1:{port}/"])
async def test_foreign_url_is_refused_before_anything_is_sent(path: str) -> None:
    async with listening({}) as other, listening({}) as wire:
        with pytest.raises(ConfigError, match="only paths below"):
            await ask(wire, path.format(other=other.base(), port=other.port))
    assert (other.connections, wire.connections) == (0, 0)


async def test_loopback_is_refused_unless_the_operator_named_it() -> None:
    async with listening({"/": ok()}) as wire:
        async with open_http(Origin(wire.base()), QUICK, "t/1") as http:
            with pytest.raises(ConfigError, match=r"127\.0\.0\.1 is a private, local"):
                await http.get("/", {})
        assert wire.connections == 0
        assert (await ask(wire, "/")).status == 200


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_error_status_is_an_answer(status: int) -> None:
    async with listening({"/": ok(b'{"message":"no"}', status=f"{status} No")}) as wire:
        answer = await ask(wire, "/")
    assert (answer.status, answer.body) == (status, b'{"message":"no"}')


async def test_gzip_is_inflated() -> None:
    body = b'{"title": "one"}' * 50_000
    async with listening({"/": gzipped(body), "/x": ok(b"", "Content-Encoding: gzip")}) as wire:
        assert (await ask(wire, "/")).body == body
        assert (await ask(wire, "/x")).body == b""


async def test_bomb_is_refused_in_little_memory() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()
    async with listening({"/": ok(bomb, "Content-Encoding: gzip")}) as wire:
        tracemalloc.start()
        with pytest.raises(UnexpectedReply, match="is larger than"):
            await ask(wire, "/", Limits(total_seconds=20))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize(
    ("reply", "limits"),
    [
        (ok(bytes(5000)), Limits(body_bytes=4999)),
        (Reply(CHUNKED + b"1388\r\n" + bytes(5000) + b"\r\n0\r\n\r\n"), Limits(body_bytes=4999)),
        (gzipped(bytes(5000)), Limits(body_bytes=4999)),
        (gzipped(bytes(3 << 20)), Limits(inflation_ratio=200)),
        (ok(b"x", "Content-Encoding: br"), Limits()),
        (ok(b"x", "Content-Encoding: gzip, gzip"), Limits()),
        (ok(b"no gzip", "Content-Encoding: gzip"), Limits()),
        (ok(gzip.compress(b"a") + b"more", "Content-Encoding: gzip"), Limits()),
        (Reply(b"HTTP/1.1 200 OK\r\n\r\n[1, 2]", then="close"), Limits()),
        (Reply(b"SSH-2.0-OpenSSH\r\n\r\n", then="close"), Limits()),
    ],
    ids=[
        "long",
        "chunked",
        "inflated",
        "ratio",
        "br",
        "nested",
        "broken",
        "tail",
        "endless",
        "ssh",
    ],
)
async def test_answer_over_a_cap_or_of_another_form_is_unexpected(
    reply: Reply, limits: Limits
) -> None:
    async with listening({"/": reply}) as wire:
        with pytest.raises(UnexpectedReply, match=r"127\.0\.0\.1"):
            await ask(wire, "/", limits)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1, 2]", then="close"),
        Reply(CHUNKED + b"6\r\n[1, 2]\r\n", then="close"),
        Reply(CHUNKED + b"6\r\n[1,", then="reset"),
        ok(gzip.compress(b"[1, 2, 3]" * 99)[:-9], "Content-Encoding: gzip"),
        Reply(b"", then="close"),
        Reply(b"HTTP/1.1 200", then="reset"),
    ],
    ids=["length", "chunked", "reset", "gzip", "nothing", "head"],
)
async def test_answer_cut_short_is_unavailable(reply: Reply) -> None:
    async with listening({"/": reply}) as wire:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as raised:
            await ask(wire, "/")
    assert raised.value.retryable


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1"])
async def test_slow_answer_ends_with_the_total_time(start: bytes) -> None:
    async with listening({"/": Reply(start, then="hang")}) as wire:
        with pytest.raises(Unavailable) as raised:
            await ask(wire, "/")
    assert str(raised.value) == (
        f"127.0.0.1 port {wire.port} did not answer in full within 0.3 s: "
        "check the network and GitLab"
    )


@pytest.mark.parametrize("drop", [b"x", b"1\r\nx\r\n"], ids=["length", "chunked"])
async def test_body_that_drips_ends_with_the_total_time_however_often_a_byte_comes(
    drop: bytes,
) -> None:
    head = CHUNKED if len(drop) > 1 else b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    drips = Reply(head, more=drop, pause_seconds=0.01)
    async with listening({"/": drips}) as wire, asyncio.timeout(3):
        with pytest.raises(Unavailable, match=r"did not answer in full within 0\.3 s"):
            await ask(wire, "/")


async def test_body_without_an_end_is_refused_at_the_cap() -> None:
    block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with listening({"/": Reply(CHUNKED, more=block)}) as wire:
        with pytest.raises(UnexpectedReply, match="is larger than"):
            await ask(wire, "/", Limits(body_bytes=4 << 20))


async def test_error_page_that_ends_with_its_connection_keeps_its_status() -> None:
    page = Reply(b"HTTP/1.0 503 Service Unavailable\r\n\r\n<html>", then="close")
    async with listening({"/": page}) as wire:
        answer = await ask(wire, "/")
    assert (answer.status, answer.body) == (503, b"<html>")


async def test_refused_connection_names_host_and_port() -> None:
    async with listening({}) as wire:
        pass
    with pytest.raises(Unavailable, match=f"127.0.0.1 port {wire.port} cannot be reached"):
        await ask(wire, "/")


async def test_cancelled_request_ends_when_the_door_closes() -> None:
    async with listening({"/": Reply(b"", then="hang")}) as wire:
        origin = Origin(wire.base(), address_allow=LOOPBACK)
        async with open_http(origin, Limits(), "t/1") as http:
            task = asyncio.create_task(http.get("/", {}))
            await wire.hanging.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


# ------------------------------------------------------------------ names and addresses


class Names:
    """A resolver that answers with what the test sets, and counts the questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        if not self.addresses:
            raise OSError("no address")
        return self.addresses


async def get_by_name(http: Http) -> int:
    return (await http.get("/", {})).status


async def test_name_is_pinned_and_not_resolved_again_for_each_request() -> None:
    names = Names("127.0.0.1")
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(host="gitlab.test"), address_allow=LOOPBACK)
        async with open_http(origin, QUICK, "t/1", resolve=names) as http:
            assert [await get_by_name(http) for _ in range(3)] == [200, 200, 200]
    assert names.asked == 1
    assert f"\r\nhost: gitlab.test:{wire.port}\r\n" in wire.heads[0].lower()


async def test_name_that_turns_to_a_forbidden_address_is_refused_at_the_next_check() -> None:
    names = Names("127.0.0.1")
    now = 0.0
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(host="rebind.test"), address_allow=LOOPBACK)
        async with open_http(origin, QUICK, "t", resolve=names, monotonic=lambda: now) as http:
            assert await get_by_name(http) == 200
            names.addresses = ("10.0.0.1",)
            now = 299.0
            assert await get_by_name(http) == 200
            now = 301.0
            for _ in range(2):
                with pytest.raises(ConfigError, match=r"rebind.test \(10.0.0.1\)"):
                    await http.get("/", {})


async def test_host_that_moved_is_followed_to_its_checked_address() -> None:
    names = Names("127.0.0.1")
    now = 0.0
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(host="moved.test"), address_allow=("127.0.0.0/8",))
        async with open_http(origin, QUICK, "t", resolve=names, monotonic=lambda: now) as http:
            assert await get_by_name(http) == 200
            now, names.addresses = 301.0, ("127.0.0.2",)
            with pytest.raises(Unavailable, match="cannot be reached"):
                await http.get("/", {})
            names.addresses = ("127.0.0.1",)
            assert await get_by_name(http) == 200


async def test_next_address_is_tried_when_the_first_does_not_connect() -> None:
    names = Names("127.0.0.2", "127.0.0.3", "127.0.0.1")
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(host="many.test"), address_allow=("127.0.0.0/8",))
        async with open_http(origin, QUICK, "t", resolve=names) as http:
            assert [await get_by_name(http) for _ in range(2)] == [200, 200]
    assert names.asked == 3


async def test_name_without_address_is_unavailable() -> None:
    async with open_http(Origin("https://gone.test"), QUICK, "t", resolve=Names()) as http:
        with pytest.raises(Unavailable) as raised:
            await http.get("/", {})
    assert str(raised.value) == (
        "the name gone.test has no address: check the URL, the network and DNS"
    )


async def test_system_resolver_finds_localhost() -> None:
    async with listening({"/": ok()}) as wire:
        origin = Origin(wire.base(host="localhost"), address_allow=("localhost",))
        async with open_http(origin, QUICK, "t") as http:
            assert await get_by_name(http) == 200


# ------------------------------------------------------------------ secrets in errors

CANARY = "glpat-CANARY0123456789"


async def failing(wire: Wire, path: str, headers: dict[str, str], url: str) -> BaseException:
    async with open_http(Origin(url, address_allow=LOOPBACK), QUICK, "t/1") as http:
        with pytest.raises(LabtrawlError) as raised:
            await http.get(path, headers)
    return raised.value


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("/hang?private_token=", "http"),
        ("/reset?private_token=", "http"),
        ("/ssh?private_token=", "http"),
        ("/cut?private_token=", "http"),
        ("/bomb?private_token=", "http"),
        ("/any?private_token=", "https"),
        ("//elsewhere?private_token=", "http"),
    ],
)
async def test_error_never_holds_a_header_or_a_query(path: str, scheme: str) -> None:
    replies = {
        f"/hang?private_token={CANARY}": Reply(b"", then="hang"),
        f"/reset?private_token={CANARY}": Reply(b"", then="reset"),
        f"/ssh?private_token={CANARY}": Reply(b"SSH-2.0\r\n\r\n", then="close"),
        f"/cut?private_token={CANARY}": Reply(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then="close"
        ),
        f"/bomb?private_token={CANARY}": gzipped(bytes(2 << 20)),
    }
    async with listening(replies) as wire:
        headers = {"private-token": CANARY}
        error = await failing(wire, path + CANARY, headers, wire.base(scheme))
    assert_no_canary(error)


@pytest.mark.parametrize("end", ["\n", "\r\nx: y", "\x00", "é"])
async def test_header_that_cannot_be_sent_is_named_and_not_quoted(end: str) -> None:
    async with listening({}) as wire:
        error = await failing(wire, "/", {"private-token": CANARY + end}, wire.base())
    assert isinstance(error, ConfigError)
    assert "private-token" in str(error)
    assert_no_canary(error)
    assert wire.connections == 0


def assert_no_canary(error: BaseException | None) -> None:
    while error is not None:
        assert CANARY not in f"{error!s} {error!r} {error.args!r}"
        assert error.__suppress_context__ or error.__context__ is None
        error = error.__cause__
