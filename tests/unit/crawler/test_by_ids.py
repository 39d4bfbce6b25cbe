"""What ids say of a list: as it was, or to be read whole; never that anything is gone."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labtrawl.clock import Clock
from labtrawl.crawler.by_ids import WHOLE_SECONDS
from labtrawl.crawler.cursor import Cursor, Tag
from labtrawl.crawler.lists import batches
from labtrawl.crawler.reader import Reader, rows_a_page
from labtrawl.crawler.visit import CHANGES, FULL, OVERLAP_MS, SWEEP, Visit
from labtrawl.errors import GitLabError, RateLimited, Unauthorized
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.http import Answer
from tests.unit.crawler.desk import JSON, broken, said
from tests.unit.crawler.shelf import PROJECT, Shelf, read, reader_of, rows

ISSUES = f"{PROJECT}/issues"
LONG_AGO = "2025-01-01T00:00:00Z"
# When the last visit was (ms), and what it may not have read.
STARTED_AT = 1_767_000_000_000
NEW = datetime.fromtimestamp((STARTED_AT - OVERLAP_MS) / 1000, UTC).isoformat()
# When a list is read whole here (ms).
NOW = str(round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000))
Ids = dict[int, str | None]
# What a mark says of the path lab/ocean: no path that names somebody stands in a cursor.
OCEAN, SEA = (
    f"ids/{hashlib.blake2b(path, digest_size=8).hexdigest()}" for path in (b"lab/ocean", b"lab/sea")
)


@dataclass(slots=True)
class Both(Shelf):
    """Issues by REST, and what GraphQL says of them; `answers` come first."""

    ids: Ids = field(default_factory=dict)
    size: int = 100
    page: int = 2
    path: str = "lab/ocean"
    answers: list[Answer] = field(default_factory=list)
    questions: int = 0

    async def request(self, _method: str, _path: str, _headers: object, body: bytes) -> Answer:
        self.questions += 1
        if self.answers:
            return self.answers.pop(0)
        start = int(json.loads(body)["variables"]["a0"] or 0)
        told = list(self.ids.items())[start : start + self.page]
        nodes = [{"id": f"gid://gitlab/Issue/{id_}", "updatedAt": at} for id_, at in told]
        end = start + self.page
        info = {"hasNextPage": end < len(self.ids), "endCursor": str(end)}
        return said({"g0": {"nodes": [_project({"pageInfo": info, "nodes": nodes}, self.path)]}})


def _project(items: dict[str, Any], path: str = "lab/ocean") -> dict[str, Any]:
    return {"id": "gid://gitlab/Project/7", "fullPath": path, "items": items}


def _shelf(*iids: int, **told: Any) -> Both:
    return Both({ISSUES: rows(*iids)}, ids={1000 + iid: LONG_AGO for iid in iids}, **told)


def _reader(shelf: Both, *known: int) -> Reader:
    async def ids() -> frozenset[int | str]:
        return frozenset(1000 + iid for iid in known)

    return replace(
        reader_of(shelf, "issues"),
        learnt=Learnt(),
        policy="as_is",
        known=ids,
        full_path="lab/ocean",
    )


def _after(cursor: Cursor, mode: str = SWEEP) -> Cursor:
    """Where the next visit begins, of a list that was read at `STARTED_AT`."""
    started = Cursor(**{**_fields(cursor), "started_at": STARTED_AT})
    return Visit(mode).begin(Cursor(last=started))


def _fields(cursor: Cursor) -> dict[str, Any]:
    return {name: getattr(cursor, name) for name in cursor.__struct_fields__}


async def _first(shelf: Both, *known: int) -> tuple[Reader, Cursor]:
    """Read a list whole; return its reader and where that ended."""
    reader = _reader(shelf, *known)
    _, cursor = await read(reader)
    shelf.asked.clear()
    return reader, cursor


async def test_list_with_the_same_ids_none_newer_is_not_read() -> None:
    shelf = _shelf(1, 2, 3)
    reader, first = await _first(shelf, 1, 2, 3)
    found = [batch async for batch in batches(reader, _after(first))]
    assert [(batch.records, batch.is_same) for batch in found] == [([], True)]
    assert found[0].cursor == Cursor(
        items=3, expected=3, expected_by="ids", ended=True, tag=Tag(NOW, OCEAN, "as_is")
    )
    assert (shelf.asked, shelf.questions) == ([], 2)


DIFFERENT: dict[str, tuple[Ids, tuple[int, ...]]] = {
    "one is gone": ({1001: LONG_AGO, 1002: LONG_AGO}, (1, 2, 3)),
    "one is unknown": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: LONG_AGO}, (1, 2)),
    "one for another": ({1001: LONG_AGO, 1002: LONG_AGO, 1004: LONG_AGO}, (1, 2, 3)),
    "one is newer": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: NEW}, (1, 2, 3)),
    "nobody knows when": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: None}, (1, 2, 3)),
    "no instant": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: "soon"}, (1, 2, 3)),
    "no time zone": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: "2025-01-01"}, (1, 2, 3)),
    "leap second": ({1001: LONG_AGO, 1002: LONG_AGO, 1003: "2016-12-31T23:59:60Z"}, (1, 2, 3)),
    "nothing is left": ({}, (1, 2, 3)),
}


@pytest.mark.parametrize("name", DIFFERENT)
async def test_list_that_differs_in_anything_is_read_whole(name: str) -> None:
    told, known = DIFFERENT[name]
    shelf = _shelf(1, 2, 3)
    reader, first = await _first(shelf, *known)
    shelf.ids = told
    found, last = await read(reader, _after(first))
    assert (found, last.tag) == ([1001, 1002, 1003], Tag(NOW, OCEAN, "as_is"))
    assert shelf.questions >= 1


async def test_lists_of_a_renamed_project_are_read_whole() -> None:
    """Each row shows the path, and no date of it moves."""
    shelf = _shelf(1, 2)
    reader, first = await _first(shelf, 1, 2)
    shelf.path = "lab/sea"
    found, last = await read(reader, _after(first))
    assert (found, last.tag) == ([1001, 1002], Tag(NOW, OCEAN, "as_is"))
    found, last = await read(replace(reader, full_path="lab/sea"), _after(last))
    assert (found, last.tag) == ([1001, 1002], Tag(NOW, SEA, "as_is"))
    found, _ = await read(reader, _after(last))
    assert found == []


async def test_change_ends_the_question_at_its_page() -> None:
    shelf = _shelf(*range(1, 9))
    reader, first = await _first(shelf, *range(1, 9))
    shelf.ids = {1009: NEW, **shelf.ids}
    await read(reader, _after(first))
    assert shelf.questions == 1


def _later(reader: Reader, seconds: float) -> Reader:
    clock = reader.gitlab.clock
    now = clock.now() + timedelta(seconds=seconds)
    later = replace(reader.gitlab, clock=Clock(lambda: now, clock.monotonic, clock.sleep))
    return replace(reader, gitlab=later)


async def test_list_is_read_whole_each_week_whatever_its_ids_say() -> None:
    shelf = _shelf(1)
    reader, cursor = await _first(shelf, 1)
    told = []
    for day in range(1, 15):
        found, cursor = await read(_later(reader, day * 86_400), _after(cursor))
        told.append(bool(found))
    assert told == [False] * 6 + [True] + [False] * 6 + [True]


@pytest.mark.parametrize("seconds", [-1, WHOLE_SECONDS])
async def test_list_is_read_whole_by_a_clock_that_was_set_back_and_at_the_end_of_its_time(
    seconds: float,
) -> None:
    shelf = _shelf(1)
    reader, cursor = await _first(shelf, 1)
    found, _ = await read(_later(reader, seconds), _after(cursor))
    assert found == [1001]


async def test_visit_for_changes_carries_on_how_long_a_list_was_not_read_whole() -> None:
    shelf = _shelf(1)
    reader, first = await _first(shelf, 1)
    _, second = await read(reader, _after(first))
    since = replace(reader, since=datetime(2026, 1, 1, tzinfo=UTC))
    shelf.questions = 0
    _, changed = await read(since, _after(second, CHANGES))
    assert (shelf.questions, changed.tag) == (0, Tag(NOW, OCEAN, "as_is"))


async def test_visit_for_changes_makes_no_mark_of_its_own() -> None:
    since = replace(_reader(_shelf(1), 1), since=datetime(2026, 1, 1, tzinfo=UTC))
    _, cursor = await read(since)
    assert cursor.tag is None


async def _is_read(reader: Reader, cursor: Cursor, shelf: Both) -> bool:
    """Say whether a list is read without a question for its ids."""
    found, _ = await read(reader, cursor)
    return (shelf.questions, found) == (0, [1001])


async def test_ids_are_asked_for_only_where_they_can_tell() -> None:
    shelf = _shelf(1)
    reader, first = await _first(shelf, 1)
    after = _after(first)
    assert await _is_read(reader, _after(first, FULL), shelf)
    assert await _is_read(replace(reader, learnt=None), after, shelf)
    assert await _is_read(replace(reader, learnt=Learnt(refused={"ids"})), after, shelf)
    assert await _is_read(replace(reader, policy="study"), after, shelf)
    assert await _is_read(replace(reader, per_page=rows_a_page(3)), after, shelf)
    assert await _is_read(reader, Visit(SWEEP).begin(Cursor(passes=1, last=after.last)), shelf)
    other = Cursor(**{**_fields(first), "tag": Tag("W/1", "/api/v4/labels", "as_is")})
    assert await _is_read(reader, _after(other), shelf)


FAILURES: dict[str, tuple[Answer, set[str]]] = {
    "no field": (broken("Field 'updatedAt' doesn't exist on type 'Issue'"), {"ids"}),
    "null": (said({"g0": {"nodes": []}}), set()),
    "too much": (broken("Query has complexity of 301, which exceeds max complexity of 250"), set()),
    "another shape": (said({"g0": 7}), set()),
    "no json": (Answer(200, JSON, b"{", "/"), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
async def test_question_that_fails_is_a_list_to_be_read(name: str) -> None:
    answer, refused = FAILURES[name]
    shelf = _shelf(1)
    reader, first = await _first(shelf, 1)
    shelf.answers = [answer] * 2
    found, last = await read(reader, _after(first))
    assert found == [1001]
    assert reader.learnt is not None
    assert reader.learnt.refused == refused
    assert (last.tag is None) == bool(refused)


async def test_pages_of_ids_in_a_circle_are_a_list_to_be_read() -> None:
    shelf = _shelf(1, 2, 3)
    reader, first = await _first(shelf, 1, 2, 3)
    page = {"pageInfo": {"hasNextPage": True, "endCursor": "x"}, "nodes": []}
    shelf.answers = [said({"g0": {"nodes": [_project(page)]}})] * 9
    found, _ = await read(reader, _after(first))
    assert (found, shelf.questions) == ([1001, 1002, 1003], 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(429, {"retry-after": "600", **JSON}, b"{}", "/"), RateLimited),
        (broken("Invalid token", status=401), Unauthorized),
    ],
)
async def test_wait_and_refused_token_are_the_visits_own(
    answer: Answer, error: type[GitLabError]
) -> None:
    shelf = _shelf(1)
    reader, first = await _first(shelf, 1)
    shelf.answers = [answer] * 9
    with pytest.raises(error):
        await read(reader, _after(first))


async def test_answer_tells_the_time_up_to_which_all_was_seen() -> None:
    shelf = _shelf(1)
    reader, first = await _first(shelf, 1)
    reader.gitlab.tally.first_served_at = None
    page = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": []}
    told = said({"g0": {"nodes": [_project(page)]}})
    date = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    shelf.answers = [Answer(200, {**JSON, **date}, told.body, "/")]
    async for _ in batches(reader, _after(first)):
        break
    assert reader.gitlab.tally.first_served_at == 1_767_225_600_000
