"""Where time comes from: handed down as a value, so that rules never read a clock themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time, monotonic time and waiting; tests hand in their own functions."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return int(self.now().timestamp() * 1000)


def system_clock() -> Clock:
    """Return the machine's own clock."""
    return Clock(lambda: datetime.now(UTC), time.monotonic, asyncio.sleep)
