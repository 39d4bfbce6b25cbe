"""What hangs on items, and where builds go: each list whole, refused, switched off, empty, paged."""

from typing import Any

import msgspec
import pytest

from labtrawl.sandbox import Options, Truth, World, running, truth
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Caller

BASE = "http://gitlab.test"
ISSUE = "issues/{iid}"
REQUEST = "merge_requests/{iid}"
# resource: path below the project, and the field of the model that holds its rows
LISTS = {
    "issue_discussions": (f"{ISSUE}/discussions", "notes"),
    "issue_award_emoji": (f"{ISSUE}/award_emoji", "awards"),
    "issue_label_events": (f"{ISSUE}/resource_label_events", "label_events"),
    "issue_state_events": (f"{ISSUE}/resource_state_events", "state_events"),
    "issue_milestone_events": (f"{ISSUE}/resource_milestone_events", "milestone_events"),
    "issue_links": (f"{ISSUE}/links", "links"),
    "merge_request_discussions": (f"{REQUEST}/discussions", "notes"),
    "merge_request_award_emoji": (f"{REQUEST}/award_emoji", "awards"),
    "merge_request_label_events": (f"{REQUEST}/resource_label_events", "label_events"),
    "merge_request_state_events": (f"{REQUEST}/resource_state_events", "state_events"),
    "merge_request_milestone_events": (f"{REQUEST}/resource_milestone_events", "milestone_events"),
    "merge_request_reviewers": (f"{REQUEST}/reviewers", "reviews"),
    "merge_request_versions": (f"{REQUEST}/versions", "versions"),
    "merge_request_commits": (f"{REQUEST}/commits", "commits"),
    "merge_request_pipelines": (f"{REQUEST}/pipelines", "pipelines"),
    "commit_discussions": ("repository/commits/{iid}/discussions", "notes"),
    "environments": ("environments", "environments"),
    "deployments": ("deployments", "deployments"),
}
# GitLab answers with all links at once (lib/api/issue_links.rb).
UNPAGED = {"issue_links"}
APPROVALS = "merge_request_approvals"
FORBIDDEN = (403, {"message": "403 Forbidden"})
NOT_THERE = (404, {"message": "404 Issue Not Found"})

Place = tuple[Project, Any]


@pytest.fixture(scope="module")
def whole(world: World) -> Truth:
    return truth(world, external_url=BASE, commit_discussions=True)


def holder_of(resource: str) -> str:
    """The field of a project that lists of the resource hang on; empty for the project itself."""
    if resource.startswith("issue_"):
        return "issues"
    if resource.startswith("merge_request_"):
        return "merge_requests"
    return "commits" if resource == "commit_discussions" else ""


def fullest(readable: list[Project], resource: str) -> Place:
    """Where the list is longest."""
    holder = holder_of(resource)
    places = [
        (project, item)
        for project in readable
        for item in (getattr(project, holder) if holder else [project])
    ]
    return max(places, key=lambda place: size_of(resource, place[1]))


def size_of(resource: str, item: Any) -> int:
    """How many rows the list has."""
    held = getattr(item, LISTS[resource][1])
    return len({n.discussion_id for n in held} if resource.endswith("discussions") else held)


def path_of(resource: str, project: Project, item: Any) -> str:
    path = LISTS[resource][0] if resource in LISTS else f"{REQUEST}/approvals"
    key = getattr(item, "iid", None) or getattr(item, "sha", "")
    return f"projects/{project.id}/{path.format(iid=key)}"


def project_replaced(world: World, project: Project, **changes: Any) -> World:
    changed = msgspec.structs.replace(project, **changes)
    projects = tuple(changed if p.id == project.id else p for p in world.projects)
    return msgspec.structs.replace(world, projects=projects)


def emptied(world: World, resource: str, place: Place) -> World:
    """The world with nothing in the list."""
    project, item = place
    nothing = {LISTS[resource][1]: ()}
    holder = holder_of(resource)
    if not holder:
        return project_replaced(world, project, **nothing)
    changed = msgspec.structs.replace(item, **nothing)
    items = tuple(changed if each is item else each for each in getattr(project, holder))
    return project_replaced(world, project, **{holder: items})


async def asked(
    world: World, path: str, token: str | None = None, *, enterprise: bool = True
) -> tuple[int, Any]:
    account = world.accounts[0].token if token is None else token
    async with (
        running(world, Options(external_url=BASE, enterprise=enterprise)) as server,
        Caller(server.url, account) as caller,
    ):
        answer = await caller.get(path)
        return answer.status, answer.json


@pytest.mark.parametrize("resource", sorted(LISTS))
async def test_list_holds_the_truth(
    world: World, readable: list[Project], whole: Truth, resource: str
) -> None:
    project, item = fullest(readable, resource)
    known = [
        body
        for kind, area, name, _, body in whole.items()
        if (kind, area, name) == ("project", project.id, resource)
    ]
    async with (
        running(world, Options(external_url=BASE)) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        rows = await caller.rows(f"{path_of(resource, project, item)}?per_page=100")
    assert isinstance(rows, list)
    assert [row for row in rows if row not in known] == []
    assert len(rows) == size_of(resource, item) > 1


@pytest.mark.parametrize("resource", sorted({*LISTS, APPROVALS}))
async def test_project_behind_a_fence_is_forbidden(world: World, resource: str) -> None:
    fenced = next(p for p in world.projects if p.full_path.startswith("coastguard-data/"))
    holder = holder_of(resource)
    item = getattr(fenced, holder)[0] if holder else fenced
    assert await asked(world, path_of(resource, fenced, item)) == FORBIDDEN


@pytest.mark.parametrize("resource", sorted({*LISTS, APPROVALS} - {"issue_links"}))
async def test_without_token_a_public_project_answers_401(world: World, resource: str) -> None:
    public = next(p for p in world.projects if p.path == "map-tiles")
    holder = holder_of(resource)
    item = getattr(public, holder)[0] if holder else public
    status, body = await asked(world, path_of(resource, public, item), "")
    assert (status, body) == (401, {"message": "401 Unauthorized"})


@pytest.mark.parametrize("resource", sorted({*LISTS, APPROVALS}))
async def test_feature_switched_off_refuses_as_gitlab(
    world: World, readable: list[Project], resource: str
) -> None:
    project, item = fullest(readable, resource if resource in LISTS else "merge_request_versions")
    feature = {"": "environments", "commits": "repository"}.get(
        holder_of(resource), holder_of(resource)
    )
    off = project_replaced(world, project, features=project.features | {feature: "disabled"})
    expected = {
        "issues": NOT_THERE,
        "repository": (404, {"message": "404 Repository Not Found"}),
    }.get(feature, FORBIDDEN)
    assert await asked(off, path_of(resource, project, item)) == expected


@pytest.mark.parametrize("resource", ["environments", "deployments"])
async def test_where_nothing_is_built_nothing_is_deployed(
    world: World, readable: list[Project], resource: str
) -> None:
    project, item = fullest(readable, resource)
    off = project_replaced(world, project, features=project.features | {"builds": "disabled"})
    assert await asked(off, path_of(resource, project, item)) == FORBIDDEN


@pytest.mark.parametrize("resource", sorted(LISTS))
async def test_empty_list_is_an_empty_array(
    world: World, readable: list[Project], resource: str
) -> None:
    place = fullest(readable, resource)
    assert await asked(emptied(world, resource, place), path_of(resource, *place)) == (200, [])


@pytest.mark.parametrize("resource", sorted(set(LISTS) - UNPAGED))
async def test_two_pages_are_the_whole_list(
    world: World, readable: list[Project], resource: str
) -> None:
    path = path_of(resource, *fullest(readable, resource))
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as caller:
        whole = await caller.rows(f"{path}?per_page=100")
        assert isinstance(whole, list)
        half = (len(whole) + 1) // 2
        first = await caller.get(f"{path}?per_page={half}")
        second = await caller.get(f"{path}?{first.next_query}")
    assert (first.json + second.json, second.next_query) == (whole, None)
    assert 0 < len(second.json) < len(whole)


async def test_links_come_at_once_whatever_the_page(world: World, readable: list[Project]) -> None:
    path = path_of("issue_links", *fullest(readable, "issue_links"))
    _, whole = await asked(world, path)
    assert await asked(world, f"{path}?per_page=1&page=2") == (200, whole)
    assert len(whole) > 1


async def test_link_with_an_issue_the_viewer_may_not_see_is_left_out(
    world: World, readable: list[Project]
) -> None:
    project, issue = fullest(readable, "issue_links")
    target = issue.links[0]
    hidden = msgspec.structs.replace(
        next(p for p in world.projects if p.id == target.project_id),
        features={"issues": "disabled"},
    )
    other = next(p for p in readable if p.id != project.id and p.issues)
    link = msgspec.structs.replace(
        target, project_id=other.id, issue_id=other.issues[0].id, issue_iid=other.issues[0].iid
    )
    issues = tuple(
        msgspec.structs.replace(issue, links=(link,)) if each is issue else each
        for each in project.issues
    )
    linked = project_replaced(world, project, issues=issues)
    path = path_of("issue_links", project, issue)
    _, rows = await asked(linked, path)
    assert [row["id"] for row in rows] == [other.issues[0].id]
    assert await asked(project_replaced(linked, other, features=hidden.features), path) == (200, [])


async def test_approvals_are_one_object_of_the_truth(
    world: World, readable: list[Project], whole: Truth
) -> None:
    project = next(p for p in readable if any(r.approvals for r in p.merge_requests))
    request = next(r for r in project.merge_requests if r.approvals)
    (body,) = (
        body
        for _, area, name, natural, body in whole.items()
        if (area, name, natural) == (project.id, APPROVALS, f"{project.id}/{request.iid}")
    )
    assert await asked(world, path_of(APPROVALS, project, request)) == (200, body)
    assert body["approved"] is True


async def test_approvals_of_the_free_edition_tell_who_approved_and_no_rules(
    world: World, readable: list[Project]
) -> None:
    project = next(p for p in readable if p.merge_requests)
    path = path_of(APPROVALS, project, project.merge_requests[0])
    status, body = await asked(world, path, enterprise=False)
    assert (status, set(body)) == (
        200,
        {"user_has_approved", "user_can_approve", "approved", "approved_by"},
    )
    assert {"iid", "approvals_left"} <= set((await asked(world, path))[1])


async def test_languages_of_a_project_and_of_one_without_repository(
    world: World, readable: list[Project]
) -> None:
    project = next(p for p in readable if p.languages)
    assert await asked(world, f"projects/{project.id}/languages") == (200, project.languages)
    empty = next(p for p in world.projects if p.path == "mooring-design")
    assert await asked(world, f"projects/{empty.id}/languages") == (200, {})


async def test_emoji_of_a_note(world: World, readable: list[Project]) -> None:
    project, issue, note = next(
        (p, i, n) for p in readable for i in p.issues for n in i.notes if n.awards
    )
    path = f"projects/{project.id}/issues/{issue.iid}/notes/{note.id}/award_emoji"
    status, rows = await asked(world, path)
    assert (
        status,
        [(row["name"], row["awardable_type"], row["awardable_id"]) for row in rows],
    ) == (
        200,
        [(note.awards[0].name, "Note", note.id)],
    )


async def test_discussion_without_its_internal_note_for_a_guest(
    world: World, readable: list[Project]
) -> None:
    guest = world.accounts[2]
    project, issue = next(
        (p, i)
        for p in readable
        if p.id in {c.area_id for c in truth(world, guest.username).cells if not c.gap}
        for i in p.issues
        if len({n.discussion_id for n in i.notes}) == len(i.notes) > 1 and not i.confidential
    )
    notes = tuple(
        msgspec.structs.replace(note, internal=turn == 0) for turn, note in enumerate(issue.notes)
    )
    issues = tuple(
        msgspec.structs.replace(issue, notes=notes) if each is issue else each
        for each in project.issues
    )
    changed = project_replaced(world, project, issues=issues)
    path = f"projects/{project.id}/issues/{issue.iid}/discussions"
    _, everything = await asked(changed, path)
    _, seen = await asked(changed, path, guest.token)
    assert seen == everything[1:]


async def test_discussion_holds_its_replies(world: World, readable: list[Project]) -> None:
    project, issue = next(
        (p, i)
        for p in readable
        for i in p.issues
        if len({n.discussion_id for n in i.notes}) < len(i.notes)
    )
    _, rows = await asked(world, f"projects/{project.id}/issues/{issue.iid}/discussions")
    threads = [row for row in rows if len(row["notes"]) > 1]
    assert [row["individual_note"] for row in threads] == [False] * len(threads)
    assert {note["id"] for row in rows for note in row["notes"]} == {n.id for n in issue.notes}
