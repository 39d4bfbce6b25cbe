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
from labtrawl.errors import Missing
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.protocol.messages import Ack, Envelope, Heartbeat, Register
from labtrawl.store.engine import Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import create_link, create_session
from labtrawl.website.app import build
from labtrawl.website.given.care import Care
from labtrawl.website.given.entrance import Entrance
from labtrawl.website.given.sheet import SettingsDesk
from labtrawl.website.given.site import CrawlerView, Site
from labtrawl.website.serve import serve
from tests.integration.website.kept import Keeping, Kept
from tests.integration.website.keys import TestKeys
from tests.integration.website.paper import Paper, no_file

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
    heard_at: datetime = HEARTBEAT
    ready: bool = True
    problems: tuple[str, ...] = ()
    base_url: str = ""
    data_dir: Path = Path("/nonexistent")
    sockets: dict[str, Path] = field(default_factory=dict)
    shared_token_sha256: str = ""
    children: dict[str, str] = field(default_factory=dict)
    told: list[tuple[Caller, Envelope]] = field(default_factory=list)
    heard: list[tuple[str, Heartbeat]] = field(default_factory=list)
    care: Care = field(default_factory=Care)
    commands: list[tuple[str, str | None, int | None]] = field(default_factory=list)
    commanded: asyncio.Event = field(default_factory=asyncio.Event)
    keys: TestKeys = field(default_factory=TestKeys)
    settings: SettingsDesk = field(default_factory=no_file)
    programs: Kept = field(default_factory=Kept)
    accounts: Keeping = field(default_factory=Keeping)
    mode: str = "study"
    entrance: Entrance | None = None
    admins: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Rest:
    """The rest of the house as the website sees it: it notes what it is asked."""

    around: Surroundings

    async def exchange(self, caller: Caller, envelope: Envelope) -> Reply | None:
        self.around.told.append((caller, envelope))
        return Reply("message", "ACK", Ack(ids=[envelope.id or ""]))

    def connection(self) -> dict[str, Any]:
        return {"connected": True, "role": "listen", "path": "api.sock", "since": None}

    async def clients(self) -> list[dict[str, Any]]:
        return [
            {
                "name": crawler.name,
                "pid": crawler.pid,
                "protocol": 2,
                "version": "1.0",
                "hostname": "desk",
                "transport": "socket",
                "connectedAt": HEARTBEAT.isoformat(),
                "lastHeartbeatAt": self.around.heard_at.isoformat(),
                "status": crawler.status,
                "activeJobs": crawler.active_jobs,
                "totalProcessed": 120,
                "memoryUsage": 64 << 20,
                "uptime": 12.5,
                "requestsPerMinute": crawler.requests_per_minute,
                "concurrency": 6,
                "wanted": crawler.wanted,
            }
            for crawler in self.around.crawlers
            if crawler.connected
        ]

    async def statistics(self) -> dict[str, Any]:
        sections = ("messages", "dedup", "cooldown", "breaker", "queues", "reconnects", "auth")
        return {section: {} for section in sections}

    async def command(
        self, action: str, crawler: str | None, task_id: int | None
    ) -> dict[str, Any]:
        names = [each.name for each in self.around.crawlers]
        if crawler is not None and crawler not in names:
            raise Missing(f"no crawler {crawler} ever came")
        self.around.commands.append((action, crawler, task_id))
        self.around.commanded.set()
        return {"crawlers": [crawler] if crawler else names, "jobs": int(task_id is not None)}

    def tell(self, action: str, crawler: str, job_id: int) -> None:
        self.around.commands.append((action, crawler, job_id))
        self.around.commanded.set()

    async def hear(self, name: str, heartbeat: Heartbeat, register: Register | None = None) -> None:
        self.around.heard.append((name, heartbeat))

    def child_of(self, token_sha256: str) -> str | None:
        return self.around.children.get(token_sha256)


def site_of(store: Store, around: Surroundings) -> Site:
    return Site(
        store=store,
        clock=system_clock(),
        crawlers=lambda: around.crawlers,
        ready=lambda: around.ready,
        contact="crawl@example.org",
        base_url=around.base_url,
        problems=lambda: around.problems,
        exchange=Rest(around).exchange,
        crawling=Rest(around),
        audit_keys=lambda: around.keys,
        data_dir=around.data_dir,
        sockets=around.sockets,
        settings=around.settings,
        programs=around.programs,
        care=around.care,
        accounts=around.accounts,
        shared_token_sha256=around.shared_token_sha256,
        mode=around.mode,
        entrance=around.entrance,
        admins=around.admins,
        operators=around.operators,
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


def tcp_socket() -> socket.socket:
    """A socket whose connections do not wait for more to send, as those of uvloop: asyncio looks at
    the protocol's number to find out."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


@contextmanager
def running_site(path: Path) -> Iterator[RunningSite]:
    """Serve a new, empty database until the end of the block."""
    migrate(path)
    with tcp_socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        around = Surroundings(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}")
        around.settings = Paper(path.parent / "labtrawl.toml").desk()
        around.data_dir = path.parent
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
