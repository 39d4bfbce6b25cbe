"""Cursors of GraphQL that lead back to a page that was read: the reading ends, or REST reads on."""

from datetime import UTC, datetime
from typing import Any

import pytest

from labtrawl.errors import GitLabError
from labtrawl.http import Answer
from tests.unit.crawler.desk import Desk, broken, said
from tests.unit.crawler.test_batched import Step, all_ids, ids_of, read, reader_of, some


@pytest.mark.parametrize(("cursors", "most"), [("x", 2), ("xy", 3), ("xyz", 4)])
async def test_cursors_in_a_circle_end_the_reading_for_good(cursors: str, most: int) -> None:
    def before(desk: Desk, _asked: dict[str, Any]) -> Answer | None:
        following = cursors[(len(desk.asked) - 1) % len(cursors)]
        info = {"endCursor": following, "hasNextPage": True}
        return said({"projects": {"nodes": [{"items": {"pageInfo": info, "nodes": []}}]}})

    desk = Desk({}, before=before)
    with pytest.raises(GitLabError, match="circle") as raised:
        await read(reader_of(desk, since=datetime(2026, 1, 1, tzinfo=UTC)))
    assert (raised.value.retryable, len(desk.asked)) == (False, most)


@pytest.mark.parametrize("cursors", ["7", "78"])
async def test_item_whose_rows_go_in_a_circle_is_read_by_rest(cursors: str) -> None:
    """Its list is longer than what comes along, and each further page names an earlier one."""

    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        project = desk.project(asked)
        if "from" in asked:
            at = sum("from" in each for each in desk.asked) - 1
            info = {"endCursor": cursors[at % len(cursors)], "hasNextPage": True}
            project["items"]["nodes"][0]["discussions"]["pageInfo"] = info
        return said({"queryComplexity": None, "projects": {"nodes": [project]}})

    desk = Desk(some(1, 120), before=before)
    steps = await read(reader_of(desk))
    assert_told_once(desk, steps)


@pytest.mark.parametrize("further", [1, 2])
async def test_long_item_that_gets_too_much_in_its_middle_is_told_once(further: int) -> None:
    """What GraphQL told of it by then, and REST tells again, would count twice."""

    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        is_late = sum("from" in each for each in desk.asked) == further
        return broken("Timeout on Issue.discussions") if "from" in asked and is_late else None

    desk = Desk(some(1, 350), before=before)
    assert_told_once(desk, await read(reader_of(desk)))


async def test_long_item_that_is_hidden_in_its_middle_is_told_once() -> None:
    def before(desk: Desk, asked: dict[str, Any]) -> Answer | None:
        if "from" in asked:
            desk.hidden.add(1)
        return None

    desk = Desk(some(1, 120), before=before)
    assert_told_once(desk, await read(reader_of(desk)))


def assert_told_once(desk: Desk, steps: list[Step]) -> None:
    """The one item of a desk was read by REST in the end, and each row of it came once."""
    end = steps[-1][1]
    assert all_ids(steps) == ids_of(desk.items)
    assert (end.items, end.seen, end.gone, end.ended) == (len(desk.items[1]), 1, 0, True)
    assert desk.rest == ["/api/v4/projects/7/issues/1/discussions?per_page=100"]
