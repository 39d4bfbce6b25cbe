"""What can be asked "since", what a group tells of its projects, and what lists add when asked."""

from typing import Any

import msgspec
import pytest

from labtrawl.sandbox import World, running
from labtrawl.sandbox.model import Group, Issue, MergeRequest, Project
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.test_items import asked, project_replaced


def home(world: World) -> Group:
    return next(group for group in world.groups if group.full_path == "fjordlab")


def below(world: World) -> list[Project]:
    """Projects of the group and its subgroups in which the main account reads everything."""
    return [p for p in world.projects if p.full_path.startswith("fjordlab/")]


def fullest(readable: list[Project], field: str) -> Project:
    return max(readable, key=lambda project: len(getattr(project, field)))


async def rows_of(world: World, path: str) -> list[Any]:
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as caller:
        rows = await caller.rows(path)
    assert isinstance(rows, list)
    return rows


@pytest.mark.parametrize("kind", ["issues", "merge_requests"])
async def test_group_tells_changes_of_all_its_projects_in_their_order(
    world: World, kind: str
) -> None:
    items = sorted(
        (
            (item.updated_at, item.id)
            for project in below(world)
            if kind not in {n for n, level in project.features.items() if level == "disabled"}
            for item in getattr(project, kind)
        ),
    )
    since = items[len(items) // 2][0]
    query = f"updated_after={since}&order_by=updated_at&sort=asc&scope=all&non_archived=false"
    rows = await rows_of(world, f"groups/{home(world).id}/{kind}?{query}&per_page=20")
    expected = [item for item in items if item[0] >= since]
    assert [(row["updated_at"], row["id"]) for row in rows] == expected
    assert len({row["project_id"] for row in rows}) > 3


@pytest.mark.parametrize("kind", ["issues", "merge_requests"])
async def test_group_leaves_archived_projects_out_unless_asked(world: World, kind: str) -> None:
    project = max(below(world), key=lambda p: min(len(p.issues), len(p.merge_requests)))
    archived = project_replaced(world, project, archived=True)
    path = f"groups/{home(world).id}/{kind}"
    hidden = await rows_of(archived, f"{path}?per_page=100")
    shown = await rows_of(archived, f"{path}?per_page=100&non_archived=false")
    assert {row["project_id"] for row in shown} - {row["project_id"] for row in hidden} >= {
        project.id
    }


async def test_group_of_my_own_issues(world: World) -> None:
    me = world.accounts[0].user_id
    rows = await rows_of(world, f"groups/{home(world).id}/issues?scope=created_by_me&per_page=100")
    assert {row["author"]["id"] for row in rows} == {me}


@pytest.mark.parametrize("kind", ["issues", "merge_requests"])
async def test_forbidden_group_tells_nothing(world: World, kind: str) -> None:
    fenced = next(group for group in world.groups if group.forbidden)
    answer = await asked(world, f"groups/{fenced.id}/{kind}")
    assert answer == (403, {"message": "403 Forbidden"})


async def test_project_whose_issues_are_off_is_not_among_those_of_its_group(world: World) -> None:
    project = max(below(world), key=lambda p: len(p.issues))
    off = project_replaced(world, project, features=project.features | {"issues": "disabled"})
    rows = await rows_of(off, f"groups/{home(world).id}/issues?per_page=100")
    assert project.id not in {row["project_id"] for row in rows}
    assert rows


@pytest.mark.parametrize("kind", ["issues", "merge_requests"])
async def test_iids_name_single_items(world: World, readable: list[Project], kind: str) -> None:
    project = fullest(readable, kind)
    query = "iids[]=1&iids[]=3&sort=asc"
    rows = await rows_of(world, f"projects/{project.id}/{kind}?{query}")
    assert [row["iid"] for row in rows] == [1, 3]


async def test_single_answers_are_the_rows_of_the_lists(
    world: World, readable: list[Project]
) -> None:
    project = fullest(readable, "issues")
    _, issue = await asked(world, f"projects/{project.id}/issues/2")
    assert await asked(world, f"projects/{project.id}/issues?iids[]=2") == (200, [issue])
    _, request = await asked(world, f"projects/{project.id}/merge_requests/1")
    (row,) = (await asked(world, f"projects/{project.id}/merge_requests?iids[]=1"))[1]
    assert row == {name: request[name] for name in row}


async def test_issue_statistics_count_by_state(world: World, readable: list[Project]) -> None:
    project = fullest(readable, "issues")
    opened = sum(issue.state == "opened" for issue in project.issues)
    counts = {"all": len(project.issues), "opened": opened, "closed": len(project.issues) - opened}
    answer = await asked(world, f"projects/{project.id}/issues_statistics")
    assert answer == (200, {"statistics": {"counts": counts}})


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("pipelines", "order_by=updated_at&sort=asc"),
        ("deployments", "order_by=updated_at&sort=asc"),
        ("milestones", ""),
    ],
)
async def test_updated_after_keeps_what_changed_since(
    world: World, readable: list[Project], kind: str, query: str
) -> None:
    project = fullest(readable, kind)
    items = getattr(project, kind)
    since = sorted(item.updated_at for item in items)[len(items) // 2]
    path = f"projects/{project.id}/{kind}?updated_after={since}&{query}&per_page=100"
    rows = await rows_of(world, path)
    assert {row["id"] for row in rows} == {i.id for i in items if i.updated_at >= since}
    assert 0 < len(rows) <= len(items)


@pytest.mark.parametrize(
    "query",
    [
        "updated_after=2026-01-01",
        "updated_before=2026-01-01&order_by=id",
        "order_by=updated_at",
        "finished_after=2026-01-01&order_by=finished_at",
        "finished_after=2026-01-01&updated_after=2026-01-01&order_by=updated_at",
    ],
)
async def test_deployments_refuse_a_filter_without_its_order(
    world: World, readable: list[Project], query: str
) -> None:
    project = fullest(readable, "deployments")
    status, body = await asked(world, f"projects/{project.id}/deployments?{query}")
    assert (status, body["message"].startswith("400 Bad request - ")) == (400, True)


async def test_deployments_finished_since(world: World, readable: list[Project]) -> None:
    project = fullest(readable, "deployments")
    done = [d for d in project.deployments if d.status == "success" and d.finished_at]
    since = sorted(str(d.finished_at) for d in done)[len(done) // 2]
    query = f"finished_after={since}&order_by=finished_at&status=success&per_page=100"
    rows = await rows_of(world, f"projects/{project.id}/deployments?{query}")
    assert {row["id"] for row in rows} == {d.id for d in done if str(d.finished_at) >= since}


async def test_environments_by_state_and_name(world: World, readable: list[Project]) -> None:
    project = fullest(readable, "environments")
    path = f"projects/{project.id}/environments"
    for state in ("available", "stopped"):
        rows = await rows_of(world, f"{path}?states={state}")
        wanted = {each.id for each in project.environments if each.state == state}
        assert {row["id"] for row in rows} == wanted
    (row,) = await rows_of(world, f"{path}?name={project.environments[0].name}")
    assert row["id"] == project.environments[0].id
    assert (await asked(world, f"{path}?name=a&search=b"))[0] == 400


async def test_commits_have_stats_only_if_asked(world: World, readable: list[Project]) -> None:
    project = fullest(readable, "commits")
    path = f"projects/{project.id}/repository/commits?all=true&per_page=1"
    commit = project.commits[-1]
    (plain,) = (await asked(world, path))[1]
    (counted,) = (await asked(world, f"{path}&with_stats=true"))[1]
    total = commit.additions + commit.deletions
    stats = {"additions": commit.additions, "deletions": commit.deletions, "total": total}
    assert counted == plain | {"stats": stats}


async def test_statistics_of_a_project_are_for_reporters(
    world: World, readable: list[Project]
) -> None:
    project = fullest(readable, "commits")
    path = f"projects/{project.id}"
    _, plain = await asked(world, path)
    _, weighed = await asked(world, f"{path}?statistics=true")
    assert weighed.pop("statistics")["commit_count"] == len(project.commits)
    assert weighed == plain
    rows = await rows_of(world, "projects?statistics=true&membership=true&per_page=100")
    assert {row["id"] for row in rows if "statistics" in row} == {
        row["id"] for row in rows if row["path"] != "flood-committee"
    }
    guest = next(p for p in world.projects if p.path == "flood-committee")
    _, body = await asked(world, f"projects/{guest.id}?statistics=true")
    assert "statistics" not in body


def test_traces_fit_the_items_they_hang_on(world: World) -> None:
    for project in world.projects:
        items: tuple[Issue | MergeRequest, ...] = (*project.issues, *project.merge_requests)
        for item in items:
            added = {e.label.name for e in item.label_events if e.label and e.action == "add"}
            removed = {e.label.name for e in item.label_events if e.label and e.action == "remove"}
            assert added - removed == set(item.labels)
            last = item.state_events[-1].state if item.state_events else "reopened"
            assert last == {"opened": "reopened"}.get(item.state, item.state)
            milestones = [e.milestone for e in item.milestone_events if e.action == "add"]
            assert (milestones[-1] if milestones else None) == item.milestone
            assert item.upvotes == sum(award.name == "thumbsup" for award in item.awards)
            assert item.total_time_spent == sum(log.time_spent for log in item.timelogs)


def test_links_are_held_by_both_issues(world: World) -> None:
    mirror = {"relates_to": "relates_to", "blocks": "is_blocked_by", "is_blocked_by": "blocks"}
    held = {
        (link.id, issue.id): (link.issue_id, link.link_type)
        for project in world.projects
        for issue in project.issues
        for link in issue.links
    }
    assert held
    for (number, here), (there, kind) in held.items():
        assert held[number, there] == (here, mirror[kind])


def test_merge_requests_name_commits_and_pipelines_of_their_project(world: World) -> None:
    for project in world.projects:
        commits = {commit.sha for commit in project.commits}
        pipelines = {pipeline.id for pipeline in project.pipelines}
        for request in project.merge_requests:
            assert set(request.commits) <= commits
            assert set(request.pipelines) <= pipelines
            assert 1 <= len(request.versions) <= 3
            assert request.versions[-1].head_commit_sha == request.sha == request.commits[0]


def test_label_without_its_event_would_be_seen(world: World, readable: list[Project]) -> None:
    project = next(p for p in readable if any(i.labels for i in p.issues))
    issue = next(i for i in project.issues if i.labels)
    broken = msgspec.structs.replace(issue, label_events=())
    issues = tuple(broken if each is issue else each for each in project.issues)
    with pytest.raises(AssertionError):
        test_traces_fit_the_items_they_hang_on(project_replaced(world, project, issues=issues))
