"""Documents against GitLab's own schemas: valid in every edition, cheap enough, short enough."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    FieldNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    get_named_type,
    is_composite_type,
    parse,
    validate,
)

from labtrawl.gitlab import graphql_plans as plans
from labtrawl.gitlab.graphql_plans import IDS, NAMES, TIMELOGS, Edition, Plan, edition_of, plan_of

EDITIONS = {
    "gitlab-16.2-ee": (Edition((16, 2), True), Edition((16, 2), False)),
    "gitlab-18.5-ce": (Edition((18, 5), False),),
}
# doc/api/graphql/_index.md, "Limits".
MOST_COMPLEXITY = 250
MOST_DEPTH = 20
LONGEST = 10_000
# `queryComplexity`.
COST_BESIDE = 3
# The older schema has no links, and of a commit neither who committed it nor when.
_BY_REST_IN_OLD = {"merge_request_commits", "issue_links"}


@cache
def _schema(path: Path) -> GraphQLSchema:
    return build_schema(path.read_text(encoding="utf-8"), assume_valid=True)


@pytest.fixture(params=[(name, at) for name, each in EDITIONS.items() for at in range(len(each))])
def schema(
    request: pytest.FixtureRequest, gitlab_truth: Path | None
) -> tuple[GraphQLSchema, Edition]:
    """A real schema, and an edition that asks it."""
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: there is no schema to hold the documents against")
    name, at = request.param
    return _schema(gitlab_truth / "graphql" / f"{name}.graphql"), EDITIONS[name][at]


def _documents(plan: Plan, edition: Edition) -> dict[str, dict[str, Any]]:
    """Every document of a plan with the variables that cost most."""
    nested = {"nested": plan.nested}
    told = {
        plans.block(plan, edition): {"first": plan.size, **nested},
        plans.opening(plan, edition): {"first": plan.size, **nested},
        plans.newest(plan, edition): {},
        plans.listing(plan, edition): {"first": plans.PAGE},
    }
    if plan.is_of_changes(edition):
        told[plans.changes(plan, edition)] = {"first": plan.size, **nested}
    return told


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_valid_cheap_and_short(
    name: str, schema: tuple[GraphQLSchema, Edition]
) -> None:
    truth, edition = schema
    plan = plan_of(name, edition)
    assert (plan is None) == (name in _BY_REST_IN_OLD and not edition.is_new)
    for document, variables in _documents(plan, edition).items() if plan else ():
        _hold(truth, document, variables)


def test_time_logs_are_valid_cheap_and_short(schema: tuple[GraphQLSchema, Edition]) -> None:
    truth, edition = schema
    _hold(truth, plans.rows(TIMELOGS, edition), {"first": plans.PAGE})


@pytest.mark.parametrize("connections", [*([name] for name in IDS.values()), list(IDS.values())])
def test_ids_of_lists_are_valid_cheap_and_short(
    connections: list[str], schema: tuple[GraphQLSchema, Edition]
) -> None:
    """Ten projects each; what a question is reckoned to cost is no less than it does."""
    truth, _ = schema
    document = plans.ids(connections)
    variables = {f"n{at}": 10 for at in range(len(connections))}
    _hold(truth, document, variables)
    parsed = parse(document).definitions[0]
    assert isinstance(parsed, OperationDefinitionNode)
    cost, _ = _cost(truth, truth.query_type, parsed.selection_set, variables)
    reckoned = len(connections) * plans.cost_of_ids(10)
    assert reckoned * 0.8 < cost - COST_BESIDE <= reckoned


@pytest.mark.parametrize("name", NAMES)
def test_rest_of_a_long_list_is_cheap_too(name: str, schema: tuple[GraphQLSchema, Edition]) -> None:
    truth, edition = schema
    if plan := plan_of(name, edition):
        _hold(truth, plans.block(plan, edition), {"first": 1, "nested": plan.further})


def test_filter_asks_for_no_more_than_whether_there_is_any(
    schema: tuple[GraphQLSchema, Edition],
) -> None:
    """A block of a hundred items costs a fifth of what GitLab allows."""
    truth, edition = schema
    found = [plan for name in NAMES if (plan := plan_of(name, edition)) and plan.is_filter]
    assert len(found) == 5
    for plan in found:
        parsed = parse(plans.block(plan, edition)).definitions[0]
        assert isinstance(parsed, OperationDefinitionNode)
        cost, _ = _cost(truth, truth.query_type, parsed.selection_set, {"first": plan.size})
        assert cost < MOST_COMPLEXITY / 5


def _hold(truth: GraphQLSchema, document: str, variables: dict[str, Any]) -> None:
    parsed = parse(document)
    assert [error.message for error in validate(truth, parsed)] == []
    operation = parsed.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    assert truth.query_type is not None
    complexity, depth = _cost(truth, truth.query_type, operation.selection_set, variables)
    assert complexity < MOST_COMPLEXITY
    assert depth < MOST_DEPTH
    assert len(document) < LONGEST
    assert "queryComplexity{score limit}" in document


def test_field_of_the_newer_schema_is_refused_by_the_older(gitlab_truth: Path | None) -> None:
    """What the documents leave out by version would have cost the whole answer."""
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: there is no schema to hold the documents against")
    truth = _schema(gitlab_truth / "graphql" / "gitlab-16.2-ee.graphql")
    newer = Edition((18, 5), False)
    plan = plan_of("merge_request_commits", newer)
    assert plan is not None
    document = plans.block(plan, newer)
    said = [error.message for error in validate(truth, parse(document))]
    assert said[0].startswith("Cannot query field 'committerName' on type 'Commit'.")


def _cost(
    truth: GraphQLSchema, parent: Any, selected: SelectionSetNode, variables: dict[str, Any]
) -> tuple[float, int]:
    """Complexity and depth by GitLab's formula, every connection taken for one with a resolver.

    A field costs 1; a connection its children and 1, 1 more with a sort, times 1 and a hundredth
    for each row of the page, a twentieth for discussions (app/graphql/types/base_field.rb).
    """
    total, deepest = 0.0, 0
    for node in selected.selections:
        if isinstance(node, InlineFragmentNode):
            inner = truth.get_type(node.type_condition.name.value if node.type_condition else "")
            cost, depth = _cost(truth, inner, node.selection_set, variables)
        else:
            assert isinstance(node, FieldNode)
            cost, depth = _cost_of_field(truth, parent, node, variables)
        total, deepest = total + cost, max(deepest, depth)
    return total, deepest + 1


def _cost_of_field(
    truth: GraphQLSchema, parent: Any, node: FieldNode, variables: dict[str, Any]
) -> tuple[float, int]:
    assert isinstance(parent, GraphQLObjectType)
    type_ = get_named_type(parent.fields[node.name.value].type)
    if node.selection_set is None:
        return 1, 0
    assert is_composite_type(type_)
    children, depth = _cost(truth, type_, node.selection_set, variables)
    if not type_.name.endswith("Connection"):
        return children + 1, depth
    told = {argument.name.value: argument.value for argument in node.arguments or ()}
    first = told.get("first")
    rows = variables.get(getattr(getattr(first, "name", None), "value", "")) or int(
        getattr(first, "value", 100)
    )
    each = 0.05 if node.name.value == "discussions" else 0.01
    return int((children + 1 + ("sort" in told)) * (1 + each * rows)), depth


@pytest.mark.parametrize(
    ("text", "version", "edition"),
    [
        ("19.3.0-ee", (19, 3), Edition((19, 3), True)),
        ("16.2.1", (16, 2), Edition((16, 2), False)),
        ("17.8.0-pre", (17, 8), Edition((17, 8), False)),
    ],
)
def test_edition_is_what_the_version_says(
    text: str, version: tuple[int, int], edition: Edition
) -> None:
    assert edition_of(text, version) == edition
