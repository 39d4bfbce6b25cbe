"""A served website and a client that speaks HTTP over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httptools
import pytest
from sqlalchemy import Connection

from labtrawl.store.engine import Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import create_link, create_session
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from tests.integration.website.running import Surroundings, site_of

T = TypeVar("T")


class Reply:
    """One response, read to its end."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

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

    async def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> asyncio.StreamReader:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        sent = {"Host": parts.netloc, "Connection": "close", "Content-Length": str(len(body))}
        if self.cookie:
            sent["Cookie"] = self.cookie
        sent |= headers or {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode())
        await writer.drain()
        self._writers.append(writer)
        return reader

    def __post_init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> Reply:
        reader = await self.send(method, path, headers, body)
        reply = Reply()
        parser = httptools.HttpResponseParser(reply)
        async with asyncio.timeout(10):
            while not reply.done and (chunk := await reader.read(65536)):
                parser.feed_data(chunk)
        reply.status = parser.get_status_code()
        return reply

    async def get(self, path: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", path, named)

    async def post(self, path: str, body: str = "", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, {"Sec-Fetch-Site": "same-origin"} | named, body)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.store.write(work)

    async def sign_in(self) -> None:
        name = f"labtrawl_{urlsplit(self.url).port}"
        self.cookie = f"{name}={await self.store.write(create_session)}"

    async def link(self) -> str:
        return await self.store.write(create_link)

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[Client]:
    """A client without a session."""
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with open_store(path) as store:
            around, stopping = Surroundings(base_url=url), asyncio.Event()
            serving = asyncio.create_task(serve(build(site_of(store, around)), sock, stopping))
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
