"""The worlds of benchmarks: their sizes, and the factor behind their names."""

import pytest

from labtrawl.sandbox import UnknownWorld, World, build_world, truth


def sizes(world: World) -> dict[str, int]:
    return {name: count for name, count in truth(world).counts().items() if count}


def test_w1_is_one_long_list_of_rows_of_some_2_900_bytes() -> None:
    world = build_world("w1@0.05")
    (project,) = world.projects
    rows = [item for cell in truth(world).cells if cell.resource == "issues" for item in cell.items]
    assert len(rows) == len(project.issues) == 1000
    assert 2_800 < sum(len(row.body) for row in rows) / len(rows) < 3_000


def test_w2_has_five_notes_on_each_issue() -> None:
    world = build_world("w2@0.1")
    (project,) = world.projects
    assert [len(issue.notes) for issue in project.issues] == [5] * 100
    notes = [note for issue in project.issues for note in issue.notes]
    assert len({note.id for note in notes}) == len({note.discussion_id for note in notes}) == 500


def test_w3_has_eight_lists_of_ten_projects_a_group() -> None:
    found = sizes(build_world("w3@0.1"))
    assert {name: found[name] for name in ("group", "project", "issues", "merge_requests")} == {
        "group": 2,
        "project": 20,
        "issues": 4_000,
        "merge_requests": 1_600,
    }
    assert {name: found[name] for name in ("commits", "branches", "milestones", "pipelines")} == {
        "commits": 2_000,
        "branches": 240,
        "milestones": 203,
        "pipelines": 800,
    }
    assert found["labels"] > 0
    assert found["members"] > 0


def test_w3n_is_w3_with_notes_and_discussions() -> None:
    world = build_world("w3n@0.02")
    notes = [n for p in world.projects for issue in p.issues for n in issue.notes]
    notes += [n for p in world.projects for request in p.merge_requests for n in request.notes]
    assert len(notes) == 2_400
    assert len({note.discussion_id for note in notes}) < len(notes)


def test_same_seed_makes_the_same_large_world_and_sizes_go_over_the_factor() -> None:
    assert build_world("w3@0.02", 7) == build_world("w3@0.02", 7)
    assert build_world("w3@0.02", 7) != build_world("w3@0.02", 8)
    assert len(build_world("w1@0.01", 1, {"issues": 30}).projects[0].issues) == 30


@pytest.mark.parametrize("factor", ["0", "-1", "many", "inf", "nan"])
def test_factor_that_is_no_positive_number_is_refused(factor: str) -> None:
    with pytest.raises(UnknownWorld, match=f"no such factor: {factor}; write w3@0.1 or w3@10"):
        build_world(f"w3@{factor}")


def test_unknown_name_or_size_is_refused() -> None:
    with pytest.raises(UnknownWorld, match="no such world: w9"):
        build_world("w9@2")
    with pytest.raises(UnknownWorld, match="no such size: cats"):
        build_world("w1", 1, {"cats": 1})
