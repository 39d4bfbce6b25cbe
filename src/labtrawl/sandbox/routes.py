"""The table of paths the look-alike answers, and how a path finds its function.

Entered by the app. A function takes a Call and returns a Reply or raises Refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.sandbox import (
    routes_builds,
    routes_code,
    routes_groups,
    routes_identity,
    routes_items,
    routes_projects,
    routes_watches,
)
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.wire import Reply

Answer = Callable[[Call], Reply]

TABLE: dict[str, Answer] = {
    **routes_identity.TABLE,
    **routes_groups.TABLE,
    **routes_projects.TABLE,
    **routes_code.TABLE,
    **routes_items.TABLE,
    **routes_builds.TABLE,
    **routes_watches.TABLE,
}


@dataclass(frozen=True, slots=True)
class Route:
    """A path's pattern, for example ``projects/:id/issues``, and the function behind it."""

    pattern: str
    answer: Answer


class Router:
    """Finds the route of a path by walking it once; ``:name`` matches any one segment."""

    def __init__(self, table: dict[str, Answer]) -> None:
        self._root: dict[str, object] = {}
        for pattern, answer in table.items():
            node = self._root
            for word in pattern.split("/"):
                child = node.setdefault(":" if word.startswith(":") else word, {})
                assert isinstance(child, dict)
                node = child
            node[""] = Route(pattern, answer)

    def find(self, segments: tuple[str, ...]) -> Route | None:
        """The route of a path, or None."""
        node: object = self._root
        for word in segments:
            if not isinstance(node, dict):
                return None
            node = node.get(word) or node.get(":")
        found = node.get("") if isinstance(node, dict) else None
        return found if isinstance(found, Route) else None
