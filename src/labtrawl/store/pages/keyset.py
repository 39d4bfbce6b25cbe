"""Pages by key: the place of a page is the key of its neighbour, so any depth costs the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Place(Generic[K]):
    """Where a page lies: right after `after`, right before `before`, or at the start."""

    after: K | None = None
    before: K | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, and whether there is something on either side of it."""

    rows: Sequence[T]
    has_previous: bool
    has_next: bool


def cut(rows: Sequence[T], place: Place[K], size: int) -> Page[T]:
    """Make a page of up to `size` + 1 rows, read backwards where `place.before` is set."""
    more = len(rows) > size
    kept = rows[:size]
    if place.before is not None:
        return Page(tuple(reversed(kept)), has_previous=more, has_next=True)
    return Page(tuple(kept), has_previous=place.after is not None, has_next=more)
