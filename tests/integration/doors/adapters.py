"""One crawler's words through each door: what is said is the same, how it is carried is not."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.by_http import ANSWERS as ANSWERED
from labtrawl.protocol.by_http import FORMS, OF_TASK, TASKS
from labtrawl.store import tokens
from labtrawl.store.tokens import TokenScope
from tests.integration.doors.whole import TOKEN, Whole
from tests.integration.protocol.wire import RawPeer, raw_peer

Answer = tuple[str, Any]
Say = Callable[[str, Any, str], Awaitable[Answer]]
"""Key, payload and id of a message; what is answered: its key, or `ERROR` and the code."""
ANSWERS = ("jobs_available", "leases_renewed", "budget_granted", "manifest", "ACK", "ERROR")
NAME = "crawler-1"


def _told(key: str, payload: Any) -> Answer:
    return (key, payload["code"]) if key == "ERROR" else (key, payload)


def _socket(peer: RawPeer) -> Say:
    async def say(key: str, payload: Any, message_id: str) -> Answer:
        peer.send(key, payload, "jobRequest" if key in FORMS else "message", id=message_id)
        answer = await peer.hear(*ANSWERS)
        assert answer is not None, f"no answer to {key}"
        return _told(answer.key, msgspec.json.decode(answer.payload))

    return say


@contextlib.asynccontextmanager
async def socket_listening(site: Whole) -> AsyncIterator[Say]:
    """The crawler dials the website's socket."""
    site.announce()
    async with raw_peer(site.api) as peer:
        assert await peer.register(NAME, proof.secret_of(TOKEN)) == "registered"
        yield _socket(peer)


@contextlib.asynccontextmanager
async def _called(site: Whole) -> AsyncIterator[RawPeer]:
    path = site.folder / "crawler.sock"
    calls: asyncio.Queue[RawPeer] = asyncio.Queue()
    server = await asyncio.start_unix_server(
        lambda reader, writer: calls.put_nowait(RawPeer(reader, writer)), str(path)
    )
    dialling = asyncio.create_task(site.manager.dial(path))
    try:
        peer = await calls.get()
        yield peer
        peer.close()
    finally:
        dialling.cancel()
        server.close()


@contextlib.asynccontextmanager
async def socket_dialled(site: Whole) -> AsyncIterator[Say]:
    """The website dials the crawler, which listens."""
    site.announce()
    secret = proof.secret_of(TOKEN)
    async with _called(site) as peer:
        peer.send("challenge", wire.Challenge(nonce="ours"), "command")
        asked = await peer.hear("register")
        assert asked is not None
        register = msgspec.json.decode(asked.payload, type=wire.Register)
        proved = proof.prove(secret, register.nonce, "ours", proof.ROLE_CRAWLER, NAME)
        registered = wire.Registered(
            client_id=NAME, protocol=2, heartbeat_interval_ms=0, server_time=0, proof=proved
        )
        peer.send("registered", registered, "command")
        yield _socket(peer)


@contextlib.asynccontextmanager
async def legacy_listening(site: Whole) -> AsyncIterator[RawPeer]:
    """An ancestors' crawler dials."""
    async with raw_peer(site.api) as peer:
        yield peer


@contextlib.asynccontextmanager
async def legacy_dialled(site: Whole) -> AsyncIterator[RawPeer]:
    """An ancestors' crawler listens; it says something first, and that is no challenge."""
    async with _called(site) as peer:
        peer.send("heartbeat", {"timestamp": 1}, "heartbeat")
        yield peer


@dataclass
class _Reply:
    """One response, read to its end."""

    body: bytes = b""
    done: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True


@dataclass(frozen=True)
class Http:
    """The HTTP forms over TCP, or over a Unix socket."""

    url: str
    token: str
    unix: Path | None = None
    name: str = NAME

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.unix is not None:
            return await asyncio.open_unix_connection(self.unix)
        parts = urlsplit(self.url)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def ask(self, method: str, path: str, body: Any, message_id: str = "") -> tuple[int, Any]:
        """Send JSON; the status and what is answered."""
        reader, writer = await self.open()
        text = json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {urlsplit(self.url).netloc}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(text)}",
            f"Authorization: Bearer {self.token}",
            f"X-Labtrawl-Client: {self.name}",
            *([f"Idempotency-Key: {message_id}"] if message_id else []),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + text)
        reply = _Reply()
        parser = httptools.HttpResponseParser(reply)
        async with asyncio.timeout(30):
            while not reply.done and (chunk := await reader.read(65536)):
                parser.feed_data(chunk)
        writer.close()
        return parser.get_status_code(), json.loads(reply.body)

    async def say(self, key: str, payload: Any, message_id: str) -> Answer:
        """Say a message in the form that it has here."""
        if key == "renew_leases":
            return await self._renew(payload["leases"])
        path = FORMS.get(key) or f"{TASKS}/{payload['taskId']}/{OF_TASK[key]}"
        status, answered = await self.ask("POST", path, payload, message_id)
        if status >= 400:
            return "ERROR", answered["error"]["code"]
        return ANSWERED[key][1], answered

    async def _renew(self, leases: list[Any]) -> Answer:
        told = []
        for lease in leases:
            path = f"{TASKS}/{lease['taskId']}"
            status, answered = await self.ask("PUT", path, {"epoch": lease["epoch"]})
            is_lost = {"taskId": lease["taskId"], "lost": True}
            told.append(answered if status < 400 else is_lost)
        return "leases_renewed", {"leases": told}

    async def connect(self) -> None:
        """Register under the crawler's name."""
        body = {"id": self.name, "type": "crawler", "protocol": 2, "nonce": "n"}
        status, answered = await self.ask("POST", "/api/internal2/connect", body)
        assert status == 200, answered


@contextlib.asynccontextmanager
async def http_tcp(site: Whole) -> AsyncIterator[Say]:
    """HTTP over TCP, with the token of a supervised crawler."""
    site.announce()
    door = Http(site.url, TOKEN)
    await door.connect()
    yield door.say


@contextlib.asynccontextmanager
async def http_api_token(site: Whole) -> AsyncIterator[Say]:
    """HTTP over TCP, with an API token of the scope `crawler`."""
    wanted = frozenset({TokenScope.CRAWLER})
    created = await site.store.write(lambda c: tokens.create(c, "lab", wanted))
    door = Http(site.url, created.text.reveal(), name="elsewhere-1")
    await door.connect()
    yield door.say


@contextlib.asynccontextmanager
async def http_unix(site: Whole) -> AsyncIterator[Say]:
    """HTTP over the Unix socket."""
    site.announce()
    door = Http(site.url, TOKEN, site.http)
    await door.connect()
    yield door.say


class _WebSocket:
    """One WebSocket about one task (RFC 6455, by wsproto)."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, http: Http
    ) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._texts: list[str] = []
        self._half = ""
        self.open = asyncio.Event()
        headers = [
            (b"authorization", f"Bearer {http.token}".encode()),
            (b"x-labtrawl-client", NAME.encode()),
        ]
        host = urlsplit(http.url).netloc
        self._send(Request(host=host, target=path, extra_headers=headers))

    def _send(self, event: Request | TextMessage) -> None:
        self._writer.write(self._protocol.send(event))

    async def read(self) -> None:
        """Take what comes next."""
        self._protocol.receive_data(await self._reader.read(65536) or None)
        for event in self._protocol.events():
            if isinstance(event, AcceptConnection):
                self.open.set()
            elif isinstance(event, TextMessage):
                self._half += event.data
                if event.message_finished:
                    self._texts.append(self._half)
                    self._half = ""

    async def say(self, key: str, payload: Any, message_id: str) -> Answer:
        """Send a message; return what answers it, not what only tells how the task is."""
        said = {"origin": NAME, "type": "message", "key": key, "payload": payload, "id": message_id}
        self._send(TextMessage(data=json.dumps(said)))
        async with asyncio.timeout(30):
            while True:
                while self._texts:
                    told = json.loads(self._texts.pop(0))
                    if told.get("replyTo") == message_id:
                        return _told(told["key"], told["payload"])
                await self.read()


@contextlib.asynccontextmanager
async def websocket(site: Whole) -> AsyncIterator[Say]:
    """WebSockets, one a task; jobs are claimed by HTTP, for there is no task before."""
    site.announce()
    http = Http(site.url, TOKEN)
    await http.connect()
    opened: dict[str, _WebSocket] = {}

    async def say(key: str, payload: Any, message_id: str) -> Answer:
        if key == "request_jobs":
            return await http.say(key, payload, message_id)
        about = payload.get("taskId") or payload["leases"][0]["taskId"]
        if about not in opened:
            reader, writer = await http.open()
            path = f"/api/internal2/tasks/{about}/websocket"
            one = opened[about] = _WebSocket(reader, writer, path, http)
            while not one.open.is_set():
                await one.read()
        return await opened[about].say(key, payload, message_id)

    yield say
    for one in opened.values():
        one._writer.close()


EXACT = {
    "socket, the website listens": socket_listening,
    "socket, the website dials": socket_dialled,
    "HTTP over TCP": http_tcp,
    "HTTP over TCP with an API token": http_api_token,
    "HTTP over a Unix socket": http_unix,
    "WebSocket": websocket,
}
LEGACY = {
    "dialect 1, the website listens": legacy_listening,
    "dialect 1, the website dials": legacy_dialled,
}
