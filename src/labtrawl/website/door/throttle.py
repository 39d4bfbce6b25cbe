"""Slows down who tries again and again to get in; in memory, so a restart forgives."""

import ipaddress
from dataclasses import dataclass
from math import ceil

from labtrawl.clock import Clock

MINUTE = 60.0
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 900.0
MOST_ADDRESSES = 10_000


@dataclass(slots=True)
class _Tries:
    """What came from one address: how often in a row, when last, and from when on it may again."""

    count: int = 0
    last_at: float = 0.0
    free_at: float = 0.0


class Throttle:
    """Lets an address try `free` times a minute, then makes it wait, each time twice as long.

    All addresses together have `most` tries a minute.
    """

    def __init__(self, clock: Clock, free: int = 5, most: int = 300) -> None:
        self._clock = clock
        self._free = free
        self._most = most
        self._known: dict[str, _Tries] = {}
        self._minute = clock.monotonic()
        self._count = 0

    def wait_seconds(self, address: str) -> int:
        """Return how long an address has to wait before it may try, in whole seconds; 0 is now."""
        now = self._clock.monotonic()
        tries = self._known.get(block_of(address))
        left = tries.free_at - now if tries else 0.0
        if self._count >= self._most:  # never positive once that minute is over
            left = max(left, self._minute + MINUTE - now)
        return max(0, ceil(left))

    def tried(self, address: str) -> None:
        """Count a try."""
        now = self._clock.monotonic()
        if now - self._minute >= MINUTE:
            self._minute, self._count = now, 0
        self._count += 1
        key = block_of(address)
        tries = self._known.pop(key, None) or _Tries()
        if now - max(tries.last_at, tries.free_at) >= MINUTE:
            tries.count = 0
        tries.count += 1
        tries.last_at = now
        if (over := tries.count - self._free) >= 0:
            tries.free_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(over, 16))
        self._known[key] = tries
        if len(self._known) > MOST_ADDRESSES:
            del self._known[next(iter(self._known))]


def block_of(address: str) -> str:
    """Return what one caller can choose freely from: an IPv6 network of 64 bits, else the address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
