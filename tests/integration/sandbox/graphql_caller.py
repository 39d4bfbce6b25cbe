"""Asks the look-alike's ``/api/graphql`` over a real connection."""

import json
from typing import Any

from labtrawl.sandbox import Options, World
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Answer, Caller

PATH = "/api/graphql"
MODERN = Options(version="18.5.0-ce", enterprise=False)
OLD = Options(version="16.2.0-ee")
ISSUES = """query Issues($path: ID!, $first: Int, $after: String, $sort: IssueSort) {
  project(fullPath: $path) { issues(first: $first, after: $after, sort: $sort) {
    count pageInfo { hasNextPage endCursor } nodes { id iid updatedAt } } } }"""


def token(world: World, index: int = 0) -> str:
    return world.accounts[index].token


async def arm(caller: Caller, **fault: object) -> None:
    armed = await caller.call("POST", "/-/sandbox/faults", json.dumps([fault]).encode())
    assert armed.status == 200, armed.body


async def tally(caller: Caller) -> Any:
    return (await caller.call("GET", "/-/sandbox/requests")).json


async def post(caller: Caller, body: object) -> Answer:
    return await caller.call("POST", PATH, json.dumps(body).encode())


async def ask(caller: Caller, text: str, **variables: object) -> Any:
    """The ``data`` of a query; errors fail the test."""
    answer = await post(caller, {"query": text, "variables": variables})
    assert answer.status == 200, answer.body
    assert "errors" not in answer.json, answer.json["errors"]
    return answer.json["data"]


async def errors(caller: Caller, text: str, **variables: object) -> list[str]:
    """The messages of a query that is refused whole."""
    answer = await post(caller, {"query": text, "variables": variables})
    assert (answer.status, set(answer.json)) == (200, {"errors"})
    return [error["message"] for error in answer.json["errors"]]


def busiest(world: World, kind: str = "issues") -> Project:
    """The project that the main account sees with the most items of this kind."""
    seen = [
        found
        for found in world.projects
        if found.full_path.startswith("fjordlab/") and not found.archived
    ]
    return max(seen, key=lambda found: len(getattr(found, kind)))


async def pages(caller: Caller, text: str, where: str, **variables: object) -> list[Any]:
    """All nodes of ``project.<where>``, page by page; `text` takes ``$after``."""
    rows: list[Any] = []
    after = None
    while True:
        data = await ask(caller, text, **variables, after=after)
        page = data["project"][where]
        rows += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return rows
