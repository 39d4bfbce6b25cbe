"""When people work: weekdays, office hours, and the nights before a release.

Entered by the generator. A Rhythm draws instants; it reads no clock.
"""

import random
from bisect import bisect_left
from itertools import accumulate

from labtrawl.sandbox.instants import DAY_MS, HOUR_MS

_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
_OFFICE = (0, 0, 0, 0, 0, 0, 1, 4, 12, 22, 26, 22, 10, 20, 26, 24, 18, 9, 4, 3, 4, 3, 2, 1)
_CRUNCH = (9, 6, 3, 1, 0, 0, 1, 4, 12, 22, 26, 22, 14, 22, 26, 24, 20, 16, 14, 16, 20, 22, 20, 14)
_WEEKEND = 0.06
CRUNCH_DAYS = 9


class Rhythm:
    """Draws instants between `start_ms` and `end_ms` in the lab's working rhythm."""

    def __init__(self, start_ms: int, end_ms: int, releases_ms: tuple[int, ...]) -> None:
        self.start_ms = start_ms - start_ms % HOUR_MS
        self.end_ms = end_ms
        release_days = [ms // DAY_MS for ms in releases_ms]
        days = range(self.start_ms // DAY_MS, end_ms // DAY_MS + 1)
        self._first_hour = days.start * 24
        weights: list[float] = []
        for day in days:
            weights.extend(_day_weights(day, release_days))
        self._sums = list(accumulate(weights))

    def draw(self, rng: random.Random, after_ms: int, before_ms: int | None = None) -> int:
        """One instant after `after_ms` and not after `before_ms` (default: the world's end)."""
        end = self.end_ms if before_ms is None else min(before_ms, self.end_ms)
        if end <= after_ms + 1:
            return end
        low = self._sum_before(after_ms)
        high = self._sum_before(end)
        slot = bisect_left(self._sums, low + rng.random() * (high - low))
        instant = (self._first_hour + slot) * HOUR_MS + int(rng.random() * HOUR_MS)
        return min(max(instant, after_ms + 1), end)

    def _sum_before(self, ms: int) -> float:
        slot = ms // HOUR_MS - self._first_hour
        return self._sums[min(slot, len(self._sums) - 1)] if slot >= 0 else 0.0


def _day_weights(day: int, release_days: list[int]) -> list[float]:
    crunch = any(0 <= release - day < CRUNCH_DAYS for release in release_days)
    weekend = (day + _EPOCH_WEEKDAY) % 7 >= 5
    factor = (2.6 if crunch else 1.0) * (_WEEKEND * (6 if crunch else 1) if weekend else 1.0)
    return [hour * factor for hour in (_CRUNCH if crunch else _OFFICE)]


def apportion(total: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion to `weights` that add up to `total` (largest remainders)."""
    whole = sum(weights)
    if whole <= 0:
        return [0] * len(weights)
    shares = [total * weight / whole for weight in weights]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: counts[i] - shares[i])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts
