"""Sorted lists of the world, kept while the objects behind them stay the same.

Entered by the fields. A world may change while it is served: every list remembers the tuples it
was made of, and is made anew when one of them is another.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from labtrawl.sandbox.access import Viewer, sees_issue
from labtrawl.sandbox.graphql.connections import Chain
from labtrawl.sandbox.model import PLANNER, Group, Label, Project
from labtrawl.sandbox.shelf import Shelf

T = TypeVar("T")
# The number of the project, and something of it: numbers outlive a project's changes.
Pair = tuple[int, Any]


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


def between(column: str, low: str, high: str) -> Callable[[Pair], bool]:
    """A test for values from `low` to `high`, both included; an empty text is no bound."""
    return lambda pair: low <= (value := getattr(pair[1], column)) and (not high or value <= high)


def readable(viewer: Viewer, found: Chain, projects: Sequence[Project]) -> Chain:
    """The chain of issues without the confidential ones that the viewer may not see."""
    if all(viewer.level(project) >= PLANNER for project in projects):
        return found
    homes = {project.id: project for project in projects}
    return kept(found, lambda pair: sees_issue(viewer, homes[pair[0]], pair[1]))
