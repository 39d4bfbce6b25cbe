"""The embedded side of `labtrawl crawl`: store, dispatch and crawler in one process.

They speak through a Unix socket of their own, as with a website: every promise of the protocol,
of leases and of checkpoints is the same.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from labtrawl.cli.crawl_beside import beside
from labtrawl.cli.crawl_place import Target
from labtrawl.cli.crawl_reader import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    RETRY,
    Reading,
    crawler,
    new_seat,
)
from labtrawl.cli.tasks import background
from labtrawl.clock import Clock
from labtrawl.crawler.engine import Engine
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch import planner, visiting
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.credential import Secret
from labtrawl.domain.visit import Schedule
from labtrawl.domain.waits import left
from labtrawl.protocol.server import listening
from labtrawl.store import summary
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.supervisor import instance
from labtrawl.website.outlooks import SHARE, look_whole

NAME = "crawl"
LOOK_SECONDS = 0.2
# Deletions, and what touches no date, are found within a day.
SWEEP_SECONDS = 86_400
PATIENCE_SECONDS = 5.0
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
    crawlers: int = 1

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
    def reading(self) -> Reading:
        """What crawlers have to know: of all that the account is a member of, or what is named."""
        named = (self.target.path,) if self.target.path else ()
        return Reading(
            self.target.instance_url,
            str(self.data_dir),
            (*named, *self.include),
            self.exclude,
            not named,
            self.since,
            self.jobs,
            None if self.ca_file is None else str(self.ca_file.absolute()),
            self.contact,
            not self.rest_only,
        )


@dataclass(slots=True)
class _Told:
    """What was said of the time that is left, and when it is reckoned anew."""

    words: str = ""
    due: float = 0.0
    since: int = 0


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
            hold = await stack.enter_async_context(
                instance.hold(data_dir, control, self.clock, PATIENCE_SECONDS)
            )
            await asyncio.to_thread(migrate, database_path(data_dir))
            store = await stack.enter_async_context(open_store(database_path(data_dir)))
            await store.write(self._plan)
            engine = await stack.enter_async_context(self._parts(store, hold.descriptor))
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
            since = self._told.since = self._told.since or now
            told = await store.read(lambda connection: look_whole(connection, now, since))
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

    @contextlib.asynccontextmanager
    async def _parts(self, store: Store, hold: int) -> AsyncIterator[Engine]:
        """Both ends of a socket in a folder of its own, whose path is short."""
        folder = Path(tempfile.mkdtemp(prefix="labtrawl-"))
        seat = new_seat(NAME, folder / "api.sock", self.plan.reading)
        others = self.plan.crawlers - 1
        try:
            with socket.socket(socket.AF_UNIX) as held:
                held.bind(seat.path)
                held.listen()
                async with (
                    self._website(store, held) as manager,
                    beside(others, Path(seat.path), seat.reading, manager, hold),
                ):
                    manager.board.auth.announce(NAME, os.getpid(), seat.fingerprint)
                    async with crawler(seat, self.clock) as engine:
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
