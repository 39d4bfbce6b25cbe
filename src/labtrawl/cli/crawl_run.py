"""The embedded side of `labtrawl crawl`: store and dispatch, and the crawlers beside them.

They speak through a Unix socket of their own, as with a website: every promise of the protocol,
of leases and of checkpoints is the same. Where nothing could be forked, one crawler is in here.
"""

import asyncio
import contextlib
import math
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from labtrawl.cli.allocator import giving_back
from labtrawl.cli.crawl_beside import Beside, beside
from labtrawl.cli.crawl_place import Target
from labtrawl.cli.crawl_seat import HEARTBEAT_SECONDS, LEASE_SECONDS, RETRY, Reading, Seat, new_seat
from labtrawl.cli.sockets import listening_in
from labtrawl.cli.tasks import background
from labtrawl.clock import Clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch import planner, visiting
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import GivenToken
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.credential import Secret
from labtrawl.domain.eta import Counted
from labtrawl.domain.visit import Schedule
from labtrawl.protocol.server import listening
from labtrawl.store import summary
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.supervisor import instance

NAME = "crawl"
LOOK_SECONDS = 0.2
# Times as long as a look took, the pause behind it: while the looks are quick, and at least.
SHORTEST_PAUSE = 20
LEAST_PAUSE = 4
# So long each list that waits takes, at least; were it quicker, the end would be seen 0.2 s late.
QUICKEST_LIST_SECONDS = 0.001
LEFT_SECONDS = 1.5
# Deletions, and what touches no date, are found within a day.
SWEEP_SECONDS = 23 * 3600
# The part of GitLab's limit that following may use.
SHARE_OF_LIMIT = 0.1
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
    beside: tuple[Beside, ...] = ()

    @property
    def schedule(self) -> Schedule:
        """When lists are read again, and which are read at all."""
        every = None if self.every_seconds is None else int(self.every_seconds * 1000)
        return Schedule(
            every=every,
            discover_every=every,
            sweep_every=max(every or 0, SWEEP_SECONDS * 1000),
            resources=self.resources or ("*",),
            share=0.0 if every is None else SHARE_OF_LIMIT,
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
            tuple(self.schedule.resources),
            not named,
            self.since,
            math.ceil(self.jobs / max(len(self.beside), 1)),
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
    counted: Counted = field(default_factory=Counted)


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
        # Files of several lists wait for the disk at once, where the crawler is in here.
        threads = SPARE_THREADS if self.plan.beside else self.plan.jobs + SPARE_THREADS
        workers = ThreadPoolExecutor(threads, "disk")
        asyncio.get_running_loop().set_default_executor(workers)
        async with contextlib.AsyncExitStack() as stack:
            control = data_dir / "control.sock"
            hold = await stack.enter_async_context(
                instance.hold(data_dir, control, self.clock, PATIENCE_SECONDS)
            )
            path, held = stack.enter_context(listening_in(data_dir))
            seated = [*self._seated(path, hold.descriptor)]
            await asyncio.to_thread(migrate, database_path(data_dir))
            store = await stack.enter_async_context(open_store(database_path(data_dir)))
            await store.write(self._plan)
            manager = await stack.enter_async_context(self._website(store, held, seated))
            crawling = self._beside(manager, seated) if seated else self._within(manager, path)
            await stack.enter_async_context(crawling)
            yield store

    async def progress(self, store: Store) -> AsyncIterator[summary.Progress]:
        """Yield how far it is, five times a second, until the crawler ends.

        More often where few lists wait and a look is quick, or all that is left is being read, so
        that nobody waits for the end; less often where a look is slow.
        """
        while not self.stopping.is_set():
            began, changed = self.clock.monotonic(), store.changes.ticket()
            now = await store.read(summary.progress)
            yield now
            spent = self.clock.monotonic() - began
            if waiting := now.jobs.get("queued"):
                soonest = max(SHORTEST_PAUSE * spent, waiting * QUICKEST_LIST_SECONDS)
                usual = min(LOOK_SECONDS, soonest)
                await _within(max(usual, LEAST_PAUSE * spent), self.stopping)
            else:
                # Any commit may be the last one.
                await _within(LEAST_PAUSE * spent, self.stopping)
                await _within(LOOK_SECONDS, changed)

    async def left(self, store: Store) -> str:
        """Say how long it will still take, in words; looked at now and then, first after `LEFT_SECONDS`."""
        started, now = self.clock.monotonic(), self.clock.now_ms()
        if not self._told.since:
            self._told.since, self._told.due = now, started + LEFT_SECONDS
        if started >= self._told.due:
            # Not above: a small crawl ends before anybody could tell.
            from labtrawl.domain.waits import left
            from labtrawl.website.figures.forecasts import SHARE, look_whole

            since, counted = self._told.since, self._told.counted
            told = await store.read(lambda c: look_whole(c, now, since, counted))
            self._told.words = left(told)
            spent = self.clock.monotonic() - started
            self._told.due = started + max(LEFT_SECONDS, SHARE * spent)
        return self._told.words

    def _plan(self, connection: Connection) -> None:
        """Queue the discovery of a new folder; open what an earlier run has completed."""
        target = self.plan.target
        account = VerifiedAccount(
            "main", target.instance_url, target.version, target.user_id, target.username, (), NAME
        )
        planner.plan_account(connection, account)
        visiting.open_all(connection, self.plan.schedule)

    def _seated(self, path: Path, hold: int) -> Iterator[tuple[Beside, Seat]]:
        """Give the crawlers that were forked their seats; each holds the lock of the data folder.

        They may dial at once, and are answered when there is a website.
        """
        for number, each in enumerate(self.plan.beside, 1):
            seat = new_seat(NAME if number == 1 else f"{NAME}-{number}", path, self.plan.reading)
            each.begin(seat, hold)
            yield each, seat

    @contextlib.asynccontextmanager
    async def _beside(
        self, manager: DirectCommunicationManager, seated: list[tuple[Beside, Seat]]
    ) -> AsyncIterator[None]:
        """Have the crawlers beside this process, and end where none is left."""
        named = [(each, seat.name) for each, seat in seated]
        async with beside(named, manager.peer_gone, self.stopping.set), giving_back(self.clock):
            yield

    @contextlib.asynccontextmanager
    async def _within(self, manager: DirectCommunicationManager, path: Path) -> AsyncIterator[None]:
        """Be the crawler too, until a signal; what is under way then is checkpointed."""
        from labtrawl.cli.crawl_reader import crawler

        seat = new_seat(NAME, path, self.plan.reading)
        manager.board.auth.announce(NAME, os.getpid(), seat.fingerprint)
        async with crawler(seat, self.clock) as engine:
            work = asyncio.create_task(engine.run(), name="crawler")
            work.add_done_callback(lambda _: self.stopping.set())
            try:
                yield
            finally:
                engine.stopping.set()
                await work

    def _desk(self, store: Store) -> Desk:
        # The token is in this process alone: the database holds a word in its place.
        token = self.plan.token
        credentials = GivenToken(store=store, decrypt=lambda _stored: token, token=token)
        return Desk(
            store,
            credentials,
            RETRY,
            LEASE_SECONDS,
            self.clock,
            schedule=self.plan.schedule,
            include=self.plan.reading.include,
        )

    @contextlib.asynccontextmanager
    async def _website(
        self, store: Store, held: socket.socket, seated: list[tuple[Beside, Seat]]
    ) -> AsyncIterator[DirectCommunicationManager]:
        desk = self._desk(store)
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
        for each, seat in seated:
            manager.board.auth.announce(seat.name, each.pid, seat.fingerprint)
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


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but no longer than this."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
