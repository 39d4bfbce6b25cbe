"""GraphQL over HTTP: shapes of answers and refusals, limits, rights, cursors, time-outs, faults."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query, print_schema
from msgspec.structs import replace

from labtrawl.sandbox import Fault, Options, World, build_world, running
from labtrawl.sandbox.call import Profile
from labtrawl.sandbox.graphql.schema import schema_of
from labtrawl.sandbox.model import MergeRequest, Note, Project
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.graphql_caller import PATH, ask, busiest, errors, pages, post

MODERN = Options(version="18.5.0-ce", enterprise=False)
OLD = Options(version="16.2.0-ee")
ISSUES = """query Issues($path: ID!, $first: Int, $after: String, $sort: IssueSort) {
  project(fullPath: $path) { issues(first: $first, after: $after, sort: $sort) {
    count pageInfo { hasNextPage endCursor } nodes { id iid updatedAt } } } }"""


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as found:
        yield found


def token(world: World, index: int = 0) -> str:
    return world.accounts[index].token


async def arm(caller: Caller, **fault: object) -> None:
    armed = await caller.call("POST", "/-/sandbox/faults", json.dumps([fault]).encode())
    assert armed.status == 200, armed.body


async def tally(caller: Caller) -> Any:
    return (await caller.call("GET", "/-/sandbox/requests")).json


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


async def test_a_renamed_project_answers_to_its_old_path(caller: Caller, world: World) -> None:
    moved = next(found for found in world.projects if found.former_paths)
    text = "query($p: ID!) { project(fullPath: $p) { fullPath } }"
    found = await ask(caller, text, p=moved.former_paths[0])
    assert found == {"project": {"fullPath": moved.full_path}}


# ------------------------------------------------------------ pages and cursors


@pytest.mark.parametrize("sort", ["UPDATED_ASC", "updated_desc", "CREATED_DESC"])
async def test_pages_hold_every_row_once_in_order(caller: Caller, world: World, sort: str) -> None:
    home = busiest(world)
    rows = await pages(caller, ISSUES, "issues", path=home.full_path, first=3, sort=sort)
    column = "created_at" if "CREATED" in sort else "updated_at"
    expected = sorted(
        home.issues, key=lambda i: (getattr(i, column), i.id), reverse=sort.lower().endswith("desc")
    )
    assert [row["id"] for row in rows] == [f"gid://gitlab/Issue/{i.id}" for i in expected]


async def test_page_size_is_at_most_100(world: World) -> None:
    many = build_world("small", 1, {"issues": 250, "projects": 1})
    home = many.projects[0]
    async with running(many, MODERN) as server, Caller(server.url, token(many)) as found:
        first = await ask(found, ISSUES, path=home.full_path, first=500)
        rows = await pages(found, ISSUES, "issues", path=home.full_path, first=500)
    assert len(first["project"]["issues"]["nodes"]) == 100
    assert len({row["id"] for row in rows}) == len(rows) == 250


async def test_last_page_has_an_end_cursor_and_an_empty_one_has_none(
    caller: Caller, world: World
) -> None:
    path = busiest(world).full_path
    last = (await ask(caller, ISSUES, path=path))["project"]["issues"]["pageInfo"]
    assert last["hasNextPage"] is False
    assert last["endCursor"]
    beyond = await ask(caller, ISSUES, path=path, after=last["endCursor"])
    assert beyond["project"]["issues"]["nodes"] == []
    assert beyond["project"]["issues"]["pageInfo"] == {"hasNextPage": False, "endCursor": None}


async def test_cursor_of_another_order_or_none_at_all_is_refused(
    caller: Caller, world: World
) -> None:
    path = busiest(world).full_path
    page = await ask(caller, ISSUES, path=path, first=1, sort="UPDATED_ASC")
    cursor = page["project"]["issues"]["pageInfo"]["endCursor"]
    for after in (cursor, "bm8", "%%"):
        body = {"query": ISSUES, "variables": {"path": path, "after": after}}
        answer = (await post(caller, body)).json
        assert answer["data"] == {"project": {"issues": None}}
        assert answer["errors"][0]["message"] == "Please provide a valid cursor"
        assert answer["errors"][0]["path"] == ["project", "issues"]


async def test_cursor_survives_rows_that_come_and_go(world: World) -> None:
    home = busiest(world)
    oldest = sorted(home.issues, key=lambda issue: (issue.updated_at, issue.id))
    asked = {"path": home.full_path, "first": 4, "sort": "UPDATED_ASC"}
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as found:
        page = (await ask(found, ISSUES, **asked))["project"]["issues"]
        changes = [
            {"kind": "remove", "what": "issue", "project": home.id, "key": oldest[3].iid},
            {
                "kind": "edit",
                "what": "issue",
                "project": home.id,
                "key": oldest[0].iid,
                "fields": {"title": "changed"},
            },
        ]
        changed = await found.call("POST", "/-/sandbox/changes", json.dumps(changes).encode())
        assert changed.status == 200, changed.body
        rows, after = [], page["pageInfo"]["endCursor"]
        while after:
            part = (await ask(found, ISSUES, **asked, after=after))["project"]["issues"]
            rows += part["nodes"]
            after = part["pageInfo"]["endCursor"] if part["pageInfo"]["hasNextPage"] else None
    assert [row["iid"] for row in rows] == [str(i.iid) for i in [*oldest[4:], oldest[0]]]


async def test_filters_by_time_are_inclusive_and_by_number_exact(
    caller: Caller, world: World
) -> None:
    home = busiest(world)
    middle = sorted(home.issues, key=lambda issue: issue.updated_at)[5]
    text = """query($p: ID!, $t: Time, $i: [String!]) { project(fullPath: $p) {
      after: issues(updatedAfter: $t) { nodes { iid } }
      before: issues(updatedBefore: $t) { nodes { iid } }
      these: issues(iids: $i) { nodes { iid } }
      none: issues(iids: []) { nodes { iid } } } }"""
    iids = [str(home.issues[0].iid), str(home.issues[-1].iid)]
    found = (await ask(caller, text, p=home.full_path, t=middle.updated_at, i=iids))["project"]

    def got(name: str) -> set[int]:
        return {int(row["iid"]) for row in found[name]["nodes"]}

    assert got("after") == {i.iid for i in home.issues if i.updated_at >= middle.updated_at}
    assert got("before") == {i.iid for i in home.issues if i.updated_at <= middle.updated_at}
    assert got("these") == {int(iid) for iid in iids}
    assert got("none") == set()


async def test_time_that_is_none_is_refused(caller: Caller, world: World) -> None:
    text = '{ project(fullPath: "x") { issues(updatedAfter: "soon") { count } } }'
    assert await errors(caller, text) == ['"soon" is not a valid time']


async def test_short_pages_have_few_nodes_and_a_next_page(world: World) -> None:
    def talk(item: Any) -> int:
        return len({note.discussion_id for note in item.notes if not note.internal})

    project, issue = next(
        (p, i)
        for p in world.projects
        for i in p.issues
        if i.iid % 5 == 0 and talk(i) > 1 and p.full_path.startswith("fjordlab/")
    )
    text = """query($p: ID!, $iid: String!, $after: String) { project(fullPath: $p) {
      issue(iid: $iid) { discussions(first: 100, after: $after) {
        pageInfo { hasNextPage endCursor } nodes { id } } } } }"""
    options = Options(version="18.5.0-ce", short_pages=True)
    sizes, after = [], None
    async with running(world, options) as server, Caller(server.url, token(world)) as found:
        while True:
            data = await ask(found, text, p=project.full_path, iid=str(issue.iid), after=after)
            page = data["project"]["issue"]["discussions"]
            sizes.append(len(page["nodes"]))
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
    assert sizes == [1, talk(issue) - 1]


# ------------------------------------------------------------ groups, ids, profiles


async def test_group_lists_reach_subgroups_if_asked_and_leave_archived_out(
    caller: Caller, world: World
) -> None:
    group = next(found for found in world.groups if found.full_path == "fjordlab")
    text = """query($g: ID!, $deep: Boolean, $old: Boolean) { group(fullPath: $g) {
      issues(includeSubgroups: $deep, includeArchived: $old) { count }
      projects(includeSubgroups: $deep, includeArchived: $old) { count } } }"""
    below = [p for p in world.projects if p.full_path.startswith("fjordlab/")]
    for deep in (False, True):
        for old in (False, True):
            places = [
                p for p in below if (deep or p.namespace_id == group.id) and (old or not p.archived)
            ]
            found = (await ask(caller, text, g=group.full_path, deep=deep, old=old))["group"]
            issues = sum(len(p.issues) for p in places if p.feature("issues") != "disabled")
            assert found == {"issues": {"count": issues}, "projects": {"count": len(places)}}


async def test_projects_are_found_by_id_path_and_membership(caller: Caller, world: World) -> None:
    hidden = next(found for found in world.projects if found.path == "tariffs")
    seen = busiest(world)
    text = """query($i: [ID!], $p: [String!]) {
      ids: projects(ids: $i) { nodes { fullPath } }
      paths: projects(fullPaths: $p) { nodes { fullPath } }
      mine: projects(membership: true) { count nodes { id } } }"""
    found = await ask(
        caller,
        text,
        i=[f"gid://gitlab/Project/{seen.id}", f"gid://gitlab/Project/{hidden.id}"],
        p=[seen.full_path, hidden.full_path],
    )
    assert found["ids"] == found["paths"] == {"nodes": [{"fullPath": seen.full_path}]}
    mine = await caller.rows("projects?membership=true&per_page=100")
    assert isinstance(mine, list)
    open_ones = [
        row["id"] for row in mine if (await caller.get(f"projects/{row['id']}")).status == 200
    ]
    assert {row["id"] for row in found["mine"]["nodes"]} == {
        f"gid://gitlab/Project/{number}" for number in open_ones
    }
    too_many = await post(caller, {"query": text, "variables": {"p": ["x"] * 51}})
    assert too_many.json["data"]["paths"] is None


async def test_items_are_found_by_their_global_id(caller: Caller, world: World) -> None:
    home = busiest(world)
    issue = home.issues[0]
    text = """query($i: IssueID!, $w: WorkItemID!) {
      issue(id: $i) { iid } workItem(id: $w) { iid } }"""
    numbers = {"i": f"gid://gitlab/Issue/{issue.id}", "w": f"gid://gitlab/WorkItem/{issue.id}"}
    found = await ask(caller, text, **numbers)
    assert found == {"issue": {"iid": str(issue.iid)}, "workItem": {"iid": str(issue.iid)}}
    gone = {"i": "gid://gitlab/Issue/1", "w": "gid://gitlab/WorkItem/1"}
    assert await ask(caller, text, **gone) == {"issue": None, "workItem": None}


async def test_old_version_lacks_what_came_later(world: World) -> None:
    home = busiest(world)
    later = """query($p: ID!) { project(fullPath: $p) { mergeRequests { nodes { closedAt } }
      workItems { count nodes { widgets { ... on WorkItemWidgetLinkedItems { type } } } } } }"""
    both = """query($p: ID!) { metadata { version enterprise } project(fullPath: $p) {
      issues(first: 1) { nodes { weight notes { nodes { id confidential } } } } } }"""
    async with running(world, OLD) as server, Caller(server.url, token(world)) as old:
        refused = await errors(old, later, p=home.full_path)
        found = await ask(old, both, p=home.full_path)
    assert len(refused) == 3
    assert found["metadata"] == {"version": "16.2.0-ee", "enterprise": True}
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as modern:
        assert (await ask(modern, later, p=home.full_path))["project"] is not None
        assert len(await errors(modern, both, p=home.full_path)) == 2


async def test_work_items_show_emoji_and_links(caller: Caller, world: World) -> None:
    project, issue = next(
        (p, i)
        for p in world.projects
        for i in p.issues
        if i.awards and i.links and p.full_path.startswith("fjordlab/")
    )
    text = """query($p: ID!, $i: [String!]) { project(fullPath: $p) { workItems(iids: $i) { nodes {
      id state widgets(onlyTypes: [AWARD_EMOJI, LINKED_ITEMS]) { __typename type
        ... on WorkItemWidgetAwardEmoji { upvotes awardEmoji { nodes { name user { username } } } }
        ... on WorkItemWidgetLinkedItems { linkedItems { nodes { linkId linkType
          workItem { id } } } } } } } } }"""
    found = await ask(caller, text, p=project.full_path, i=[str(issue.iid)])
    (node,) = found["project"]["workItems"]["nodes"]
    emoji, links = node["widgets"]
    assert node["id"] == f"gid://gitlab/WorkItem/{issue.id}"
    assert (emoji["__typename"], links["type"]) == ("WorkItemWidgetAwardEmoji", "LINKED_ITEMS")
    assert [(a["name"], a["user"]["username"]) for a in emoji["awardEmoji"]["nodes"]] == [
        (award.name, award.user.username) for award in issue.awards
    ]
    rest = await caller.rows(f"projects/{project.id}/issues/{issue.iid}/links")
    assert isinstance(rest, list)
    assert {
        (row["linkId"].rsplit("/")[-1], row["linkType"], row["workItem"]["id"].rsplit("/")[-1])
        for row in links["linkedItems"]["nodes"]
    } == {(str(row["issue_link_id"]), row["link_type"], str(row["id"])) for row in rest}


async def test_threads_on_a_diff_tell_their_kind_place_and_end(world: World) -> None:
    home = busiest(world, "merge_requests")
    item, people = home.merge_requests[0], world.users
    at: dict[str, Any] = {
        "author": people[1],
        "created_at": item.created_at,
        "updated_at": item.created_at,
    }
    place: dict[str, Any] = {"base_sha": "a" * 40, "head_sha": "b" * 40, "start_sha": "a" * 40}
    place |= {"new_path": "src/tide.py", "old_path": "src/tide.py", "new_line": 7}
    done: dict[str, Any] = {"resolvable": True, "resolved": True, "resolved_by": people[2]}
    done |= {"resolved_at": "2026-01-02T03:04:05.678Z"}
    thread: dict[str, Any] = {
        "discussion_id": "d" * 40,
        "type": "DiffNote",
        "position": place,
        **at,
        **done,
    }
    notes = (
        Note(id=1, body="Why?", **thread),
        Note(id=2, body="Because.", **thread),
        Note(id=3, body="Secret", discussion_id="e" * 40, internal=True, **at),
        Note(
            id=4, body="Open", discussion_id="f" * 40, type="DiscussionNote", resolvable=True, **at
        ),
    )
    text = """query($p: ID!, $i: String!) { project(fullPath: $p) { mergeRequest(iid: $i) {
      discussions { nodes { id replyId createdAt resolvable resolved resolvedAt
        resolvedBy { username } notes { nodes { id discussion { id } position {
          diffRefs { baseSha headSha startSha } filePath newLine oldLine positionType } } } } }
      mergeableDiscussionsState } } }"""
    changed = with_notes(world, home, item, notes)
    async with running(changed, MODERN) as server, Caller(server.url, token(world)) as found:
        data = await ask(found, text, p=home.full_path, i=str(item.iid))
    first, second, third = data["project"]["mergeRequest"]["discussions"]["nodes"]
    assert data["project"]["mergeRequest"]["mergeableDiscussionsState"] is False
    assert {key: first[key] for key in first if key != "notes"} == {
        "id": f"gid://gitlab/DiffDiscussion/{'d' * 40}",
        "replyId": f"gid://gitlab/DiffDiscussion/{'d' * 40}",
        "createdAt": f"{item.created_at[:19]}Z",
        "resolvable": True,
        "resolved": True,
        "resolvedAt": "2026-01-02T03:04:05Z",
        "resolvedBy": {"username": people[2].username},
    }
    assert [note["id"] for note in first["notes"]["nodes"]] == [
        "gid://gitlab/DiffNote/1",
        "gid://gitlab/DiffNote/2",
    ]
    assert first["notes"]["nodes"][1]["discussion"] == {"id": first["id"]}
    assert first["notes"]["nodes"][0]["position"] == {
        "diffRefs": {"baseSha": "a" * 40, "headSha": "b" * 40, "startSha": "a" * 40},
        "filePath": "src/tide.py",
        "newLine": 7,
        "oldLine": None,
        "positionType": "text",
    }
    assert second["id"] == f"gid://gitlab/IndividualNoteDiscussion/{'e' * 40}"
    assert (third["id"], third["resolved"]) == (f"gid://gitlab/Discussion/{'f' * 40}", False)


def with_notes(world: World, home: Project, item: MergeRequest, notes: tuple[Note, ...]) -> World:
    changed = replace(item, notes=notes)
    items = tuple(changed if each is item else each for each in home.merge_requests)
    place = replace(home, merge_requests=items)
    return replace(world, projects=tuple(place if p is home else p for p in world.projects))


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
