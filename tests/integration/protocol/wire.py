"""A website's end and a crawler's end on a real Unix socket; the database is a real file."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labtrawl.clock import Clock, system_clock
from labtrawl.dispatch.auth import DirectSocketAuth
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Rhythm, Switchboard
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.codec import Decoder, encode
from labtrawl.protocol.meeting import Dialler, DialSocket
from labtrawl.protocol.server import listening
from labtrawl.store import accounts, areas, jobs, leases, ledger
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate

TOKEN = "token-of-the-child"
RETRY = RetryPolicy(attempts=3, base_seconds=0.0, ceiling_seconds=0.0)


@dataclass(slots=True)
class Website:
    """A manager on a held listener; it can be stopped and started again, as a process would."""

    path: Path
    held: socket.socket
    store: Store
    rhythm: Rhythm = field(default_factory=lambda: Rhythm(60.0, 60.0, register_seconds=30.0))
    clock: Clock = field(default_factory=system_clock)
    auth: DirectSocketAuth = field(default_factory=DirectSocketAuth)
    flood: FloodLimits = field(default_factory=FloodLimits)
    accepts_legacy: bool = False

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[DirectCommunicationManager]:
        credentials = Credentials(self.store, lambda stored: Secret(stored.encrypted))
        desk = Desk(self.store, credentials, RETRY, 60.0, self.clock, lambda: 0.0)
        board = Switchboard(
            "copilot-study",
            desk,
            self.auth,
            self.rhythm,
            lambda: secrets.token_hex(16),
            secrets.randbits,
            self.flood,
            self.accepts_legacy,
        )
        manager = DirectCommunicationManager(board)
        copy = self.held.dup()
        async with manager.running(), listening(copy, manager.attach):
            yield manager

    def announce(self, name: str, token: str = TOKEN, pid: int | None = None) -> None:
        self.auth.announce(name, pid or os.getpid(), hashlib.sha256(token.encode()).hexdigest())

    async def until(self, wanted: Callable[[Connection], bool]) -> None:
        """Wait for a commit after which `wanted` holds."""
        async with asyncio.timeout(30):
            while True:
                ticket = self.store.changes.ticket()
                if await self.store.read(wanted):
                    return
                await ticket.wait()

    async def plant(self, count: int) -> list[int]:
        """Queue jobs of one project, one for each of so many made-up resources."""
        return await self.store.write(lambda c: plant(c, count))

    async def claim(self, holder: str, count: int) -> list[leases.ClaimedJob]:
        return await self.store.write(lambda c: leases.claim(c, holder, "claim", count, 60.0))


async def settled(is_so: Callable[[], bool]) -> None:
    """Let the loop go on until something is so; there is nothing to wait for that would tell."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


def plant(connection: Connection, count: int) -> list[int]:
    account = accounts.VerifiedAccount("main", "http://gitlab", "17.0.0", 1, "ann", (), "token")
    instance_id, account_id = accounts.record(connection, account)
    found = FoundArea(AreaKind.PROJECT, 7, "lab/ocean", "ocean")
    area_id = areas.record(connection, instance_id, found)
    areas.grant(connection, area_id, account_id, 30)
    made = []
    for number in range(count):
        job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, f"r{number}"))
        ledger.open_row(connection, area_id, f"r{number}", job_id)
        made.append(int(job_id or 0))
    return made


@contextlib.asynccontextmanager
async def website(data_dir: Path, **settings: Any) -> AsyncIterator[Website]:
    """Open a database and a listening socket; nothing serves it yet."""
    migrate(database_path(data_dir))
    # A Unix socket's path is short; a test's folder need not be.
    with tempfile.TemporaryDirectory(prefix="labtrawl-") as folder:
        path = Path(folder) / "api.sock"
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))
            held.listen()
            held.setblocking(False)
            async with open_store(database_path(data_dir)) as store:
                yield Website(path, held, store, **settings)


def crawler(
    path: Path,
    name: str = "crawler-1",
    token: str = TOKEN,
    holding: Callable[[], list[wire.Holding]] = list,
    on_command: Callable[[wire.Envelope], None] = lambda _envelope: None,
) -> DirectCommunicationClient:
    dialler = Dialler(name, token, os.getpid(), "here", "0", 8, holding)
    chance = Chance(lambda: secrets.token_hex(16), secrets.randbits, lambda: 0.0)
    return DirectCommunicationClient(DialSocket(path), dialler, system_clock(), chance, on_command)


class RawPeer:
    """A peer that says exactly what a test wants it to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._decoder = reader, writer, Decoder()
        self._found: list[wire.Envelope] = []

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, key: str, payload: object, type_: str = "message", **fields: Any) -> None:
        raw = msgspec.Raw(msgspec.json.encode(payload))
        self.say(encode(wire.Envelope(origin="raw", type=type_, key=key, payload=raw, **fields)))

    async def hear(self, *keys: str) -> wire.Envelope | None:
        """The next message with one of these keys; None at the end of the stream."""
        async with asyncio.timeout(30):
            while True:
                while self._found:
                    if (envelope := self._found.pop(0)).key in keys:
                        return envelope
                if not (data := await self._reader.read(1 << 16)):
                    return None
                self._found += [
                    one for one in self._decoder.feed(data) if isinstance(one, wire.Envelope)
                ]

    async def register(self, name: str, secret: bytes, nonce: str | None = None) -> str:
        """Answer the challenge; return the key of what comes back, or "closed"."""
        challenge = await self.hear("challenge")
        assert challenge is not None
        told = nonce or msgspec.json.decode(challenge.payload, type=wire.Challenge).nonce
        proved = proof.prove(secret, told, "own", proof.ROLE_CRAWLER, name)
        register = wire.Register(id=name, protocol=2, nonce="own", proof=proved)
        self.send("register", register, "command")
        answer = await self.hear("registered", "rejected")
        return answer.key if answer else "closed"

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def raw_peer(path: Path) -> AsyncIterator[RawPeer]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
