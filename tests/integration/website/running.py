"""A website on a real socket, in a thread of its own: what a browser test talks to."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from labtrawl.clock import system_clock
from labtrawl.store.engine import Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import create_link, create_session
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from labtrawl.website.site import CrawlerView, Site

T = TypeVar("T")
HEARTBEAT = datetime(2026, 11, 22, 9, 30, 12, tzinfo=UTC)
CRAWLERS = (
    CrawlerView("crawler-1", 4711, True, "working", 9, HEARTBEAT, 1840),
    CrawlerView("crawler-2", 4712, False, "gone", 0, HEARTBEAT, 0),
)


@dataclass
class Surroundings:
    """What the site is told about the rest; a test changes it."""

    crawlers: tuple[CrawlerView, ...] = CRAWLERS
    ready: bool = True
    problems: tuple[str, ...] = ()
    base_url: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)


def site_of(store: Store, around: Surroundings) -> Site:
    return Site(
        store=store,
        clock=system_clock(),
        crawlers=lambda: around.crawlers,
        ready=lambda: around.ready,
        contact="crawl@example.org",
        base_url=around.base_url,
        problems=lambda: around.problems,
    )


class Serving:
    """The server of a site; it may come and go while the socket stays."""

    def __init__(self, store: Store, sock: socket.socket, around: Surroundings) -> None:
        self._store = store
        self._sock = sock
        self._around = around
        self.start()

    def start(self) -> None:
        self._stopping = asyncio.Event()
        site = build(site_of(self._store, self._around))
        self._task = asyncio.create_task(serve(site, self._sock, self._stopping))

    async def stop(self) -> None:
        self._stopping.set()
        await self._task


@dataclass(frozen=True)
class RunningSite:
    """A served site and its database."""

    url: str
    store: Store
    around: Surroundings
    serving: Serving
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the site's loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(20)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Write through the store, as a crawler's report would."""
        return self.run(self.store.write(work))

    def restart(self, meanwhile: Callable[[Connection], T]) -> T:
        """Stop the server, write, start it again on the same socket."""

        async def again() -> T:
            await self.serving.stop()
            written = await self.store.write(meanwhile)
            self.serving.start()
            return written

        return self.run(again())

    def link(self) -> str:
        """The address of a fresh sign-in link."""
        return f"{self.url}/sign-in?token={self.write(create_link)}"

    def cookie(self) -> str:
        """The name and value of a fresh session."""
        return f"labtrawl_{self.url.rpartition(':')[2]}={self.write(create_session)}"


async def _serve(
    path: Path, sock: socket.socket, around: Surroundings, started: Future[RunningSite]
) -> None:
    async with open_store(path) as store:
        serving = Serving(store, sock, around)
        loop = asyncio.get_running_loop()
        started.set_result(RunningSite(around.base_url, store, around, serving, loop))
        await around.over.wait()
        await serving.stop()


@contextmanager
def running_site(path: Path) -> Iterator[RunningSite]:
    """Serve a new, empty database until the end of the block."""
    migrate(path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        around = Surroundings(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}")
        started: Future[RunningSite] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(_serve(path, sock, around, started)))
        thread.start()
        site = started.result(20)
        try:
            yield site
        finally:
            site.loop.call_soon_threadsafe(around.over.set)
            thread.join(20)
        assert not thread.is_alive()
