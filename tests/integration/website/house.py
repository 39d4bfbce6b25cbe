"""The website with the rest of the house behind it: real handlers, real crawlers' door, one database."""

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from labtrawl.clock import system_clock
from labtrawl.dispatch.crawling import Crawling
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.store.secrets import KeyRing, create_key_file, key_path
from labtrawl.supervisor.listeners import bind_unix
from labtrawl.website.app import build
from labtrawl.website.given.site import Site
from labtrawl.website.serve import LocalDoor, serve
from tests.integration.protocol.wire import TOKEN, Website, website
from tests.integration.website.conftest import Client
from tests.integration.website.paper import no_file
from tests.integration.website.running import Surroundings, tcp_socket

SHARED = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class House:
    """A client without credentials, and what it talks to."""

    client: Client
    site: Website
    manager: DirectCommunicationManager

    async def crawler(self, name: str = "far-1") -> "Crawler":
        """A crawler outside, with a token of its own, that has registered over HTTP."""
        bearer = await self.client.token("crawler")
        crawler = Crawler(self.client.by(bearer=bearer), name)
        status, told = await crawler.ask("POST", "/api/internal2/connect", {"id": name})
        assert (status, told["clientId"]) == (200, "copilot-study")
        return crawler

    async def admin(self) -> Client:
        """Somebody with an admin's session."""
        return self.client.by(cookie=await self.client.session())

    def child(self, name: str = "crawler-1") -> "Crawler":
        """A crawler that the supervisor started, over HTTP."""
        self.site.announce(name)
        return Crawler(self.client.by(bearer=TOKEN), name)


@dataclass(frozen=True)
class Crawler:
    """Speaks for one crawler."""

    client: Client
    name: str

    async def ask(
        self, method: str, path: str, body: object = None, message_id: str = ""
    ) -> tuple[int, Any]:
        headers = {"X-Labtrawl-Client": self.name}
        headers |= {"Idempotency-Key": message_id} if message_id else {}
        return await self.client.json(method, path, body, headers)

    async def claim(self, request_id: str = "first", limit: int = 1) -> list[dict[str, Any]]:
        """Claim jobs; the tasks."""
        wanted = {"requestId": request_id, "limit": limit}
        status, told = await self.ask("POST", "/api/internal2/tasks", wanted)
        assert status == 200, told
        assert isinstance(told, list)
        return told


@contextlib.asynccontextmanager
async def house(data_dir: Path, **settings: Any) -> AsyncIterator[House]:
    """Open everything; `settings` are the crawlers' door's."""
    create_key_file(key_path(data_dir))
    keys = KeyRing(key_path(data_dir))
    with tempfile.TemporaryDirectory(prefix="ltw") as folder:
        path = Path(folder) / "http.sock"
        with tcp_socket() as web, bind_unix(path) as local:
            web.bind(("127.0.0.1", 0))
            web.listen()
            url = f"http://127.0.0.1:{web.getsockname()[1]}"
            async with website(data_dir, **settings) as site, site.serving() as manager:
                sockets = {"crawlers": site.path, "http": path}
                made = Site(
                    store=site.store,
                    clock=system_clock(),
                    crawlers=tuple,
                    ready=lambda: True,
                    contact="",
                    base_url=url,
                    exchange=partial(handle, manager.board.desk),
                    crawling=Crawling(manager, "listen", str(site.path)),
                    audit_keys=keys,
                    data_dir=data_dir,
                    sockets=sockets,
                    settings=no_file(),
                    accepts_legacy=site.accepts_legacy,
                    shared_token_sha256=hashlib.sha256(SHARED.encode()).hexdigest(),
                )
                around = Surroundings(base_url=url, data_dir=data_dir, sockets=sockets)
                stopping = asyncio.Event()
                door = LocalDoor(local)
                serving = asyncio.create_task(serve(build(made), web, stopping, local=door))
                client = Client(url, site.store, around, stopping, serving)
                try:
                    yield House(client, site, manager)
                finally:
                    stopping.set()
                    await serving
                    await client.close()
