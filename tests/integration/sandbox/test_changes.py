"""Changes of what lies in a project: which lists are others then, and which are not."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from labtrawl.sandbox import (
    Add,
    Edit,
    Options,
    Remove,
    Server,
    Unfit,
    World,
    encode_changes,
    running,
    truth,
)
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Caller

NOW = "2026-11-21T12:00:00.000Z"
NOW_SECONDS = 1_795_262_400.0
LISTS = (
    "issues",
    "merge_requests",
    "labels",
    "milestones",
    "members",
    "pipelines",
    "jobs",
    "events",
    "releases",
    "repository/branches",
    "repository/tags",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A served world and the busiest project in it."""

    server: Server
    caller: Caller
    project: Project

    async def lists(self) -> dict[str, Any]:
        """All rows of every list of the project, with the project itself and an issue's parts."""
        base = f"projects/{self.project.id}"
        found = {name: await self.caller.rows(f"{base}/{name}?per_page=100") for name in LISTS}
        found["repository/commits"] = await self.caller.rows(
            f"{base}/repository/commits?all=true&per_page=100"
        )
        for name in ("discussions", "award_emoji", "resource_state_events"):
            found[name] = await self.caller.rows(f"{base}/issues/1/{name}?per_page=100")
        found["project"] = (await self.caller.get(base)).json
        return found

    async def differing(self, *changes: Any) -> set[str]:
        """The lists that the changes make other than they were; the truth must agree."""
        before = await self.lists()
        self.server.change(*changes)
        after = await self.lists()
        self.check_truth()
        return {name for name in before if before[name] != after[name]}

    def check_truth(self) -> None:
        """What the server kept over the changes equals what a fresh look at its world gives."""
        assert self.server.truth() == truth(self.server.world, external_url=self.server.url)

    async def row(self, name: str, key: str, value: object) -> Any:
        """The one row of a list with this value."""
        rows = await self.caller.rows(f"projects/{self.project.id}/{name}?per_page=100")
        assert isinstance(rows, list)
        (found,) = [row for row in rows if row[key] == value]
        return found


@pytest.fixture
async def scene(world: World) -> AsyncIterator[Scene]:
    project = max(
        (p for p in world.projects if p.full_path.startswith("fjordlab/") and not p.archived),
        key=lambda p: min(len(p.issues), len(p.merge_requests), len(p.pipelines), len(p.tags)),
    )
    options = Options(now=lambda: NOW_SECONDS)
    async with (
        running(world, options) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        yield Scene(server, caller, project)


async def test_edited_issue_shows_in_its_list_and_its_events(scene: Scene) -> None:
    iid = next(e.target_iid for e in scene.project.events if e.target_type == "Issue")
    assert iid
    edit = Edit(what="issue", project=scene.project.id, key=iid, fields={"title": "Other words"})
    assert await scene.differing(edit) == {"issues", "events"}
    row = await scene.row("issues", "iid", iid)
    assert (row["title"], row["updated_at"]) == ("Other words", NOW)


async def test_edit_that_touches_nothing_leaves_updated_at(scene: Scene) -> None:
    edit = Edit(what="issue", project=scene.project.id, key=1, fields={"upvotes": 9}, touch=False)
    before = await scene.row("issues", "iid", 1)
    await scene.differing(edit)
    after = await scene.row("issues", "iid", 1)
    assert after == before | {"upvotes": 9}


async def test_closed_merge_request_has_who_when_and_an_event(scene: Scene) -> None:
    number = scene.project.id
    made = scene.server.change(Add(what="merge_request", project=number, at="2026-11-21T08:00:00Z"))
    iid: Any = made[0]["key"]
    edit = Edit(
        what="merge_request", project=number, key=iid, fields={"state": "closed"},
        at="2026-11-21T11:00:00Z",
    )  # fmt: skip
    assert {"merge_requests", "events", "project"} == await scene.differing(edit)
    row = await scene.row("merge_requests", "iid", iid)
    assert (row["closed_at"], row["updated_at"]) == ("2026-11-21T11:00:00.000Z",) * 2
    told = await scene.caller.get(f"projects/{number}/merge_requests/{iid}/resource_state_events")
    assert told.json[-1]["state"] == "closed"


async def test_comment_moves_its_issue_once_a_minute(scene: Scene) -> None:
    number = scene.project.id
    first, second, third = (
        Add(what="note", project=number, iid=1, at=f"2026-11-21T12:{at}Z")
        for at in ("00:00", "00:59", "01:00")
    )
    assert await scene.differing(first) == {"issues", "discussions", "events", "project"}
    stamps = []
    for change in (second, third):
        scene.server.change(change)
        stamps.append((await scene.row("issues", "iid", 1))["updated_at"])
    assert stamps == ["2026-11-21T12:00:00.000Z", "2026-11-21T12:01:00.000Z"]


async def test_answer_joins_its_discussion(scene: Scene) -> None:
    number = scene.project.id
    path = f"projects/{number}/issues/1/discussions?per_page=100"
    scene.server.change(
        Add(what="note", project=number, iid=1, fields={"type": "DiscussionNote", "body": "Why?"})
    )
    opened = (await scene.caller.rows(path))[-1]  # type: ignore[index]
    answer = Add(
        what="note", project=number, iid=1, discussion=opened["id"], fields={"body": "So."}
    )
    scene.server.change(answer)
    rows = await scene.caller.rows(path)
    (found,) = [row for row in rows if row["id"] == opened["id"]]  # type: ignore[union-attr]
    assert [note["body"] for note in found["notes"]] == ["Why?", "So."]
    scene.check_truth()


async def test_deleted_note_moves_nothing(scene: Scene) -> None:
    number = scene.project.id
    issue = next(i for i in scene.project.issues if any(not note.system for note in i.notes))
    note = next(note for note in issue.notes if not note.system)
    before = await scene.row("issues", "iid", issue.iid)
    await scene.differing(Remove(what="note", project=number, iid=issue.iid, key=note.id))
    after = await scene.row("issues", "iid", issue.iid)
    assert after == before | {"user_notes_count": before["user_notes_count"] - 1}
    gone = await scene.caller.get(f"projects/{number}/issues/{issue.iid}/notes/{note.id}")
    assert gone.status == 404


async def test_emoji_moves_counts_alone(scene: Scene) -> None:
    before = await scene.row("issues", "iid", 1)
    award = Add(what="award", project=scene.project.id, iid=1, fields={"name": "thumbsup"})
    assert await scene.differing(award) == {"issues", "award_emoji"}
    assert await scene.row("issues", "iid", 1) == before | {"upvotes": before["upvotes"] + 1}


async def test_renamed_label_of_a_group_moves_no_issue(scene: Scene) -> None:
    group = next(g for g in scene.server.world.groups if g.full_path == "fjordlab")
    worn = next(x for x in group.labels if any(x.name in i.labels for i in scene.project.issues))
    before = await scene.caller.rows(f"projects/{scene.project.id}/issues?per_page=100")
    rename = Edit(what="label", group=group.id, key=worn.id, fields={"name": "renamed"})
    assert {"issues", "labels"} <= await scene.differing(rename)
    after = await scene.caller.rows(f"projects/{scene.project.id}/issues?per_page=100")
    assert after == [
        row | {"labels": ["renamed" if name == worn.name else name for name in row["labels"]]}
        for row in before  # type: ignore[union-attr]
    ]


async def test_edited_milestone_shows_in_issues_that_stay_as_old(scene: Scene) -> None:
    issue = next(i for i in scene.project.issues if i.milestone and i.milestone.project_id)
    assert issue.milestone
    edit = Edit(
        what="milestone", project=scene.project.id, key=issue.milestone.id,
        fields={"title": "v9"},
    )  # fmt: skip
    assert {"milestones", "issues"} <= await scene.differing(edit)
    row = await scene.row("issues", "iid", issue.iid)
    assert (row["milestone"]["title"], row["updated_at"]) == ("v9", issue.updated_at)


@pytest.mark.parametrize(
    ("what", "differing"),
    [
        ("issue", {"issues", "events", "project"}),
        ("merge_request", {"merge_requests", "events", "project"}),
        ("pipeline", {"pipelines"}),
        ("commit", {"repository/commits", "repository/branches", "events", "project"}),
        ("branch", {"repository/branches"}),
        ("tag", {"repository/tags"}),
        ("label", {"labels"}),
        ("milestone", {"milestones"}),
    ],
)
async def test_added_object_shows_in_its_lists(
    scene: Scene, what: Any, differing: set[str]
) -> None:
    assert await scene.differing(Add(what=what, project=scene.project.id)) == differing


@pytest.mark.parametrize(
    ("what", "attribute", "name", "status"),
    [
        ("issue", "issues", "issues", 404),
        ("merge_request", "merge_requests", "merge_requests", 404),
        ("label", "labels", "labels", None),
        ("milestone", "milestones", "milestones", None),
        ("pipeline", "pipelines", "pipelines", 404),
        ("branch", "branches", "repository/branches", None),
        ("tag", "tags", "repository/tags", None),
    ],
)
async def test_removed_object_is_in_no_list(
    scene: Scene, what: Any, attribute: str, name: str, status: int | None
) -> None:
    by = {"issues": "iid", "merge_requests": "iid", "branches": "name", "tags": "name"}
    key = getattr(getattr(scene.project, attribute)[0], by.get(attribute, "id"))
    before = await scene.caller.rows(f"projects/{scene.project.id}/{name}?per_page=100")
    assert name in await scene.differing(Remove(what=what, project=scene.project.id, key=key))
    after = await scene.caller.rows(f"projects/{scene.project.id}/{name}?per_page=100")
    assert len(after) == len(before) - 1  # type: ignore[arg-type]
    if status:
        one = await scene.caller.get(f"projects/{scene.project.id}/{name}/{key}")
        assert one.status == status


async def test_number_of_a_deleted_issue_is_never_given_again(scene: Scene) -> None:
    number, last = scene.project.id, scene.project.issues[-1]
    scene.server.change(Remove(what="issue", project=number, key=last.iid))
    ((made,), ids) = scene.server.change(Add(what="issue", project=number)), last.id
    assert made == {"kind": "add", "what": "issue", "key": last.iid + 1}
    assert (await scene.row("issues", "iid", last.iid + 1))["id"] > ids


async def test_etag_and_totals_follow_a_change(scene: Scene) -> None:
    path = f"projects/{scene.project.id}/issues?per_page=2"
    before = await scene.caller.get(path)
    scene.server.change(Add(what="issue", project=scene.project.id))
    after = await scene.caller.get(path, If_None_Match=before.headers["etag"])
    assert after.status == 200
    assert int(after.headers["x-total"]) == int(before.headers["x-total"]) + 1
    again = await scene.caller.get(path, If_None_Match=after.headers["etag"])
    assert again.status == 304


async def test_changed_since_is_found_by_updated_after(scene: Scene) -> None:
    edits = [
        Edit(what="issue", project=scene.project.id, key=key, fields={"title": "Fresh"})
        for key in (1, 2)
    ]
    path = f"projects/{scene.project.id}/issues?updated_after={NOW}&order_by=updated_at"
    assert await scene.caller.rows(path) == []
    scene.server.change(*edits)
    rows = await scene.caller.rows(path)
    assert [row["iid"] for row in rows] == [2, 1]  # type: ignore[union-attr]


async def test_control_request_says_what_was_done(scene: Scene) -> None:
    changes = (Add(what="issue", project=scene.project.id, fields={"title": "By post"}),)
    answer = await scene.caller.call("POST", "/-/sandbox/changes", encode_changes(changes))
    iid = len(scene.project.issues) + 1
    assert (answer.status, answer.json) == (200, [{"kind": "add", "what": "issue", "key": iid}])
    assert (await scene.row("issues", "iid", iid))["title"] == "By post"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "edit", "what": "issue", "key": 9999}, "change 2: no issue 9999 there"),
        ({"kind": "remove", "what": "branch", "key": "x"}, "change 2: no branch x there"),
        ({"kind": "add", "what": "job"}, "change 2: a job cannot be added; add a pipeline"),
        (
            {"kind": "edit", "what": "issue", "key": 1, "fields": {"title": 5}},
            "change 2: Issue.title: Expected `str`, got `int`",
        ),
        (
            {"kind": "edit", "what": "issue", "key": 1, "fields": {"author": "nobody"}},
            "change 2: Issue.author: no user nobody in this world",
        ),
        ({"kind": "paint", "what": "issue"}, "Invalid value 'paint' - at `$[1].kind`"),
    ],
)
async def test_list_with_one_wrong_change_changes_nothing(
    scene: Scene, change: dict[str, Any], sentence: str
) -> None:
    before = await scene.lists()
    good = {"kind": "remove", "what": "issue", "project": scene.project.id, "key": 2}
    body = json.dumps([good, {"project": scene.project.id} | change]).encode()
    answer = await scene.caller.call("POST", "/-/sandbox/changes", body)
    assert (answer.status, answer.json) == (400, {"error": sentence})
    assert await scene.lists() == before


async def test_unknown_project_is_unfit(scene: Scene) -> None:
    with pytest.raises(Unfit, match="change 1: no project 1 in this world"):
        scene.server.change(Add(what="issue", project=1))


async def test_graphql_sees_the_same_world(scene: Scene) -> None:
    number = scene.project.id
    query = (
        f'{{ project(fullPath: "{scene.project.full_path}") '
        "{ issues(first: 100, sort: UPDATED_DESC) { count nodes { iid title } } } }"
    )

    async def issues() -> Any:
        body = json.dumps({"query": query}).encode()
        answer = await scene.caller.call(
            "POST", "/api/graphql", body, Content_Type="application/json"
        )
        return answer.json["data"]["project"]["issues"]

    count = (await issues())["count"]
    scene.server.change(
        Remove(what="issue", project=number, key=2),
        Remove(what="issue", project=number, key=3),
        Edit(what="issue", project=number, key=1, fields={"title": "Seen twice"}),
    )
    after = await issues()
    assert after["count"] == count - 2
    assert after["nodes"][0] == {"iid": "1", "title": "Seen twice"}
