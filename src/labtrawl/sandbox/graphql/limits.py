"""What a query costs before it runs, and what GitLab refuses: complexity, depth, recursion.

Entered by the engine. The formula is that of ``app/graphql/types/base_field.rb`` and
``resolvers/base_resolver.rb``: a field costs 1; a list of a resolver costs what its children cost
and 1 more (1 more with ``sort``), 1 % more for each row of its page, unless it is asked for by
number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    value_from_ast_untyped,
)

MAX_CHARACTERS = 10_000
_RECURSION = 2
_NOT_RECURSIVE = frozenset({"node", "edges", "nodes", "ofType"})
# Fields with a constant price, whatever their arguments.
_CONSTANT = {
    **{("MergeRequest", name): 5 for name in ("assignees", "reviewers", "labels", "subscribed")},
    **{("MergeRequest", name): 5 for name in ("mergedAt", "closedAt")},
    ("MergeRequest", "participants"): 15,
    ("Issue", "participants"): 5,
    ("Issue", "subscribed"): 5,
}
# Fields that ask the Git server.
_GIT = {
    ("MergeRequest", name)
    for name in ("commits", "detailedMergeStatus", "diffHeadSha", "mergeableDiscussionsState")
}
# Connections that are no resolver's: 1 and their children.
_SIMPLE = {
    ("Issue", "assignees"),
    ("Issue", "timelogs"),
    ("Issue", "discussions"),
    ("MergeRequest", "approvedBy"),
    ("MergeRequest", "awardEmoji"),
    ("MergeRequest", "commits"),
    ("MergeRequest", "discussions"),
    ("MergeRequest", "timelogs"),
    ("Discussion", "notes"),
    ("Note", "awardEmoji"),
    ("WorkItemWidgetAwardEmoji", "awardEmoji"),
}
_EXTRA = {("Group", "projects"): 10}
_PER_ROW = {("WorkItemWidgetNotes", "discussions"): 0.05}
_PAGE_SIZES = {("MergeRequest", "pipelines"): 500, ("Discussion", "notes"): 200}


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a caller may ask for."""

    complexity: int
    depth: int


MEMBER = Limits(250, 20)
ANONYMOUS = Limits(200, 15)


class Measure:
    """Measures one operation of a document with its variables."""

    def __init__(
        self, schema: GraphQLSchema, fragments: dict[str, Any], variables: dict[str, Any]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self.depth = 0
        self.recurring: dict[str, int] = {}

    def score(self, operation: OperationDefinitionNode) -> int:
        """The complexity; `depth` and `recurring` are known afterwards."""
        root = self._schema.query_type
        assert root is not None
        defaults = {
            each.variable.name.value: value_from_ast_untyped(each.default_value)
            for each in operation.variable_definitions or ()
            if each.default_value is not None
        }
        self._variables = defaults | self._variables
        return self._selection(operation.selection_set, root, 1, {})

    def _selection(
        self, found: SelectionSetNode, parent: GraphQLNamedType, depth: int, above: dict[str, int]
    ) -> int:
        total, seen = 0, set()
        widest: dict[str, int] = {}
        for node, owner in self._fields(found, parent):
            name = node.alias.value if node.alias else node.name.value
            if (name, owner.name) in seen and node.selection_set is None:
                continue
            seen.add((name, owner.name))
            cost = self._field(node, owner, depth, above)
            if owner is parent:
                total += cost
            else:
                widest[owner.name] = widest.get(owner.name, 0) + cost
        return total + max(widest.values(), default=0)

    def _fields(
        self, found: SelectionSetNode, parent: GraphQLNamedType
    ) -> Iterator[tuple[FieldNode, GraphQLNamedType]]:
        for node in found.selections:
            if isinstance(node, FieldNode):
                yield node, parent
                continue
            inner: Any = node
            if isinstance(node, FragmentSpreadNode):
                inner = self._fragments[node.name.value]
            on = inner.type_condition
            owner = self._schema.type_map[on.name.value] if on else parent
            # An interface's fragment on one of its types counts as that type's own.
            same = not is_abstract_type(parent)
            yield from self._fields(inner.selection_set, parent if same else owner)

    def _field(
        self, node: FieldNode, owner: GraphQLNamedType, depth: int, above: dict[str, int]
    ) -> int:
        name = node.name.value
        if name.startswith("__"):
            return 0
        self.depth = max(self.depth, depth)
        found = owner.fields[name]  # type: ignore[attr-defined]
        children = 0
        if node.selection_set is not None:
            times = above.get(name, 0) + 1
            if times > _RECURSION and name not in _NOT_RECURSIVE:
                self.recurring[name] = max(times, self.recurring.get(name, 0))
            children = self._selection(
                node.selection_set, get_named_type(found.type), depth + 1, above | {name: times}
            )
        return self._price((owner.name, name), node, children, "first" in found.args)

    def _price(self, place: tuple[str, str], node: FieldNode, children: int, listed: bool) -> int:
        if place in _CONSTANT:
            return _CONSTANT[place] + children
        if not listed or place in _SIMPLE:
            return 1 + children + (place in _GIT)
        given = {arg.name.value: self._value(arg.value) for arg in node.arguments or ()}
        cost = children + 1 + (given.get("sort") is not None) + _EXTRA.get(place, 0)
        size = _PAGE_SIZES.get(place, 100)
        first = given.get("first")
        rows = min(first, size) if isinstance(first, int) else size
        chosen = given.get("iid") or given.get("iids")
        per_row = 0.0 if chosen else _PER_ROW.get(place, 0.01)
        return int(cost + cost * rows * per_row)

    def _value(self, node: Any) -> Any:
        if isinstance(node, VariableNode):
            return self._variables.get(node.name.value)
        return value_from_ast_untyped(node, self._variables)


def objections(measures: list[Measure], score: int, limits: Limits) -> list[str]:
    """What GitLab refuses the queries of a request for; empty: nothing."""
    found = []
    if score > limits.complexity:
        found.append(
            f"Query has complexity of {score}, which exceeds max complexity of {limits.complexity}"
        )
    depth = max(measure.depth for measure in measures)
    if depth > limits.depth:
        found.append(f"Query has depth of {depth}, which exceeds max depth of {limits.depth}")
    recurring = {name: times for each in measures for name, times in each.recurring.items()}
    if recurring:
        words = ", ".join(f'"{name}"=>{times}' for name, times in recurring.items())
        found.append(
            f"Recursive query - too many of fields '{{{words}}}' detected in single branch of the query"
        )
    return found
