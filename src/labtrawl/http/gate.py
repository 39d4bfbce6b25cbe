"""Lets as many requests through at once as the pace allows, first come first served. For `door`."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from labtrawl.errors import Unavailable
from labtrawl.http.pace import Pace


@dataclass(slots=True)
class Passage:
    """One request under way; `status` and `length` (bytes) are set by who got an answer."""

    status: int = 0
    length: int = 0


Heard = Callable[[str, int, int, float], None]
"""Hears of a request that came to its end: path, status, length of the answer (bytes), seconds.

The seconds begin with its turn; a status of 0 is no answer at all.
"""


def nobody(_path: str, _status: int, _length: int, _seconds: float) -> None:
    """Hear nothing."""


class Gate:
    """The turns of one origin's requests."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float], heard: Heard = nobody) -> None:
        self._pace = pace
        self._monotonic = monotonic
        self._heard = heard
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def allowed(self) -> int:
        """How many may be under way at once by now."""
        return int(self._pace.allowed)

    @asynccontextmanager
    async def passage(self, path: str) -> AsyncIterator[Passage]:
        """Wait for a turn; what comes of the request decides how many have one later."""
        await self._turn()
        passage, began_at = Passage(), self._monotonic()
        is_known, is_trouble = False, False
        try:
            yield passage
            is_known, is_trouble = True, passage.status >= 500
        except Unavailable:
            is_known = is_trouble = True
            raise
        finally:
            if is_known:
                now = self._monotonic()
                self._pace.end(path, began_at, now, is_trouble, passage.length)
                self._heard(path, passage.status, passage.length, now - began_at)
            else:
                self._pace.leave()
            self._call_next()

    async def _turn(self) -> None:
        if not self._waiting and self._pace.may_begin():
            self._pace.begin()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pace.leave()  # it had its turn already
                self._call_next()
            else:
                self._waiting.remove(turn)
            raise

    def _call_next(self) -> None:
        while self._waiting and self._pace.may_begin():
            turn = self._waiting.popleft()
            if not turn.done():
                self._pace.begin()
                turn.set_result(None)
