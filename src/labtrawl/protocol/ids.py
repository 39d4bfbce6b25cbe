"""Message ids: ULIDs that grow with every call (github.com/ulid/spec)."""

import re
from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
RANDOM_BITS = 80
_ID = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_LOW_BITS = 20
_PREFIX_LENGTH = 22


def is_message_id(text: str | None) -> bool:
    """Say whether a text is such an id: only those can be compared with each other."""
    return text is not None and _ID.fullmatch(text) is not None


class MessageIds:
    """Makes the ids of one origin; each is greater than all before it, as text too."""

    def __init__(self, now_ms: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last = 0
        self._drawn_ms = -1
        self._high = -1
        self._prefix = ""

    def __call__(self) -> str:
        """Return the next id, 26 characters."""
        # A clock that stands still or goes back must not make an id smaller.
        self._last = max(self._fresh(), self._last + 1)
        high, low = self._last >> _LOW_BITS, self._last & ((1 << _LOW_BITS) - 1)
        if high != self._high:
            self._high, self._prefix = high, _text(high)
        return self._prefix + _PAIRS[low >> 10] + _PAIRS[low & 1023]

    def _fresh(self) -> int:
        """Draw once a millisecond; within it the ids count on."""
        now_ms = self._now_ms()
        if now_ms <= self._drawn_ms:
            return 0
        self._drawn_ms = now_ms
        return (now_ms << RANDOM_BITS) | self._random_bits(RANDOM_BITS - 1)


def _text(number: int) -> str:
    shifts = range(5 * (_PREFIX_LENGTH - 1), -1, -5)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in shifts)
