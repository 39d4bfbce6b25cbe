"""The dialling end: one connection that comes back for ever and loses nothing it was given.

Used by crawlers. It proves itself, keeps what was not acknowledged, sends it again in the same
order, and answers requests that were cut off by asking again under the same id.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import BadMessage, LeaseLost, PeerGone, ProtocolError, StoreError
from labtrawl.protocol import proof
from labtrawl.protocol.connection import Connection
from labtrawl.protocol.ids import MessageIds
from labtrawl.protocol.link import Link
from labtrawl.protocol.messages import (
    PROTOCOL,
    Ack,
    Challenge,
    Envelope,
    ErrorReport,
    Holding,
    Record,
    Register,
    Registered,
    Rejected,
)
from labtrawl.protocol.outbox import Outbox

log = logs.get("messaging.direct-client")

HANDSHAKE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
# A connection that ends sooner is a failed try: else one bad message would be sent in a tight loop.
SETTLED_SECONDS = 1.0
SILENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Dialler:
    """Who dials, with which token, and what it holds at the time of a (re)connect."""

    name: str
    token: str
    pid: int
    hostname: str
    version: str
    max_jobs: int
    holding: Callable[[], Sequence[Holding]]

    def __repr__(self) -> str:
        return f"Dialler({self.name})"


@dataclass(frozen=True, slots=True)
class Chance:
    """Sources of randomness: nonces, id bits, and the jitter of pauses (0 … 1)."""

    nonce: Callable[[], str]
    bits: Callable[[int], int]
    jitter: Callable[[], float]


class DirectCommunicationClient:
    """The crawler's line to the website."""

    def __init__(
        self,
        path: Path,
        dialler: Dialler,
        clock: Clock,
        chance: Chance,
        on_command: Callable[[Envelope], None],
    ) -> None:
        self._path = path
        self._dialler = dialler
        self._clock = clock
        self._chance = chance
        self._on_command = on_command
        self._ids = MessageIds(clock.now_ms, chance.bits)
        self._outbox = Outbox()
        self._requests: dict[str, tuple[Envelope, asyncio.Future[Envelope]]] = {}
        self._link: Link | None = None
        self.registered: Registered | None = None
        self.reconnects = 0
        self.dropped = 0

    def is_connected(self) -> bool:
        """Say whether the website has accepted this end, and is there."""
        return self.registered is not None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["DirectCommunicationClient"]:
        """Keep the connection up while the block runs."""
        task = asyncio.create_task(self._keep_connected(), name="direct-client")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._close()

    def make_id(self) -> str:
        """Return an id that this origin never used before."""
        return self._ids()

    async def request(self, type_: str, key: str, payload: Record, seconds: float) -> Envelope:
        """Ask and return the answer; asked again under the same id after a reconnect.

        Raises TimeoutError after `seconds`.
        """
        envelope = self._envelope(type_, key, payload)
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._requests[str(envelope.id)] = (envelope, answer)
        self._try_send(envelope)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            self._requests.pop(str(envelope.id), None)

    async def send_event(
        self, key: str, payload: Record, task_id: str
    ) -> asyncio.Future[dict[str, Any]]:
        """Hand over a message that must take effect; the future ends when it did, durably.

        Waits while the window is full. The future fails with LeaseLost where the job is not ours.
        """
        envelope = self._envelope("message", key, payload)
        answer = await self._outbox.add(envelope, task_id)
        self._try_send(envelope)
        return answer

    def send_state(self, type_: str, key: str, payload: Record) -> None:
        """Send what only the newest of matters; dropped, and counted, where it would pile up."""
        link = self._link if self.registered else None
        if link is not None and link.connection.is_writable():
            self._try_send(self._envelope(type_, key, payload))
        else:
            self.dropped += 1

    def send_heartbeat(self, payload: Record) -> None:
        """Send a sign of life."""
        self.send_state("heartbeat", "heartbeat", payload)

    def forget(self, task_id: str) -> None:
        """Drop the unacknowledged messages of a job that is no longer ours."""
        self._outbox.forget(task_id, LeaseLost(f"job {task_id} is no longer ours"))

    def _envelope(self, type_: str, key: str, payload: Record) -> Envelope:
        return Envelope(
            origin=self._dialler.name,
            destination="copilot-study",
            type=type_,
            key=key,
            payload=msgspec.Raw(msgspec.json.encode(payload)),
            timestamp=self._clock.now_ms(),
            id=self._ids(),
        )

    def _try_send(self, envelope: Envelope) -> None:
        if self.registered is None or self._link is None:
            return
        with contextlib.suppress(PeerGone):
            self._link.connection.send(envelope)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            lasted_seconds = await self._one_connection()
            failures = 0 if lasted_seconds >= SETTLED_SECONDS else failures + 1
            await self._clock.sleep(self._pause(failures))

    async def _one_connection(self) -> float:
        """Connect and stay as long as that lasts; return how long it did."""
        connected_at: float | None = None
        try:
            await self._connect()
            connected_at = self._clock.monotonic()
            await self._stay()
        except (OSError, PeerGone, TimeoutError) as error:
            log.info("connect_failed", error=str(error) or type(error).__name__)
        except (ProtocolError, msgspec.MsgspecError) as error:
            log.warning("refused_by_website", error=str(error))
        finally:
            self._close()
        return 0.0 if connected_at is None else self._clock.monotonic() - connected_at

    def _pause(self, failures: int) -> float:
        """At once, then full jitter under a doubling ceiling (protocol, guarantee 6)."""
        if failures <= 1:
            return 0.0
        # Bounded before it is a power: a website may be away for days.
        doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)
        return min(LONGEST_PAUSE_SECONDS, doubled) * self._chance.jitter()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        link = self._link = Link(self._message_received)
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await loop.create_unix_connection(lambda: Connection(link.attach), str(self._path))
            self.registered = await self._register(link)
        self.reconnects += 1
        log.info("connected", website=self.registered.client_id)
        self._send_again()
        link.begin()

    async def _register(self, link: Link) -> Registered:
        challenge = msgspec.json.decode((await link.next("challenge")).payload, type=Challenge)
        own_nonce = self._chance.nonce()
        secret = proof.secret_of(self._dialler.token)
        name = self._dialler.name
        register = Register(
            id=name,
            pid=self._dialler.pid,
            version=self._dialler.version,
            protocol=PROTOCOL,
            hostname=self._dialler.hostname,
            max_jobs=self._dialler.max_jobs,
            nonce=own_nonce,
            proof=proof.prove(secret, challenge.nonce, own_nonce, proof.ROLE_CRAWLER, name),
            holding=list(self._dialler.holding()),
        )
        link.connection.send(self._envelope("command", "register", register))
        answer = await link.next("registered", "rejected")
        if answer.key == "rejected":
            rejected = msgspec.json.decode(answer.payload, type=Rejected)
            raise ProtocolError(f"the website refused the connection: {rejected.reason}")
        registered = msgspec.json.decode(answer.payload, type=Registered)
        self._check(registered, secret, own_nonce, challenge.nonce)
        return registered

    def _check(self, registered: Registered, secret: bytes, own: str, theirs: str) -> None:
        name = registered.client_id
        if not proof.is_proved(registered.proof, secret, own, theirs, proof.ROLE_WEBSITE, name):
            raise ProtocolError("the listening end could not prove that it is our website")

    def _send_again(self) -> None:
        for envelope in self._outbox.unsent():
            self._try_send(envelope)
        for envelope, _answer in list(self._requests.values()):
            self._try_send(envelope)

    async def _stay(self) -> None:
        """Return when the connection ended, or after too long a silence."""
        loop = asyncio.get_running_loop()
        while self._link is not None and not self._link.ended.is_set():
            quiet = loop.time() - self._link.connection.received_at
            if quiet >= SILENCE_SECONDS:
                log.warning("website_silent", seconds=round(quiet, 1))
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_SECONDS - quiet):
                    await self._link.ended.wait()

    def _close(self) -> None:
        if self.registered is not None:
            log.info("disconnected")
        self.registered = None
        if self._link is not None:
            self._link.close()
        self._link = None

    def _message_received(self, envelope: Envelope) -> None:
        try:
            self._dispatch(envelope)
        except msgspec.MsgspecError as error:
            log.warning("bad_message", key=envelope.key, error=str(error))
            # What it answered is asked for again on the next connection.
            if self._link is not None:
                self._link.close()

    def _dispatch(self, envelope: Envelope) -> None:
        if envelope.key == "ACK":
            self._outbox.acknowledge(msgspec.json.decode(envelope.payload, type=Ack))
        elif envelope.key == "ERROR":
            self._refuse(msgspec.json.decode(envelope.payload, type=ErrorReport))
        elif envelope.reply_to in self._requests:
            _, answer = self._requests[envelope.reply_to]
            if not answer.done():
                answer.set_result(envelope)
        elif envelope.key != "heartbeat":
            self._on_command(envelope)

    def _refuse(self, report: ErrorReport) -> None:
        error = _error_of(report)
        if report.reply_to in self._requests:
            _, answer = self._requests[report.reply_to]
            if not answer.done():
                answer.set_exception(error)
        elif report.reply_to is not None:
            self._outbox.refuse(report.reply_to, error)


def _error_of(report: ErrorReport) -> Exception:
    if report.code == LeaseLost.reason:
        return LeaseLost(report.message)
    if report.code == BadMessage.reason:
        return BadMessage(report.message)
    return StoreError(report.message)
