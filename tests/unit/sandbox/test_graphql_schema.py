"""The look-alike's schemas hold nothing that the real ones do not."""

from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    validate_schema,
)

from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql.schema import schema_of

pytestmark = pytest.mark.long

PROFILES = {
    "18.5-ce": Profile("18.5.0-ce", enterprise=False),
    "16.2-ee": Profile("16.2.0-ee", enterprise=True),
}


def facts(schema: GraphQLSchema) -> set[tuple[str, ...]]:
    """Every type, field, argument, enum value and interface with its type."""
    found: set[tuple[str, ...]] = set()
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        found.add((type(kind).__name__, name))
        if isinstance(kind, GraphQLEnumType):
            found |= {("value", name, value) for value in kind.values}
        if isinstance(kind, GraphQLUnionType):
            found |= {("member", name, member.name) for member in kind.types}
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            found |= {("implements", name, face.name) for face in kind.interfaces}
            for field, definition in kind.fields.items():
                found.add(("field", name, field, str(definition.type)))
                found |= {
                    ("argument", name, field, argument, str(given.type))
                    for argument, given in definition.args.items()
                }
    return found


@pytest.mark.truth
@pytest.mark.parametrize("version", PROFILES)
def test_every_fact_of_our_schema_is_one_of_the_real_schema(
    version: str, gitlab_truth: Path | None
) -> None:
    if gitlab_truth is None:
        pytest.skip("needs GITLAB_TRUTH")
    text = (gitlab_truth / "graphql" / f"gitlab-{version}.graphql").read_text()
    real = facts(build_schema(text, assume_valid=True))
    assert facts(schema_of(PROFILES[version])) - real == set()


@pytest.mark.parametrize("version", PROFILES)
def test_schema_is_valid(version: str) -> None:
    assert validate_schema(schema_of(PROFILES[version])) == []


def test_versions_differ_as_the_real_ones_do() -> None:
    ours = {version: facts(schema_of(profile)) for version, profile in PROFILES.items()}
    modern, old = ours["18.5-ce"], ours["16.2-ee"]
    assert ("field", "Issue", "iid", "String!") in modern
    assert ("field", "Issue", "iid", "ID!") in old
    assert ("GraphQLObjectType", "WorkItemWidgetLinkedItems") in modern - old
    assert ("field", "Issue", "weight", "Int") in old - modern


@pytest.mark.parametrize("version", ["16.2.0", "18.5.0"])
def test_a_free_edition_lacks_what_enterprise_has(version: str) -> None:
    free = facts(schema_of(Profile(version, enterprise=False)))
    paid = facts(schema_of(Profile(version, enterprise=True)))
    assert paid - free == {
        ("field", "Issue", "weight", "Int"),
        ("field", "MergeRequest", "approvalsLeft", "Int"),
        ("field", "MergeRequest", "approvalsRequired", "Int"),
    }
    assert free - paid == set()


@pytest.mark.parametrize(
    ("version", "is_modern"), [("19.3.0-ee", True), ("17.0.0", True), ("16.11.1-ee", False)]
)
def test_version_chooses_the_schema(version: str, is_modern: bool) -> None:
    found = facts(schema_of(Profile(version)))
    assert (("field", "MergeRequest", "closedAt", "Time") in found) is is_modern
