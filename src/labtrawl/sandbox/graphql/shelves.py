"""Sorted lists of the world, kept while the objects behind them stay the same.

Entered by the fields. A world may change while it is served: every list remembers the tuples it
was made of, and is made anew when one of them is another.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, TypeVar

from labtrawl.sandbox.access import Viewer, sees_issue
from labtrawl.sandbox.graphql.connections import Chain
from labtrawl.sandbox.model import PLANNER, Group, Issue, Label, MergeRequest, Project, Timelog
from labtrawl.sandbox.shelf import Shelf

T = TypeVar("T")
# The number of the project, and something of it: numbers outlive a project's changes.
Pair = tuple[int, Any]


class Spent(NamedTuple):
    """A timelog by what it is sorted by, and what it was spent on."""

    id: int
    spent_at: str
    created_at: str
    updated_at: str
    entry: Timelog
    item: Issue | MergeRequest


def _spent(item: Issue | MergeRequest, entry: Timelog) -> Spent:
    return Spent(entry.id, entry.spent_at, entry.created_at, entry.updated_at, entry, item)


def _items(project: Project) -> tuple[Issue | MergeRequest, ...]:
    return (*project.issues, *project.merge_requests)


class Shelves:
    """Lists over one world."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kept: dict[tuple[object, ...], tuple[tuple[object, ...], Any]] = {}

    @property
    def access(self) -> Any:
        """The world's places and rules, as they are now."""
        return self._shelf.access

    @property
    def base(self) -> str:
        """The address of the instance, no slash at its end."""
        return self._shelf.base

    def keep(
        self, key: tuple[object, ...], sources: tuple[object, ...], make: Callable[[], T]
    ) -> T:
        """What is kept under `key`, made anew if `sources` are not the same objects any more."""
        found = self._kept.get(key)
        if (
            found is not None
            and len(found[0]) == len(sources)
            and all(a is b for a, b in zip(found[0], sources, strict=True))
        ):
            kept: T = found[1]
            return kept
        made = make()
        self._kept[key] = (sources, made)
        return made

    def items(self, projects: Sequence[Project], kind: str, column: str, key: object) -> Chain:
        """Items of projects by one of their columns; `kind` is the attribute that holds them.

        `key` names the list of projects.
        """
        sources = tuple(getattr(project, kind) for project in projects)
        return self.keep(
            (kind, column, key),
            sources,
            lambda: chain(
                column,
                (
                    (project.id, item)
                    for project, items in zip(projects, sources, strict=True)
                    for item in items
                ),
            ),
        )

    def times(self, projects: Sequence[Project], column: str, key: object) -> Chain:
        """The times spent in projects as `Spent`, by one of their columns."""
        sources = tuple(items for each in projects for items in (each.issues, each.merge_requests))
        return self.keep(
            ("times", column, key),
            sources,
            lambda: chain(
                column,
                (
                    (project.id, _spent(item, entry))
                    for project in projects
                    for item in _items(project)
                    for entry in item.timelogs
                ),
            ),
        )

    def labels(self, place: Project | Group) -> dict[str, Label]:
        """The labels that may stand on a place's items, by name; the nearest place's wins."""
        above = place.namespace_id if isinstance(place, Project) else place.parent_id
        groups = self.access.lineage(above)
        sources = (place.labels, *(group.labels for group in groups))
        return self.keep(
            ("labels", type(place), place.id),
            sources,
            lambda: {label.name: label for labels in reversed(sources) for label in labels},
        )

    def by_iid(self, project: Project, kind: str) -> dict[int, Any]:
        """A project's items by their number within it."""
        items = getattr(project, kind)
        return self.keep(
            ("iid", kind, project.id), (items,), lambda: {item.iid: item for item in items}
        )

    def find(self, kind: str, number: int) -> Pair | None:
        """The item with this instance-wide number, wherever it is."""
        for project in self.access.projects.values():
            items = getattr(project, kind)
            index: dict[int, Any] = self.keep(("id", kind, project.id), (items,), _index(items))
            if number in index:
                return project.id, index[number]
        return None

    def below(self, group: Group, *, deep: bool) -> list[Project]:
        """The projects of a group, those of its subgroups too if `deep`."""
        return [
            project
            for project in self.access.projects.values()
            if (
                any(place.id == group.id for place in self.access.lineage(project.namespace_id))
                if deep
                else project.namespace_id == group.id
            )
        ]


def _index(items: Iterable[Any]) -> Callable[[], dict[int, Any]]:
    return lambda: {item.id: item for item in items}


def chain(column: str, pairs: Iterable[Pair]) -> Chain:
    """The pairs sorted by an attribute of the item and its number; no value sorts last."""
    ordered = sorted(
        (((_value(pair[1], column), pair[1].id), pair) for pair in pairs),
        key=lambda entry: entry[0],
    )
    return Chain(column, [key for key, _ in ordered], [pair for _, pair in ordered])


def _value(item: Any, column: str) -> str:
    return "" if column == "id" else getattr(item, column) or "~"


def kept(found: Chain, test: Callable[[Pair], bool]) -> Chain:
    """The chain without the pairs that fail the test."""
    marks = [(key, pair) for key, pair in zip(found.keys, found.rows, strict=True) if test(pair)]
    return Chain(found.column, [key for key, _ in marks], [pair for _, pair in marks])


def between(found: Chain, column: str, low: str, high: str) -> Chain:
    """The pairs with values from `low` to `high`, both included; an empty text is no bound."""
    if not (low or high):
        return found
    if column == found.column:
        start = bisect_left(found.keys, (low,))
        stop = bisect_right(found.keys, (high, inf)) if high else len(found.keys)
        return Chain(column, found.keys[start:stop], found.rows[start:stop])
    return kept(
        found,
        lambda pair: (
            low <= getattr(pair[1], column) and (not high or getattr(pair[1], column) <= high)
        ),
    )


def readable(viewer: Viewer, found: Chain, projects: Sequence[Project]) -> Chain:
    """The chain without confidential issues that the viewer may not see, and times on them."""
    if all(viewer.level(project) >= PLANNER for project in projects):
        return found
    homes = {project.id: project for project in projects}

    def seen(pair: Pair) -> bool:
        item = pair[1].item if isinstance(pair[1], Spent) else pair[1]
        return not isinstance(item, Issue) or sees_issue(viewer, homes[pair[0]], item)

    return kept(found, seen)
