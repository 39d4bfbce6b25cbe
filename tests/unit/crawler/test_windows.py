"""Long lists: pages asked for at once, windows by creation, places that are found again."""

import asyncio
import contextlib
import gc
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtrawl.crawler import marks
from labtrawl.crawler.cursor import Cursor, decode_cursor
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.lists import batches
from labtrawl.crawler.windows import FIRST_WINDOWS
from labtrawl.errors import GitLabError
from labtrawl.gitlab.pages import Page
from labtrawl.http import Answer
from labtrawl.protocol.messages import LedgerReport
from tests.unit.crawler.shelf import PROJECT, Row, Shelf, read, reader_of, said, steps

BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
ISSUES, REQUESTS = f"{PROJECT}/issues", f"{PROJECT}/merge_requests"
PIPELINES = f"{PROJECT}/pipelines"
NEW = (18, 3)


def made(count: int, seed: int = 1) -> list[Row]:
    """Rows as they were made over five years, more and more of them as the years pass."""
    chance = random.Random(seed)
    offsets = sorted(1825 * chance.random() ** 0.5 for _ in range(count))
    return [
        {"id": 1000 + n, "iid": n, "created_at": _text(BEGAN + timedelta(days=offset))}
        for n, offset in enumerate(offsets)
    ]


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_counted_list_is_asked_for_by_all_its_numbers_and_no_more() -> None:
    shelf = Shelf({PIPELINES: made(950)}, size=100)
    found, cursor = await read(reader_of(shelf, "pipelines"))
    assert found == [1000 + n for n in range(950)]
    assert (cursor.items, cursor.expected, cursor.changed) == (950, 950, False)
    assert sorted(shelf.pages()) == list(range(1, 11))


async def test_uncounted_list_is_read_ahead_the_further_the_longer_it_is() -> None:
    """What lies behind the end is asked for in vain: a small part of all."""
    shelf = Shelf({PIPELINES: made(20_000)}, size=100, total=False)
    found, cursor = await read(reader_of(shelf, "pipelines"))
    assert (len(set(found)), cursor.ended) == (20_000, True)
    assert 200 <= len(shelf.asked) <= 210


async def test_pages_of_a_long_list_are_kept_no_longer_than_they_are_read() -> None:
    """All windows have answered before a page is taken; none that was taken is kept beside them."""
    shelf, most = Shelf({ISSUES: made(6_000)}, size=100), 0
    async with contextlib.aclosing(batches(reader_of(shelf, "issues"), Cursor())) as read_on:
        async for _ in read_on:
            for _ in range(20):  # rounds of the loop: what was asked for is answered by then
                await asyncio.sleep(0)
            most = max(most, sum(type(each) is Page for each in gc.get_objects()))
    # Those of the windows, the one that was just taken, and one as it was before it was followed.
    assert most == FIRST_WINDOWS + 2


@pytest.mark.parametrize("name", ["issues", "merge_requests"])
async def test_long_list_is_read_in_windows_once_each(name: str) -> None:
    """An issue list by keyset, one of merge requests by pages that GitLab does not count."""
    rows = made(6_000)
    shelf = Shelf({f"{PROJECT}/{name}": rows}, size=100, total=False)
    reader = reader_of(shelf, name, NEW)
    found, cursor = await read(reader)
    assert sorted(found) == [row["id"] for row in rows]
    assert (cursor.items, cursor.ended, cursor.changed) == (6_000, True, False)
    assert len(shelf.asked) <= 60 * 1.02 + 13
    windows = report_of(reader.resource, cursor).windows
    assert sum(one.collected for one in windows) + _before_windows(name) == 6_000
    assert [one for one in windows if not one.until] != []


def _before_windows(name: str) -> int:
    return 300 if name == "issues" else 100


async def test_list_that_gitlab_counts_as_short_is_read_by_its_keyset() -> None:
    counted = {"statistics": {"counts": {"all": 700}}}
    shelf = Shelf({ISSUES: made(700)}, size=100, singles={f"{PROJECT}/issues_statistics": counted})
    reader = reader_of(shelf, "issues", NEW)
    found, cursor = await read(reader)
    assert (len(found), cursor.windows) == (700, ())
    assert report_of(reader.resource, cursor) == LedgerReport(
        expected=700, expected_by="issues_statistics"
    )
    assert len(shelf.asked) == 8


async def test_windows_and_count_prove_each_other() -> None:
    counted = {"statistics": {"counts": {"all": 2_500}}}
    shelf = Shelf(
        {ISSUES: made(2_500)}, size=100, singles={f"{PROJECT}/issues_statistics": counted}
    )
    reader = reader_of(shelf, "issues", NEW)
    found, cursor = await read(reader)
    told = report_of(reader.resource, cursor)
    assert (len(set(found)), cursor.items) == (2_500, 2_500)
    assert (told.expected, told.expected_by, told.reason) == (2_500, "issues_statistics", None)


def counting(rows: list[Row], **more: Any) -> Shelf:
    """A list of issues that says how many there are."""
    counted = {"statistics": {"counts": {"all": len(rows)}}}
    return Shelf(
        {ISSUES: rows}, size=100, singles={f"{PROJECT}/issues_statistics": counted}, **more
    )


def bursts(count: int, seed: int = 1) -> list[Row]:
    """Rows that were made in a few days of five years, many in the same millisecond."""
    chance = random.Random(seed)
    days = [chance.uniform(0, 1825) for _ in range(7)]
    made_at = sorted(
        chance.choice(days) + chance.randrange(count) / 4 / 86_400_000 for _ in range(count)
    )
    return [
        {"id": 1000 + n, "iid": n, "created_at": _text(BEGAN + timedelta(days=day))}
        for n, day in enumerate(made_at)
    ]


@pytest.mark.parametrize("kind", [made, bursts])
@pytest.mark.long
async def test_list_of_known_length_is_cut_where_its_rows_are(kind: Any) -> None:
    """However unevenly they were made, windows are as long as each other, and cost no page each."""
    shelf = counting(kind(20_000))
    found, cursor = await read(reader_of(shelf, "issues", NEW))
    assert sorted(found) == [1000 + n for n in range(20_000)]
    assert (cursor.items, cursor.expected, cursor.changed) == (20_000, 20_000, False)
    assert len(shelf.asked) <= 200 + 3 + 4
    told = [one.items for one in cursor.windows]
    assert max(told) <= 20_000 / 24 * 1.1


def test_pages_that_cut_a_list_are_far_enough_apart_and_none_lies_behind_its_end() -> None:
    assert list(marks.numbers(100, 20_000, 100, 16)) == [15 + 13 * n for n in range(15)]
    assert list(marks.numbers(300, 1_000, 100, 16)) == [7, 10]
    assert list(marks.numbers(300, 1_000, 100, 16)) == [7, 10]
    assert list(marks.numbers(100, 50_001, 100, 16)) == []
    assert list(marks.numbers(100, 150, 100, 16)) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(1_000, 3_000), st.integers(0, 99), st.sampled_from([made, bursts]))
def test_rows_that_come_and_go_while_a_list_is_cut_lose_and_double_no_other(
    count: int, seed: int, kind: Any
) -> None:
    chance = random.Random(seed)
    rows = kind(count, seed)
    gone: set[int] = set()

    def meddle(shelf: Shelf, _request: str) -> None:
        if len(shelf.asked) > 2:
            place = chance.randrange(len(rows))
            if chance.random() < 0.5:
                gone.add(rows.pop(place)["id"])
            else:
                iid = 10_000 + len(shelf.asked)
                rows.append(
                    {"id": 90_000 + iid, "iid": iid, "created_at": "2026-01-01T00:00:00.000Z"}
                )

    shelf = counting(rows, before=meddle)
    found, _ = asyncio.run(read(reader_of(shelf, "issues", NEW)))
    assert len(set(found)) == len(found)
    assert {row["id"] for row in rows} - set(found) <= {
        row["id"] for row in rows[-40:] if row["id"] >= 90_000
    }
    assert set(found) <= {row["id"] for row in rows} | gone


@pytest.mark.parametrize("kind", [made, bursts])
@pytest.mark.long
async def test_cut_list_is_whole_from_each_of_its_places(kind: Any) -> None:
    """A place knows the windows of the marks before it, and of no later one."""
    rows = kind(3_000)
    places = await steps(reader_of(counting(rows), "issues", NEW))
    cut = [(before, cursor) for before, cursor in places if cursor.windows][:9]
    assert [len(cursor.windows) for _, cursor in cut] == [*range(1, 10)]
    for before, cursor in cut:
        rest, last = await read(reader_of(counting(rows), "issues", NEW), cursor)
        assert sorted(before + rest) == [row["id"] for row in rows]
        assert (last.items, last.expected) == (3_000, 3_000)


async def test_gitlab_that_refuses_page_numbers_is_asked_by_times() -> None:
    class Keyset(Shelf):
        def _numbered(self, path: str, told: dict[str, str]) -> Answer:
            if int(told.get("page", 1)) > 1:
                return said(405, {"error": "Offset pagination has a maximum allowed offset"})
            return super()._numbered(path, told)

    rows = made(3_000)
    shelf = Keyset({ISSUES: rows}, size=100, singles=counting(rows).singles)
    found, cursor = await read(reader_of(shelf, "issues", NEW))
    assert sorted(found) == [row["id"] for row in rows]
    assert (cursor.items, len(cursor.windows) > 1) == (3_000, True)


async def test_row_that_vanishes_pushes_no_other_past_the_reader() -> None:
    """And one that came at the end hides it from the total: no page number is asked for."""

    def meddle(shelf: Shelf, request: str) -> None:
        if len(shelf.asked) == 1:
            shelf.lists[REQUESTS].pop(0)
            shelf.lists[REQUESTS].append({**made(1)[0], "id": 9_999, "iid": 9_999})
            shelf.lists[REQUESTS][-1]["created_at"] = "2026-01-01T00:00:00.000Z"

    rows = made(10)
    shelf = Shelf({REQUESTS: list(rows)}, size=3, before=meddle)
    found, _ = await read(reader_of(shelf, "merge_requests"))
    assert sorted(found) == sorted([*(row["id"] for row in rows), 9_999])


async def test_window_that_leads_back_is_refused() -> None:
    class Deaf(Shelf):
        """It heeds no time, and its third page names itself."""

        def headers(self, path: str, page: int) -> dict[str, str]:
            return {"x-next-page": str(min(page + 1, 3))}

        def _asked_for(self, path: str, told: dict[str, str]) -> list[Row]:
            return self.lists[path]

    shelf = Deaf({REQUESTS: made(2_000)}, size=100, total=False)
    with pytest.raises(GitLabError, match=r"circle|own next one"):
        await read(reader_of(shelf, "merge_requests"))
    assert len(shelf.asked) < 40


@pytest.mark.parametrize("name", ["merge_requests", "issues"])
async def test_window_that_gives_the_same_rows_for_ever_is_refused(name: str) -> None:
    """Each page is another by its number, or its cursor, and has the rows of the one before."""

    class Stuck(Shelf):
        """From its fourth page on it has one page alone, under ever new names."""

        async def get(self, request: str, headers: dict[str, str]) -> Answer:
            answer = await Shelf.get(self, request, headers)
            if len(self.asked) <= 4:
                return answer
            number = len(self.asked)
            query = (
                f"cursor={number}"
                if name == "issues"
                else f"page={number}&{request.partition('?')[2]}"
            )
            link = f'<https://gitlab.example.org/x?{query}>; rel="next"'
            return said(200, made(2)[-1:] * 2, {"link": link})

    path = f"{PROJECT}/{name}"
    shelf = Stuck({path: made(2_000)}, size=100, total=False)
    with pytest.raises(GitLabError, match="circle"):
        await read(reader_of(shelf, name, NEW))
    assert len(shelf.asked) < 60


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1_200, 2_500),
    st.integers(0, 5),
    st.sampled_from(["issues", "merge_requests", "counted"]),
)
@pytest.mark.long
def test_windows_resumed_at_every_cursor_give_the_rest(count: int, seed: int, name: str) -> None:
    async def check() -> None:
        rows = made(count, seed)
        shelf = Shelf({f"{PROJECT}/{name}": rows}, 100, total=False)
        reader = reader_of(shelf, name, NEW) if name != "counted" else None
        reader = reader or reader_of(counting(rows), "issues", NEW)
        for before, cursor in (await steps(reader))[::5]:
            rest, last = await read(reader, cursor)
            assert sorted(before + rest) == [row["id"] for row in rows]
            assert last.items == count

    asyncio.run(check())


async def test_rows_of_one_instant_at_a_cut_are_neither_lost_nor_doubled() -> None:
    rows: list[dict[str, Any]] = made(1_500)
    for row in rows[200:420]:
        row["created_at"] = rows[200]["created_at"]
    shelf = Shelf({ISSUES: rows}, size=100, total=False)
    found, _ = await read(reader_of(shelf, "issues", NEW))
    assert sorted(found) == [row["id"] for row in rows]


@pytest.mark.parametrize("first", [0, 100, 150, 700])
@pytest.mark.parametrize("name", ["issues", "merge_requests", "counted"])
async def test_rows_of_one_instant_on_many_pages_are_given_once(name: str, first: int) -> None:
    """An import made them; some pages hold nothing else, behind which no cut leads."""
    rows: list[dict[str, Any]] = made(1_500)
    for row in rows[first : first + 450]:
        row["created_at"] = rows[first]["created_at"]
    shelf = Shelf({f"{PROJECT}/{name}": rows}, size=100, total=False)
    is_counted = name == "counted"
    reader = reader_of(counting(rows), "issues", NEW) if is_counted else reader_of(shelf, name, NEW)
    found, cursor = await read(reader)
    assert sorted(found) == [row["id"] for row in rows]
    assert cursor.items == 1_500


async def test_page_of_one_instant_is_no_place_to_cut_at() -> None:
    rows = made(3_000)
    for row in rows[1_000:2_000]:
        row["created_at"] = rows[1_000]["created_at"]
    found, cursor = await read(reader_of(counting(rows), "issues", NEW))
    assert sorted(found) == [row["id"] for row in rows]
    assert cursor.items == cursor.expected == 3_000


async def test_cursor_of_windows_survives_as_text() -> None:
    shelf = Shelf({REQUESTS: made(1_500)}, size=100, total=False)
    async for batch in batches(reader_of(shelf, "merge_requests"), Cursor()):
        assert decode_cursor(batch.cursor.encode()) == batch.cursor
