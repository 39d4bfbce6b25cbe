"""Lists whose totals tell nothing by themselves: what was made meanwhile, and what only seems so."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from labtrawl.crawler.cursor import Cursor
from labtrawl.http import Answer
from tests.unit.crawler.shelf import PROJECT, Shelf, read, reader_of

PIPELINES = f"{PROJECT}/pipelines"
EVENTS = f"{PROJECT}/events"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
OLD, TO_COME = "2025-01-01T00:00:00.000Z", "2031-01-01T00:00:00.000Z"


class Dated(Shelf):
    """Each answer comes ten seconds after the one before it, and says so."""

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        answer = await Shelf.get(self, request, headers)
        at = BEGAN + timedelta(seconds=10 * len(self.asked))
        told = {**answer.headers, "date": format_datetime(at, usegmt=True)}
        return Answer(answer.status, told, answer.body, "/")


def _rows(*made: str, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": first + at, "created_at": each} for at, each in enumerate(made)]


def _told(cursor: Cursor) -> tuple[int, int | None, bool, bool]:
    return cursor.items, cursor.expected, cursor.changed, cursor.lost


async def _read(path: str, rows: list[dict[str, Any]], gone: int, come: str) -> Cursor:
    """Read a list that changes between its first page and its second, each of three rows."""

    def before(shelf: Shelf, _request: str) -> None:
        if len(shelf.asked) == 1:
            shelf.lists[path] = shelf.lists[path][gone:] + (_rows(come, first=99) if come else [])

    shelf = Dated({path: rows}, before=before)
    return (await read(reader_of(shelf, path.rpartition("/")[2])))[1]


async def test_row_that_came_for_one_that_went_leaves_a_total_that_is_too_low() -> None:
    cursor = await _read(PIPELINES, _rows(*[OLD] * 7), 1, "2026-01-01T00:00:15.000Z")
    assert _told(cursor) == (7, 8, True, True)


@pytest.mark.parametrize("made", ["2026-01-01T00:00:10.999Z", TO_COME, "", "soon"])
async def test_row_of_a_time_that_tells_nothing_is_no_newer_one(made: str) -> None:
    """In the second of the first answer it may have been there; a time to come is an import's."""
    cursor = await _read(PIPELINES, _rows(*[OLD] * 6, made), 0, "")
    assert _told(cursor) == (7, 7, False, False)


async def test_rows_that_come_alone_leave_a_total_that_fits() -> None:
    cursor = await _read(PIPELINES, _rows(*[OLD] * 7), 0, "2026-01-01T00:00:15.000Z")
    assert _told(cursor) == (8, 8, True, False)


@pytest.mark.parametrize("come", ["", "2026-01-01T00:00:15.000Z"])
async def test_events_that_go_with_their_age_are_noticed(come: str) -> None:
    """GitLab counts more of them than it shows (app/workers/prune_old_events_worker.rb)."""
    cursor = await _read(EVENTS, _rows(*[OLD] * 7), 1, come)
    assert _told(cursor) == (7 if come else 6, None, True, True)
