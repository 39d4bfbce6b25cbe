"""DirectCommunicationManager: the connections of all crawlers, and what the website wants of them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

from labtrawl import logs
from labtrawl.dispatch import visiting
from labtrawl.dispatch.auth import AuthorizedClient
from labtrawl.dispatch.session import CrawlerStatus, Session, Switchboard
from labtrawl.errors import LabtrawlError, Missing
from labtrawl.protocol import messages as wire
from labtrawl.protocol.backoff import Backoff, BackoffLimits
from labtrawl.protocol.codec import MAX_BYTES
from labtrawl.protocol.connection import Connection
from labtrawl.store import commands, leases
from labtrawl.store.engine import Connection as Database

log = logs.get("backend.direct-communication-manager")

# How long a crawler that came by HTTP is remembered after its last word.
FORGOTTEN_SECONDS = 3600.0
# Characters of what a crawler says of itself.
MOST_SAID = 128


class DirectCommunicationManager:
    """Takes connections, proves them, hands their messages to the handlers."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[str, CrawlerStatus] = {}

    @property
    def board(self) -> Switchboard:
        """What the connections share."""
        return self._board

    @property
    def sessions(self) -> dict[str, Session]:
        """The admitted connections, by the name of their crawler."""
        return self._board.sessions

    def attach(self, connection: Connection) -> Session:
        """Begin to listen to a new connection."""
        return self._begin(Session(self._board, connection))

    def _begin(self, session: Session) -> Session:
        task = asyncio.create_task(session.serve(), name="crawler-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    def is_connected(self) -> bool:
        """Say whether any crawler is connected."""
        return bool(self.sessions)

    def get_authorized_clients(self) -> Sequence[AuthorizedClient]:
        """Return the crawlers that proved themselves."""
        return self._board.auth.get_authorized_clients()

    def statuses(self) -> list[CrawlerStatus]:
        """Return the crawlers that are there, by socket or by HTTP, with their newest heartbeat."""
        there = [session.status() for session in self.sessions.values() if session.client]
        names = {status.client.name for status in there}
        oldest = asyncio.get_running_loop().time() - self._board.rhythm.silence_seconds
        by_http = [one for one in self._heard.values() if one.heard_at >= oldest]
        return there + [one for one in by_http if one.client.name not in names]

    def is_by_http(self, name: str) -> bool:
        """Say whether a crawler comes by HTTP, for want of a socket."""
        return name in self._heard and name not in self.sessions

    def hear(
        self, name: str, heartbeat: wire.Heartbeat, register: wire.Register | None = None
    ) -> None:
        """Take the sign of life of a crawler that came by HTTP, and what it said of itself."""
        now = asyncio.get_running_loop().time()
        said = register or wire.Register(id=name, protocol=wire.PROTOCOL)
        client = AuthorizedClient(
            name, said.pid, said.version[:MOST_SAID], now, said.hostname[:MOST_SAID], said.protocol
        )
        if register is None and name in self._heard:
            client = self._heard[name].client
        self._heard = {
            each: one for each, one in self._heard.items() if one.heard_at > now - FORGOTTEN_SECONDS
        }
        self._heard[name] = CrawlerStatus(client, heartbeat, now)

    def send_heartbeat(self, name: str | None = None) -> list[str]:
        """Send a sign of life to one crawler, or to all; return to whom. Missing for an unknown one."""
        return self._to(name, lambda session: session.send_heartbeat())

    def send_command(self, key: str, name: str | None, task_id: int | None = None) -> list[str]:
        """Tell one crawler, or all, what is wanted; it is in the database already."""
        command = wire.Command(task_id=None if task_id is None else str(task_id))
        return self._to(name, lambda session: session.send("command", key, command))

    def send_credentials_updated(self, account_id: int) -> list[str]:
        """Tell all crawlers that an account has a new token; it comes with their next renewal."""
        update = wire.CredentialsUpdated(account_id=str(account_id))
        return self._to(None, lambda one: one.send("message", "CREDENTIALS_UPDATED", update))

    def send_shutdown(self, name: str | None, grace_seconds: float) -> list[str]:
        """Ask one crawler, or all, to end: page in hand, checkpoint, close."""
        shutdown = wire.Shutdown(grace_seconds=grace_seconds)
        return self._to(name, lambda session: session.send("message", "shutdown", shutdown))

    def _to(self, name: str | None, send: Callable[[Session], None]) -> list[str]:
        if name is not None and name not in self.sessions:
            raise Missing(f"no crawler {name} is connected")
        chosen = [each for each in self.sessions if name in (None, each)]
        for each in chosen:
            send(self.sessions[each])
        return chosen

    async def peer_gone(self, name: str, pid: int) -> None:
        """The supervisor says that a crawler is dead: its leases end now."""
        is_newest = self._board.auth.withdraw(name, pid)
        session = self.sessions.get(name)
        if session is not None and session.pid == pid:
            await session.end("its process ended")
        if is_newest:
            await self._free_leases(name)
        # Else its successor names what it holds when it registers, and frees the rest.

    async def _free_leases(self, name: str) -> None:
        desk = self._board.desk
        given_up = partial(visiting.given_up, schedule=desk.schedule)
        try:
            freed = await desk.store.write(
                lambda c: leases.rescue_holder(c, name, desk.retry, given_up)
            )
        except LabtrawlError as error:
            log.error("leases_not_released", crawler=name, error=str(error), then="they run out")
        else:
            log.info("leases_released", crawler=name, jobs=freed)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["DirectCommunicationManager"]:
        """Send signs of life while the block runs; at its end close all connections."""
        desk = self._board.desk
        async with desk.shown.running(desk.store, desk.clock):
            beat = asyncio.create_task(self._beat())
            try:
                yield self
            finally:
                beat.cancel()
                for session in list(self.sessions.values()):
                    session.close("the website stops")
                tasks = [beat, *self._tasks]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await self._board.desk.clock.sleep(self._board.rhythm.heartbeat_seconds)
            for session in list(self.sessions.values()):
                session.beat()
            await self._keep_legacy_leases()

    async def _keep_legacy_leases(self) -> None:
        """Renew for the connected peers that never learned to."""
        desk = self._board.desk
        for name in [n for n, one in self.sessions.items() if one.caller.dialect == 1]:
            try:
                kept = await desk.store.write(partial(_prolong, name, desk.legacy_lease_seconds))
                for job_id in kept:
                    desk.budget.prolong_charge(str(job_id), desk.clock.now_ms())
            except LabtrawlError as error:
                log.error("leases_not_prolonged", crawler=name, error=str(error))

    async def dial(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Keep a connection to the crawler that listens at `path`, for ever (role "dial")."""
        clock = self._board.desk.clock
        backoff = Backoff(BackoffLimits(), random.random)
        while True:
            began_at = clock.monotonic()
            try:
                await self._dial_once(path, max_bytes)
            except OSError as error:
                log.info("dial_failed", path=str(path), error=str(error))
            await clock.sleep(backoff.pause(clock.monotonic() - began_at))

    async def _dial_once(self, path: Path, max_bytes: int) -> None:
        dialled: list[Session] = []

        def attach(connection: Connection) -> Session:
            dialled.append(self._begin(Session(self._board, connection, dialled=True)))
            return dialled[0]

        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: Connection(attach, max_bytes), str(path))
        await dialled[0].wait_until_ended()


def _prolong(name: str, seconds: float, connection: Database) -> list[int]:
    leases.prolong(connection, name, seconds)
    return commands.held_by(connection, name)
