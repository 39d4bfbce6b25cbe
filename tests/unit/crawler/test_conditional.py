"""A list of one page is not sent again while it is as it was: `ETag` and `If-None-Match`."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.lists import batches
from labtrawl.crawler.reader import Reader
from labtrawl.crawler.visit import CHANGES, FULL, SWEEP, Visit
from labtrawl.http import Answer
from tests.unit.crawler.shelf import PROJECT, Shelf, read, reader_of, rows, said

LABELS = f"{PROJECT}/labels"
MILESTONES = f"{PROJECT}/milestones"
LANGUAGES = f"{PROJECT}/languages"


@dataclass(slots=True)
class Marking(Shelf):
    """Marks each answer by its bytes, as GitLab does, and knows a mark again."""

    size: int = 100
    known: list[str] = field(default_factory=list)

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        answer = await Shelf.get(self, request, headers)
        etag = f'W/"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
        told = {**answer.headers, "etag": etag}
        if headers.get("if-none-match") == etag:
            self.known.append(request.partition("?")[0])
            # Rack leaves the headers that tell of pages (rack/conditional_get.rb).
            return Answer(304, told, b"", "/")
        return Answer(answer.status, told, answer.body, answer.url)


def _labels(shelf: Shelf) -> Reader:
    return replace(reader_of(shelf, "labels"), policy="as_is")


def _after(cursor: Cursor, mode: str = SWEEP) -> Cursor:
    """Where the next visit begins: `store.jobs.reopen` hands it the cursor of the one before."""
    return Visit(mode).begin(Cursor(last=cursor))


async def _again(reader: Reader, cursor: Cursor) -> tuple[list[Any], bool]:
    """Read a list again; return its rows, and whether it was said to be the same."""
    found = [batch async for batch in batches(reader, cursor)]
    return [one.id for batch in found for one in batch.records], found[-1].is_same


@pytest.mark.parametrize("mode", [SWEEP, CHANGES])
async def test_list_as_it_was_is_not_sent_again_and_keeps_its_mark(mode: str) -> None:
    shelf = Marking({LABELS: rows(1, 2)})
    _, first = await read(_labels(shelf))
    found, second = await read(_labels(shelf), _after(first, mode))
    assert (found, shelf.known) == ([], [LABELS])
    assert second == first
    assert await _again(_labels(shelf), _after(second, mode)) == ([], True)


async def test_list_that_changed_is_sent_whole() -> None:
    shelf = Marking({LABELS: rows(1, 2)})
    _, first = await read(_labels(shelf))
    shelf.lists[LABELS].pop()
    found, second = await read(_labels(shelf), _after(first))
    assert (found, shelf.known, second.last) == ([1001], [], None)
    assert second.tag not in (None, first.tag)


async def test_first_visit_and_one_for_another_policy_ask_without_a_mark() -> None:
    shelf = Marking({LABELS: rows(1, 2)})
    _, first = await read(_labels(shelf))
    assert _after(first, FULL) == Cursor()
    study = replace(_labels(shelf), policy="study")
    assert await _again(study, _after(first)) == ([1001, 1002], False)


async def test_page_that_is_full_has_no_mark_since_the_next_one_would_not_show() -> None:
    shelf = Marking({LABELS: rows(*range(100))})
    _, first = await read(_labels(shelf))
    assert (first.items, first.tag) == (100, None)


async def test_page_that_was_short_and_has_a_next_one_now_is_sent_again() -> None:
    """GitLab leaves rows out of a page after it was cut: it may be short and still the same."""

    class Hiding(Marking):
        def _numbered(self, path: str, told: dict[str, str]) -> Answer:
            if told.get("page") == "2":
                return said(200, rows(101))
            is_grown = len(self.lists[path]) > 2
            return said(200, rows(1, 2), {"x-next-page": "2"} if is_grown else {})

    shelf = Hiding({LABELS: rows(1, 2)})
    _, first = await read(_labels(shelf))
    shelf.lists[LABELS] += rows(101)
    assert await _again(_labels(shelf), _after(first)) == ([1001, 1002, 1101], False)
    assert shelf.known == [LABELS]


async def test_object_as_it_was_is_not_sent_again() -> None:
    shelf = Marking({}, singles={LANGUAGES: {"Python": 97.5}})
    reader = reader_of(shelf, "languages")
    _, first = await read(reader)
    assert await _again(reader, _after(first)) == ([], True)
    shelf.singles[LANGUAGES] = {"Python": 96.0}
    assert await _again(reader, _after(first)) == (["7"], False)
    assert shelf.known == [LANGUAGES]


async def test_list_that_is_asked_since_an_instant_keeps_no_mark() -> None:
    shelf = Marking({MILESTONES: rows(1)})
    whole = reader_of(shelf, "milestones")
    _, first = await read(whole)
    _, changed = await read(replace(whole, since=datetime(2026, 1, 1, tzinfo=UTC)), _after(first))
    assert (first.tag is None, changed.tag) == (False, None)
