"""Clocks of a crawl whose waits cost no time: who sleeps long moves the time of the whole crawl."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from labtrawl.clock import Clock

# Shorter pauses are slept for real: somebody polls.
WORTH_LEAPING_SECONDS = 0.1
CARE_SECONDS = 0.02


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
        return Clock(self.now, self.monotonic, self._leap)

    def website(self) -> Clock:
        """The same time; who waits here waits for peers, in real time."""
        return Clock(self.now, self.monotonic, asyncio.sleep)

    async def _leap(self, seconds: float) -> None:
        if seconds >= WORTH_LEAPING_SECONDS:
            self.leapt_seconds += seconds
            seconds = 0
        await asyncio.sleep(seconds)


def hurried(clock: Clock) -> Clock:
    """The clock with pauses cut short: what is due is looked for often."""
    return Clock(
        clock.now, clock.monotonic, lambda seconds: asyncio.sleep(min(seconds, CARE_SECONDS))
    )
