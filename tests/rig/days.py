"""Days that pass in an instant: the look-alike, the database and labtrawl live by one calendar."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event

from labtrawl.clock import Clock
from tests.rig.crawl import Clocks

DAY = 86_400.0
# How often the website's care looks around.
LOOK_SECONDS = 0.02


@dataclass(slots=True)
class Days:
    """The time of day, with what was leapt over; `turns` counts those of the website's care."""

    leapt_seconds: float = 0.0
    turns: int = 0

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.leapt_seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.leapt_seconds)

    @property
    def clocks(self) -> Clocks:
        """Who waits for peers waits in real time; what is due after hours is due after a leap."""
        waiting = Clock(self.now, time.monotonic, asyncio.sleep)
        care = Clock(
            self.now,
            lambda: time.monotonic() + self.leapt_seconds,
            self._look_again,
        )
        return Clocks(waiting, waiting, care)

    async def _look_again(self, _seconds: float) -> None:
        self.turns += 1
        await asyncio.sleep(LOOK_SECONDS)

    @contextlib.contextmanager
    def in_databases(self) -> Iterator[None]:
        """Let SQLite databases that are opened in the block tell this time."""

        def tell(connection: Any, _record: object) -> None:
            connection.create_function("unixepoch", 1, lambda _modifier: self.time())

        event.listen(Engine, "connect", tell)
        try:
            yield
        finally:
            event.remove(Engine, "connect", tell)
