"""A website with all of its doors on one database: socket, HTTP over TCP and over a Unix socket."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from labtrawl.clock import system_clock
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.crawling import Crawling
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.http import Limits, Origin, open_http
from labtrawl.protocol import messages as wire
from labtrawl.protocol.by_http import FallBack
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import Dialler, DialSocket, Meeting
from labtrawl.protocol.server import listening
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import create_key_file, key_path
from labtrawl.supervisor.listeners import bind_unix
from labtrawl.website.app import build
from labtrawl.website.given.site import Site
from labtrawl.website.serve import LocalDoor, serve
from tests.integration.protocol.wire import plant
from tests.integration.website.keys import TestKeys
from tests.integration.website.paper import no_file

TOKEN = "token-of-the-child"
RETRY = RetryPolicy(attempts=3, base_seconds=0.0, ceiling_seconds=0.0)
CHANCE = Chance(lambda: secrets.token_hex(16), secrets.randbits, lambda: 0.0)


@dataclass(slots=True)
class Whole:
    """What is served, and where."""

    folder: Path
    store: Store
    manager: DirectCommunicationManager
    url: str
    told: list[bool] = field(default_factory=list)

    @property
    def api(self) -> Path:
        """The crawlers' socket."""
        return self.folder / "api.sock"

    @property
    def http(self) -> Path:
        """The socket that speaks HTTP."""
        return self.folder / "http.sock"

    def announce(self, name: str = "crawler-1", token: str = TOKEN) -> None:
        """Tell the website of a child, as its supervisor would."""
        fingerprint = hashlib.sha256(token.encode()).hexdigest()
        self.manager.board.auth.announce(name, os.getpid(), fingerprint)

    def remove_socket(self) -> None:
        """Nobody can connect to the crawlers' socket any more; who has is connected still."""
        self.api.unlink()

    async def plant(self, count: int) -> list[int]:
        """Queue so many jobs of one project."""
        return await self.store.write(lambda c: plant(c, count))

    @contextlib.asynccontextmanager
    async def falling_back(self, probe_seconds: float) -> AsyncIterator[Meeting]:
        """Where a crawler meets this website: at the socket, else by HTTP."""
        origin = Origin(self.url, address_allow=("127.0.0.1",))
        async with open_http(origin, Limits(), "test") as door:
            yield FallBack(
                DialSocket(self.api),
                door,
                Secret(TOKEN),
                system_clock(),
                self.told.append,
                probe_seconds,
            )

    def crawler(
        self,
        meeting: Meeting,
        holding: Callable[[], list[wire.Holding]] = list,
        name: str = "crawler-1",
        token: str = TOKEN,
    ) -> DirectCommunicationClient:
        """A crawler's end."""
        dialler = Dialler(name, token, os.getpid(), "here", "0", 8, holding)
        return DirectCommunicationClient(meeting, dialler, system_clock(), CHANCE, lambda _: None)


@contextlib.asynccontextmanager
async def whole(data_dir: Path, **board: Any) -> AsyncIterator[Whole]:
    """Serve a new, empty database until the end of the block."""
    migrate(database_path(data_dir))
    create_key_file(key_path(data_dir))
    # A Unix socket's path is short; a test's folder need not be.
    with (
        tempfile.TemporaryDirectory(prefix="labtrawl-") as folder,
        socket.create_server(("127.0.0.1", 0)) as web,
        bind_unix(Path(folder) / "api.sock") as api,
        bind_unix(Path(folder) / "http.sock") as local,
    ):
        async with open_store(database_path(data_dir)) as store:
            manager = DirectCommunicationManager(_switchboard(store, board))
            url = f"http://127.0.0.1:{web.getsockname()[1]}"
            made = Whole(Path(folder), store, manager, url)
            site = build(_site(made, data_dir))
            stopping = asyncio.Event()
            serving = asyncio.create_task(serve(site, web, stopping, local=LocalDoor(local)))
            try:
                async with manager.running(), listening(api, manager.attach):
                    yield made
            finally:
                stopping.set()
                await serving


def _switchboard(store: Store, board: dict[str, Any]) -> Switchboard:
    credentials = Credentials(store, lambda stored: Secret(stored.encrypted))
    desk = Desk(store, credentials, RETRY, 60.0, system_clock(), lambda: 0.0)
    return Switchboard(
        "copilot-study",
        desk,
        DirectSocketAuth(announced_within_seconds=0.0),
        Rhythm(60.0, 60.0, register_seconds=30.0),
        CHANCE.nonce,
        CHANCE.bits,
        **board,
    )


def _site(made: Whole, data_dir: Path) -> Site:
    keys = TestKeys()
    return Site(
        store=made.store,
        clock=system_clock(),
        crawlers=list,
        ready=lambda: True,
        contact="crawl@example.org",
        base_url=made.url,
        exchange=partial(handle, made.manager.board.desk),
        crawling=Crawling(made.manager, "listen", str(made.api)),
        audit_keys=lambda: keys,
        data_dir=data_dir,
        sockets={"crawlers": made.api, "http": made.http},
        settings=no_file(),
        accepts_legacy=made.manager.board.accepts_legacy,
    )
