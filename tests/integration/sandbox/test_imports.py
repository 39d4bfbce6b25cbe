"""Export trees become worlds: GitLab's own numbers and words are kept, gaps are filled and told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from labtrawl.sandbox import NotAnExport, build_world, import_trees, truth

OWN = Path(__file__).parents[2] / "data" / "trees" / "own"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_own_tree_keeps_numbers_texts_and_people() -> None:
    (project,) = import_trees([OWN / "project"]).projects
    issue, request = project.issues[0], project.merge_requests[0]
    assert [(i.id, i.iid, i.state, i.confidential) for i in project.issues] == [
        (401, 1, "closed", False),
        (402, 2, "opened", True),
    ]
    assert (issue.author.username, issue.author.name, issue.labels) == (
        "ines.k",
        "Inês Kjær",
        ("drift", "group wide"),
    )
    assert (request.id, request.draft, request.sha) == (601, True, "b" * 40)
    assert [job.id for job in project.jobs] == [801]
    assert [(tag.name, tag.commit.sha) for tag in project.tags] == [("v0.1", "a" * 40)]
    assert project.feature("wiki") == "disabled"


def test_what_a_tree_lacks_is_invented_and_told() -> None:
    world = import_trees([OWN / "project", OWN / "group"])
    what = {each.what for each in world.invented}
    assert {"username user-52", "branch main of tide-gauge", "iid 1 of pipeline 701"} <= what
    assert world.skipped == ("31/milestones.ndjson, line 2: created_at is no date: 'NOT A DATE'",)


def test_import_is_the_same_each_time() -> None:
    assert import_trees([OWN / "project"]) == import_trees([OWN / "project"])


def test_same_tree_twice_gets_free_numbers_and_paths() -> None:
    world = import_trees([OWN / "project", OWN / "project"])
    ids = [issue.id for project in world.projects for issue in project.issues]
    assert len(set(ids)) == 4
    assert [p.path for p in world.projects] == ["tide-gauge", "tide-gauge-2"]


def test_groups_keep_numbers_and_parents() -> None:
    world = import_trees([OWN / "group"])
    assert sorted((g.id, g.parent_id, g.full_path) for g in world.groups) == [
        (30, None, "harbour"),
        (31, 30, "harbour/quays"),
    ]


def test_path_that_is_no_tree_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotAnExport, match=r"is no GitLab export tree.*name its tree folder$"):
        build_world(imports=[tmp_path])


@pytest.mark.parametrize("line", ["{no json", "[1]", '"text"'])
def test_broken_line_is_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    shutil.copytree(OWN / "project" / "tree", tmp_path / "tree")
    path = tmp_path / "tree" / "project" / "issues.ndjson"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(NotAnExport, match=r"issues\.ndjson, line 3: no"):
        import_trees([tmp_path])


def test_missing_group_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "_all.ndjson").write_text("7\n")
    with pytest.raises(NotAnExport, match=r"7\.json is missing"):
        import_trees([tmp_path])


@pytest.mark.truth
def test_gitlabs_complex_tree_is_kept_whole(gitlab_truth: Path | None) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: our own tree alone was imported")
    tree = gitlab_truth / "export-trees" / "complex" / "tree"
    issues = lines(tree / "project" / "issues.ndjson")
    requests = lines(tree / "project" / "merge_requests.ndjson")
    pipelines = lines(tree / "project" / "ci_pipelines.ndjson")
    world = import_trees([tree])
    (project,) = world.projects
    assert world.skipped == ()
    assert {i.id: (i.iid, i.title, i.state) for i in project.issues} == {
        row["id"]: (row["iid"], row["title"], row["state"]) for row in issues
    }
    assert {n.id: n.body for i in project.issues for n in i.notes} == {
        note["id"]: note["note"] for row in issues for note in row["notes"]
    }
    assert {r.id: len(r.notes) for r in project.merge_requests} == {
        row["id"]: len(row["notes"]) for row in requests
    }
    assert {p.id: p.status for p in project.pipelines} == {
        row["id"]: row["status"] for row in pipelines
    }
    assert truth(world).counts()["releases"] == 3


WHEN = "2024-03-01T05:00:00.000Z"
TRACES: dict[str, list[dict[str, Any]]] = {
    "award_emoji": [{"id": 9, "name": "ocean", "user_id": 52, "created_at": WHEN}],
    "resource_label_events": [
        {"id": 31, "action": "add", "user_id": 51, "created_at": WHEN, "label": None}
    ],
    "resource_state_events": [{"user_id": 52, "state": "closed", "created_at": WHEN}],
    "resource_milestone_events": [{"user_id": 52, "action": "remove", "created_at": WHEN}],
    "timelogs": [{"id": 5, "time_spent": 1800, "user_id": 51, "created_at": WHEN}],
}


def with_traces(tmp_path: Path, relation: str, **more: Any) -> Path:
    """Our own tree with traces on the first item of the relation."""
    shutil.copytree(OWN / "project" / "tree", tmp_path / "tree")
    path = tmp_path / "tree" / "project" / f"{relation}.ndjson"
    first, *rest = lines(path)
    rows = [first | TRACES | more, *rest]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("relation", ["issues", "merge_requests"])
def test_traces_of_items_are_kept(tmp_path: Path, relation: str) -> None:
    world = import_trees([with_traces(tmp_path, relation)])
    (project,) = world.projects
    item = getattr(project, relation)[0]
    assert world.skipped == ()
    assert [(a.id, a.name, a.user.id) for a in item.awards] == [(9, "ocean", 52)]
    assert [(e.id, e.action, e.label) for e in item.label_events] == [(31, "add", None)]
    assert [(e.user.id, e.state, e.created_at) for e in item.state_events] == [(52, "closed", WHEN)]
    assert [(e.action, e.state) for e in item.milestone_events] == [("remove", "opened")]
    assert [(log.id, log.time_spent) for log in item.timelogs] == [(5, 1800)]
    assert item.total_time_spent == 1800


def test_reviews_and_the_version_of_a_merge_request_are_kept(tmp_path: Path) -> None:
    asked = [{"user_id": 52, "state": "approved", "created_at": WHEN}]
    tree = with_traces(tmp_path, "merge_requests", approvals=asked, merge_request_reviewers=asked)
    (project,) = import_trees([tree]).projects
    (request,) = project.merge_requests
    assert [(a.user.id, a.approved_at) for a in request.approvals] == [(52, WHEN)]
    assert [(r.user.id, r.state, r.created_at) for r in request.reviews] == [(52, "approved", WHEN)]
    assert [(v.id, v.head_commit_sha, v.state) for v in request.versions] == [
        (1, "b" * 40, "collected")
    ]
    assert request.commits == ("b" * 40, "a" * 40)


def test_discussion_of_one_item_is_kept_and_that_of_a_second_item_is_not(tmp_path: Path) -> None:
    name = "c" * 40
    rows = [{"note": text, "discussion_id": name, "author_id": 51} for text in ("one", "two")]
    notes = [row | {"created_at": WHEN, "updated_at": WHEN} for row in rows]
    tree = with_traces(tmp_path, "issues", notes=notes)
    path = tree / "tree" / "project" / "merge_requests.ndjson"
    (request,) = lines(path)
    path.write_text(json.dumps(request | {"notes": notes[:1]}))
    world = import_trees([tree])
    (project,) = world.projects
    assert [note.discussion_id for note in project.issues[0].notes] == [name, name]
    (other,) = project.merge_requests[0].notes
    assert other.discussion_id != name
    assert f"{name} is in use by another one" in {each.why for each in world.invented}


def test_commit_notes_are_put_on_their_commits(tmp_path: Path) -> None:
    shutil.copytree(OWN / "project" / "tree", tmp_path / "tree")
    note = {"note": "Nice", "author_id": 51, "created_at": WHEN, "updated_at": WHEN}
    rows = [note | {"commit_id": "a" * 40}, note | {"commit_id": "d" * 40}]
    path = tmp_path / "tree" / "project" / "commit_notes.ndjson"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    world = import_trees([tmp_path])
    noted = {c.sha for p in world.projects for c in p.commits if c.notes}
    assert noted == {"a" * 40, "d" * 40}
    assert f"commit {'d' * 40}" in {each.what for each in world.invented}
    assert truth(world, commit_discussions=True).counts()["commit_discussions"] == 2


@pytest.mark.truth
def test_traces_of_gitlabs_complex_tree_are_kept_whole(gitlab_truth: Path | None) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: our own tree alone was imported")
    tree = gitlab_truth / "export-trees" / "complex" / "tree"
    (project,) = import_trees([tree]).projects
    fields = {
        "award_emoji": "awards",
        "resource_label_events": "label_events",
        "resource_state_events": "state_events",
        "resource_milestone_events": "milestone_events",
        "timelogs": "timelogs",
        "approvals": "approvals",
        "merge_request_reviewers": "reviews",
    }
    for relation in ("issues", "merge_requests"):
        items = {item.id: item for item in getattr(project, relation)}
        for row in lines(tree / "project" / f"{relation}.ndjson"):
            item = items[row["id"]]
            found = {name: len(getattr(item, field, ())) for name, field in fields.items()}
            assert found == {name: len(row.get(name) or ()) for name in fields}
    assert [r.iid for r in project.merge_requests if r.pipelines] == [9]
