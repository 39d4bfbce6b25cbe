"""One request on its way through the schema: who asks, what it cost so far, what shall go wrong.

Entered by the engine, which makes it, and by the executor and the fields, which read it.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import GraphQLError

from labtrawl.sandbox.access import Viewer, sees_issue
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql import nodes_items
from labtrawl.sandbox.graphql.connections import Cut, Node
from labtrawl.sandbox.graphql.nodes import Nodes
from labtrawl.sandbox.graphql.shelves import Shelves, Spent
from labtrawl.sandbox.model import Issue, Project


class Cancelled(Exception):
    """The database gave up a statement: the whole answer is a 503."""


@dataclass(slots=True)
class Budget:
    """What an answer may cost, shared by all queries of one request.

    `spent_ms` grows by `node_ms` for each node; above `limit_ms` nothing more is resolved.
    """

    limit_ms: float
    node_ms: float
    spent_ms: float = 0.0

    @property
    def late(self) -> bool:
        """True if the time is up."""
        return self.spent_ms > self.limit_ms

    def charge(self, nodes: int) -> None:
        """Pay for nodes. Raises Cancelled if this one list costs more than the whole budget."""
        cost = nodes * self.node_ms
        self.spent_ms += cost
        if cost > self.limit_ms:
            raise Cancelled


@dataclass(frozen=True, slots=True)
class Spoil:
    """Fields that fail: `field` is ``Type.field`` (empty: every list), each `every`-th time."""

    field: str
    message: str
    every: int = 1


@dataclass(slots=True)
class Asking:
    """The context of every field. `plans` is the executor's own."""

    viewer: Viewer
    shelves: Shelves
    nodes: Nodes
    profile: Profile
    budget: Budget
    limit: int
    score: int
    short_pages: bool = False
    spoil: Spoil | None = None
    plans: dict[int, Any] = field(default_factory=dict)
    _spoilt: int = 0
    _calls: Counter[str] = field(default_factory=Counter)
    _gates: dict[tuple[int, str], int] = field(default_factory=dict)

    def again(self) -> "Asking":
        """The same for another query of the request, which counts its own fields."""
        return replace(self, plans={}, _spoilt=0, _calls=Counter(), _gates={})

    def refuse(self, place: str, listed: bool) -> None:
        """Raises GraphQLError if the field ``Type.field`` fails; `listed` = it is a connection."""
        if self.budget.late:
            raise GraphQLError(f"Timeout on {place}")
        if self.spoil and (self.spoil.field == place or (listed and not self.spoil.field)):
            self._spoilt += 1
            if self._spoilt % self.spoil.every == 0:
                raise GraphQLError(self.spoil.message.format(place=place))

    def once(self, name: str, owner: str) -> None:
        """Raises GraphQLError from the second call on (lib/gitlab/graphql/limit)."""
        self._calls[f"{owner}.{name}"] += 1
        if self._calls[f"{owner}.{name}"] > 1:
            words = f'"{name}" field can be requested only for 1 {owner}(s) at a time.'
            raise GraphQLError(words)

    def gate(self, project: Project, resource: str) -> int:
        """Status a REST list of `resource` would refuse with; 0 = open, 200 = open and empty."""
        key = (project.id, resource)
        if key not in self._gates:
            denied = self.shelves.access.gate_resource(self.viewer, project, resource)
            self._gates[key] = denied.status if denied else 0
        return self._gates[key]

    def sees(self, home: Project, item: Any) -> bool:
        """True if the viewer may read this issue or merge request of an open list."""
        return not isinstance(item, Issue) or sees_issue(self.viewer, home, item)

    def timelog(self, home: int, spent: Spent) -> Node:
        """The node of a time spent."""
        place = self.shelves.access.projects[home]
        return nodes_items.timelog(self.nodes, place, spent.item, spent.entry)

    def pay(self, page: Cut) -> Cut:
        """The page, paid for."""
        if self.budget.node_ms:
            self.budget.charge(page.stop - page.start)
        return page
