"""GraphQL over HTTP: what is refused, what costs too much, and who sees what."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.sandbox import Options, World, running
from labtrawl.sandbox.model import Note
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.graphql_caller import (
    ISSUES,
    MODERN,
    PATH,
    ask,
    busiest,
    errors,
    pages,
    post,
    tally,
    token,
)


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as found:
        yield found


# ------------------------------------------------------------ what a query is refused for


async def test_query_over_the_complexity_gets_200_and_only_errors(
    caller: Caller, world: World
) -> None:
    scalars = " ".join(f"a{index}: title" for index in range(130))
    text = f'{{ project(fullPath: "x") {{ issues(first: 100) {{ nodes {{ {scalars} }} }} }} }}'
    assert await errors(caller, text) == [
        "Query has complexity of 265, which exceeds max complexity of 250"
    ]


async def test_anonymous_callers_may_ask_for_less(world: World) -> None:
    scalars = " ".join(f"a{index}: title" for index in range(100))
    text = f'{{ project(fullPath: "x") {{ issues(first: 100) {{ nodes {{ {scalars} }} }} }} }}'
    async with running(world, MODERN) as server:
        async with Caller(server.url) as anonymous:
            found = await errors(anonymous, text)
        async with Caller(server.url, token(world)) as member:
            assert await ask(member, text) == {"project": None}
    assert found == ["Query has complexity of 205, which exceeds max complexity of 200"]


async def test_query_tells_its_own_complexity(caller: Caller, world: World) -> None:
    text = '{ queryComplexity { score limit } project(fullPath: "x") { id } }'
    assert (await ask(caller, text))["queryComplexity"] == {"score": 5, "limit": 250}


async def test_depth_is_limited(caller: Caller) -> None:
    # Each turn is project, mergeRequests, nodes: a name more often than twice is recursion too.
    inner = "id"
    for _ in range(7):
        inner = f"mergeRequests {{ nodes {{ project {{ {inner} }} }} }}"
    found = await errors(caller, f'{{ project(fullPath: "x") {{ {inner} }} }}')
    assert "Query has depth of 23, which exceeds max depth of 20" in found


async def test_recursion_is_refused(caller: Caller) -> None:
    inner = "id"
    for _ in range(3):
        inner = f"movedTo {{ {inner} }}"
    text = f'{{ issue(id: "gid://gitlab/Issue/1") {{ {inner} }} }}'
    assert await errors(caller, text) == [
        "Recursive query - too many of fields '{\"movedTo\"=>3}' detected in single branch of the query"
    ]


async def test_too_many_characters_get_422(caller: Caller) -> None:
    text = "{ queryComplexity { score } }"
    fits = await post(caller, {"query": text.ljust(10_000)})
    over = await post(caller, {"query": text.ljust(10_001)})
    both = await post(caller, [{"query": text.ljust(5_001)}, {"query": text.ljust(5_000)}])
    assert fits.status == 200
    for refused in (over, both):
        assert (refused.status, refused.json) == (422, {"errors": [{"message": "Query too large"}]})


async def test_unknown_field_gets_gitlabs_words(caller: Caller) -> None:
    answer = await post(caller, {"query": '{ project(fullPath: "x") { iid } }'})
    assert answer.status == 200
    assert answer.json == {
        "errors": [
            {
                "message": "Field 'iid' doesn't exist on type 'Project'",
                "locations": [{"line": 1, "column": 28}],
                "extensions": {
                    "code": "undefinedField",
                    "typeName": "Project",
                    "fieldName": "iid",
                },
            }
        ]
    }


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 422, "Unexpected token in the request's JSON"),
        (b"[]", 422, "No query string was present"),
        (b'{"query":"{queryComplexity{score}}","variables":[1]}', 422, "Unexpected parameter"),
        (b'{"query":""}', 200, "No query string was present"),
        (b'{"query":"{ project"}', 200, "Syntax Error"),
        (b'{"query":"query($n:Int!){queryComplexity{score}}"}', 200, "Variable"),
    ],
)
async def test_bad_request_is_told(caller: Caller, body: bytes, status: int, message: str) -> None:
    answer = await caller.call("POST", PATH, body)
    assert answer.status == status
    assert set(answer.json) == {"errors"}
    assert answer.json["errors"][0]["message"].startswith(message)


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_spoilt_token_gets_401(world: World, index: int) -> None:
    spoilt = world.spoilt_tokens[index].token
    async with running(world, MODERN) as server, Caller(server.url, spoilt) as found:
        answer = await post(found, {"query": "{ currentUser { id } }"})
    assert (answer.status, answer.json) == (401, {"errors": [{"message": "Invalid token"}]})


async def test_many_queries_are_one_request_answered_in_order(caller: Caller, world: World) -> None:
    home = busiest(world)
    one = {"query": "{ currentUser { username } }"}
    two = {"query": ISSUES, "variables": {"path": home.full_path, "first": 1}}
    answer = await post(caller, [one, two, {"query": "{ nothing }"}])
    assert answer.json[0] == {"data": {"currentUser": {"username": world.accounts[0].username}}}
    assert answer.json[1]["data"]["project"]["issues"]["count"] == len(home.issues)
    assert set(answer.json[2]) == {"errors"}
    counted = await tally(caller)
    assert (counted["total"], counted["by_endpoint"]) == (1, {"graphql": 1})


async def test_complexity_of_many_queries_is_summed(caller: Caller) -> None:
    scalars = " ".join(f"a{index}: title" for index in range(70))
    text = f'{{ project(fullPath: "x") {{ issues(first: 100) {{ nodes {{ {scalars} }} }} }} }}'
    answer = await post(caller, [{"query": text}, {"query": text}])
    words = "Query has complexity of 290, which exceeds max complexity of 250"
    assert answer.json == [{"errors": [{"message": words}]}] * 2


async def test_limited_field_is_answered_for_one_parent(caller: Caller, world: World) -> None:
    first, second = [p for p in world.projects if p.environments][:2]
    text = """query($a: ID!, $b: ID!) {
      a: project(fullPath: $a) { environments(first: 1) { nodes { name } } }
      b: project(fullPath: $b) { environments(first: 1) { nodes { name } } } }"""
    paths = {"a": first.full_path, "b": second.full_path}
    answer = (await post(caller, {"query": text, "variables": paths})).json
    assert answer["data"]["a"]["environments"]["nodes"] != []
    assert answer["data"]["b"]["environments"] is None
    assert [(error["message"], error["path"]) for error in answer["errors"]] == [
        (
            '"environments" field can be requested only for 1 Project(s) at a time.',
            ["b", "environments"],
        )
    ]


async def test_throttle_counts_a_post_once(world: World) -> None:
    options = Options(version="18.5.0-ce", rate_limit_per_minute=2)
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        answers = [await post(found, [{"query": "{ currentUser { id } }"}] * 2) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].body == b"Retry later\n"


# ------------------------------------------------------------ rights


async def test_missing_and_forbidden_projects_are_null_alike(caller: Caller, world: World) -> None:
    hidden = next(found for found in world.projects if found.path == "tariffs")
    fenced = next(found for found in world.groups if found.forbidden)
    text = "query($p: ID!, $g: ID!) { project(fullPath: $p) { id } group(fullPath: $g) { id } }"
    for path in (hidden.full_path, "no/such"):
        found = await ask(caller, text, p=path, g=fenced.full_path)
        assert found == {"project": None, "group": None}


async def test_forbidden_list_is_null_and_an_empty_one_has_no_nodes(
    caller: Caller, world: World
) -> None:
    text = """query($p: ID!) { project(fullPath: $p) {
      issues { nodes { id } } mergeRequests { nodes { id } } pipelines { nodes { id } } } }"""
    guest = next(p for p in world.projects if p.full_path.startswith("city-council/"))
    no_issues = next(p for p in world.projects if p.path == "backup-jobs")
    no_requests = next(p for p in world.projects if p.path == "boat-log")
    as_guest = (await ask(caller, text, p=guest.full_path))["project"]
    assert as_guest["mergeRequests"] is None
    assert as_guest["pipelines"] is None
    assert len(as_guest["issues"]["nodes"]) > 0
    without = (await ask(caller, text, p=no_issues.full_path))["project"]
    assert without["issues"] == {"nodes": []}
    assert (await ask(caller, text, p=no_requests.full_path))["project"]["mergeRequests"] is None


async def test_confidential_issues_and_internal_notes_are_for_members(world: World) -> None:
    text = """query($p: ID!, $after: String) { project(fullPath: $p) {
      issues(after: $after) { count pageInfo { hasNextPage endCursor } nodes { id confidential
        notes { nodes { id internal } } discussions { nodes { notes { nodes { internal } } } }
      } } } }"""
    public = [p for p in world.projects if p.visibility == "public"]
    home = max(public, key=lambda p: sum(i.confidential for i in p.issues))
    async with running(world, MODERN) as server, Caller(server.url) as anonymous:
        rows = await pages(anonymous, text, "issues", p=home.full_path)
    open_ones = [issue for issue in home.issues if not issue.confidential]
    assert {row["id"] for row in rows} == {f"gid://gitlab/Issue/{i.id}" for i in open_ones}
    notes = [note for row in rows for note in row["notes"]["nodes"]]
    talk = [
        note
        for row in rows
        for each in row["discussions"]["nodes"]
        for note in each["notes"]["nodes"]
    ]
    seen = sum(not note.internal for issue in open_ones for note in issue.notes)
    assert len(notes) == len(talk) == seen
    assert not any(note["internal"] for note in notes + talk)


async def test_internal_notes_are_left_out_for_guests(world: World) -> None:
    home = next(p for p in world.projects if p.full_path.startswith("city-council/"))
    item = next(issue for issue in home.issues if not issue.confidential)
    at: dict[str, Any] = {
        "author": world.users[1],
        "created_at": item.created_at,
        "updated_at": item.created_at,
    }
    notes = (
        Note(id=1, body="open", discussion_id="a" * 40, type="DiscussionNote", **at),
        Note(id=2, body="no", discussion_id="a" * 40, type="DiscussionNote", internal=True, **at),
        Note(id=3, body="no", discussion_id="b" * 40, internal=True, **at),
        Note(id=4, body="open", discussion_id="c" * 40, **at),
    )
    issues = tuple(replace(i, notes=notes) if i is item else i for i in home.issues)
    place = replace(home, issues=issues)
    changed = replace(world, projects=tuple(place if p is home else p for p in world.projects))
    text = """query($p: ID!, $i: String!, $n: Int) { project(fullPath: $p) { issue(iid: $i) {
      notes(first: 3) { count pageInfo { hasNextPage } nodes { body } }
      discussions(first: $n) { pageInfo { hasNextPage } nodes { notes { nodes { body } } } } } } }"""
    async with running(changed, MODERN) as server, Caller(server.url, token(world)) as found:
        data = await ask(found, text, p=home.full_path, i=str(item.iid), n=2)
    seen = data["project"]["issue"]
    assert seen["notes"]["nodes"] == [{"body": "open"}]
    assert (seen["notes"]["count"], seen["notes"]["pageInfo"]["hasNextPage"]) == (4, True)
    assert seen["discussions"] == {
        "pageInfo": {"hasNextPage": True},
        "nodes": [{"notes": {"nodes": [{"body": "open"}]}}],
    }


async def test_a_renamed_project_answers_to_its_old_path(caller: Caller, world: World) -> None:
    moved = next(found for found in world.projects if found.former_paths)
    text = "query($p: ID!) { project(fullPath: $p) { fullPath } }"
    found = await ask(caller, text, p=moved.former_paths[0])
    assert found == {"project": {"fullPath": moved.full_path}}
