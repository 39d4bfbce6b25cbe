"""Message ids: ULIDs that grow with every call (github.com/ulid/spec)."""

from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
RANDOM_BITS = 80


def is_message_id(text: str | None) -> bool:
    """Say whether a text is such an id: only those can be compared with each other."""
    return text is not None and len(text) == LENGTH and set(text) <= set(ALPHABET)


class MessageIds:
    """Makes the ids of one origin; each is greater than all before it, as text too."""

    def __init__(self, now_ms: Callable[[], int], random_bits: Callable[[int], int]) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last = 0

    def __call__(self) -> str:
        """Return the next id, 26 characters."""
        fresh = (self._now_ms() << RANDOM_BITS) | self._random_bits(RANDOM_BITS - 1)
        # A clock that stands still or goes back must not make an id smaller.
        self._last = max(fresh, self._last + 1)
        return "".join(ALPHABET[(self._last >> shift) & 31] for shift in range(125, -1, -5))
