"""What a shelf keeps: listings by place, and which of them outlive a change.

Entered by `shelf` alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

from labtrawl.sandbox.entities import Body
from labtrawl.sandbox.listing import Listing, Row
from labtrawl.sandbox.wire import encode_json

Key = tuple[object, ...]
_INSTANCE = 0
# Lists over all projects; the number in their keys is the viewer's.
_OVER_ALL = frozenset({"groups", "projects"})
# Their rows tell of other projects, too.
_ACROSS = frozenset({"links"})


class Stock:
    """Listings by key: a name, the number of a place, and what else tells them apart.

    The bodies of rows that a change left alone are found again by the identity of their items.
    """

    def __init__(self) -> None:
        self._kept: dict[object, dict[Key, Listing]] = {}
        self._old: dict[object, dict[Key, Listing]] = {}
        self._changes = 0
        self._changed_at: dict[str, int] = {}

    def keep(self, key: Key, make: Callable[[], Listing]) -> Listing:
        """The listing kept under `key`, made on first use."""
        kept = self._kept.setdefault(_place(key), {})
        found = kept.get(key)
        if found is None:
            found = kept[key] = make()
        return found

    def keep_rows(self, key: Key, items: Iterable[Any], write: Callable[[Any], Body]) -> Listing:
        """As `keep`, with the rows of before for the items that are still the same objects."""

        def make() -> Listing:
            old = self._old.get(_place(key), {}).pop(key, None)
            known = {id(row.item): row for row in old.rows} if old else {}
            return Listing(
                [known.get(id(item)) or Row(item, encode_json(write(item))) for item in items]
            )

        return self.keep(key, make)

    def stamp(self, segments: tuple[str, ...]) -> int:
        """How many changes there were when last one may have touched what this path answers.

        A project named by its number answers for itself; every other path may tell of all.
        """
        if segments[:1] != ("projects",) or len(segments) < 2 or _ACROSS & set(segments):
            return self._changes
        return self._changed_at.get(segments[1], 0) if segments[1].isdecimal() else self._changes

    def drop(self, projects: set[int], relocated: set[int]) -> None:
        """Forget the lists of the changed projects, and all that are no project's."""
        self._changes += 1
        for place in list(self._kept):
            if place in projects:
                old = self._old.setdefault(place, {})
                old |= self._kept.pop(place)
        for place in [place for place in self._kept if not _is_project(place)]:
            del self._kept[place]
        for number in relocated:
            self._old.pop(number, None)
        for number in projects:
            self._changed_at[str(number)] = self._changes


def _place(key: Key) -> object:
    if len(key) < 2 or key[0] in _OVER_ALL:
        return _INSTANCE
    # A listing of a group carries its class; group and project may bear the same number.
    return ("group", key[1]) if any(_is_group(part) for part in key[2:]) else key[1]


def _is_group(part: object) -> bool:
    return isinstance(part, type) and part.__name__ == "Group"


def _is_project(place: object) -> bool:
    return isinstance(place, int) and place != _INSTANCE
