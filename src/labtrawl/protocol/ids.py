"""Message ids: ULIDs that grow with every call (github.com/ulid/spec)."""

import re
from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
RANDOM_BITS = 80
_ID = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_SHIFTS = tuple(range(10 * (LENGTH // 2 - 1), -1, -10))
# How long an origin counts on from the same random number: asking the system for one takes longer
# than all the rest of an id.
DRAWN_FOR_MS = 1000


def is_message_id(text: str | None) -> bool:
    """Say whether a text is such an id: only those can be compared with each other."""
    return text is not None and _ID.fullmatch(text) is not None


class MessageIds:
    """Makes the ids of one origin; each is greater than all before it, as text too."""

    def __init__(self, now_ms: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last = 0
        self._made_ms = -1
        self._drawn = 0
        self._drawn_until = -1

    def __call__(self) -> str:
        """Return the next id, 26 characters."""
        # A clock that stands still or goes back must not make an id smaller.
        self._last = last = max(self._fresh(), self._last + 1)
        return "".join([_PAIRS[(last >> shift) & 1023] for shift in _SHIFTS])

    def _fresh(self) -> int:
        """Return the first number of a millisecond; within it the ids count on."""
        now_ms = self._now_ms()
        if now_ms <= self._made_ms:
            return 0
        self._made_ms = now_ms
        if now_ms >= self._drawn_until:
            self._drawn, self._drawn_until = (
                self._random_bits(RANDOM_BITS - 1),
                now_ms + DRAWN_FOR_MS,
            )
        return (now_ms << RANDOM_BITS) | self._drawn
