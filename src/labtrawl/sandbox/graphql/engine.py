"""Queries in, GitLab's answers out: limits first, then graphql-core's execution.

Entered by the door. Words and statuses: ``app/controllers/graphql_controller.rb`` and
``app/graphql/gitlab_schema.rb`` of GitLab.
"""

import re
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    execute_sync,
    parse,
    validate,
)

from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql.asking import Asking, Budget, Spoil
from labtrawl.sandbox.graphql.executor import QuickExecutor
from labtrawl.sandbox.graphql.limits import ANONYMOUS, MEMBER, Measure, objections
from labtrawl.sandbox.graphql.nodes import Nodes
from labtrawl.sandbox.graphql.schema import is_modern, schema_of
from labtrawl.sandbox.graphql.shelves import Shelves
from labtrawl.sandbox.shelf import Shelf

_MOST_KNOWN = 512
_UNKNOWN_FIELD = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a request."""

    text: str
    variables: dict[str, Any]
    operation: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What a text is to a schema: a document, or what is wrong with it."""

    schema: GraphQLSchema
    document: DocumentNode | None
    fragments: dict[str, FragmentDefinitionNode]
    errors: list[Body]


class Engine:
    """Answers queries over one world."""

    def __init__(self, shelf: Shelf, profile: Profile, *, short_pages: bool) -> None:
        self._profile = profile
        self._shelves = Shelves(shelf)
        self._nodes = Nodes(shelf, modern=is_modern(profile))
        self._short_pages = short_pages
        self._known: dict[tuple[str, str], _Known] = {}

    def answers(
        self,
        queries: list[Query],
        viewer: Viewer,
        budget: Budget,
        spoil: Spoil | None = None,
        gone: str = "",
    ) -> list[Body]:
        """One body a query, in their order.

        `gone`: a ``Type.field`` that this schema has no more. Raises Cancelled for a statement
        that takes longer than the budget.
        """
        known = [self._find(query.text, gone) for query in queries]
        limits = MEMBER if viewer.user else ANONYMOUS
        measures, score = self._measured(queries, known)
        refused = objections(measures, score, limits) if measures else []
        if refused:
            return [{"errors": [{"message": words} for words in refused]} for _ in queries]
        ask = Asking(
            viewer=viewer,
            shelves=self._shelves,
            nodes=self._nodes,
            profile=self._profile,
            budget=budget,
            limit=limits.complexity,
            score=score,
            short_pages=self._short_pages,
            spoil=spoil,
        )
        return [
            self._run(query, each, ask.again()) for query, each in zip(queries, known, strict=True)
        ]

    def _measured(self, queries: list[Query], known: list[_Known]) -> tuple[list[Measure], int]:
        """What each query asks for, and the sum of their scores."""
        measures, score = [], 0
        for query, each in zip(queries, known, strict=True):
            operation = _operation(each, query.operation)
            if operation is not None:
                measure = Measure(each.schema, each.fragments, query.variables)
                score += measure.score(operation)
                measures.append(measure)
        return measures, score

    def _run(self, query: Query, known: _Known, ask: Asking) -> Body:
        if known.document is None:
            return {"errors": known.errors}
        result = execute_sync(
            known.schema,
            known.document,
            {},
            ask,
            query.variables,
            query.operation,
            executor_class=QuickExecutor,
        )
        body: Body = {}
        if not _before_start(result.errors):
            body["data"] = result.data
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
        return body

    def _find(self, text: str, gone: str) -> _Known:
        key = (text, gone)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = _read(schema_of(self._profile, gone), text)
        return found


def _before_start(errors: list[GraphQLError] | None) -> bool:
    """True if nothing was executed: an error of the request has no path."""
    return bool(errors) and all(error.path is None for error in errors or ())


def _read(schema: GraphQLSchema, text: str) -> _Known:
    if not text.strip():
        return _Known(schema, None, {}, [{"message": "No query string was present"}])
    try:
        document = parse(text)
    except GraphQLSyntaxError as error:
        return _Known(schema, None, {}, [dict(error.formatted)])
    errors = validate(schema, document)
    if errors:
        return _Known(schema, None, {}, [_worded(error) for error in errors])
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    return _Known(schema, document, fragments, [])


def _worded(error: GraphQLError) -> Body:
    """A refusal of the schema in GitLab's words, where a crawler may look for them."""
    body: Body = dict(error.formatted)
    match = _UNKNOWN_FIELD.match(error.message)
    if match:
        body["message"] = f"Field '{match[1]}' doesn't exist on type '{match[2]}'"
        body["extensions"] = {
            "code": "undefinedField",
            "typeName": match[2],
            "fieldName": match[1],
        }
    return body


def _operation(known: _Known, name: str | None) -> OperationDefinitionNode | None:
    """The operation that will run; None leaves the refusal to the execution."""
    if known.document is None:
        return None
    found = [
        each
        for each in known.document.definitions
        if isinstance(each, OperationDefinitionNode)
        and (name is None or (each.name is not None and each.name.value == name))
    ]
    return found[0] if len(found) == 1 else None
