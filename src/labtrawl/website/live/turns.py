"""Whose page asks for itself again now. Pure.

Such a page is made anew for each viewer, in some 40 ms: the more of them are open, the longer each
waits for its turn, so that together they take about a quarter of a core at most.
"""

from collections.abc import Hashable, Iterable
from typing import TypeVar

V = TypeVar("V", bound=Hashable)

# A page asks for itself again at most this often.
PAGE_SECONDS = 2.0
# All pages together, and so many at once after a calm.
PAGES_A_SECOND = 6.0
MOST_AT_ONCE = 12.0


class Turns:
    """Who was told when, and how many more may be told now."""

    def __init__(self) -> None:
        self._told_at: dict[Hashable, float] = {}
        self._allowed = MOST_AT_ONCE
        self._counted_at: float | None = None

    def take(self, now: float, waiting: Iterable[V]) -> list[V]:
        """Return those of `waiting` who are told now, at `now` seconds; the longest untold first."""
        if self._counted_at is not None:
            grown = (now - self._counted_at) * PAGES_A_SECOND
            self._allowed = min(MOST_AT_ONCE, self._allowed + grown)
        self._counted_at = now
        due = [each for each in waiting if self._since(each, now) >= PAGE_SECONDS]
        due.sort(key=lambda each: -self._since(each, now))
        taken = due[: int(self._allowed)]
        self._allowed -= len(taken)
        self._told_at |= dict.fromkeys(taken, now)
        return taken

    def forget(self, viewer: Hashable) -> None:
        """Forget somebody who left."""
        self._told_at.pop(viewer, None)

    def _since(self, viewer: Hashable, now: float) -> float:
        return now - self._told_at.get(viewer, float("-inf"))
