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
