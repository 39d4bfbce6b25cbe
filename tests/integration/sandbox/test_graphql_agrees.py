"""The same object read by REST and by GraphQL is the same, field by field."""

from collections.abc import Callable
from typing import Any

import pytest

from labtrawl.sandbox import Options, World, running
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.graphql_caller import ask, pages

OPTIONS = {
    "18.5": Options(version="18.5.0-ce", enterprise=False),
    "16.2": Options(version="16.2.0-ee"),
}
USER = "{ id username name state publicEmail avatarUrl webUrl }"
NOTE = (
    "id body system internal createdAt updatedAt resolvable resolved resolvedAt "
    f"resolvedBy {USER} author {USER} position {{ filePath newLine oldLine }}"
)
DISCUSSIONS = (
    "discussions(first: 100) { pageInfo { hasNextPage } nodes { id replyId createdAt resolvable "
    f"resolved notes {{ nodes {{ {NOTE} }} }} }} }}"
)
SHARED = (
    "id iid title description state createdAt updatedAt discussionLocked upvotes downvotes "
    "userNotesCount timeEstimate totalTimeSpent humanTimeEstimate humanTotalTimeSpent webUrl "
    f"reference(full: true) taskCompletionStatus {{ count completedCount }} author {USER} "
    f"assignees {{ nodes {USER} }} labels {{ nodes {{ title }} }} milestone {{ id iid title "
    "description state dueDate startDate createdAt updatedAt expired webPath }"
)
ISSUE = f"{SHARED} type closedAt confidential dueDate mergeRequestsCount movedTo {{ id }}"
REQUEST = (
    f"{SHARED} draft mergedAt preparedAt sourceBranch targetBranch sourceProjectId "
    "targetProjectId mergeCommitSha squash squashOnMerge shouldRemoveSourceBranch "
    "forceRemoveSourceBranch mergeWhenPipelineSucceeds mergeStatusEnum detailedMergeStatus "
    f"conflicts mergeableDiscussionsState diffHeadSha mergeUser {USER} approved "
    f"approvedBy {{ nodes {USER} }} reviewers {{ nodes {{ id username name state publicEmail "
    "avatarUrl webUrl mergeRequestInteraction { approved reviewState } } } "
    f"awardEmoji {{ nodes {{ name user {USER} }} }}"
)


def listed(where: str, selection: str) -> str:
    return (
        "query($path: ID!, $after: String) { project(fullPath: $path) { "
        f"{where}(first: 20, after: $after) {{ pageInfo {{ hasNextPage endCursor }} "
        f"nodes {{ {selection} }} }} }} }}"
    )


# ------------------------------------------------------------ GraphQL in REST's words


def number(text: str) -> int:
    return int(text.rsplit("/", 1)[-1])


def user(base: str, found: Any) -> Any:
    if found is None:
        return None
    return {
        "id": number(found["id"]),
        "username": found["username"],
        "public_email": found["publicEmail"],
        "name": found["name"],
        "state": found["state"],
        "avatar_url": base + found["avatarUrl"],
        "web_url": found["webUrl"],
    }


def milestone(base: str, found: Any) -> Any:
    if found is None:
        return None
    return {
        "id": number(found["id"]),
        "iid": int(found["iid"]),
        "title": found["title"],
        "description": found["description"],
        "state": found["state"],
        "created_at": found["createdAt"],
        "updated_at": found["updatedAt"],
        "due_date": found["dueDate"],
        "start_date": found["startDate"],
        "expired": found["expired"],
        "web_url": base + found["webPath"],
    }


def shared(base: str, found: Any) -> dict[str, Any]:
    assignees = [user(base, each) for each in found["assignees"]["nodes"]]
    tasks = found["taskCompletionStatus"]
    return {
        "id": number(found["id"]),
        "iid": int(found["iid"]),
        "title": found["title"],
        "description": found["description"],
        "state": found["state"],
        "created_at": found["createdAt"],
        "updated_at": found["updatedAt"],
        "discussion_locked": found["discussionLocked"],
        "upvotes": found["upvotes"],
        "downvotes": found["downvotes"],
        "user_notes_count": found["userNotesCount"],
        "web_url": found["webUrl"],
        "references": found["reference"],
        "author": user(base, found["author"]),
        "assignees": assignees,
        "assignee": assignees[0] if assignees else None,
        "labels": [label["title"] for label in found["labels"]["nodes"]],
        "milestone": milestone(base, found["milestone"]),
        "time_stats": {
            "time_estimate": found["timeEstimate"],
            "total_time_spent": found["totalTimeSpent"],
            "human_time_estimate": found["humanTimeEstimate"],
            "human_total_time_spent": found["humanTotalTimeSpent"],
        },
        "task_completion_status": {
            "count": tasks["count"],
            "completed_count": tasks["completedCount"],
        },
    }


def issue(base: str, found: Any) -> dict[str, Any]:
    moved = found["movedTo"]
    return shared(base, found) | {
        "type": found["type"],
        "closed_at": found["closedAt"],
        "confidential": found["confidential"],
        "due_date": found["dueDate"],
        "merge_requests_count": found["mergeRequestsCount"],
        "moved_to_id": number(moved["id"]) if moved else None,
    }


def request(base: str, found: Any) -> dict[str, Any]:
    return shared(base, found) | {
        "draft": found["draft"],
        "merged_at": found["mergedAt"],
        "prepared_at": found["preparedAt"],
        "source_branch": found["sourceBranch"],
        "target_branch": found["targetBranch"],
        "source_project_id": found["sourceProjectId"],
        "target_project_id": found["targetProjectId"],
        "merge_commit_sha": found["mergeCommitSha"],
        "squash": found["squash"],
        "squash_on_merge": found["squashOnMerge"],
        "should_remove_source_branch": found["shouldRemoveSourceBranch"],
        "force_remove_source_branch": found["forceRemoveSourceBranch"],
        "merge_when_pipeline_succeeds": found["mergeWhenPipelineSucceeds"],
        "merge_status": found["mergeStatusEnum"].lower(),
        "detailed_merge_status": found["detailedMergeStatus"].lower(),
        "has_conflicts": found["conflicts"],
        "blocking_discussions_resolved": found["mergeableDiscussionsState"],
        "sha": found["diffHeadSha"],
        "merge_user": user(base, found["mergeUser"]),
        "reviewers": [user(base, each) for each in found["reviewers"]["nodes"]],
    }


def note(base: str, found: Any) -> dict[str, Any]:
    kind = found["id"].split("/")[-2]
    row = {
        "id": number(found["id"]),
        "type": None if kind == "Note" else kind,
        "body": found["body"],
        "system": found["system"],
        "internal": found["internal"],
        "author": user(base, found["author"]),
        "created_at": found["createdAt"],
        "updated_at": found["updatedAt"],
        "resolvable": found["resolvable"],
    }
    if found["resolvable"]:
        row |= {
            "resolved": found["resolved"],
            "resolved_by": user(base, found["resolvedBy"]),
            "resolved_at": found["resolvedAt"],
        }
    return row


def discussion(base: str, found: Any) -> dict[str, Any]:
    return {
        "id": found["id"].rsplit("/", 1)[-1],
        "individual_note": found["id"].split("/")[-2] == "IndividualNoteDiscussion",
        "resolvable": found["resolvable"],
        "resolved": found["resolved"],
        "notes": [note(base, each) for each in found["notes"]["nodes"]],
    }


# ------------------------------------------------------------ REST with what GraphQL can tell


def to_seconds(value: Any) -> Any:
    """The body with instants of whole seconds, and users without what GraphQL does not know."""
    if isinstance(value, list):
        return [to_seconds(each) for each in value]
    if isinstance(value, dict):
        return {key: to_seconds(each) for key, each in value.items() if key != "locked"}
    instant = isinstance(value, str) and len(value) == 24 and value[10] == "T" and value[-1] == "Z"
    return f"{value[:19]}Z" if instant else value


def like(rest: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """The keys of REST's body that the other side has, in REST's own words."""
    row = to_seconds(rest)
    row["references"] = row.get("references", {}).get("full")
    row["discussion_locked"] = bool(row.get("discussion_locked"))
    if row.get("milestone"):
        row["milestone"] = {
            key: value for key, value in row["milestone"].items() if not key.endswith("_id")
        }
    return {key: row.get(key) for key in model}


def homes(world: World) -> list[Project]:
    """Projects whose code the main account reads."""
    found = [
        project
        for project in world.projects
        if project.full_path.startswith("fjordlab/")
        and project.feature("issues") != "disabled"
        and project.feature("merge_requests") != "disabled"
    ]
    return sorted(found, key=lambda project: -len(project.issues))[:20]


async def rest_rows(caller: Caller, path: str) -> list[Any]:
    rows = await caller.rows(path)
    assert isinstance(rows, list), rows
    return rows


@pytest.mark.parametrize("version", OPTIONS)
@pytest.mark.parametrize(
    ("resource", "where", "selection", "translate"),
    [("issues", "issues", ISSUE, issue), ("merge_requests", "mergeRequests", REQUEST, request)],
)
async def test_items_agree(
    world: World,
    version: str,
    resource: str,
    where: str,
    selection: str,
    translate: Callable[[str, Any], dict[str, Any]],
) -> None:
    seen = 0
    async with (
        running(world, OPTIONS[version]) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        for home in homes(world):
            rest = await rest_rows(
                caller, f"projects/{home.id}/{resource}?scope=all&per_page=100&state=all"
            )
            rows = await pages(caller, listed(where, selection), where, path=home.full_path)
            found = {row["iid"]: row for row in (translate(server.url, each) for each in rows)}
            for row in found.values():
                row["labels"].sort()
                if version == "16.2" and row.get("detailed_merge_status") == "broken_status":
                    row["detailed_merge_status"] = "conflict"
            expected = {row["iid"]: like(row, found[row["iid"]]) for row in rest}
            for row in expected.values():
                row["labels"].sort()
            assert found == expected
            seen += len(rows)
    assert seen > 20


@pytest.mark.parametrize("version", OPTIONS)
@pytest.mark.parametrize(
    ("resource", "where"), [("issues", "issues"), ("merge_requests", "mergeRequests")]
)
async def test_discussions_agree(world: World, version: str, resource: str, where: str) -> None:
    threads = 0
    async with (
        running(world, OPTIONS[version]) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        for home in homes(world):
            text = listed(where, f"iid {DISCUSSIONS}")
            for row in await pages(caller, text, where, path=home.full_path):
                path = f"projects/{home.id}/{resource}/{row['iid']}/discussions?per_page=100"
                rest = to_seconds(await rest_rows(caller, path))
                found = [discussion(server.url, each) for each in row["discussions"]["nodes"]]
                for expected, got in zip(rest, found, strict=True):
                    expected["notes"] = [
                        {key: written[key] for key in told}
                        for written, told in zip(expected["notes"], got["notes"], strict=True)
                    ]
                    assert got == {key: expected[key] for key in got}
                threads += len(found)
    assert threads > 20


async def test_approvals_reviewers_and_emoji_agree(world: World) -> None:
    approved = 0
    async with (
        running(world, OPTIONS["18.5"]) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        for home in homes(world):
            text = listed(
                "mergeRequests",
                f"iid {REQUEST.partition('mergeUser')[2]}".replace(f"iid  {USER}", "iid"),
            )
            for row in await pages(caller, text, "mergeRequests", path=home.full_path):
                path = f"projects/{home.id}/merge_requests/{row['iid']}"
                approvals = to_seconds((await caller.get(f"{path}/approvals")).json)
                assert row["approved"] == approvals["approved"]
                users = [user(server.url, each) for each in row["approvedBy"]["nodes"]]
                assert users == [each["user"] for each in approvals["approved_by"]]
                approved += len(users)
                reviewers = to_seconds(await rest_rows(caller, f"{path}/reviewers"))
                assert [
                    (user(server.url, each), each["mergeRequestInteraction"]["reviewState"].lower())
                    for each in row["reviewers"]["nodes"]
                ] == [(each["user"], each["state"]) for each in reviewers]
                emoji = to_seconds(await rest_rows(caller, f"{path}/award_emoji"))
                assert [
                    (each["name"], user(server.url, each["user"]))
                    for each in row["awardEmoji"]["nodes"]
                ] == [(each["name"], each["user"]) for each in emoji]
    assert approved > 0


async def test_times_agree_with_what_items_sum_up(world: World) -> None:
    text = listed(
        "timelogs",
        f"id timeSpent spentAt summary user {USER} issue {{ iid }} mergeRequest {{ iid }}",
    )
    async with (
        running(world, OPTIONS["18.5"]) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        for home in homes(world):
            rows = await pages(caller, text, "timelogs", path=home.full_path)
            assert [row["spentAt"] for row in rows] == sorted(row["spentAt"] for row in rows)
            for resource, where in (("issues", "issue"), ("merge_requests", "mergeRequest")):
                spent: dict[int, int] = {}
                for row in rows:
                    if row[where]:
                        iid = int(row[where]["iid"])
                        spent[iid] = spent.get(iid, 0) + row["timeSpent"]
                rest = await rest_rows(caller, f"projects/{home.id}/{resource}?per_page=100")
                totals = {row["iid"]: row["time_stats"]["total_time_spent"] for row in rest}
                assert spent == {iid: total for iid, total in totals.items() if iid in spent}
                assert all(iid in spent for iid, total in totals.items() if total)


async def test_a_projects_other_lists_agree(world: World) -> None:
    text = """query($path: ID!) { project(fullPath: $path) {
      id path fullPath createdAt lastActivityAt archived visibility
      milestones(first: 100) { nodes { id } } labels(first: 100) { nodes { id title color } }
      releases(first: 100) { nodes { tagName name releasedAt } }
      pipelines(first: 100) { nodes { id sha ref status } }
      environments(first: 100) { nodes { id name state deployments(first: 1) { nodes { id } } } }
    } }"""
    async with (
        running(world, OPTIONS["18.5"]) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        home = max(homes(world), key=lambda project: len(project.pipelines))
        data = await ask(
            caller,
            text.replace("deployments(first: 1) { nodes { id } }", "externalUrl"),
            path=home.full_path,
        )
        found = data["project"]
        start = f"projects/{home.id}"
        rest = to_seconds((await caller.get(start)).json)
        assert [found[key] for key in ("path", "fullPath", "createdAt", "lastActivityAt")] == [
            rest[key] for key in ("path", "path_with_namespace", "created_at", "last_activity_at")
        ]
        pipelines = await rest_rows(caller, f"{start}/pipelines?per_page=100")
        assert [
            (number(row["id"]), row["sha"], row["ref"], row["status"].lower())
            for row in found["pipelines"]["nodes"]
        ] == [(row["id"], row["sha"], row["ref"], row["status"]) for row in pipelines][:100]
        milestones = await rest_rows(caller, f"{start}/milestones?per_page=100")
        assert {number(row["id"]) for row in found["milestones"]["nodes"]} == {
            row["id"] for row in milestones
        }
        releases = to_seconds(await rest_rows(caller, f"{start}/releases?per_page=100"))
        assert [
            (row["tagName"], row["name"], row["releasedAt"]) for row in found["releases"]["nodes"]
        ] == [(row["tag_name"], row["name"], row["released_at"]) for row in releases]
        environments = await rest_rows(caller, f"{start}/environments?per_page=100")
        assert {
            (number(row["id"]), row["name"], row["state"], row["externalUrl"])
            for row in found["environments"]["nodes"]
        } == {(row["id"], row["name"], row["state"], row["external_url"]) for row in environments}
        labels = await rest_rows(caller, f"{start}/labels?per_page=100")
        own = {row["id"]: row for row in labels if row["is_project_label"]}
        assert {number(row["id"]) for row in found["labels"]["nodes"]} == set(own)
