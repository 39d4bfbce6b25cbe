"""What one crawler has under way: reports about one job in the order sent, requests beside them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from labtrawl.dispatch.reports import SHOWN
from labtrawl.dispatch.statistics import Statistics
from labtrawl.protocol import messages as wire

# What one crawler may have under way; beyond it nothing more is taken from its inbox.
MOST_AT_ONCE = 256
# What one crawler may have waiting; beyond it nothing more is read from its socket.
MOST_WAITING = 1000
# Of each of both: messages may be as long as `socket.max_message_bytes`.
MOST_BYTES = 64 * 1024 * 1024


class Inbox(asyncio.Queue[wire.Envelope | None]):
    """What came from one crawler and was not taken yet; None is its end."""

    _bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read."""
        return self.qsize() >= MOST_WAITING or self._bytes >= MOST_BYTES

    @property
    def is_low(self) -> bool:
        """Whether reading may go on."""
        return self.qsize() < MOST_WAITING // 2 and self._bytes < MOST_BYTES // 2

    def _put(self, item: wire.Envelope | None) -> None:
        super()._put(item)
        self._bytes += _size(item)

    def _get(self) -> wire.Envelope | None:
        item = super()._get()
        self._bytes -= _size(item)
        return item


def _size(envelope: wire.Envelope | None) -> int:
    return 0 if envelope is None else memoryview(envelope.payload).nbytes


class About(wire.Record, frozen=True, kw_only=True):
    """As much of a report as tells where it belongs."""

    task_id: str = ""
    status: str = ""
    cursor: msgspec.Raw = msgspec.Raw(b"null")
    segments: Sequence[msgspec.Raw] = ()

    @property
    def is_state(self) -> bool:
        """Whether only the newest of its kind matters (protocol, guarantee 4)."""
        return self.status == SHOWN and bytes(self.cursor) == b"null" and not self.segments


class _Named(wire.Record, frozen=True, kw_only=True):
    task_id: str = ""


_ABOUT = msgspec.json.Decoder(About)
_NAMED = msgspec.json.Decoder(_Named)


def _about(payload: msgspec.Raw) -> About:
    """Read which job a report is about, though all else in it may be wrong."""
    try:
        return _ABOUT.decode(payload)
    except msgspec.ValidationError:
        return About(task_id=_NAMED.decode(payload).task_id)


class Queues:
    """The work of a session."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._tails: dict[str, asyncio.Task[None]] = {}
        # The newest state of each job that still waits for its turn.
        self._states: dict[str, wire.Envelope] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """How many messages are under way."""
        return len(self._work)

    @property
    def has_room(self) -> bool:
        """Whether one more may begin."""
        return len(self._work) < MOST_AT_ONCE and self._bytes < MOST_BYTES

    async def room(self) -> None:
        """Wait until one more may begin."""
        while not self.has_room:
            await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)

    def request(self, task: asyncio.Task[None]) -> None:
        """Count a request that is being answered."""
        self._begin(task)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    def cancel_requests(self) -> None:
        """Give up on what was only asked for."""
        for task in self._requests:
            task.cancel()

    def add(
        self,
        envelope: wire.Envelope,
        handle: Callable[[wire.Envelope], Awaitable[None]],
        group: asyncio.TaskGroup,
    ) -> None:
        """Handle a report after those before it about its job; a newer state replaces a waiting one.

        Raises MsgspecError where it is not told which job it is about.
        """
        about = _about(envelope.payload)
        if about.is_state and envelope.key == "PROGRESS_UPDATE":
            if about.task_id in self._states:
                self._statistics.merged += 1
                self._states[about.task_id] = envelope
                return
            self._states[about.task_id] = envelope
            task = self._chain(
                about.task_id, lambda: handle(self._states.pop(about.task_id)), group
            )
        else:
            task = self._chain(about.task_id, lambda: handle(envelope), group)
        self._weigh(task, _size(envelope))

    def _chain(
        self, job: str, work: Callable[[], Awaitable[None]], group: asyncio.TaskGroup
    ) -> asyncio.Task[None]:
        task = group.create_task(_after(self._tails.get(job), work))
        self._tails[job] = task
        self._begin(task)
        task.add_done_callback(lambda done: self._forget(job, done))
        return task

    def _weigh(self, task: asyncio.Task[None], size: int) -> None:
        self._bytes += size
        task.add_done_callback(lambda _: self._lighten(size))

    def _lighten(self, size: int) -> None:
        self._bytes -= size

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _forget(self, job: str, done: asyncio.Task[None]) -> None:
        if self._tails.get(job) is done:
            del self._tails[job]


async def _after(before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
    if before is not None and not before.done():
        await asyncio.wait([before])
    await work()
