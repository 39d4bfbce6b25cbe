"""GraphQL over HTTP: pages, cursors, filters, groups, ids and the two versions."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.sandbox import Options, World, build_world, running
from labtrawl.sandbox.model import MergeRequest, Note, Project
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.graphql_caller import (
    ISSUES,
    MODERN,
    OLD,
    ask,
    busiest,
    errors,
    pages,
    post,
    token,
)


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with running(world, MODERN) as server, Caller(server.url, token(world)) as found:
        yield found


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


async def test_times_of_a_group_are_those_of_its_readable_projects(
    caller: Caller, world: World
) -> None:
    group = next(found for found in world.groups if found.full_path == "fjordlab")
    homes = [
        project
        for project in world.projects
        if project.full_path.startswith("fjordlab/") and project.feature("issues") != "disabled"
    ]
    logs = [log for home in homes for item in home.issues for log in item.timelogs]
    logs += [log for home in homes for item in home.merge_requests for log in item.timelogs]
    spent = sorted(log.spent_at for log in logs)
    low, high = spent[3], spent[-3]
    text = """query($g: ID!, $low: Time, $high: Time) { group(fullPath: $g) {
      timelogs { count } these: timelogs(startTime: $low, endTime: $high) { count }
      last: timelogs(first: 1, sort: SPENT_AT_DESC) { nodes { spentAt project { id } } } } }"""
    found = (await ask(caller, text, g=group.full_path, low=low, high=high))["group"]
    assert found["timelogs"]["count"] == len(spent) > 10
    assert found["these"]["count"] == sum(low <= each <= high for each in spent)
    assert found["last"]["nodes"][0]["spentAt"] == f"{spent[-1][:19]}Z"


async def test_old_version_knows_two_states_of_a_review(world: World) -> None:
    home = busiest(world, "merge_requests")
    text = """query($p: ID!) { project(fullPath: $p) { mergeRequests { nodes { iid
      reviewers { nodes { username mergeRequestInteraction { approved reviewState } } } } } } }"""
    async with running(world, OLD) as server, Caller(server.url, token(world)) as old:
        found = (await ask(old, text, p=home.full_path))["project"]["mergeRequests"]["nodes"]
    states = {
        (int(row["iid"]), each["username"]): each["mergeRequestInteraction"]["reviewState"]
        for row in found
        for each in row["reviewers"]["nodes"]
    }
    assert states == {
        (item.iid, review.user.username): (
            "UNREVIEWED" if review.state == "unreviewed" else "REVIEWED"
        )
        for item in home.merge_requests
        for review in item.reviews
    }
    assert "approved" in {each.state for item in home.merge_requests for each in item.reviews}
