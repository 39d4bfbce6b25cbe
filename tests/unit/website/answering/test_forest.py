"""One account's areas as a tree: what hangs where, the sums, and one branch of it at a time."""

from labtrawl.domain.eta import Part
from labtrawl.domain.learned import Kind, Queued, Running
from labtrawl.store.pages.mine import Figures, MyArea
from labtrawl.website.answering.forest import BRANCH, Forest, grow

ISSUES = Kind("issues", "full")


def area(
    number: int, path: str, kind: str = "group", instance: int = 1, is_read: bool = True
) -> MyArea:
    return MyArea(number, instance, kind, path, path, "", 30, is_read, None)


def shape(forest: Forest) -> dict[str, list[str]]:
    nodes = forest.nodes
    names = {"": [nodes[each].area.full_path for each in forest.roots]}
    return names | {
        node.area.full_path: [nodes[each].area.full_path for each in node.children]
        for node in nodes.values()
        if node.children
    }


def test_area_hangs_below_the_nearest_group_that_is_there() -> None:
    areas = [
        *(area(1, "a"), area(2, "a/b/c"), area(3, "a/b/c/p", "project"), area(4, "a-b")),
        *(area(5, "a/x", "project"), area(6, "other/deep", "project"), area(7, "@ann", "user")),
    ]
    assert shape(grow(areas, {}, {})) == {
        "": ["@ann", "a", "a-b", "other/deep"],
        "a": ["a/b/c", "a/x"],
        "a/b/c": ["a/b/c/p"],
    }


def test_group_of_another_gitlab_or_a_project_is_nothing_to_hang_below() -> None:
    areas = [area(1, "a", instance=2), area(2, "a", "project"), area(3, "a/b", "project")]
    assert grow(areas, {}, {}).roots == [1, 2, 3]


def test_sums_go_up_to_the_root_and_the_newest_instant_counts() -> None:
    areas = [area(1, "a"), area(2, "a/b"), area(3, "a/b/p", "project"), area(4, "a/q", "project")]
    figures = {
        2: Figures(2, 1, 10, 1, 1, 0, 500, {"cap": 1}),
        3: Figures(3, 3, 5, 0, 0, 0, 900, {"cap": 1, "tier": 1}),
        4: Figures(1, 0, 0, 1, 0, 1, None),
    }
    forest = grow(areas, figures, {})
    assert forest.whole == Figures(6, 4, 15, 2, 1, 1, 900, {"cap": 2, "tier": 1})
    assert forest.nodes[1].whole == forest.whole
    assert forest.nodes[2].whole == Figures(5, 4, 15, 1, 1, 0, 900, {"cap": 2, "tier": 1})
    assert [forest.nodes[each].below for each in (1, 2, 3, 4)] == [3, 1, 0, 0]
    assert [node.area.id for node in forest.above(3)] == [1, 2]
    assert sorted(forest.under(2)) == [2, 3]


def test_area_that_is_read_no_more_lacks_nothing() -> None:
    figures = {1: Figures(lists=2, ended=2, gaps={"forbidden": 2})}
    forest = grow([area(1, "a", is_read=False)], figures, {})
    assert forest.whole == Figures(lists=2, ended=2)


def test_branch_shows_a_hundred_and_says_behind_what_there_are_more() -> None:
    areas = [area(number, f"p{number:04}", "project") for number in range(1, 252)]
    forest = grow(areas, {}, {})
    first, more = forest.rows(forest.roots, frozenset())
    second, further = forest.rows(forest.roots, frozenset(), more)
    third, end = forest.rows(forest.roots, frozenset(), further)
    shown = [row.node.area.id for row in (*first, *second, *third)]
    assert shown == list(range(1, 252))
    assert (len(first), len(second), end) == (BRANCH, BRANCH, None)


def test_open_areas_show_their_first_children_and_closed_ones_none() -> None:
    children = [area(number, f"a/p{number:04}", "project") for number in range(10, 300)]
    forest = grow([area(1, "a"), area(2, "a/b"), area(3, "a/b/p", "project"), *children], {}, {})
    closed, _ = forest.rows(forest.roots, frozenset())
    opened, _ = forest.rows(forest.roots, frozenset({1, 2, 3, 99999}))
    assert [(row.node.area.id, row.depth, row.is_open) for row in closed] == [(1, 0, False)]
    assert [(row.node.area.id, row.depth, row.is_open) for row in opened[:4]] == [
        (1, 0, True),
        (2, 1, True),
        (3, 2, False),
        (10, 1, False),
    ]
    # The group, a hundred of its children, and the one child of the first of these.
    assert len(opened) == 1 + BRANCH + 1


def test_open_work_of_one_kind_is_put_together() -> None:
    run = Running(ISSUES, 3, 10, 0.5)
    parts = {
        1: Part([run], [Queued(ISSUES, 0, 5, 5, 1, 1, 10, 10, 0)], 4),
        2: Part([], [Queued(ISSUES, 0, 9, 9, 1, 1, 30, 30, 700), Queued(ISSUES, -1, 8, 8)], 6),
    }
    forest = grow([area(1, "a"), area(2, "a/b", "project")], {}, parts)
    assert forest.part(forest.under(1)) == Part(
        [run], [Queued(ISSUES, -1, 8, 8), Queued(ISSUES, 0, 5, 9, 2, 2, 40, 30, 0)], 10
    )
