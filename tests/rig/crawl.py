"""A whole crawl inside one event loop: sandbox, store, manager and crawler over real sockets."""

import asyncio
import contextlib
import hashlib
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from labtrawl.clock import Clock, system_clock
from labtrawl.crawler.discovery import Scope
from labtrawl.crawler.engine import Engine, Pace
from labtrawl.crawler.purse import Purse
from labtrawl.crawler.work import Tools, Worker
from labtrawl.dataset.disk import Disk, LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.dispatch import planner
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.budget import Budget
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.pot_records import Rules
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.visit import Schedule
from labtrawl.http import Http, Limits, Origin, open_http
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import Dialler, DialSocket
from labtrawl.protocol.messages import Envelope, Holding
from labtrawl.protocol.server import listening
from labtrawl.sandbox import World
from labtrawl.store.accounts import VerifiedAccount
from labtrawl.store.engine import Store, database_path, open_store
from labtrawl.store.migrate import migrate

RETRY = RetryPolicy(attempts=3, base_seconds=0.01, ceiling_seconds=0.05)
CHANCE = Chance(lambda: secrets.token_hex(16), secrets.randbits, random.random)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Whose time is it: the crawler's waits for GitLab, the website's, and that of its care."""

    crawler: Clock = field(default_factory=system_clock)
    website: Clock = field(default_factory=system_clock)
    care: Clock = field(default_factory=system_clock)


@dataclass(slots=True)
class Rig:
    """A website's side on a data folder; crawlers can be added."""

    data_dir: Path
    store: Store
    manager: DirectCommunicationManager
    url: str
    socket_path: Path
    lease_seconds: float = 5.0
    disk: Disk = field(default_factory=LocalDisk)
    segment: SegmentLimits = field(default_factory=SegmentLimits)
    scope: Scope = field(default_factory=Scope)
    clock: Clock = field(default_factory=system_clock)
    http: Limits = field(default_factory=Limits)
    graphql: bool = True

    async def plan(self, world: World, *usernames: str, version: str = "19.3.0") -> None:
        """Let accounts of the sandbox be collected."""
        for account in world.accounts:
            if account.username in usernames or (not usernames and account is world.accounts[0]):
                verified = VerifiedAccount(
                    "main", self.url, version, account.user_id, account.username, (), account.token
                )
                await self.store.write(lambda c, v=verified: planner.plan_account(c, v))  # type: ignore[misc]

    @contextlib.asynccontextmanager
    async def crawler(self, name: str = "crawler-1", jobs: int = 8) -> AsyncIterator[Engine]:
        """Run a crawler beside the block; it drains at the end."""
        async with open_http(
            Origin(self.url, address_allow=("127.0.0.0/8",)), self.http, "labtrawl-test"
        ) as http:
            engine, purse = self._engine(name, jobs, http)
            async with engine.client.running(), purse.running():
                task = asyncio.create_task(engine.run())
                try:
                    yield engine
                finally:
                    engine.stopping.set()
                    await task
            # As the supervisor does when a crawler's process has ended.
            await self.manager.peer_gone(name, os.getpid())

    @contextlib.asynccontextmanager
    async def purse(self, name: str) -> AsyncIterator[Purse]:
        """A crawler that takes no jobs, but has its line and its purse."""
        client = self._client(name, 1, list, lambda _envelope: None)
        async with client.running(), Purse(client.request, system_clock()).running() as purse:
            yield purse

    def _client(
        self,
        name: str,
        jobs: int,
        holding: Callable[[], list[Holding]],
        command: Callable[[Envelope], None],
    ) -> DirectCommunicationClient:
        token = secrets.token_hex(32)
        fingerprint = hashlib.sha256(token.encode()).hexdigest()
        self.manager.board.auth.announce(name, os.getpid(), fingerprint)
        return DirectCommunicationClient(
            DialSocket(self.socket_path),
            Dialler(name, token, os.getpid(), "here", "0", jobs, holding),
            system_clock(),
            CHANCE,
            command,
        )

    def _engine(self, name: str, jobs: int, http: Http) -> tuple[Engine, Purse]:
        engine: Engine
        client = self._client(
            name,
            jobs,
            lambda: engine.holding(),  # noqa: PLW0108 - made after its client
            lambda envelope: engine.command(envelope),  # noqa: PLW0108
        )
        tools = Tools(
            lambda _url: http,
            self.disk,
            dataset_root(self.data_dir),
            self.segment,
            self.scope,
            RETRY,
            self.clock,
            random.random,
            lambda: engine.stopping.is_set(),  # noqa: PLW0108
            graphql=self.graphql,
        )
        purse = Purse(client.request, self.clock)
        worker = Worker(tools, client.send_event, client.send_state, purse, client.request)
        pace = Pace(jobs, self.lease_seconds, self.lease_seconds / 3, 1.0)
        engine = Engine(client, worker.run, pace, system_clock(), lambda: 0, worker.requests)
        return engine, purse

    async def finished(self, seconds: float = 60) -> None:
        """Wait until no job is open any more."""
        async with asyncio.timeout(seconds):
            while True:
                ticket = self.store.changes.ticket()
                if not await self.store.read(open_jobs):
                    return
                await ticket.wait()


def open_jobs(connection: object) -> int:
    """Count the jobs that have not ended."""
    return connection.exec_driver_sql(  # type: ignore[attr-defined,no-any-return]
        "SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running', 'held')"
    ).scalar_one()


def plain_credentials(store: Store) -> Credentials:
    """Hand out the tokens of the database as they are."""
    return Credentials(store, lambda stored: Secret(stored.encrypted))


@contextlib.asynccontextmanager
async def rig(
    data_dir: Path,
    url: str,
    lease_seconds: float = 5.0,
    credentials: Callable[[Store], Credentials] = plain_credentials,
    schedule: Schedule = planner.NO_SCHEDULE,
    clocks: Clocks | None = None,
    study_key: bytes | None = None,
) -> AsyncIterator[Rig]:
    """Open a website's side: store, manager on a socket, leasing; of a study where it has a key."""
    clocks = clocks or Clocks()
    migrate(database_path(data_dir))
    # A Unix socket's path is short; a test's folder need not be.
    path = Path(f"/tmp/labtrawl-{secrets.token_hex(6)}.sock")
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen()
        try:
            async with open_store(database_path(data_dir)) as store:
                hand_out = credentials(store)
                desk = _desk(store, hand_out, lease_seconds, schedule, clocks.website)
                if study_key is not None:
                    key = Secret(study_key.hex())
                    desk = replace(desk, policy="study", policy_key=key)
                yield_rig = _rig(data_dir, desk, url, path)
                yield_rig.clock = clocks.crawler
                leasing = Leasing(
                    store,
                    RETRY,
                    clocks.care,
                    LocalDisk(),
                    dataset_root(data_dir),
                    lambda: 1 << 40,
                    schedule=schedule,
                )
                async with yield_rig.manager.running(), listening(held, yield_rig.manager.attach):
                    care = asyncio.create_task(leasing.run())
                    try:
                        yield yield_rig
                    finally:
                        care.cancel()
        finally:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - a socket file


def _desk(
    store: Store, credentials: Credentials, lease_seconds: float, schedule: Schedule, clock: Clock
) -> Desk:
    budget = Budget(Rules(first_wait_ms=50))
    return Desk(store, credentials, RETRY, lease_seconds, clock, budget=budget, schedule=schedule)


def _rig(data_dir: Path, desk: Desk, url: str, path: Path) -> Rig:
    board = Switchboard(
        "copilot-study", desk, DirectSocketAuth(), Rhythm(1.0, 5.0), CHANCE.nonce, CHANCE.bits
    )
    manager = DirectCommunicationManager(board)
    return Rig(data_dir, desk.store, manager, url, path, desk.lease_seconds)
