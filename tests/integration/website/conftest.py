"""A served website and a client that speaks HTTP over a real socket."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httptools
import pytest
from sqlalchemy import Connection

from labtrawl.store import tokens
from labtrawl.store.engine import Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.store.sessions import Role, create_link, create_session
from labtrawl.store.tokens import TokenScope
from labtrawl.supervisor.listeners import bind_unix
from labtrawl.website.app import build
from labtrawl.website.given.care import Care
from labtrawl.website.given.sheet import SettingsDesk
from labtrawl.website.serve import LocalDoor, serve
from tests.integration.website.paper import no_file
from tests.integration.website.running import Surroundings, site_of, tcp_socket

T = TypeVar("T")


class Reply:
    """One response, read to its end."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.cookies: list[str] = []
        self.body = b""
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()
        if name.lower() == b"set-cookie":
            self.cookies.append(value.decode())

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """Asks the site on a connection of its own for each request."""

    url: str
    store: Store
    around: Surroundings
    stopping: asyncio.Event
    serving: asyncio.Task[None]
    cookie: str = ""
    bearer: str = ""
    unix: Path | None = None

    def over_socket(self) -> "Client":
        """The same site, asked over the Unix socket by this very process, without a session."""
        return replace(self, cookie="", bearer="", unix=self.around.sockets["http"])

    def by(self, *, cookie: str = "", bearer: str = "") -> "Client":
        """The same site, asked over TCP with other credentials."""
        return replace(self, cookie=cookie, bearer=bearer, unix=None)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, closed with the site."""
        parts = urlsplit(self.url)
        if self.unix is not None:
            reader, writer = await asyncio.open_unix_connection(self.unix)
        else:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        self._writers.append(writer)
        return reader, writer

    async def begin(
        self, method: str, path: str, headers: dict[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the head of a request, on a connection of its own."""
        reader, writer = await self.open()
        sent = {"Host": urlsplit(self.url).netloc}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if self.bearer:
            sent["Authorization"] = f"Bearer {self.bearer}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in (sent | headers).items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return reader, writer

    async def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> asyncio.StreamReader:
        return (await self._sent(method, path, headers, body))[0]

    async def _sent(
        self, method: str, path: str, headers: dict[str, str] | None, body: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sent = {"Connection": "close", "Content-Length": str(len(body))}
        reader, writer = await self.begin(method, path, sent | (headers or {}))
        writer.write(body.encode())
        await writer.drain()
        return reader, writer

    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> Reply:
        reader, writer = await self._sent(method, path, headers, body)
        reply = await self.read(reader)
        self.end(writer)
        return reply

    def end(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection now: thousands are asked in a row, more than a process may have open."""
        self._writers.remove(writer)
        writer.close()

    async def read(self, reader: asyncio.StreamReader) -> Reply:
        """Read an answer to its end."""
        reply = Reply()
        parser = httptools.HttpResponseParser(reply)
        async with asyncio.timeout(10):
            while not reply.done and (chunk := await reader.read(65536)):
                parser.feed_data(chunk)
        reply.status = parser.get_status_code()
        return reply

    async def status(self, method: str, path: str, headers: dict[str, str], body: str = "") -> int:
        """The status alone: a stream would not end."""
        reader, writer = await self._sent(method, path, headers, body)
        async with asyncio.timeout(10):
            status = int((await reader.readline()).split()[1])
        self.end(writer)
        return status

    async def json(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask the API; the status and what the JSON says."""
        own = {"Origin": self.url, "Content-Type": "application/json"}
        text = "" if body is None else json.dumps(body)
        reply = await self.ask(method, path, own | (headers or {}), text)
        return reply.status, json.loads(reply.text)

    async def get(self, path: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", path, named)

    async def post(self, path: str, body: str = "", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, {"Sec-Fetch-Site": "same-origin"} | named, body)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.store.write(work)

    async def sign_in(self) -> None:
        self.cookie = await self.session()

    async def session(self, role: Role = Role.ADMIN, person_id: int | None = None) -> str:
        """The cookie of a fresh session."""
        token = await self.store.write(lambda c: create_session(c, role, person_id))
        return f"labtrawl_{urlsplit(self.url).port}={token}"

    async def token(self, *scopes: str) -> str:
        """A fresh API token."""
        wanted = frozenset(TokenScope(scope) for scope in scopes)
        created = await self.store.write(lambda c: tokens.create(c, "test", wanted))
        return created.text.reveal()

    async def link(self) -> str:
        return await self.store.write(create_link)

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="ltw") as folder:
        yield Path(folder)


@pytest.fixture
def settings() -> SettingsDesk:
    """The settings of the site; a module that changes them has its own."""
    return no_file()


@pytest.fixture
def care() -> Care:
    """What the site knows of backups and notices; a module that uses them has its own."""
    return Care()


@pytest.fixture
async def stranger(
    tmp_path: Path, short_folder: Path, settings: SettingsDesk, care: Care
) -> AsyncIterator[Client]:
    """A client without a session."""
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    create_key_file(key_path(tmp_path))
    with tcp_socket() as sock, bind_unix(short_folder / "http.sock") as local:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with open_store(path) as store:
            sockets = {"http": short_folder / "http.sock"}
            around = Surroundings(base_url=url, data_dir=tmp_path, sockets=sockets)
            around.settings, around.care = settings, care
            stopping, door = asyncio.Event(), LocalDoor(local)
            site = build(site_of(store, around))
            serving = asyncio.create_task(serve(site, sock, stopping, local=door))
            client = Client(url, store, around, stopping, serving)
            yield client
            stopping.set()
            await serving
            await client.close()


@pytest.fixture
async def admin(stranger: Client) -> Client:
    """A client that is signed in."""
    await stranger.sign_in()
    return stranger
