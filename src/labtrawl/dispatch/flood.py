"""How fast one connection may send: slowed first, then closed; the others never notice."""

from dataclasses import dataclass
from enum import StrEnum

# A sender that kept to its measure for so many cool-downs begins again from nothing.
FORGIVEN_AFTER = 10


class Verdict(StrEnum):
    """What is done about a message that came."""

    TAKE = "take"
    SLOW = "slow"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """So many messages a second; above it nothing is read for a while, and at last never again."""

    messages_per_second: float = 5000.0
    cooldown_seconds: float = 1.0
    cooldowns: int = 5


class Meter:
    """The measure of one connection: a bucket that holds one second's messages."""

    def __init__(self, limits: FloodLimits, now: float) -> None:
        self._limits = limits
        self._room = limits.messages_per_second
        self._at = now
        self._slowed = 0
        self._slowed_at = now

    def take(self, now: float) -> Verdict:
        """Say what to do about a message that comes at `now` (monotonic seconds)."""
        rate = self._limits.messages_per_second
        self._room = min(rate, self._room + (now - self._at) * rate) - 1.0
        self._at = now
        return Verdict.TAKE if self._room >= 0.0 else self._overflow(now)

    def _overflow(self, now: float) -> Verdict:
        self._room = self._limits.messages_per_second
        if now - self._slowed_at > FORGIVEN_AFTER * self._limits.cooldown_seconds:
            self._slowed = 0
        self._slowed += 1
        self._slowed_at = now
        return Verdict.CLOSE if self._slowed > self._limits.cooldowns else Verdict.SLOW
