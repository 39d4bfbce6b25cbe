"""Time for crawls that wait: it passes as it does, and leaps while nothing is asked of GitLab."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from labtrawl.clock import Clock

LOOK_SECONDS = 0.01
# Nothing was asked for so many looks: everybody waits.
IDLE_LOOKS = 5
LEAP_SECONDS = 1.0


@dataclass(slots=True)
class Leaping:
    """Real time and what was leapt over; `wall_seconds` moves the time of day alone."""

    leapt_seconds: float = 0.0
    wall_seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.leapt_seconds + self.wall_seconds)

    def monotonic(self) -> float:
        return time.monotonic() + self.leapt_seconds

    def crawler(self) -> Clock:
        """The clock of who waits for GitLab."""
        return Clock(self.now, self.monotonic, self._sleep)

    def website(self) -> Clock:
        """The same time; who waits here waits for peers, in real time."""
        return Clock(self.now, self.monotonic, asyncio.sleep)

    def hurried(self) -> Clock:
        """The same time with pauses cut short: what is due is looked for often."""
        return Clock(self.now, self.monotonic, lambda _seconds: asyncio.sleep(LOOK_SECONDS))

    async def _sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:  # noqa: ASYNC110 - time leaps
            await asyncio.sleep(min(left, LOOK_SECONDS))

    @contextlib.asynccontextmanager
    async def leaping(self, asked: Callable[[], int]) -> AsyncIterator[None]:
        """Leap while the block runs, as long as `asked` (requests so far) stays the same."""
        task = asyncio.create_task(self._leap(asked))
        try:
            yield
        finally:
            task.cancel()

    async def _leap(self, asked: Callable[[], int]) -> None:
        before, idle = -1, 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            idle = idle + 1 if asked() == before else 0
            before = asked()
            if idle >= IDLE_LOOKS:
                self.leapt_seconds += LEAP_SECONDS
