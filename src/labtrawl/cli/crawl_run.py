"""The embedded side of `labtrawl crawl`: store, dispatch and crawler in one process.

They speak through a Unix socket of their own, as with a website: every promise of the protocol,
of leases and of checkpoints is the same.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from labtrawl.cli.crawl_place import Target, instance_of
from labtrawl.cli.origins import agent_of, http_to
from labtrawl.cli.tasks import background
from labtrawl.clock import Clock
from labtrawl.crawler.discovery import Scope
from labtrawl.crawler.engine import Engine, Pace
from labtrawl.crawler.purse import Purse
from labtrawl.crawler.work import Tools, Worker
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.dispatch import planner, visiting
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.visit import Schedule
from labtrawl.domain.waits import left
from labtrawl.http import Http, Limits, open_http
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import Dialler, DialSocket
from labtrawl.protocol.server import listening
from labtrawl.store import summary
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.supervisor import instance
from labtrawl.website.outlooks import SHARE, look_whole

NAME = "crawl"
LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
HEARTBEAT_SECONDS = 5.0
LOOK_SECONDS = 0.2
# Deletions, and what touches no date, are found within a day.
SWEEP_SECONDS = 86_400
# Soon enough for data within three seconds of the command, also where a list is long.
SEGMENT_SECONDS = 1.5
PATIENCE_SECONDS = 5.0
RETRY = RetryPolicy()
SPARE_THREADS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to collect, with which token, into which folder; `every_seconds` None: once."""

    target: Target
    token: Secret
    data_dir: Path
    resources: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime | None = None
    every_seconds: float | None = None
    jobs: int = 16
    ca_file: Path | None = None
    contact: str = ""
    rest_only: bool = False

    @property
    def schedule(self) -> Schedule:
        """When lists are read again, and which are read at all."""
        every = None if self.every_seconds is None else int(self.every_seconds * 1000)
        return Schedule(
            every=every,
            discover_every=every,
            sweep_every=max(every or 0, SWEEP_SECONDS * 1000),
            resources=self.resources or ("*",),
        )

    @property
    def scope(self) -> Scope:
        """All that the account is a member of, or what the URL names."""
        named = (self.target.path,) if self.target.path else ()
        return Scope((*named, *self.include), self.exclude, members=not named)


@dataclass(slots=True)
class _Told:
    """What was said of the time that is left, and when it is reckoned anew."""

    words: str = ""
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Embedded:
    """All parts of one crawl; enter `running`. It ends when `stopping` is set."""

    plan: Plan
    clock: Clock
    stopping: asyncio.Event
    _told: _Told = field(default_factory=_Told)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Store]:
        """Crawl while the block runs, until a signal; what is under way then is checkpointed."""
        data_dir = self.plan.data_dir
        # Files of several lists wait for the disk at once.
        workers = ThreadPoolExecutor(self.plan.jobs + SPARE_THREADS, "disk")
        asyncio.get_running_loop().set_default_executor(workers)
        async with contextlib.AsyncExitStack() as stack:
            control = data_dir / "control.sock"
            await stack.enter_async_context(
                instance.hold(data_dir, control, self.clock, PATIENCE_SECONDS)
            )
            await asyncio.to_thread(migrate, database_path(data_dir))
            store = await stack.enter_async_context(open_store(database_path(data_dir)))
            await store.write(self._plan)
            http = await stack.enter_async_context(self._http())
            engine = await stack.enter_async_context(self._parts(store, http))
            work = asyncio.create_task(engine.run(), name="crawler")
            work.add_done_callback(lambda _: self.stopping.set())
            try:
                yield store
            finally:
                engine.stopping.set()
                await work

    async def progress(self, store: Store) -> AsyncIterator[summary.Progress]:
        """Yield how far it is, at most five times a second, until the crawler ends."""
        while not self.stopping.is_set():
            yield await store.read(summary.progress)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.stopping.wait()

    async def left(self, store: Store) -> str:
        """Say how long it will still take, in words; looked at once a second."""
        started = self.clock.monotonic()
        if started >= self._told.due:
            now = self.clock.now_ms()
            told = await store.read(lambda connection: look_whole(connection, now))
            self._told.words = left(told)
            spent = self.clock.monotonic() - started
            self._told.due = started + max(1.0, SHARE * spent)
        return self._told.words

    def _plan(self, connection: Connection) -> None:
        """Queue the discovery of a new folder; open what an earlier run has completed."""
        target = self.plan.target
        account = VerifiedAccount(
            "main", target.instance_url, target.version, target.user_id, target.username, (), NAME
        )
        planner.plan_account(connection, account)
        visiting.open_all(connection, self.plan.schedule)

    def _http(self) -> contextlib.AbstractAsyncContextManager[Http]:
        plan = self.plan
        origin = http_to(instance_of(plan.target.instance_url, plan.ca_file))
        return open_http(origin, Limits(connections=32, is_adaptive=True), agent_of(plan.contact))

    @contextlib.asynccontextmanager
    async def _parts(self, store: Store, http: Http) -> AsyncIterator[Engine]:
        """Both ends of a socket in a folder of its own, whose path is short."""
        folder = Path(tempfile.mkdtemp(prefix="labtrawl-"))
        try:
            with socket.socket(socket.AF_UNIX) as held:
                held.bind(str(folder / "api.sock"))
                held.listen()
                async with self._website(store, held) as manager:
                    engine, purse = self._crawler(manager, folder / "api.sock", http)
                    async with engine.client.running(), purse.running():
                        yield engine
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def _website(
        self, store: Store, held: socket.socket
    ) -> AsyncIterator[DirectCommunicationManager]:
        # The token is in this process alone: the database holds a word in its place.
        credentials = Credentials(store, lambda _stored: self.plan.token)
        desk = Desk(
            store, credentials, RETRY, LEASE_SECONDS, self.clock, schedule=self.plan.schedule
        )
        manager = DirectCommunicationManager(
            Switchboard(
                name="website",
                desk=desk,
                auth=DirectSocketAuth(),
                rhythm=Rhythm(HEARTBEAT_SECONDS, 3 * HEARTBEAT_SECONDS),
                nonce=lambda: secrets.token_hex(16),
                bits=secrets.randbits,
            )
        )
        leasing = Leasing(
            store,
            RETRY,
            self.clock,
            LocalDisk(),
            dataset_root(self.plan.data_dir),
            lambda: shutil.disk_usage(self.plan.data_dir).free,
            schedule=self.plan.schedule,
        )
        async with manager.running(), listening(held, manager.attach), background(leasing.run()):
            yield manager

    def _crawler(
        self, manager: DirectCommunicationManager, path: Path, http: Http
    ) -> tuple[Engine, Purse]:
        token = secrets.token_hex(32)
        fingerprint = hashlib.sha256(token.encode()).hexdigest()
        manager.board.auth.announce(NAME, os.getpid(), fingerprint)
        engine: Engine
        client = DirectCommunicationClient(
            DialSocket(path),
            Dialler(
                NAME,
                token,
                os.getpid(),
                socket.gethostname(),
                "",
                self.plan.jobs,
                lambda: engine.holding(),  # noqa: PLW0108 - made after its client
            ),
            self.clock,
            Chance(lambda: secrets.token_hex(16), secrets.randbits, random.random),
            lambda envelope: engine.command(envelope),  # noqa: PLW0108 - as above
        )
        tools = self._tools(http, lambda: engine.stopping.is_set())  # noqa: PLW0108 - as above
        purse = Purse(client.request, self.clock)
        worker = Worker(tools, client.send_event, client.send_state, purse, client.request)
        pace = Pace(self.plan.jobs, LEASE_SECONDS, RENEW_SECONDS, HEARTBEAT_SECONDS)
        engine = Engine(client, worker.run, pace, self.clock, lambda: 0, worker.requests)
        return engine, purse

    def _tools(self, http: Http, stopping: Callable[[], bool]) -> Tools:
        return Tools(
            http_of=lambda _url: http,
            disk=LocalDisk(),
            dataset_root=dataset_root(self.plan.data_dir),
            segment=SegmentLimits(max_seconds=SEGMENT_SECONDS),
            scope=self.plan.scope,
            retry=RETRY,
            clock=self.clock,
            jitter=random.random,
            stopping=stopping,
            since=self.plan.since,
            graphql=not self.plan.rest_only,
        )
