"""A later try asks for smaller pages, whatever it reads: GitLab could not answer whole ones in time."""

from dataclasses import replace
from typing import Any

import pytest

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.reader import rows_a_page
from labtrawl.errors import Unavailable
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.http import Answer
from tests.unit.crawler import test_batched
from tests.unit.crawler.desk import Desk, broken
from tests.unit.crawler.shelf import PROJECT, Row, Shelf, read, reader_of, rows, steps
from tests.unit.crawler.test_windows import ISSUES, NEW, REQUESTS, made

pytestmark = pytest.mark.long

SMALLER = rows_a_page(2)


class Slow(Shelf):
    """A GitLab that has no time for whole pages where a path ends so."""

    tired: str = ""

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        if self.tired and self.tired in request and "per_page=100" in request:
            return Answer(500, {"content-type": "application/json"}, b"{}", "/")
        return await Shelf.get(self, request, headers)


@pytest.mark.parametrize(("path", "version"), [(ISSUES, NEW), (REQUESTS, NEW)])
async def test_windows_go_on_with_smaller_pages(path: str, version: tuple[int, int]) -> None:
    shelf = Slow({path: made(4000)}, size=100, total=False)
    name = path.rpartition("/")[2]
    begun = next(step for step in await steps(reader_of(shelf, name, version)) if step[1].windows)
    shelf.tired = "created_after="
    with pytest.raises(Unavailable):
        await read(reader_of(shelf, name, version), begun[1])
    later = replace(reader_of(shelf, name, version), per_page=SMALLER)
    found, cursor = await read(later, begun[1])
    assert sorted([*begun[0], *found]) == [1000 + number for number in range(4000)]
    assert (cursor.items, cursor.ended) == (4000, True)


def _noted(count: int) -> dict[str, list[Row]]:
    award = f"{PROJECT}/merge_requests/1/award_emoji"
    return {REQUESTS: rows(1), award: [{"id": number} for number in range(count)]}


async def test_list_of_an_item_is_read_with_smaller_pages() -> None:
    shelf = Slow(_noted(25), size=10)
    shelf.tired = "award_emoji"
    with pytest.raises(Unavailable):
        await read(reader_of(shelf, "merge_request_award_emoji"))
    later = replace(reader_of(shelf, "merge_request_award_emoji"), per_page=SMALLER)
    found, cursor = await read(later)
    assert (found, cursor.ended) == ([*range(25)], True)


async def test_list_of_an_item_goes_on_with_smaller_pages_at_the_same_row() -> None:
    shelf = Slow(_noted(25), size=10)
    begun = Cursor(query="scope=all&per_page=100", child=1, child_query="per_page=100&page=2")
    shelf.tired = "award_emoji"
    later = replace(reader_of(shelf, "merge_request_award_emoji"), per_page=SMALLER)
    found, cursor = await read(later, begun)
    assert (found, cursor.ended) == ([*range(10, 25)], True)


async def test_item_that_graphql_leaves_to_rest_is_read_with_smaller_pages() -> None:
    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        return broken("Timeout on X") if "2" in asked.get("iids", ()) else None

    desk = Desk(test_batched.some(2), before=before)
    reader = test_batched.reader_of(desk, learnt=Learnt(is_limited=True))
    found = await test_batched.read(replace(reader, per_page=SMALLER))
    assert test_batched.all_ids(found) == test_batched.ids_of(desk.items)
    assert desk.rest == ["/api/v4/projects/7/issues/2/discussions?per_page=50"]
