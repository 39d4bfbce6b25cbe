"""The quick executor answers what graphql-core's own would, for every field of both schemas."""

from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    execute_sync,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    parse,
)

from labtrawl.sandbox import World, build_world
from labtrawl.sandbox.access import Access, Viewer
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql import engine
from labtrawl.sandbox.graphql.asking import Asking, Budget
from labtrawl.sandbox.graphql.engine import Engine, Query
from labtrawl.sandbox.graphql.nodes import Nodes
from labtrawl.sandbox.graphql.schema import is_modern, schema_of
from labtrawl.sandbox.graphql.shelves import Shelves
from labtrawl.sandbox.shelf import Shelf

PROFILES = [Profile("18.5.0-ce", enterprise=False), Profile("16.2.0-ee", enterprise=True)]


@pytest.fixture(scope="module")
def world() -> World:
    sizes = {"issues": 40, "merge_requests": 30, "notes": 120, "commits": 60, "projects": 6}
    return build_world("shared", 3, sizes)


def selection(schema: GraphQLSchema, found: Any, depth: int) -> str:
    """All fields of a type, those of its inner types too down to a depth."""
    parts = ["__typename"]
    for name, field in found.fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        inner = get_named_type(field.type)
        asked = f"{name}(first: 2)" if "first" in field.args else name
        if is_leaf_type(inner):
            parts.append(asked)
        elif depth > 0 and isinstance(inner, GraphQLObjectType):
            parts.append(f"{asked} {{ {selection(schema, inner, depth - 1)} }}")
        elif depth > 0 and isinstance(inner, GraphQLInterfaceType):
            parts.append(f"{asked} {{ {widgets(schema, inner, depth - 1)} }}")
    return " ".join(parts)


def widgets(schema: GraphQLSchema, found: GraphQLInterfaceType, depth: int) -> str:
    own = [
        f"... on {kind.name} {{ {selection(schema, kind, depth)} }}"
        for kind in schema.get_possible_types(found)
    ]
    return " ".join(["__typename", *own])


def inside(schema: GraphQLSchema, name: str) -> str:
    """A query for everything behind one field of a project."""
    kind = schema.type_map["Project"]
    assert isinstance(kind, GraphQLObjectType)
    field: GraphQLField = kind.fields[name]
    inner = get_named_type(field.type)
    body = "" if is_leaf_type(inner) else f" {{ {selection(schema, inner, 4)} }}"
    page = "(first: 4)" if "first" in field.args else ""
    return f"query($p: ID!) {{ project(fullPath: $p) {{ {name}{page}{body} }} }}"


def both(world: World, profile: Profile, text: str, path: str) -> tuple[Any, Any]:
    """(data, messages) of the quick executor and of the library's own."""
    shelf = Shelf(world, "http://127.0.0.1")
    viewer: Viewer = Access(world).viewer(world.accounts[0])
    (quick,) = Engine(shelf, profile, short_pages=False).answers(
        [Query(text, {"p": path}, None)], viewer, Budget(1e9, 0)
    )
    ask = Asking(
        viewer=viewer,
        shelves=Shelves(shelf),
        nodes=Nodes(shelf, modern=is_modern(profile)),
        profile=profile,
        budget=Budget(1e9, 0),
        limit=250,
        score=1,
    )
    plain = execute_sync(schema_of(profile), parse(text), {}, ask, {"p": path})
    found = (quick.get("data"), [error["message"] for error in quick.get("errors", [])])
    return found, (plain.data, [error.message for error in plain.errors or []])


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.version)
@pytest.mark.long
def test_every_field_of_a_project_is_answered_as_the_library_would(
    world: World, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "objections", lambda *_: [])
    schema = schema_of(profile)
    home = max(world.projects, key=lambda found: len(found.issues) * len(found.merge_requests))
    kind = schema.type_map["Project"]
    assert isinstance(kind, GraphQLObjectType)
    asked = 0
    for name, field in kind.fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        quick, plain = both(world, profile, inside(schema, name), home.full_path)
        assert quick == plain
        assert [words for words in quick[1] if not words.endswith(" at a time.")] == []
        asked += 1
    assert asked > 25


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.version)
def test_null_where_none_may_be_is_told_as_the_library_would(
    world: World, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Nodes, "user", lambda *_: None)
    home = max(world.projects, key=lambda found: len(found.issues))
    text = (
        "query($p: ID!) { project(fullPath: $p) { name "
        "issues(first: 3) { nodes { id author { name } } } } }"
    )
    quick, plain = both(world, profile, text, home.full_path)
    assert quick == plain
    assert quick == (
        {"project": {"name": home.name, "issues": {"nodes": [None, None, None]}}},
        ["Cannot return null for non-nullable field Issue.author."] * 3,
    )
