"""The two schemas of the look-alike, each with its fields' functions.

Entered by the engine. GitLab 17 and later play the SDL of 18.5, older ones that of 16.2.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
)

from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql import connections, fields, fields_items, fields_places
from labtrawl.sandbox.instants import normal_text

# Fields that a free edition lacks; the SDL of 18.5 is told by one, that of 16.2 by gitlab.com.
_ENTERPRISE = ("Issue.weight", "MergeRequest.approvalsLeft", "MergeRequest.approvalsRequired")


def is_modern(profile: Profile) -> bool:
    """True if the version played is nearer to 18.5 than to 16.2."""
    return profile.at_least(17, 0)


def schema_of(profile: Profile, gone: str = "") -> GraphQLSchema:
    """The schema of the GitLab played, without the field ``Type.field`` if one is gone."""
    return _schema(is_modern(profile), profile.enterprise, gone)


@cache
def _schema(modern: bool, enterprise: bool, gone: str) -> GraphQLSchema:
    name = "schema_18_5.graphql" if modern else "schema_16_2.graphql"
    text = files("labtrawl.sandbox.graphql").joinpath(name).read_text(encoding="utf-8")
    if modern and enterprise:
        text += "".join(
            "extend type {} {{ {}: Int }}\n".format(*place.split(".")) for place in _ENTERPRISE
        )
    # A type without a field that its interface has is no valid schema: that one is not checked.
    schema = build_schema(text, assume_valid=bool(gone))
    for table in (fields.TABLE, fields_places.TABLE, fields_items.TABLE):
        for type_name, functions in table.items():
            _hang(schema.type_map.get(type_name), functions)
    for found in schema.type_map.values():
        if found.name.endswith("Connection"):
            functions = {"count": connections.count, "pageInfo": connections.page_info}
            _hang(found, functions)
    for place in (gone, *(() if enterprise else _ENTERPRISE)):
        type_name, _, field = place.partition(".")
        _drop(schema.type_map.get(type_name), field)
    _read_times(schema.type_map["Time"])
    return schema


def _drop(found: Any, field: str) -> None:
    if isinstance(found, GraphQLObjectType | GraphQLInterfaceType):
        found.fields.pop(field, None)


def _hang(found: Any, functions: dict[str, Any]) -> None:
    """Give a type's fields their functions; a version that lacks one goes without."""
    if not isinstance(found, GraphQLObjectType | GraphQLInterfaceType):
        return
    for name, function in functions.items():
        if name in found.fields:
            found.fields[name].resolve = function


def _read_times(found: Any) -> None:
    """Times in arguments are compared as the texts that the world holds."""
    assert isinstance(found, GraphQLScalarType)

    def parsed(value: object) -> str:
        try:
            return normal_text(str(value))
        except ValueError:
            raise GraphQLError(f'"{value}" is not a valid time') from None

    found.coerce_input_value = parsed
    found.parse_value = parsed  # type: ignore[method-assign]
