"""Reading a resource of an area from a cursor on, one page at a time, each with the cursor behind it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from msgspec.structs import replace

from labtrawl.crawler import batched, by_ids, marks, windows
from labtrawl.crawler.cursor import Cursor, Tag
from labtrawl.crawler.paging import order_of, read
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.crawler.walk import Walk
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import Forbidden, NotFound
from labtrawl.gitlab.client import Unchanged
from labtrawl.gitlab.pages import Page, count_in


async def batches(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield what comes after `cursor`, in order, to the end of the list."""
    if cursor.ended:
        return
    if (same := await by_ids.unchanged(reader, cursor)) is not None:
        yield Batch([], same, is_same=True)
        return
    if reader.resource.parent:
        found = batched.batches(reader, cursor)
    elif not reader.resource.path:
        found = batched.timelogs(reader, cursor)
    elif reader.resource.single:
        yield await _single(reader, cursor)
        return
    else:
        found = listed(reader, cursor)
    try:
        async with aclosing(found) as whole:
            async for batch in whole:
                yield by_ids.marked(reader, cursor, batch)
    except Unchanged:
        yield _same(cursor)


def _same(cursor: Cursor) -> Batch:
    """Return the end of a list that is as its last visit read it."""
    assert cursor.last is not None
    ended = replace(
        cursor.last, changed=False, lost=False, passes=0, started_at=cursor.started_at, written=0
    )
    return Batch([], ended, is_same=True)


async def _single(reader: Reader, cursor: Cursor) -> Batch:
    """Read one object as a list of one."""
    resource = reader.resource
    path = reader.path(resource)
    etag = reader.etag(cursor, path, resource.query)
    try:
        page = await reader.gitlab.single(path, resource.query, etag)
    except Unchanged:
        return _same(cursor)
    tag = Tag(page.etag, page.request, reader.policy) if page.etag else None
    ended = replace(cursor, items=1, expected=1, ended=True, tag=tag, last=None)
    return Batch(reader.records(page), ended)


async def listed(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield a flat list's pages from the cursor on, to its end; a long one in windows."""
    under_way: windows.UnderWay = {}
    try:
        if not cursor.windows:
            async with aclosing(_in_order(reader, cursor, under_way)) as whole:
                async for batch in whole:
                    cursor = batch.cursor
                    yield batch
        if cursor.windows and not cursor.ended:
            async with aclosing(windows.batches(reader, cursor, under_way)) as rest:
                async for batch in rest:
                    yield batch
    finally:
        await windows.drop(under_way)


async def _in_order(
    reader: Reader, cursor: Cursor, under_way: windows.UnderWay
) -> AsyncGenerator[Batch]:
    """Yield pages one after the other, to the end or to where the list turns out to be long.

    There the first pages of its windows are `under_way` before anything more is given away.
    """
    path, resource = reader.path(reader.resource), reader.resource
    walk = Walk(reader, is_along=order_of(reader, resource) is not None)
    mark = partial(reader.etag, cursor)
    async with aclosing(read(reader, path, cursor.query, resource, mark)) as asked:
        async for one in asked:
            told = walk.past(cursor, one)
            cursor, found = told.cursor, [told]
            if windows.is_long(reader, cursor, one.page):
                found = await _cut(reader, told, one.page, walk.last)
            if found[-1].cursor.windows:
                windows.ask_more(reader, found[-1].cursor, under_way)
            for batch in found:
                cursor = batch.cursor
                yield batch
            if cursor.windows:
                return


async def _cut(
    reader: Reader, told: Batch, page: Page, records: list[FetchedRecord]
) -> list[Batch]:
    """Cut a list behind a page, unless GitLab counts few rows, or tells no time to cut at.

    Rows that were asked for to find out where follow the page's own.
    """
    cursor, expected = told.cursor, await _count(reader)
    if expected is not None:
        cursor = replace(cursor, expected=expected, expected_by=reader.resource.statistics)
    since, until = windows.bounds(page)
    if since is None or (expected is not None and expected < windows.LONG):
        return [Batch(told.records, cursor)]
    counted = Batch(told.records, cursor)
    marked = [] if expected is None else await marks.cut(reader, counted, page, expected)
    if marked:
        return marked
    cursor = windows.begin(reader, cursor, since, until)
    return [Batch(told.records, replace(cursor, before=tuple(record.id for record in records)))]


async def _count(reader: Reader) -> int | None:
    """Ask GitLab for the exact number of rows, where it tells that of lists of any length."""
    resource = reader.resource
    if not resource.statistics:
        return None
    path = f"projects/{reader.gitlab_id}/{resource.statistics}"
    try:
        page = await reader.gitlab.single(path, "scope=all")
    except (NotFound, Forbidden):
        return None
    return count_in(page)
