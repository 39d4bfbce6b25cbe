"""The dialling end: one connection that comes back for ever and loses nothing it was given.

Used by crawlers. It proves itself, keeps what was not acknowledged, sends it again in the same
order, and answers requests that were cut off by asking again under the same id.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import BadMessage, LeaseLost, PeerGone, ProtocolError, StoreError
from labtrawl.protocol.backoff import Backoff, BackoffLimits, Circuit
from labtrawl.protocol.ids import MessageIds
from labtrawl.protocol.link import Link
from labtrawl.protocol.meeting import Dialler, Introduction, Meeting
from labtrawl.protocol.messages import Ack, Envelope, ErrorReport, Record, Registered
from labtrawl.protocol.outbox import Outbox

log = logs.get("messaging.direct-client")

SILENCE_SECONDS = 15.0

_ack = msgspec.json.Decoder(Ack)


@dataclass(frozen=True, slots=True)
class Chance:
    """Sources of randomness: nonces, id bits, and the jitter of pauses (0 … 1)."""

    nonce: Callable[[], str]
    bits: Callable[[int], int]
    jitter: Callable[[], float]


class DirectCommunicationClient:
    """The crawler's line to the website; `meet` says how the two ends find each other."""

    def __init__(
        self,
        meet: Meeting,
        dialler: Dialler,
        clock: Clock,
        chance: Chance,
        on_command: Callable[[Envelope], None],
        limits: BackoffLimits | None = None,
    ) -> None:
        self._meet = meet
        self._dialler = dialler
        self._clock = clock
        self._chance = chance
        self._on_command = on_command
        self._ids = MessageIds(clock.now_ms, chance.bits)
        self._outbox = Outbox()
        self._requests: dict[str, tuple[Envelope, asyncio.Future[Envelope]]] = {}
        self._link: Link | None = None
        self._backoff = Backoff(limits or BackoffLimits(), chance.jitter)
        self._is_trying = False
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

    def acknowledge(self, envelope: Envelope) -> None:
        """Say that a command was understood and is being done."""
        if envelope.id is not None:
            self._try_send(self._envelope("message", "ACK", Ack(ids=[envelope.id])))

    @property
    def circuit(self) -> Circuit:
        """How this end stands with the website."""
        return Circuit.CLOSED if self.is_connected() else self._backoff.circuit(self._is_trying)

    @property
    def circuit_opened(self) -> int:
        """How often it could not connect for so long that it began to try less often."""
        return self._backoff.opened

    @property
    def unsent(self) -> int:
        """How many events wait for their acknowledgement."""
        return len(self._outbox.unsent())

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
        if (connection := self._link.connection).open:
            connection.send(envelope)

    async def _keep_connected(self) -> None:
        while True:
            lasted_seconds = await self._one_connection()
            pause = self._backoff.pause(lasted_seconds)
            if self._backoff.circuit(False) is Circuit.OPEN:
                log.warning("circuit_open", probe_in_seconds=round(pause, 1))
            await self._clock.sleep(pause)

    async def _one_connection(self) -> float:
        """Connect and stay as long as that lasts; return how long it did."""
        connected_at: float | None = None
        self._is_trying = True
        try:
            await self._connect()
            connected_at = self._clock.monotonic()
            await self._stay()
        except (OSError, PeerGone, TimeoutError) as error:
            log.info("connect_failed", error=str(error) or type(error).__name__)
        except (ProtocolError, msgspec.MsgspecError) as error:
            log.warning("refused_by_website", error=str(error))
        finally:
            self._is_trying = False
            self._close()
        return 0.0 if connected_at is None else self._clock.monotonic() - connected_at

    async def _connect(self) -> None:
        link = self._link = Link(self._message_received)
        words = Introduction(self._dialler, self._chance.nonce, self._envelope)
        self.registered = await self._meet.meet(link, words)
        self.reconnects += 1
        log.info("connected", website=self.registered.client_id)
        self._send_again()
        link.begin()

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
            self._outbox.acknowledge(_ack.decode(envelope.payload))
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
