"""How many requests to one origin may be under way at once, by how its answers come. Pure.

Additive growth and multiplicative decrease, as of TCP (RFC 5681), over the latency of answers that
are alike: of one kind of path and about one size. A block of GraphQL with many comments takes
longer than one with none, and that says nothing of how busy GitLab is. Instants and lengths are
seconds and come in as arguments. Only `gate` enters.
"""

import math
import re
from dataclasses import dataclass, field

START = 16
SHRINK = 0.7
# Lateness alone leaves so many: GitLab may be slow by itself for hours, which is no trouble, and what
# its limit of requests allows would never be read one by one.
LEAST_LATE = 4
# Near its floor the latency is under twice of it, or later by what nobody waits for; far above it is
# over three times, and by more than a busy moment of our own.
NEAR_RATIO, NEAR_SECONDS = 2.0, 0.05
FAR_RATIO, FAR_SECONDS = 3.0, 0.1
# About so many answers make a figure.
SMOOTHED_OVER = 10
# A floor that is never reached again is forgotten: it doubles in this time.
FLOOR_DOUBLES_SECONDS = 300.0
MOST_KINDS = 1024
_NUMBERED = re.compile(r"[^/]*[\d%.][^/]*")


@dataclass(slots=True)
class _Kind:
    """The latency of answers that are alike, smoothed, and the least that it was."""

    smoothed: float
    floor: float
    at: float

    def take(self, seconds: float, now: float) -> None:
        self.smoothed += (seconds - self.smoothed) / SMOOTHED_OVER
        risen = self.floor * 2.0 ** (max(now - self.at, 0.0) / FLOOR_DOUBLES_SECONDS)
        self.floor, self.at = min(risen, self.smoothed), now


@dataclass(slots=True)
class Pace:
    """Between 1 and `most`; one that does not adapt stays at `most`."""

    most: int
    is_adaptive: bool = True
    allowed: float = field(init=False)
    under_way: int = 0
    _was_full: bool = False
    # Until the first sign of a limit each answer lets one more go, so that a round doubles them.
    _is_starting: bool = True
    _shrunk_at: float = -math.inf
    _kinds: dict[tuple[str, int], _Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.allowed = float(min(START, self.most) if self.is_adaptive else self.most)

    def may_begin(self) -> bool:
        """Say whether one more may be under way."""
        return self.under_way < int(self.allowed)

    def begin(self) -> None:
        """Count one more."""
        self.under_way += 1
        self._was_full = self._was_full or not self.may_begin()

    def leave(self) -> None:
        """Count one less, of which nothing was learned."""
        self.under_way -= 1

    def end(
        self, path: str, began_at: float, now: float, is_trouble: bool, length: int = 0
    ) -> None:
        """Count one less, and learn from how it went; `is_trouble`: it failed on the other side.

        `length` is that of the answer, in bytes.
        """
        was_full, self._was_full = self._was_full, not self.may_begin()
        self.under_way -= 1
        if not self.is_adaptive:
            return
        if is_trouble:
            self._shrink(began_at, now, 1)
            return
        # Within a factor of two one size is as good as another.
        kind = self._kind((kind_of(path), length.bit_length()), now - began_at, now)
        late = kind.smoothed - kind.floor
        if late > FAR_SECONDS and kind.smoothed > FAR_RATIO * kind.floor:
            self._shrink(began_at, now, LEAST_LATE)
        elif late > NEAR_SECONDS and kind.smoothed > NEAR_RATIO * kind.floor:
            self._is_starting = False
        elif was_full:
            step = 1.0 if self._is_starting else 1 / self.allowed
            self.allowed = min(self.allowed + step, self.most)

    def _shrink(self, began_at: float, now: float, least: int) -> None:
        """Once for all that was under way at the time: their lateness has one cause."""
        self._is_starting = False
        if began_at >= self._shrunk_at:
            fewer = max(self.allowed * SHRINK, float(least))
            self.allowed, self._shrunk_at = min(self.allowed, fewer), now

    def _kind(self, name: tuple[str, int], seconds: float, now: float) -> _Kind:
        if len(self._kinds) >= MOST_KINDS and name not in self._kinds:
            self._kinds.clear()
        kind = self._kinds.setdefault(name, _Kind(seconds, seconds, now))
        kind.take(seconds, now)
        return kind


def kind_of(path_and_query: str) -> str:
    """Return the words of a path without its numbers and names: `/api/v4/projects/*/issues`."""
    path = path_and_query.partition("?")[0]
    head, mark, rest = path.partition("/api/v4/")
    return head + mark + _NUMBERED.sub("*", rest)
