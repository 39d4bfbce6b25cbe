"""When to dial again: at once, then full jitter, then a circuit that lets one probe through."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

# A connection that ends sooner is a failed try: else one bad message would be sent in a tight loop.
SETTLED_SECONDS = 1.0


class Circuit(StrEnum):
    """How a dialler stands with its listener."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BackoffLimits:
    """Pauses in seconds; after `failures` in a row the circuit opens (protocol, guarantee 6)."""

    first_seconds: float = 0.05
    longest_seconds: float = 5.0
    failures: int = 5
    open_seconds: float = 30.0


class Backoff:
    """Counts failures in a row; `jitter` gives 0 … 1."""

    def __init__(self, limits: BackoffLimits, jitter: Callable[[], float]) -> None:
        self._limits = limits
        self._jitter = jitter
        self._failures = 0
        self.opened = 0

    def circuit(self, is_trying: bool) -> Circuit:
        """Say how it stands; with an open circuit a try is a probe, and half-open."""
        if self._failures < self._limits.failures:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if is_trying else Circuit.OPEN

    def pause(self, lasted_seconds: float) -> float:
        """Return how long to wait after a connection that lasted so long; 0 for a failed try."""
        if lasted_seconds >= SETTLED_SECONDS:
            self._failures = 0
            return 0.0
        self._failures += 1
        if self._failures == self._limits.failures:
            self.opened += 1
        is_open = self._failures >= self._limits.failures
        return self._open_pause() if is_open else self._closed_pause()

    def _closed_pause(self) -> float:
        if self._failures <= 1:
            return 0.0
        # Bounded before it is a power: a listener may be away for days.
        doubled = self._limits.first_seconds * 2.0 ** min(self._failures - 1, 10)
        return min(self._limits.longest_seconds, doubled) * self._jitter()

    def _open_pause(self) -> float:
        """From 1 s to the limit, so that many diallers do not probe together."""
        least = min(1.0, self._limits.open_seconds)
        return least + (self._limits.open_seconds - least) * self._jitter()
