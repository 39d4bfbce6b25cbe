"""How long to leave a GitLab alone that refuses and does not say for how long. Pure.

The curve of Apache StormCrawler: doubling waits with a little jitter, forgiven after a quiet time.
"""

from dataclasses import dataclass
from typing import Final

FIRST_WAIT_MS: Final = 60_000
LONGEST_WAIT_MS: Final = 86_400_000
FORGIVEN_AFTER_MS: Final = 30 * 60_000
JITTER: Final = 0.1
_MOST_DOUBLINGS = 32


@dataclass(slots=True)
class Curve:
    """The refusals in a row of one account; instants and lengths in ms."""

    first_wait_ms: int = FIRST_WAIT_MS
    _strikes: int = 0

    def next_wait(self, quiet_ms: int, random: float) -> int:
        """Return the next wait, `quiet_ms` after the last one was over; random in 0 … 1."""
        if quiet_ms >= FORGIVEN_AFTER_MS:
            self._strikes = 0
        doubled = self.first_wait_ms * 2 ** min(self._strikes, _MOST_DOUBLINGS)
        self._strikes += 1
        return min(int(min(doubled, LONGEST_WAIT_MS) * (1 + JITTER * random)), LONGEST_WAIT_MS)
