"""Messages that must take effect: kept until acknowledged, sent again after a reconnect."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from labtrawl.protocol.messages import Ack, Envelope

WINDOW = 64
# Of their payloads together: above it nobody adds anything until some are acknowledged.
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pending:
    """A sent message and the promise of its answer."""

    envelope: Envelope
    task_id: str
    answer: asyncio.Future[dict[str, Any]]


class Outbox:
    """The unacknowledged events of one origin, in the order sent; bounded in number and bytes.

    Whoever sends when it is full waits: that stops the fetching, nothing is dropped.
    """

    def __init__(self, window: int = WINDOW, most_bytes: int = MOST_BYTES) -> None:
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._room = asyncio.Semaphore(window)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._let_go = asyncio.Event()

    async def add(self, envelope: Envelope, task_id: str) -> asyncio.Future[dict[str, Any]]:
        """Keep a message; return the future of what the website answers."""
        if envelope.id is None:
            raise ValueError("an event needs an id")
        await self._room.acquire()
        try:
            await self._until_light()
        except asyncio.CancelledError:
            self._room.release()
            raise
        self._bytes += _size(envelope)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[envelope.id] = Pending(envelope, task_id, answer)
        return answer

    async def _until_light(self) -> None:
        while self._bytes >= self._most_bytes:
            self._let_go.clear()
            await self._let_go.wait()

    def acknowledge(self, ack: Ack) -> None:
        """Let go of what took effect."""
        for message_id in ack.ids:
            self._acknowledge(message_id, ack)
        if ack.up_to:
            for message_id in [m for m, p in self._pending.items() if _is_acked(m, p, ack)]:
                self._acknowledge(message_id, ack)

    def _acknowledge(self, message_id: str, ack: Ack) -> None:
        pending = self._pop(message_id)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(ack.results.get(message_id, {}))

    def refuse(self, message_id: str, error: Exception) -> None:
        """Let go of a message that the website will never apply, and of its job's later ones.

        Those behind it would leave a hole where it was. All their futures fail with `error`.
        """
        refused = self._pending.get(message_id)
        if refused is not None:
            self._fail(
                [m for m, p in self._pending.items() if p.task_id == refused.task_id],
                error,
                message_id,
            )

    def forget(self, task_id: str, error: Exception) -> None:
        """Drop all messages about a job whose lease is gone: they could change nothing."""
        self._fail([m for m, p in self._pending.items() if p.task_id == task_id], error)

    def _fail(self, message_ids: list[str], error: Exception, since: str = "") -> None:
        for message_id in message_ids:
            if message_id >= since and (pending := self._pop(message_id)) is not None:
                _set_exception(pending.answer, error)

    def unsent(self) -> list[Envelope]:
        """Return everything not yet acknowledged, oldest first."""
        return [pending.envelope for pending in self._pending.values()]

    def _pop(self, message_id: str) -> Pending | None:
        pending = self._pending.pop(message_id, None)
        if pending is not None:
            self._bytes -= _size(pending.envelope)
            self._let_go.set()
            self._room.release()
        return pending


def _size(envelope: Envelope) -> int:
    return len(memoryview(envelope.payload))


def _set_exception(answer: asyncio.Future[dict[str, Any]], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        # A job that was dropped asks for none of its answers: that is no fault to complain about.
        answer.exception()


def _is_acked(message_id: str, pending: Pending, ack: Ack) -> bool:
    up_to = ack.up_to.get(pending.task_id)
    return up_to is not None and message_id <= up_to
