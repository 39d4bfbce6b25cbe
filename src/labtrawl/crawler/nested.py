"""A list that each row of another list has: read item by item, several of them at once."""

from collections.abc import AsyncGenerator, Set
from contextlib import aclosing
from dataclasses import dataclass
from dataclasses import replace as with_other
from functools import partial
from itertools import chain

from msgspec.structs import replace

from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.ancestry import loose_ends, named_by
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.growth import heard, least
from labtrawl.crawler.paging import (
    BY_CHANGE,
    BY_CREATION,
    MOST_AGAIN,
    Asked,
    Order,
    Seen,
    ask,
    has_shrunk,
    most_of,
    order_of,
    read,
    refuse_circle,
    repeats_last,
)
from labtrawl.crawler.reader import MOST_ROWS, Batch, Reader
from labtrawl.crawler.records import has_none, keys_of
from labtrawl.errors import NotFound
from labtrawl.gitlab.catalog import Resource, find
from labtrawl.gitlab.pages import Page, parameter, resized

Item = int | str


def parent_of(resource: Resource) -> Resource:
    """Return the resource whose rows have a list of this one each."""
    parent = find(resource.area_kind, resource.parent)
    if parent is None:
        raise LookupError(f"the catalog has no parent {resource.parent!r}")
    return parent


def may_pass_over(resource: Resource) -> bool:
    """Say whether one reading of a list may pass over a row that is there.

    By page numbers it may, when a row before it vanishes: of the list, or of that of its parents.
    """
    return not resource.parent or not parent_of(resource).windowed


async def batches(reader: Reader, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield the lists of all items of the parent's list, in its order, from the cursor on."""
    parent = parent_of(reader.resource)
    order = order_of(reader, parent)
    cursor, come = replace(cursor, last=None), set[Item]()
    # A place is one on a page: a smaller one would not hold the row that was finished last.
    whole = with_other(reader, per_page=MOST_ROWS)
    async with aclosing(read(whole, reader.path(parent), cursor.query, parent)) as asked:
        async for one in asked:
            items = keys_of(one.page, reader.resource.parent_key)
            cursor = _find_place(cursor, one, items, order)
            bare = _bare(reader.resource, one.page, items)
            async with aclosing(_page_of_items(reader, items, bare, cursor)) as read_items:
                async for batch in read_items:
                    cursor = batch.cursor
                    yield batch
            following = one.page.next_query
            # Along an instant the last row comes again, and is known by its key.
            last = cursor.parent if order is not None and repeats_last(following) else None
            come.update(items)
            loose = _loose(reader, parent, one.page, cursor, come)
            ended = following is None
            cursor = replace(cursor, query=following, parent=last, ended=ended, loose=loose)
            yield Batch([], cursor)


def _loose(
    reader: Reader, parent: Resource, page: Page, cursor: Cursor, come: Set[Item]
) -> tuple[str, ...]:
    """Return which rows the whole list of parents has to have by now, and has not (`ancestry`)."""
    if not parent.parents or reader.since is not None:
        return cursor.loose
    named = chain.from_iterable(named_by(row, parent.parents) for row in page.rows)
    return loose_ends(cursor.loose, named, come.__contains__)


def _bare(resource: Resource, page: Page, items: list[Item]) -> frozenset[Item]:
    """Return the items whose rows show that their lists are empty."""
    shown = zip(items, page.rows, strict=True)
    return frozenset(item for item, row in shown if has_none(resource, row))


async def _page_of_items(
    reader: Reader, items: list[Item], bare: frozenset[Item], cursor: Cursor
) -> AsyncGenerator[Batch]:
    """Yield the lists of a page's items behind the cursor; their first pages are read ahead."""
    done = 0 if cursor.parent is None else items.index(cursor.parent) + 1
    calls = [
        partial(_bare_item, item)
        if item in bare
        else partial(_begin, reader, item, cursor.child, cursor.child_query)
        for item in items[done:]
    ]
    async with aclosing(ahead(calls, reader.width)) as begun:
        async for one in begun:
            async with aclosing(_rest_of(reader, one, cursor)) as rest:
                async for batch in rest:
                    cursor = batch.cursor
                    yield batch


@dataclass(frozen=True, slots=True)
class _Begun:
    """An item's list with the page that was asked for first; None where it is no longer there."""

    item: Item
    first: Asked | None


async def _bare_item(item: Item) -> _Begun:
    """Begin an empty list; nothing is asked for."""
    return _Begun(item, Asked("", Page([], None, None, "", "", "")))


async def _begin(reader: Reader, item: Item, child: Item | None, child_query: str | None) -> _Begun:
    going_on = resized(child_query, reader.per_page) if child_query and child == item else None
    query = going_on or reader.item_query()
    path = reader.path(reader.resource, item)
    try:
        if reader.resource.single:
            return _Begun(item, Asked(query, await reader.gitlab.single(path, query)))
        return _Begun(item, await ask(reader, path, query))
    except NotFound as error:
        if "Project Not Found" in str(error):
            raise
        return _Begun(item, None)


async def _rest_of(reader: Reader, begun: _Begun, cursor: Cursor) -> AsyncGenerator[Batch]:
    """Yield an item's list from its first page on.

    One that was deleted or hidden since its row was read costs its own list, not the others'.
    """
    if begun.first is None:
        yield Batch([], _past_item(replace(cursor, gone=cursor.gone + 1), begun.item))
        return
    path, last, again = reader.path(reader.resource, begun.item), begun.first, 0
    seen: Seen = set()
    while True:
        cursor = replace(cursor, grown=heard(cursor.grown, last.page))
        has_moved = has_shrunk(cursor.child_total, least(cursor.grown), last.page)
        if has_moved and again < MOST_AGAIN:
            again, query = again + 1, reader.item_query()
            cursor = replace(cursor, child_total=None, grown=None)
            seen.clear()
        else:
            refuse_circle(seen, last, may_shift=True)
            cursor = _past_page(cursor, begun.item, last.page, has_moved)
            yield Batch(reader.records(last.page, begun.item), cursor)
            if last.page.next_query is None:
                return
            query = last.page.next_query
        try:
            last = await ask(reader, path, query)
        except NotFound:
            yield Batch([], _past_item(replace(cursor, gone=cursor.gone + 1), begun.item))
            return


def _past_page(cursor: Cursor, item: Item, page: Page, has_moved: bool) -> Cursor:
    """Go past a page; where its list got shorter too often, another reading decides what is gone."""
    items, total = cursor.items + len(page.rows), most_of(cursor.child_total, page)
    cursor = replace(cursor, items=items, changed=cursor.changed or has_moved)
    if page.next_query is None:
        return _past_item(cursor, item)
    return replace(cursor, child=item, child_query=page.next_query, child_total=total)


def _past_item(cursor: Cursor, item: Item) -> Cursor:
    begun = replace(cursor, child=None, child_query=None, child_total=None, grown=None)
    return replace(begun, parent=item, seen=cursor.seen + 1)


def _find_place(cursor: Cursor, one: Asked, items: list[Item], order: Order | None) -> Cursor:
    """Find the cursor's place again on a page of parents that may have moved since.

    Where parents stand in the order of their iids, what follows a row that is gone has a higher one.
    Hashes have no such order, nor have rows by their change: such a page is read again.
    """
    parent, child, child_query = cursor.parent, cursor.child, cursor.child_query
    child_total, grown = cursor.child_total, cursor.grown
    if parent is not None and parent not in items:
        is_ordered = order is not BY_CHANGE and items == sorted(items, key=_number)
        earlier = [each for each in items if is_ordered and _is_before(each, parent)]
        parent = max(earlier, key=_number, default=None)
    going_on = items[0 if parent is None else items.index(parent) + 1 :][:1]
    if going_on != [child]:
        child = child_query = child_total = grown = None
    total = None if parameter(one.query, BY_CREATION.since) else one.page.total
    parents = total if cursor.parents is None else cursor.parents
    has_shrunk = total is not None and parents is not None and total < parents
    has_moved = (parent, child) != (cursor.parent, cursor.child)
    return replace(
        cursor,
        query=one.query,
        parent=parent,
        child=child,
        child_query=child_query,
        child_total=child_total,
        grown=grown,
        parents=parents,
        changed=cursor.changed or has_shrunk or has_moved,
    )


def _is_before(item: Item, parent: Item) -> bool:
    return isinstance(item, int) and isinstance(parent, int) and item < parent


def _number(item: Item) -> int:
    return item if isinstance(item, int) else 0
