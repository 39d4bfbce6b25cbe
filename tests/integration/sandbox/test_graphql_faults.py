"""GraphQL over HTTP: time-outs and planned misbehaviour."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from graphql import build_client_schema, get_introspection_query, print_schema

from labtrawl.sandbox import Fault, Options, World, running
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql.schema import schema_of
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.graphql_caller import (
    ISSUES,
    MODERN,
    OLD,
    arm,
    ask,
    busiest,
    errors,
    post,
    token,
)


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as found:
        yield found


# ------------------------------------------------------------ time-outs and faults

NESTED = """query Deep($path: ID!) { project(fullPath: $path) { name issues(first: 100) {
  nodes { id labels { nodes { title } } discussions { nodes { id } } } } } }"""


async def test_answer_that_takes_too_long_is_partial_with_errors(world: World) -> None:
    home = busiest(world)
    newest = max(home.issues, key=lambda issue: issue.created_at)
    talk = len({note.discussion_id for note in newest.notes})
    enough = len(home.issues) + len(newest.labels) + talk
    cost_ms = 0.01
    options = Options(
        version="18.5.0-ce",
        graphql_node_ms=cost_ms,
        graphql_timeout_seconds=(enough + 0.5) * cost_ms / 1000,
    )
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        body = {"query": NESTED, "variables": {"path": home.full_path}}
        answer = await post(found, body)
    assert answer.status == 200
    assert answer.json["data"]["project"]["name"] == home.name
    nodes = answer.json["data"]["project"]["issues"]["nodes"]
    assert nodes[0] is not None
    assert nodes[-1] is None
    messages = {error["message"] for error in answer.json["errors"]}
    assert messages <= {"Timeout on Issue.labels", "Timeout on Issue.discussions"}
    assert answer.json["errors"][-1]["path"][:3] == ["project", "issues", "nodes"]


async def test_list_that_alone_takes_too_long_is_503(world: World) -> None:
    options = Options(version="18.5.0-ce", graphql_node_ms=1, graphql_timeout_seconds=0.002)
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        body = {"query": NESTED, "variables": {"path": busiest(world).full_path}}
        answer = await post(found, body)
        small = await ask(found, ISSUES, path=busiest(world).full_path, first=1)
    words = "Request timed out. Please try a less complex query or a smaller set of records."
    assert (answer.status, answer.json) == (503, {"errors": [{"message": words}]})
    assert len(small["project"]["issues"]["nodes"]) == 1


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("500", 500, {"errors": [{"message": "Internal server error"}]}),
        ("401", 401, {"errors": [{"message": "Invalid token"}]}),
        ("403", 403, {"errors": [{"message": "API not accessible for user"}]}),
        ("503", 503, {"message": "503 Service Unavailable"}),
        (
            "graphql_cancelled",
            503,
            {
                "errors": [
                    {
                        "message": "Request timed out. Please try a less complex query or a "
                        "smaller set of records."
                    }
                ]
            },
        ),
        ("wrong_type", 200, []),
    ],
)
async def test_fault_strikes_once(caller: Caller, kind: str, status: int, body: object) -> None:
    await arm(caller, path="/api/graphql", kind=kind)
    hit = await post(caller, {"query": "{ currentUser { id } }"})
    assert (hit.status, hit.json) == (status, body)
    assert "data" in (await post(caller, {"query": "{ currentUser { id } }"})).json


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("429_http", 429, "text/plain"),
        ("502_html", 502, "text/html"),
        ("html200", 200, "text/html"),
    ],
)
async def test_fault_that_is_no_json(
    caller: Caller, kind: str, status: int, content_type: str
) -> None:
    await arm(caller, path="/api/graphql", kind=kind)
    hit = await post(caller, {"query": "{ currentUser { id } }"})
    assert (hit.status, hit.headers["content-type"]) == (status, content_type)


async def test_fault_aims_at_an_operation(caller: Caller, world: World) -> None:
    await arm(caller, path="operationName=Issues$", kind="500")
    named = {"query": ISSUES, "variables": {"path": "x"}, "operationName": "Issues"}
    assert (await post(caller, {"query": "{ currentUser { id } }"})).status == 200
    assert (await post(caller, named)).status == 500
    assert (await post(caller, named)).status == 200


async def test_fault_times_a_field_out(caller: Caller, world: World) -> None:
    path = busiest(world).full_path
    body = {"query": NESTED, "variables": {"path": path}}
    await arm(caller, path="graphql", kind="graphql_timeout")
    whole = (await post(caller, body)).json
    assert whole["data"]["project"]["issues"] is None
    assert (whole["errors"][0]["message"], whole["errors"][0]["path"]) == (
        "Timeout on Project.issues",
        ["project", "issues"],
    )
    await arm(caller, path="graphql", kind="graphql_timeout", field="Issue.labels")
    some = (await post(caller, body)).json
    assert {row["labels"] for row in some["data"]["project"]["issues"]["nodes"]} == {None}
    assert {error["message"] for error in some["errors"]} == {"Timeout on Issue.labels"}


async def test_fault_makes_every_second_field_null(caller: Caller, world: World) -> None:
    await arm(caller, path="graphql", kind="graphql_nulls", field="Issue.discussions")
    body = {"query": NESTED, "variables": {"path": busiest(world).full_path}}
    answer = (await post(caller, body)).json
    nodes = answer["data"]["project"]["issues"]["nodes"]
    assert [row is None for row in nodes[:4]] == [False, True, False, True]
    assert [error["message"] for error in answer["errors"]] == ["Internal server error"] * (
        len(nodes) // 2
    )


async def test_fault_takes_a_field_from_the_schema(caller: Caller, world: World) -> None:
    fault = {"kind": "graphql_no_field", "field": "Issue.discussions", "times": 0}
    await arm(caller, path="graphql", **fault)
    found = await errors(caller, NESTED, path="x")
    assert found == ["Field 'discussions' doesn't exist on type 'Issue'"]
    told = await ask(caller, '{ __type(name: "Issue") { fields { name } } }')
    assert "discussions" not in {field["name"] for field in told["__type"]["fields"]}
    assert "project" in await ask(caller, ISSUES, path="x")
    await caller.call("DELETE", "/-/sandbox/faults")
    assert await ask(caller, NESTED, path="x") == {"project": None}


@pytest.mark.parametrize("options", [MODERN, OLD], ids=lambda found: found.version)
async def test_schema_tells_itself(world: World, options: Options) -> None:
    profile = Profile(options.version, options.enterprise)
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        told = await ask(found, get_introspection_query())
    assert print_schema(build_client_schema(told)) == print_schema(schema_of(profile))


async def test_torn_answer_ends_the_connection(world: World) -> None:
    fault = Fault(path="graphql", kind="reset")
    options = Options(version="18.5.0-ce", faults=(fault,))
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        with pytest.raises(asyncio.IncompleteReadError):
            await post(found, {"query": "{ currentUser { id } }"})
