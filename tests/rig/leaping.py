"""Hours in minutes: real time while something is under way, and leaps while nobody has work.

The whole product runs on it, its database too: what `NOW_MS` reads is this time.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, event

from labtrawl.clock import Clock
from labtrawl.store.engine import Store

LOOK_SECONDS = 0.005
# No heartbeat may be missed in a leap.
LONGEST_LEAP_SECONDS = 4.0
# Who is at work and did not ask GitLab for so long waits for a budget.
IDLE_SECONDS = 0.5
BUSY = "SELECT EXISTS (SELECT 1 FROM job WHERE state = 'running' OR (state = 'queued' AND run_after IS NULL))"
DUE = "SELECT MIN(next_at), MIN(sweep_at) FROM visit"


@dataclass(slots=True)
class Leaps:
    """The time: seconds since 1970, `leapt` of them not lived through."""

    leapt: float = 0.0
    _stops: list[float] = field(default_factory=list)

    def now(self) -> float:
        return time.time() + self.leapt

    def clock(self) -> Clock:
        return Clock(
            lambda: datetime.fromtimestamp(self.now(), UTC),
            lambda: time.monotonic() + self.leapt,
            self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        """Wait; a leap may end up to its own length later."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:  # noqa: ASYNC110 - time leaps
            await asyncio.sleep(min(left, LOOK_SECONDS))

    async def until(self, instant: float) -> None:
        """Wait for an instant that no leap goes beyond."""
        self._stops.append(instant)
        await self.sleep(instant - self.now())
        self._stops.remove(instant)

    @contextlib.contextmanager
    def databases(self) -> Iterator[None]:
        """Let each database that is opened meanwhile go by this time."""

        def on_connect(connection: Any, _record: object) -> None:
            connection.create_function("unixepoch", 1, lambda _: self.now(), deterministic=True)

        event.listen(Engine, "connect", on_connect)
        try:
            yield
        finally:
            event.remove(Engine, "connect", on_connect)

    @contextlib.asynccontextmanager
    async def leaping(self, store: Store, asked: Callable[[], int]) -> AsyncIterator[None]:
        """Leap while the block runs; `asked` are the requests so far."""
        task = asyncio.create_task(self._leap(store, asked))
        try:
            yield
        finally:
            task.cancel()

    async def _leap(self, store: Store, asked: Callable[[], int]) -> None:
        before, asked_at = -1, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if asked() != before:
                before, asked_at = asked(), time.monotonic()
            is_busy, due = await store.read(
                lambda c: (c.exec_driver_sql(BUSY).scalar(), c.exec_driver_sql(DUE).one())
            )
            if is_busy:
                if time.monotonic() - asked_at >= IDLE_SECONDS:
                    self.leapt += 0.1
                continue
            ends = [at / 1000 for at in due if at is not None]
            ahead = min((*ends, *self._stops), default=math.inf) - self.now()
            # The care that opens what is due looks twice a second.
            self.leapt += min(max(ahead, 0.5), LONGEST_LEAP_SECONDS)
