"""Reading a list: pages, totals, keyset, rows that move, parents that vanish, circles."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.reader import Reader
from labtrawl.domain.failure import GapReason
from labtrawl.errors import GitLabError, NotFound, UnexpectedReply
from labtrawl.gitlab.client import PagingRefused
from labtrawl.http import Answer
from labtrawl.protocol.messages import LedgerReport
from tests.unit.crawler.shelf import PROJECT, Lists, Shelf, read, reader_of, rows

PIPELINES = f"{PROJECT}/pipelines"
ISSUES = f"{PROJECT}/issues"


def _ledger(reader: Reader, cursor: Cursor) -> LedgerReport:
    return report_of(reader.resource, cursor)


def _on(page: int, change: Callable[[Shelf], object]) -> Callable[[Shelf, str], None]:
    """Let the list change just before its n-th request."""

    def before(shelf: Shelf, _request: str) -> None:
        if len(shelf.asked) == page - 1:
            change(shelf)

    return before


async def test_list_is_read_to_its_end_with_its_total() -> None:
    shelf = Shelf({PIPELINES: rows(*range(7))})
    reader = reader_of(shelf, "pipelines")
    found, cursor = await read(reader)
    assert found == [1000 + n for n in range(7)]
    assert (cursor.items, cursor.expected, cursor.ended, cursor.changed) == (7, 7, True, False)
    assert _ledger(reader, cursor) == LedgerReport(expected=7, expected_by="x-total")


async def test_empty_list_is_complete_with_nothing_in_it() -> None:
    reader = reader_of(Shelf({PIPELINES: []}), "pipelines")
    found, cursor = await read(reader)
    assert (found, cursor.expected, cursor.ended) == ([], 0, True)


async def test_list_without_totals_is_proved_by_its_end() -> None:
    reader = reader_of(Shelf({PIPELINES: rows(1, 2, 3, 4)}, total=False), "pipelines")
    _, cursor = await read(reader)
    assert _ledger(reader, cursor) == LedgerReport(expected=None, expected_by="end of list")


async def test_list_that_claims_a_last_page_which_is_empty_ends_there() -> None:
    """Commits name a next page whenever a page is full (lib/api/commits.rb)."""

    class Full(Shelf):
        def headers(self, path: str, page: int) -> dict[str, str]:
            return {"x-next-page": "2"} if page == 1 else {}

    found, cursor = await read(reader_of(Full({PIPELINES: rows(1, 2, 3)}), "pipelines"))
    assert (found, cursor.items, cursor.ended) == ([1001, 1002, 1003], 3, True)


async def test_row_that_comes_twice_is_taken_once_and_leaves_no_gap() -> None:
    """A row put in before the place of the reader pushes the last one over to the next page."""
    shelf = Shelf(
        {PIPELINES: rows(1, 2, 3, 4, 5)},
        total=False,
        before=_on(2, lambda shelf: shelf.lists[PIPELINES].insert(0, rows(99)[0])),
    )
    reader = reader_of(shelf, "pipelines")
    found, cursor = await read(reader)
    assert (found, cursor.items) == ([1001, 1002, 1003, 1004, 1005], 5)
    assert _ledger(reader, cursor).reason is None


async def test_row_put_in_behind_the_reader_is_a_gap_with_a_reason() -> None:
    shelf = Shelf(
        {PIPELINES: rows(1, 2, 3, 4, 5)},
        before=_on(2, lambda shelf: shelf.lists[PIPELINES].insert(0, rows(99)[0])),
    )
    reader = reader_of(shelf, "pipelines")
    found, cursor = await read(reader)
    ledger = _ledger(reader, cursor)
    assert found == [1001, 1002, 1003, 1004, 1005]
    assert (ledger.expected, ledger.reason) == (6, GapReason.CHANGED)


async def test_row_that_slips_past_when_another_vanishes_does_not_hide() -> None:
    """The total shrinks by one as well: the newest total alone would say that all is there."""
    shelf = Shelf(
        {PIPELINES: rows(*range(7))},
        before=_on(2, lambda shelf: shelf.lists[PIPELINES].pop(0)),
    )
    reader = reader_of(shelf, "pipelines")
    found, cursor = await read(reader)
    ledger = _ledger(reader, cursor)
    assert 1003 not in found
    assert (cursor.items, ledger.expected, ledger.reason) == (6, 7, GapReason.CHANGED)


async def test_rows_put_on_at_the_end_while_reading_are_read_and_leave_no_gap() -> None:
    shelf = Shelf(
        {PIPELINES: rows(1, 2, 3, 4)},
        before=_on(2, lambda shelf: shelf.lists[PIPELINES].extend(rows(5, 6, 7))),
    )
    reader = reader_of(shelf, "pipelines")
    found, cursor = await read(reader)
    assert found == [1000 + n for n in range(1, 8)]
    assert (cursor.expected, cursor.items, _ledger(reader, cursor).reason) == (7, 7, None)


async def test_fewer_rows_than_the_total_of_a_still_list_have_no_reason() -> None:
    """A gap that nobody can explain must not look explained."""

    class Miscounting(Shelf):
        def headers(self, path: str, page: int) -> dict[str, str]:
            return Shelf.headers(self, path, page) | {"x-total": "9"}

    reader = reader_of(Miscounting({PIPELINES: rows(1, 2, 3, 4)}), "pipelines")
    _, cursor = await read(reader)
    ledger = _ledger(reader, cursor)
    assert (cursor.items, ledger.expected, ledger.reason) == (4, 9, None)


async def test_keyset_list_is_read_by_its_cursor() -> None:
    shelf = Shelf({ISSUES: rows(1, 2, 3, 4, 5, 6, 7)})
    found, cursor = await read(reader_of(shelf, "issues", (18, 3)))
    assert found == [1000 + n for n in range(1, 8)]
    assert all("pagination=keyset" in request for request in shelf.asked)
    assert cursor.before == ()


@pytest.mark.parametrize("name", ["issues", "ci_jobs"])
async def test_gitlab_that_refuses_keyset_is_asked_by_page_numbers(name: str) -> None:
    path = ISSUES if name == "issues" else f"{PROJECT}/jobs"
    shelf = Shelf({path: rows(1, 2, 3, 4)}, refuses_keyset=True)
    found, cursor = await read(reader_of(shelf, name, (18, 3)))
    assert (found, cursor.ended) == ([1001, 1002, 1003, 1004], True)
    assert ["pagination=keyset" in request for request in shelf.asked] == [True, False, False]


async def test_paging_refused_so_far_down_is_a_cap() -> None:
    class Capped(Shelf):
        async def get(self, request: str, headers: dict[str, str]) -> Any:
            answer = await Shelf.get(self, request, headers)
            return type(answer)(405, {}, b"", "/") if "page=2" in request else answer

    with pytest.raises(PagingRefused) as raised:
        await read(reader_of(Capped({PIPELINES: rows(*range(9))}), "pipelines"))
    assert raised.value.reason == GapReason.CAP


async def test_pages_that_lead_in_a_circle_end_the_read_for_good() -> None:
    class Circle(Shelf):
        def headers(self, path: str, page: int) -> dict[str, str]:
            return {"x-next-page": {1: "2", 2: "3", 3: "2"}[page]}

    shelf = Circle({PIPELINES: rows(*range(9))})
    with pytest.raises(GitLabError, match="circle") as raised:
        await read(reader_of(shelf, "pipelines"))
    assert (raised.value.retryable, len(shelf.asked)) == (False, 3)


@pytest.mark.parametrize("name", ["pipelines", "merge_requests"])
async def test_page_that_comes_under_each_number_ends_the_read_for_good(name: str) -> None:
    """A cache or a proxy that looks at the path alone."""

    class Same(Shelf):
        async def get(self, request: str, headers: dict[str, str]) -> Answer:
            number = int(parse_qs(request.partition("?")[2]).get("page", ["1"])[0])
            answer = await Shelf.get(self, request.partition("?")[0], headers)
            return Answer(200, {**answer.headers, "x-next-page": str(number + 1)}, answer.body, "/")

    shelf = Same(
        {PIPELINES: rows(*range(9)), PIPELINES.replace("pipelines", name): rows(*range(9))}
    )
    shelf.total = False
    with pytest.raises(GitLabError, match="circle") as raised:
        await read(reader_of(shelf, name))
    assert not raised.value.retryable
    assert len(shelf.asked) <= 3


@pytest.mark.parametrize("bad", [None, True, "12", 1.5, -1, 2**63, [], {}])
async def test_row_whose_number_is_none_is_refused(bad: object) -> None:
    with pytest.raises(UnexpectedReply, match="no usable id"):
        await read(reader_of(Shelf({PIPELINES: [{"id": bad}]}), "pipelines"))


@pytest.mark.parametrize("bad", [None, True, 12, ""])
async def test_row_whose_name_is_none_is_refused(bad: object) -> None:
    path = f"{PROJECT}/repository/branches"
    with pytest.raises(UnexpectedReply, match="no usable id"):
        await read(reader_of(Shelf({path: [{"name": bad}]}), "branches"))


async def test_row_without_an_id_is_refused() -> None:
    with pytest.raises(UnexpectedReply, match="no usable id"):
        await read(reader_of(Shelf({PIPELINES: [{"iid": 1}]}), "pipelines"))


async def test_local_ids_carry_their_area() -> None:
    lists: Lists = {
        f"{PROJECT}/members": [{"id": 5}],
        f"{PROJECT}/repository/branches": [{"name": "fix/ü"}],
    }
    assert (await read(reader_of(Shelf(lists), "members")))[0] == ["7/5"]
    assert (await read(reader_of(Shelf(lists), "branches")))[0] == ["7/fix/ü"]


async def test_single_object_is_a_list_of_one() -> None:
    class One(Shelf):
        def _numbered(self, path: str, told: dict[str, str]) -> Any:
            answer = Shelf._numbered(self, path, told)
            return type(answer)(200, answer.headers, b'{"id": 7}', "/")

    found, cursor = await read(reader_of(One({PROJECT: rows(1)}), "project"))
    assert (found, cursor.items, cursor.expected, cursor.ended) == ([7], 1, 1, True)


async def test_finished_cursor_asks_for_nothing() -> None:
    shelf = Shelf({PIPELINES: rows(1)})
    assert (await read(reader_of(shelf, "pipelines"), Cursor(ended=True)))[0] == []
    assert shelf.asked == []


# ---------------------------------------------------------------- lists of lists


def _notes(**counts: int) -> dict[str, list[dict[str, int]]]:
    """Merge requests and as many notes of each as said, by iid: `_3=5`."""
    iids = [int(name[1:]) for name in counts]
    lists = {f"{PROJECT}/merge_requests": rows(*iids)}
    for iid, count in zip(iids, counts.values(), strict=True):
        notes = [{"id": iid * 100 + n} for n in range(count)]
        lists[f"{PROJECT}/merge_requests/{iid}/award_emoji"] = notes
    return lists


async def test_lists_of_all_parents_are_read_in_order() -> None:
    lists = _notes(_1=4, _2=0, _3=1, _4=3, _5=7)
    reader = reader_of(Shelf(lists), "merge_request_award_emoji")
    found, cursor = await read(reader)
    assert found == [
        note["id"] for path, notes in lists.items() if "award_emoji" in path for note in notes
    ]
    assert (cursor.items, cursor.ended, cursor.changed) == (15, True, False)
    assert _ledger(reader, cursor) == LedgerReport(expected=None, expected_by="end of list")


async def test_parent_that_vanished_costs_its_own_list_only() -> None:
    lists = _notes(_1=2, _2=2, _3=2)
    del lists[f"{PROJECT}/merge_requests/2/award_emoji"]
    reader = reader_of(Shelf(lists), "merge_request_award_emoji")
    found, cursor = await read(reader)
    ledger = _ledger(reader, cursor)
    assert (found, cursor.gone) == ([100, 101, 300, 301], 1)
    assert (ledger.reason, ledger.detail) == (
        GapReason.DELETED,
        "1 of merge_requests were gone before their lists",
    )


async def test_project_that_vanished_ends_the_read() -> None:
    class Gone(Shelf):
        async def get(self, request: str, headers: dict[str, str]) -> Any:
            answer = await Shelf.get(self, request, headers)
            body = b'{"message": "404 Project Not Found"}'
            return type(answer)(404, {}, body, "/") if "/2/award_emoji" in request else answer

    with pytest.raises(NotFound):
        await read(reader_of(Gone(_notes(_1=1, _2=1, _3=1)), "merge_request_award_emoji"))


async def test_parents_that_shrink_while_they_are_read_are_told() -> None:
    """The next page of parents begins one row too late: some parent's list is never read."""

    def meddle(shelf: Shelf, request: str) -> None:
        if "page=2" in request and "award_emoji" not in request:
            shelf.lists[f"{PROJECT}/merge_requests"].pop(0)

    shelf = Shelf(_notes(_1=1, _2=1, _3=1, _4=1, _5=1), before=meddle)
    reader = reader_of(shelf, "merge_request_award_emoji")
    found, cursor = await read(reader)
    assert 400 not in found
    assert _ledger(reader, cursor).reason == GapReason.CHANGED


@pytest.mark.parametrize("gone", [1, 2, 3])
async def test_reader_finds_its_parent_again_when_rows_before_it_are_gone(gone: int) -> None:
    """Resumed by the parent's iid, not by its place on the page."""
    lists = _notes(_1=2, _2=2, _3=2)
    lists[f"{PROJECT}/merge_requests"] = [r for r in rows(1, 2, 3) if r["iid"] != gone]
    cursor = Cursor(query="scope=all&per_page=100", parent=2, items=4, parents=3)
    reader = reader_of(Shelf(lists), "merge_request_award_emoji")
    found, after = await read(reader, cursor)
    assert found == [n for n in (300, 301) if gone != 3]
    assert _ledger(reader, after).reason == GapReason.CHANGED


async def test_child_whose_list_was_half_read_and_vanished_does_not_lend_its_page_to_the_next() -> (
    None
):
    lists = _notes(_1=7, _2=7)
    lists[f"{PROJECT}/merge_requests"] = rows(2)
    cursor = Cursor(query="scope=all", child=1, child_query="page=2", items=3)
    found, after = await read(reader_of(Shelf(lists), "merge_request_award_emoji"), cursor)
    assert (found, after.changed) == ([200 + n for n in range(7)], True)


@pytest.mark.parametrize("bad", [None, True, "1", -1])
async def test_parent_without_an_iid_is_refused(bad: object) -> None:
    lists = {f"{PROJECT}/merge_requests": [{"id": 1, "iid": bad}]}
    with pytest.raises(UnexpectedReply, match="no iid"):
        await read(reader_of(Shelf(lists), "merge_request_award_emoji"))


async def test_place_on_a_page_of_parents_is_looked_for_on_a_page_as_large() -> None:
    """A later try asks for smaller pages, but not where it stands in the middle of one."""
    shelf = Shelf(_notes(_1=2, _2=2, _3=2))
    reader = replace(reader_of(shelf, "merge_request_award_emoji"), per_page=50)
    cursor = Cursor(query="scope=all&per_page=100", parent=2, items=4, parents=3)
    assert (await read(reader, cursor))[0] == [300, 301]
    assert "per_page=100" in shelf.asked[0]


LEAP = "2016-12-31T23:59:60Z"


@pytest.mark.parametrize("name", ["issues", "merge_requests"])
async def test_rows_of_a_leap_second_lose_no_other(name: str) -> None:
    """No calendar of ours has it (RFC 3339, 5.7): such a list goes on by page numbers."""
    instants = ["2016-12-31T23:59:58Z", "2016-12-31T23:59:59Z", LEAP, LEAP, LEAP, LEAP]
    instants += [f"2017-01-01T00:00:0{n}Z" for n in range(4)]
    told = [{**row, "created_at": at} for row, at in zip(rows(*range(10)), instants, strict=True)]
    found, cursor = await read(reader_of(Shelf({f"{PROJECT}/{name}": told}, total=False), name))
    assert sorted(found) == [1000 + n for n in range(10)]
    assert cursor.ended
