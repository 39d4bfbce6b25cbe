"""An item's list of several pages from which a row vanishes while it is read: no other one is lost."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from labtrawl.crawler.cursor import Cursor
from labtrawl.http import Answer
from tests.unit.crawler import test_batched
from tests.unit.crawler.desk import JSON, Desk, broken
from tests.unit.crawler.shelf import PROJECT, Shelf, read, reader_of, rows

REQUESTS = f"{PROJECT}/merge_requests"
AWARDS = f"{REQUESTS}/1/award_emoji"


def _shelf(count: int) -> Shelf:
    lists = {REQUESTS: rows(1, 2), AWARDS: [{"id": number} for number in range(count)]}
    return Shelf(lists | {f"{REQUESTS}/2/award_emoji": [{"id": 70}]})


async def test_list_that_shrinks_between_two_pages_is_read_again() -> None:
    def before(shelf: Shelf, request: str) -> None:
        if request.startswith(AWARDS) and "page=2" in request.split("&"):
            shelf.lists[AWARDS] = [{"id": number} for number in range(1, 8)]

    shelf = _shelf(8)
    shelf.before = before
    found, cursor = await read(reader_of(shelf, "merge_request_award_emoji"))
    assert found == [0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 70]
    assert (cursor.changed, cursor.seen, cursor.ended) == (False, 2, True)


async def test_list_that_shrinks_with_each_page_is_judged_by_another_reading() -> None:
    def before(shelf: Shelf, request: str) -> None:
        if request.startswith(AWARDS) and "page=2" in request.split("&"):
            shelf.lists[AWARDS].pop(0)

    shelf = _shelf(12)
    shelf.before = before
    found, cursor = await read(reader_of(shelf, "merge_request_award_emoji"))
    assert (found[-1], cursor.changed, cursor.ended) == (70, True, True)
    assert sum(request.startswith(AWARDS) for request in shelf.asked) == 2 + 2 + 3


async def test_list_that_shrank_before_its_next_page_is_asked_for_is_read_again() -> None:
    """The job was given back in between, for hours perhaps."""
    begun = Cursor(query="scope=all&per_page=100", child=1, child_query="page=2", child_total=8)
    found, cursor = await read(reader_of(_shelf(7), "merge_request_award_emoji"), begun)
    assert found == [0, 1, 2, 3, 4, 5, 6, 70]
    assert (cursor.changed, cursor.child_total) == (False, None)


async def test_list_that_grew_goes_on_where_it_was() -> None:
    begun = Cursor(query="scope=all&per_page=100", child=1, child_query="page=2", child_total=6)
    found, cursor = await read(reader_of(_shelf(8), "merge_request_award_emoji"), begun)
    assert (found, cursor.changed) == ([3, 4, 5, 6, 7, 70], False)


class Paged(Desk):
    """Its REST gives the threads of an item in pages of three; the first one goes after a page."""

    vanishes: bool = False

    async def get(self, request: str, _headers: dict[str, str]) -> Answer:
        self.rest.append(request)
        page = int(parse_qs(request.partition("?")[2]).get("page", ["1"])[0])
        ids = [f"1x{at}" for at in range(len(self.items[1]))][self.vanishes :]
        self.vanishes = True
        told = {**JSON, "x-total": str(len(ids))}
        if page * 3 < len(ids):
            told["x-next-page"] = str(page + 1)
        body = [{"id": id_} for id_ in ids[page * 3 - 3 : page * 3]]
        return Answer(200, told, json.dumps(body).encode(), "/")


@pytest.mark.parametrize("vanishes", [True, False])
async def test_list_that_graphql_leaves_to_rest_is_read_again_where_it_shrinks(
    vanishes: bool,
) -> None:
    def before(_desk: Desk, asked: dict[str, Any]) -> Answer | None:
        return broken("Timeout on X") if "1" in asked.get("iids", ()) else None

    desk = Paged(test_batched.some(1, 8), before=before)
    desk.vanishes = vanishes
    found = test_batched.all_ids(await test_batched.read(test_batched.reader_of(desk)))
    assert found == [f"1x{at}" for at in range(1, 8)]
