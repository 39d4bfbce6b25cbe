"""A long list whose number of rows is known, cut by pages asked for here and there, all at once.

Such a page is one look at the list, so between its first and its last row nothing is missing; a
window leads from its last row to the first of the next. Windows hold as many rows each, however
unevenly they were made. All bounds are instants that rows show: what moves between the looks makes
a window longer or shorter, and loses nothing. Only `lists` enters.
"""

from contextlib import aclosing
from dataclasses import dataclass
from dataclasses import replace as replace_batch
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.paging import Asked, ask
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.crawler.records import instants
from labtrawl.crawler.windows import WIDTH, bounded, instant_of, text_of
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.gitlab.client import PagingRefused
from labtrawl.gitlab.pages import Page, resized, with_parameter, without_keyset

# GitLab refuses page numbers behind so many rows (doc/api/rest, "Offset-based pagination").
MOST_OFFSET = 50_000
# Shorter windows cost more for their last pages than they save.
FEWEST_PAGES = 3
# Rows show milliseconds and are kept to the microsecond.
SHOWN = timedelta(microseconds=999)


@dataclass(frozen=True, slots=True)
class Mark:
    """A page from the middle of the list, with the times of its first and last row."""

    page: Page
    records: list[FetchedRecord]
    first: datetime
    last: datetime
    # Rows that may come again with the windows before and behind it.
    edges: tuple[int | str, ...]


def numbers(items: int, expected: int, per_page: int, width: int) -> range:
    """Return the pages, of one row less than `per_page`, that cut what lies behind `items`.

    The row less makes room for the two rows that a window shares with its neighbours, so that its
    last page is full. Empty where there is nothing to cut, or more than page numbers reach.
    """
    size = per_page - 1
    if expected > MOST_OFFSET:
        return range(0)
    pages = -(-(expected - items) // size)
    stride = max(FEWEST_PAGES, -(-pages // width))
    return range((items + stride * per_page - 2) // size + 1, (expected - 1) // size + 2, stride)


async def cut(reader: Reader, told: Batch, page: Page, expected: int) -> list[Batch]:
    """Return a page's batch as it is told, and one for each mark behind it; empty without any.

    The list is cut into more windows with each, of which the last has no end: who goes on from any
    of them reads all that was not given by then.
    """
    since = instant_of((instants(page, "created_at") or [""])[-1])
    marks = [] if since is None else await _marks(reader, told.cursor, since, expected)
    if since is None or not marks:
        return []
    query = resized(reader.first_query(reader.resource), reader.per_page)
    before = tuple(record.id for record in reader.records(page))
    first = bounded(query, since, None)
    cursor = replace(told.cursor, query=None, windows=(first,), before=before)
    found = [replace_batch(told, cursor=cursor)]
    for mark in marks:
        cursor = _behind(cursor, query, mark)
        found.append(Batch(mark.records, cursor))
    return found


def _behind(cursor: Cursor, query: str, mark: Mark) -> Cursor:
    """Return the cursor behind a mark: the window before it ends there, and one more begins."""
    *others, last = cursor.windows
    until = mark.first + SHOWN
    text = text_of(until)
    ended = replace(last, until=text, query=with_parameter(last.query, "created_before", text))
    begun = replace(
        bounded(query, mark.last, None),
        since=text_of(mark.first),
        items=len(mark.records),
        ended=mark.page.next_query is None,
    )
    return replace(
        cursor,
        items=cursor.items + len(mark.records),
        windows=(*others, ended, begun),
        before=(*cursor.before, *mark.edges),
    )


async def _marks(reader: Reader, cursor: Cursor, since: datetime, expected: int) -> list[Mark]:
    """Ask for the pages; leave out each that does not lie behind the one before it."""
    marks: list[Mark] = []
    for one in await _asked(reader, cursor, expected):
        mark = _read(reader, one.page)
        if mark is not None and since < mark.first < mark.last:
            marks.append(mark)
            since = mark.last
    return marks


async def _asked(reader: Reader, cursor: Cursor, expected: int) -> list[Asked]:
    size = reader.per_page
    query = without_keyset(reader.first_query(reader.resource))
    query = with_parameter(query, "per_page", str(size - 1))
    path = reader.path(reader.resource)
    calls = [
        partial(ask, reader, path, with_parameter(query, "page", str(number)))
        for number in numbers(cursor.items, expected, size, WIDTH)
    ]
    try:
        async with aclosing(ahead(calls, WIDTH)) as answers:
            return [one async for one in answers]
    except PagingRefused:
        return []


def _read(reader: Reader, page: Page) -> Mark | None:
    shown = instants(page, "created_at")
    first, last = (instant_of(shown[0]), instant_of(shown[-1])) if shown else (None, None)
    if first is None or last is None:
        return None
    records = reader.records(page)
    edges = tuple(
        record.id
        for record, text in zip(records, shown, strict=True)
        if text in (shown[0], shown[-1])
    )
    return Mark(page, records, first, last, edges)
