"""DirectCommunicationManager: the connections of all crawlers, and the order of what they say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from labtrawl import logs
from labtrawl.dispatch.auth import AuthorizedClient, DirectSocketAuth
from labtrawl.dispatch.handlers import (
    HANDLERS,
    ORDERED,
    Desk,
    can_come_again,
    handle,
    task_number,
)
from labtrawl.errors import LabtrawlError, PeerGone
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.codec import Refused
from labtrawl.protocol.connection import Connection
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.protocol.ids import MessageIds
from labtrawl.store import leases

log = logs.get("backend.direct-communication-manager")

REGISTER_SECONDS = 4.0
# A peer that sends more garbage than this is not worth listening to.
MOST_BAD_FRAMES = 10
# What one crawler may have under way and waiting; beyond it nothing more is read from its socket.
MOST_AT_ONCE = 256
MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Signs of life, in seconds; `register_seconds` is how long a new peer may stay silent."""

    heartbeat_seconds: float
    silence_seconds: float
    register_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class CrawlerStatus:
    """A connected crawler and its newest heartbeat."""

    client: AuthorizedClient
    heartbeat: wire.Heartbeat
    heard_at: float


@dataclass(slots=True)
class DirectCommunicationManager:
    """Takes connections, proves them, hands their messages to the handlers."""

    name: str
    desk: Desk
    auth: DirectSocketAuth
    rhythm: Rhythm
    nonce: Callable[[], str]
    bits: Callable[[int], int]
    sessions: dict[str, "Session"] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    bad_frames: int = 0

    def attach(self, connection: Connection) -> "Session":
        """Begin to listen to a new connection."""
        session = Session(self, connection, MessageIds(self.desk.clock.now_ms, self.bits))
        task = asyncio.create_task(session.serve(), name="crawler-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    def is_connected(self) -> bool:
        """Say whether any crawler is connected."""
        return bool(self.sessions)

    def get_authorized_clients(self) -> Sequence[AuthorizedClient]:
        """Return the crawlers that proved themselves."""
        return self.auth.get_authorized_clients()

    def statuses(self) -> list[CrawlerStatus]:
        """Return the connected crawlers with their newest heartbeat."""
        return [session.status() for session in self.sessions.values() if session.client]

    async def peer_gone(self, name: str, pid: int) -> None:
        """The supervisor says that a crawler is dead: its leases end now."""
        is_newest = self.auth.withdraw(name, pid)
        session = self.sessions.get(name)
        if session is not None and session.pid == pid:
            await session.end("its process ended")
        if is_newest:
            await self._free_leases(name)
        # Else its successor names what it holds when it registers, and frees the rest.

    async def _free_leases(self, name: str) -> None:
        try:
            freed = await self.desk.store.write(
                lambda c: leases.rescue_holder(c, name, self.desk.retry)
            )
        except LabtrawlError as error:
            log.error("leases_not_released", crawler=name, error=str(error), then="they run out")
        else:
            log.info("leases_released", crawler=name, jobs=freed)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["DirectCommunicationManager"]:
        """Send signs of life while the block runs; at its end close all connections."""
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
            await self.desk.clock.sleep(self.rhythm.heartbeat_seconds)
            for session in list(self.sessions.values()):
                session.beat(self.rhythm.silence_seconds)


class Session:
    """One crawler's connection, from its first byte to its last."""

    def __init__(
        self, manager: DirectCommunicationManager, connection: Connection, ids: MessageIds
    ) -> None:
        self._manager = manager
        self._connection = connection
        self._ids = ids
        self._inbox: asyncio.Queue[wire.Envelope | None] = asyncio.Queue()
        self._tails: dict[str, asyncio.Task[None]] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._bad = 0
        self._heartbeat = wire.Heartbeat(timestamp=0)
        self.client: AuthorizedClient | None = None
        self.pid = 0

    def message_received(self, envelope: wire.Envelope) -> None:
        """Called by the connection."""
        self._inbox.put_nowait(envelope)
        if self._inbox.qsize() >= MOST_WAITING:
            self._connection.pause_reading()

    def refused(self, refusal: Refused) -> None:
        """Called by the connection: garbage costs its sender, and nobody else."""
        self._bad += 1
        self._manager.bad_frames += 1
        log.warning("bad_frame", peer=self.pid, reason=refusal.reason, detail=refusal.detail)
        with contextlib.suppress(PeerGone):
            self._send_error(None, refusal.reason, refusal.detail or "no message")
        if refusal.fatal or self._bad > MOST_BAD_FRAMES:
            self.close(f"too much that is no message ({refusal.reason})")

    def connection_ended(self) -> None:
        """Called by the connection."""
        self._inbox.put_nowait(None)

    def close(self, why: str) -> None:
        """End the connection; the crawler keeps what was not acknowledged."""
        log.info("closing_connection", crawler=self.client.name if self.client else "", why=why)
        self._connection.close()
        self._inbox.put_nowait(None)

    async def end(self, why: str) -> None:
        """Close and wait until nothing of this connection can reach the store any more.

        A request for jobs that still waited would otherwise lease what its dead crawler gave up.
        """
        self.close(why)
        await self._ended.wait()

    def status(self) -> CrawlerStatus:
        """Return who this is and what it said of itself last."""
        if self.client is None:
            raise PeerGone("nobody has proved itself on this connection")
        return CrawlerStatus(self.client, self._heartbeat, self._connection.received_at)

    def beat(self, silence_seconds: float) -> None:
        """Send a sign of life; close the connection of a peer that gives none."""
        quiet = asyncio.get_running_loop().time() - self._connection.received_at
        # A peer that is not read cannot be heard.
        if quiet > silence_seconds and self._connection.reading:
            self.close(f"silent for {quiet:.0f} s")
            return
        if not self._connection.is_writable():
            return
        beat = wire.Heartbeat(timestamp=self._manager.desk.clock.now_ms())
        with contextlib.suppress(PeerGone):
            self._send("heartbeat", "heartbeat", beat, None)

    async def serve(self) -> None:
        """Prove the peer, then take its messages until the connection ends."""
        try:
            async with asyncio.timeout(REGISTER_SECONDS):
                admitted = await self._admit()
            if admitted:
                await self._listen()
        except (TimeoutError, LabtrawlError, msgspec.MsgspecError) as error:
            log.warning("not_registered", peer=self.pid, error=str(error) or "no word in time")
        finally:
            self._leave()
            self._ended.set()

    def _leave(self) -> None:
        self._connection.close()
        client = self.client
        if client and self._manager.sessions.get(client.name) is self:
            del self._manager.sessions[client.name]
            self._manager.auth.dismiss(client.name)
            log.info("client_gone", client=client.name)

    async def _admit(self) -> bool:
        nonce = self._manager.nonce()
        self._send("command", "challenge", wire.Challenge(nonce=nonce), None)
        peer = self._connection.peer()
        self.pid = peer.pid
        async with asyncio.timeout(self._manager.rhythm.register_seconds):
            envelope = await self._inbox.get()
        if envelope is None or envelope.key != "register":
            return self._reject("register first")
        register = msgspec.json.decode(envelope.payload, type=wire.Register)
        secret, why = await self._manager.auth.authorize(peer, register, nonce)
        if secret is None:
            return self._reject(why)
        await self._welcome(envelope, register, secret, nonce)
        return True

    def _reject(self, why: str) -> bool:
        log.warning("rejected", peer=self.pid, why=why)
        with contextlib.suppress(PeerGone):
            self._send("command", "rejected", wire.Rejected(reason=why, retryable=True), None)
        return False

    async def _welcome(
        self, envelope: wire.Envelope, register: wire.Register, secret: bytes, nonce: str
    ) -> None:
        """Take over from an older connection, free what is not held any more, answer."""
        manager = self._manager
        if (older := manager.sessions.get(register.id)) is not None:
            await older.end("a newer connection took its place")
        held = {(task_number(one.task_id), one.epoch) for one in register.holding}
        released = await manager.desk.store.write(
            lambda c: leases.release_unheld(c, register.id, held)
        )
        # Another connection of this crawler may have come meanwhile: one of them stays, this one.
        self._close_older(register.id)
        now = asyncio.get_running_loop().time()
        self.client = AuthorizedClient(register.id, self.pid, register.version, now)
        manager.sessions[register.id] = self
        manager.auth.admit(self.client)
        proved = proof.prove(secret, register.nonce, nonce, proof.ROLE_WEBSITE, manager.name)
        answer = wire.Registered(
            client_id=manager.name,
            protocol=wire.PROTOCOL,
            heartbeat_interval_ms=int(manager.rhythm.heartbeat_seconds * 1000),
            server_time=manager.desk.clock.now_ms(),
            proof=proved,
            released=[str(job_id) for job_id in released],
        )
        self._send("command", "registered", answer, envelope.id)

    def _close_older(self, name: str) -> None:
        if (older := self._manager.sessions.get(name)) is not None:
            older.close("a newer connection took its place")

    async def _listen(self) -> None:
        async with asyncio.TaskGroup() as group:
            while (envelope := await self._next()) is not None:
                self._take(envelope, group)
            # What was only asked for is not wanted any more; reports in hand are finished.
            for task in self._requests:
                task.cancel()

    async def _next(self) -> wire.Envelope | None:
        """Return the next message once the peer reads and its earlier ones are mostly done."""
        await self._connection.drained()
        while len(self._work) >= MOST_AT_ONCE:
            await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
        if self._inbox.qsize() < MOST_WAITING // 2:
            self._connection.resume_reading()
        envelope = await self._inbox.get()
        return envelope if self._connection.open else None

    def _take(self, envelope: wire.Envelope, group: asyncio.TaskGroup) -> None:
        if envelope.type == "heartbeat":
            self._hear(envelope)
        elif envelope.key in ORDERED:
            self._queue(envelope, group)
        elif envelope.key in HANDLERS:
            task = group.create_task(self._handle(envelope))
            self._begin(task)
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
        else:
            log.debug("unknown_key", key=envelope.key)

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _hear(self, envelope: wire.Envelope) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            self._heartbeat = msgspec.json.decode(envelope.payload, type=wire.Heartbeat)

    def _queue(self, envelope: wire.Envelope, group: asyncio.TaskGroup) -> None:
        """Chain a message behind the one before it about the same job."""
        try:
            job = msgspec.json.decode(envelope.payload, type=wire.Command).task_id or ""
        except msgspec.MsgspecError as error:
            self._send_error(envelope.id, "bad_message", str(error))
            return
        before = self._tails.get(job)
        task = group.create_task(self._handle_after(before, envelope))
        self._tails[job] = task
        self._begin(task)
        task.add_done_callback(lambda done: self._forget(job, done))

    def _forget(self, job: str, done: asyncio.Task[None]) -> None:
        if self._tails.get(job) is done:
            del self._tails[job]

    async def _handle_after(
        self, before: asyncio.Task[None] | None, envelope: wire.Envelope
    ) -> None:
        """Wait for the one before; after a failure of the store nothing later may overtake it."""
        if before is not None:
            await asyncio.wait([before])
        if self._connection.open:
            await self._handle(envelope)

    async def _handle(self, envelope: wire.Envelope) -> None:
        caller = Caller(self.client.name if self.client else "")
        try:
            reply = await handle(self._manager.desk, caller, envelope)
            if reply is not None:
                self._answer(reply, envelope.id)
        except PeerGone:
            log.debug("answer_undelivered", key=envelope.key)
        except LabtrawlError as error:
            self._fail(envelope, error)

    def _fail(self, envelope: wire.Envelope, error: LabtrawlError) -> None:
        """Refuse what can never be applied; keep what the store could not take for a re-send."""
        log.warning("message_refused", key=envelope.key, error=str(error), reason=error.reason)
        if envelope.key in ORDERED and can_come_again(error):
            self.close("the store could not take a message; it will be sent again")
        else:
            self._send_error(envelope.id, error.reason, str(error))

    def _answer(self, reply: Reply, reply_to: str | None) -> None:
        self._send_raw(reply.type, reply.key, reply.payload, reply_to)

    def _send_error(self, reply_to: str | None, code: str, message: str) -> None:
        with contextlib.suppress(PeerGone):
            report = wire.ErrorReport(code=code, message=message, reply_to=reply_to)
            self._send("message", "ERROR", report, reply_to)

    def _send(self, type_: str, key: str, payload: wire.Record, reply_to: str | None) -> None:
        self._send_raw(type_, key, msgspec.Raw(msgspec.json.encode(payload)), reply_to)

    def _send_raw(self, type_: str, key: str, payload: msgspec.Raw, reply_to: str | None) -> None:
        self._connection.send(
            wire.Envelope(
                origin=self._manager.name,
                destination=self.client.name if self.client else wire.ANY_CRAWLER,
                type=type_,
                key=key,
                payload=payload,
                timestamp=self._manager.desk.clock.now_ms(),
                id=self._ids(),
                reply_to=reply_to,
            )
        )
