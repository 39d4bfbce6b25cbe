"""One crawler's connection, from its first byte to its last: admit, take, answer in order."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from labtrawl import logs
from labtrawl.dispatch.admission import Admission, Arrival, Patience, take_over
from labtrawl.dispatch.answers import Answers
from labtrawl.dispatch.auth import AuthorizedClient, DirectSocketAuth
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.flood import FloodLimits, Meter, Verdict
from labtrawl.dispatch.handlers import HANDLERS, ORDERED, can_come_again, handle
from labtrawl.dispatch.legacy import modern
from labtrawl.dispatch.queues import Inbox, Queues
from labtrawl.dispatch.statistics import count
from labtrawl.dispatch.telling import take_state
from labtrawl.errors import LabtrawlError, PeerGone, ProtocolError
from labtrawl.protocol import messages as wire
from labtrawl.protocol.codec import Refused
from labtrawl.protocol.connection import Connection
from labtrawl.protocol.exchange import Caller, Reply
from labtrawl.protocol.ids import MessageIds

log = logs.get("backend.direct-communication-manager")

# Beyond the first word: the supervisor's word about a child, and the database's.
REGISTER_SECONDS = 4.0
# A peer that sends more garbage than this is not worth listening to.
MOST_BAD_FRAMES = 10
# The ancestors' crawlers beat every 30 s and were given 90 s.
LEGACY_SILENCE_SECONDS = 90.0
# Names that mean the website, whatever it is called.
WEBSITE_NAMES = frozenset({"copilot-study", "web-server", wire.EVERYBODY})


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
class Switchboard:
    """What all connections share."""

    name: str
    desk: Desk
    auth: DirectSocketAuth
    rhythm: Rhythm
    nonce: Callable[[], str]
    bits: Callable[[int], int]
    flood: FloodLimits = field(default_factory=FloodLimits)
    accepts_legacy: bool = False
    sessions: dict[str, "Session"] = field(default_factory=dict)

    def ids(self) -> MessageIds:
        """Return a maker of ids of its own."""
        return MessageIds(self.desk.clock.now_ms, self.bits)


class Session:
    """A peer that speaks; `dialled` says that the website called it, and not the other way round."""

    def __init__(self, board: Switchboard, connection: Connection, dialled: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        self._board = board
        self._connection = connection
        self._dialled = dialled
        self._inbox = Inbox()
        # Where work is begun; None until the peer is admitted, and when nothing more is taken.
        self._group: asyncio.TaskGroup | None = None
        self._names = WEBSITE_NAMES | {board.name}
        self._queues = Queues(board.desk.statistics)
        self._answers = Answers(connection, board.name, board.ids(), board.desk)
        self._meter = Meter(board.flood, now)
        self._is_cooling = False
        self._ended = asyncio.Event()
        self._bad = 0
        self._heartbeat = wire.Heartbeat(timestamp=0)
        self.caller = Caller("")
        self.client: AuthorizedClient | None = None
        self.pid = 0

    @property
    def waiting(self) -> int:
        """How many messages came and are not handled yet."""
        return self._inbox.qsize() + self._queues.waiting

    @property
    def is_cooling(self) -> bool:
        """Whether nothing is read from it for a while, for it sent too fast."""
        return self._is_cooling

    def message_received(self, envelope: wire.Envelope) -> None:
        """Called by the connection."""
        if self._group is not None and self._is_next():
            self._take(envelope, self._group)
        else:
            self._inbox.put_nowait(envelope)
        if self._inbox.is_full:
            self._connection.pause_reading()
        verdict = self._meter.take(self._connection.received_at)
        if verdict is not Verdict.TAKE:
            self._slow_down(verdict)

    def _is_next(self) -> bool:
        """Whether a message that comes now may be taken without waiting for its turn."""
        return self._inbox.empty() and self._queues.has_room and self._connection.is_writable()

    def _slow_down(self, verdict: Verdict) -> None:
        statistics = self._board.desk.statistics
        if verdict is Verdict.CLOSE:
            statistics.flooders += 1
            self._answers.error(None, "flood", "too many messages in a second, again and again")
            self.close("it floods")
        elif not self._is_cooling:
            statistics.cooldowns += 1
            log.warning("slowed_down", client=self.caller.name, pid=self.pid)
            self._is_cooling = True
            self._connection.pause_reading()
            seconds = self._board.flood.cooldown_seconds
            asyncio.get_running_loop().call_later(seconds, self._cooled)

    def _cooled(self) -> None:
        self._is_cooling = False
        self._connection.resume_reading()

    def refused(self, refusal: Refused) -> None:
        """Called by the connection: garbage costs its sender, and nobody else."""
        self._bad += 1
        self._board.desk.statistics.refused[refusal.reason] += 1
        log.warning("bad_frame", peer=self.pid, reason=refusal.reason, detail=refusal.detail)
        self._answers.error(None, refusal.reason, refusal.detail or "no message")
        if refusal.fatal or self._bad > MOST_BAD_FRAMES:
            self.close(f"too much that is no message ({refusal.reason})")

    def read_ended(self) -> None:
        """Called by the connection: states are answered at once."""
        self._answers.flush()

    def connection_ended(self) -> None:
        """Called by the connection."""
        self._inbox.put_nowait(None)

    def close(self, why: str) -> None:
        """End the connection; the crawler keeps what was not acknowledged."""
        log.info("closing_connection", crawler=self.caller.name, why=why)
        self._answers.flush()
        self._connection.close()
        self._inbox.put_nowait(None)

    async def end(self, why: str) -> None:
        """Close and wait until nothing of this connection can reach the store any more.

        A request for jobs that still waited would otherwise lease what its dead crawler gave up.
        """
        self.close(why)
        await self.wait_until_ended()

    async def wait_until_ended(self) -> None:
        """Return when all that it sent is done with, and nothing more can come."""
        await self._ended.wait()

    def status(self) -> CrawlerStatus:
        """Return who this is and what it said of itself last."""
        if self.client is None:
            raise PeerGone("nobody has proved itself on this connection")
        return CrawlerStatus(self.client, self._heartbeat, self._connection.received_at)

    def beat(self) -> None:
        """Send a sign of life; close the connection of a peer that gives none."""
        quiet = asyncio.get_running_loop().time() - self._connection.received_at
        is_legacy = self.caller.dialect == 1
        longest = LEGACY_SILENCE_SECONDS if is_legacy else self._board.rhythm.silence_seconds
        # A peer that is not read cannot be heard.
        if quiet > longest and self._connection.reading:
            self.close(f"silent for {quiet:.0f} s")
        elif self._connection.is_writable():
            self.send_heartbeat()

    def send_heartbeat(self) -> None:
        """Send a sign of life."""
        beat = wire.Heartbeat(timestamp=self._board.desk.clock.now_ms())
        self.send("heartbeat", "heartbeat", beat)

    def send(self, type_: str, key: str, body: object) -> None:
        """Send what answers nothing; a peer that is gone hears of it otherwise."""
        with contextlib.suppress(PeerGone):
            self._answers.send(type_, key, body, None)

    async def serve(self) -> None:
        """Prove the peer, then take its messages until the connection ends."""
        try:
            async with asyncio.timeout(REGISTER_SECONDS + self._patience().first_seconds):
                arrival = await self._admit()
                await self._welcome(arrival)
            await self._listen(arrival.first)
        except PeerGone as error:
            log.info("left_early", peer=self.pid, why=str(error))
        except (TimeoutError, LabtrawlError, msgspec.MsgspecError) as error:
            why = str(error) or "no word in time"
            count(self._board.desk.statistics.rejected, why)
            log.warning("not_registered", peer=self.pid, error=why)
        finally:
            self._leave()
            self._ended.set()

    def _leave(self) -> None:
        self._connection.close()
        if self.client and self._board.sessions.get(self.client.name) is self:
            del self._board.sessions[self.client.name]
            self._board.auth.dismiss(self.client.name)
            log.info("client_gone", client=self.client.name)

    async def _admit(self) -> Arrival:
        """Find out who this is; ProtocolError where it may not speak."""
        self.pid = self._connection.peer().pid
        board = self._board
        admission = Admission(
            board.name, board.auth, board.nonce, self._patience(), self._inbox, self._answers.send
        )
        peer = self._connection.peer()
        try:
            return await (admission.call() if self._dialled else admission.answer(peer))
        except PeerGone:
            raise
        except ProtocolError as error:
            refusal = wire.Rejected(reason=str(error), retryable=True)
            self.send("command", "rejected", refusal)
            board.auth.refused(self.pid, str(error))
            raise

    def _patience(self) -> Patience:
        """A peer of dialect 1 may say nothing until its first sign of life."""
        rhythm = self._board.rhythm
        if self._board.accepts_legacy:
            return Patience(LEGACY_SILENCE_SECONDS, rhythm.register_seconds, accepts_legacy=True)
        return Patience(rhythm.register_seconds, rhythm.register_seconds)

    async def _welcome(self, arrival: Arrival) -> None:
        """Take over from an older connection, free what is not held any more, answer."""
        board, name = self._board, arrival.name
        if not self._connection.open:
            raise PeerGone("it went away before it was known; its words are old")
        self.pid = arrival.pid or self.pid
        if (older := board.sessions.get(name)) is not None:
            await older.end("a newer connection took its place")
        released = await board.desk.store.write(lambda c: take_over(c, arrival))
        # Another connection of this crawler may have come meanwhile: one of them stays, this one.
        if (older := board.sessions.get(name)) is not None:
            older.close("a newer connection took its place")
        now = asyncio.get_running_loop().time()
        self.caller = arrival.caller
        self.client = AuthorizedClient(
            name, self.pid, arrival.version, now, arrival.hostname, arrival.caller.dialect
        )
        board.sessions[name] = self
        board.auth.admit(self.client)
        count(board.desk.statistics.connects, name)
        self._answers.begin(arrival)
        if arrival.proof is not None:
            self._answers.registered(arrival.proof, released, board.rhythm.heartbeat_seconds)

    async def _listen(self, first: wire.Envelope | None) -> None:
        async with asyncio.TaskGroup() as group:
            if first is not None:
                self._take(first, group)
            self._group = group
            while (envelope := await self._next()) is not None:
                self._take(envelope, group)
                if self._inbox.empty():  # nobody else says that a read ended
                    self._answers.flush()
            self._group = None
            # What was only asked for is not wanted any more; reports in hand are finished.
            self._queues.cancel_requests()

    async def _next(self) -> wire.Envelope | None:
        """Return the next message once the peer reads and its earlier ones are mostly done."""
        await self._connection.drained()
        await self._queues.room()
        if self._inbox.is_low and not self._is_cooling:
            self._connection.resume_reading()
        envelope = await self._inbox.get()
        return envelope if self._connection.open else None

    def _take(self, envelope: wire.Envelope, group: asyncio.TaskGroup) -> None:
        statistics = self._board.desk.statistics
        count(statistics.received, envelope.key)
        if envelope.destination not in self._names:
            statistics.ignored["other_destination"] += 1
        elif envelope.type == "heartbeat":
            self._hear(envelope)
        elif self._take_state(envelope):
            pass
        elif envelope.type == "progressUpdate":
            self._queue(replace(self._understood(envelope), key="PROGRESS_UPDATE"), group)
        elif envelope.key in ORDERED:
            self._queue(self._understood(envelope), group)
        elif envelope.key in HANDLERS:
            self._queues.request(group.create_task(self._handle(self._understood(envelope))))
        else:
            statistics.ignored["unknown_key"] += 1
            log.debug("unknown_key", key=envelope.key)

    def _take_state(self, envelope: wire.Envelope) -> bool:
        """Take at once what needs neither its turn nor the database."""
        if envelope.key != "PROGRESS_UPDATE" or self.caller.dialect == 1:
            return False
        taken = take_state(self._board.desk, self.caller, envelope)
        if taken is not None:
            self._answers.acknowledge_state(taken)
        return taken is not None

    def _understood(self, envelope: wire.Envelope) -> wire.Envelope:
        return modern(envelope) if self.caller.dialect == 1 else envelope

    def _hear(self, envelope: wire.Envelope) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            self._heartbeat = msgspec.json.decode(envelope.payload, type=wire.Heartbeat)

    def _queue(self, envelope: wire.Envelope, group: asyncio.TaskGroup) -> None:
        """Put a message behind the one before it about the same job."""
        try:
            self._queues.add(envelope, self._handle_in_turn, group)
        except msgspec.MsgspecError as error:
            self._answers.error(envelope.id, "bad_message", str(error))

    async def _handle_in_turn(self, envelope: wire.Envelope) -> None:
        """Handle a message; after a failure of the store nothing later may overtake it."""
        if self._connection.open:
            await self._handle(envelope)

    async def _handle(self, envelope: wire.Envelope) -> None:
        try:
            reply = await handle(self._board.desk, self.caller, envelope)
            if reply is not None:
                self._reply(reply, envelope.id)
        except PeerGone:
            log.debug("answer_undelivered", key=envelope.key)
        except LabtrawlError as error:
            self._fail(envelope, error)

    def _reply(self, reply: Reply, reply_to: str | None) -> None:
        if reply.key == "jobs_available":
            self.send_job_response_to_crawler(reply, reply_to)
        elif reply.key == "TOKEN_REFRESH_RESPONSE":
            self.send_token_refresh_response(reply, reply_to)
        else:
            self._answers.reply(reply, reply_to)

    def send_job_response_to_crawler(self, tasks: Reply, reply_to: str | None) -> None:
        """Answer a request for jobs; raises PeerGone."""
        self._answers.reply(tasks, reply_to)
        log.debug("jobs_sent", client=self.caller.name)

    def send_token_refresh_response(self, response: Reply, reply_to: str | None) -> None:
        """Answer a request for a token; raises PeerGone."""
        self._answers.reply(response, reply_to)
        log.info("token_refresh_answered", client=self.caller.name)

    def _fail(self, envelope: wire.Envelope, error: LabtrawlError) -> None:
        """Refuse what can never be applied; keep what the store could not take for a re-send."""
        log.warning("message_refused", key=envelope.key, error=str(error), reason=error.reason)
        if envelope.key in ORDERED and can_come_again(error):
            self.close("the store could not take a message; it will be sent again")
        elif self.caller.dialect == 1 and envelope.key == "request_jobs":
            self._answers.jobs_error(envelope, str(error))
        else:
            self._answers.error(envelope.id, error.reason, str(error))
