"""The pages of one list in order: one after the other, some ahead, or each from the last change on."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from dataclasses import replace as with_other
from datetime import datetime
from functools import partial

from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.growth import heard, least
from labtrawl.crawler.reader import Reader
from labtrawl.crawler.records import first_instant, last_instant
from labtrawl.errors import GitLabError
from labtrawl.gitlab.catalog import Resource
from labtrawl.gitlab.client import PagingRefused, Unchanged
from labtrawl.gitlab.pages import (
    Page,
    page_number,
    parameter,
    place_of,
    resized,
    with_parameter,
    without_keyset,
    without_parameter,
)

PER_PAGE = 100
# A list that nobody counts is read one page further ahead for each so many pages that it had: what
# turns out to lie behind its end stays a small part of all.
PAGES_AHEAD = 20
# A list of an item that got shorter is read again so many times at once.
MOST_AGAIN = 2
# Pages of a numbered list that are in memory at once: they come in order, and wait for the first.
MOST_AHEAD = 8


Ids = tuple[int | str, ...]
Seen = set[tuple[tuple[str, str], ...]]
"""The places of a list that were asked for, and what was read there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A page with the query that brought it."""

    query: str
    page: Page


@dataclass(frozen=True, slots=True)
class Order:
    """An instant by which rows are ordered: their field, and the parameter that begins with it."""

    field: str
    since: str


BY_CHANGE = Order("updated_at", "updated_after")
BY_CREATION = Order("created_at", "created_after")


def order_of(reader: Reader, resource: Resource) -> Order | None:
    """Return the instant that a list can be read along; None where it has pages alone."""
    if reader.is_by_change(resource):
        return BY_CHANGE
    return BY_CREATION if resource.windowed and reader.since is None else None


Mark = Callable[[str, str], str]
"""The `ETag` to ask with, given path and query; empty for none."""


def _unmarked(_path: str, _query: str) -> str:
    return ""


def read(
    reader: Reader, path: str, query: str | None, resource: Resource, mark: Mark = _unmarked
) -> AsyncGenerator[Asked]:
    """Yield a list's pages from `query` on, in the way that loses least; from the start for None.

    Raises Unchanged where it has one page, which is as `mark` has it.
    """
    query = None if query is None else resized(query, reader.per_page)
    order = order_of(reader, resource)
    if order is not None:
        return advancing(reader, path, query, resource, order, mark)
    return pages(reader, path, query, resource, mark)


async def pages(
    reader: Reader, path: str, query: str | None, resource: Resource, mark: Mark = _unmarked
) -> AsyncGenerator[Asked]:
    """Yield a list's pages in order from `query` on, each with its query; from the start for None.

    Where pages have numbers some are asked for at once: all that GitLab's total says there are, or
    one more for each so many that an uncounted list turned out to have.
    """
    asked = query or resized(reader.first_query(resource), reader.per_page)
    last = await _first(reader, path, asked, mark, is_first=query is None)
    seen: Seen = set()
    refuse_circle(seen, last, may_shift=True)
    count = 1
    yield last
    while last.page.next_query is not None:
        calls = _calls(reader, path, last, count)
        async with aclosing(ahead(calls, min(reader.width, MOST_AHEAD))) as answers:
            async for following in answers:
                if not _follows(last, following):
                    break
                last = following
                refuse_circle(seen, last, may_shift=True)
                count += 1
                yield last
                if last.page.next_query is None:
                    return


async def _first(reader: Reader, path: str, query: str, mark: Mark, *, is_first: bool) -> Asked:
    """Read a page; a GitLab that refuses keyset paging of this list is asked by page numbers."""
    try:
        return await _marked(reader, path, query, mark)
    except PagingRefused:
        if not is_first or "pagination=keyset" not in query:
            raise
    return await _marked(reader, path, without_keyset(query), mark)


async def _marked(reader: Reader, path: str, query: str, mark: Mark) -> Asked:
    """Read a page. Raises Unchanged where it is as it was, and still the only one."""
    try:
        return Asked(query, await reader.gitlab.page(path, query, mark(path, query)))
    except Unchanged as same:
        if same.is_last:
            raise
    return await ask(reader, path, query)


def _calls(
    reader: Reader, path: str, last: Asked, count: int
) -> list[Callable[[], Awaitable[Asked]]]:
    """Return what to ask for behind a page: its next one, and those that will follow it."""
    following = last.page.next_query or ""
    number = page_number(following)
    queries = [following]
    if number is not None:
        end = _last_number(reader, last.page, number, count)
        numbers = range(number + 1, end + 1)
        queries += [with_parameter(following, "page", str(each)) for each in numbers]
    return [partial(ask, reader, path, query) for query in queries]


def _last_number(reader: Reader, page: Page, number: int, count: int) -> int:
    if page.total is not None:
        return -(-page.total // reader.per_page)
    return number + min(reader.width - 1, MOST_AHEAD - 1, count // PAGES_AHEAD)


async def ask(reader: Reader, path: str, query: str) -> Asked:
    """Read one page."""
    return Asked(query, await reader.gitlab.page(path, query))


def _follows(last: Asked, following: Asked) -> bool:
    """Say whether a page that was asked for ahead is the one that the page before it names."""
    expected = last.page.next_query or ""
    return following.query == expected or place_of(following.query) == place_of(expected)


def has_shrunk(most: int | None, expected: int | None, page: Page) -> bool:
    """Say whether rows of a list vanished: one that did may have hidden another.

    By page numbers what follows it moves up, the first row of the next page out of sight. `most` is
    how many rows it had, `expected` how many it has if none vanished (`growth.least`).
    """
    return page.total is not None and page.total < max(most or 0, expected or 0)


def most_of(most: int | None, page: Page) -> int | None:
    """Return how many rows a list had at most, by a further page of it."""
    return most if page.total is None else max(page.total, most or 0)


def shrinks(pages: Iterable[Page]) -> bool:
    """Say whether rows of a list vanished from one of its pages to another."""
    most, grown = None, None
    for page in pages:
        grown = heard(grown, page)
        if has_shrunk(most, least(grown), page):
            return True
        most = most_of(most, page)
    return False


def refuse_circle(seen: Seen, last: Asked, *, may_shift: bool = False) -> None:
    """Note a page as read. Raises GitLabError where its next one, or all of its rows, were read before.

    Whoever answers each number with the same rows would be asked for ever. Where a list `may_shift`
    the same rows may come once again: by page numbers they do when others are put before them,
    exactly as many as there are on a page, or on some.
    """
    kinds = ("rows", "rows again") if may_shift else ("rows",)
    unseen = [((kind, last.page.sha256),) for kind in kinds]
    unseen = [each for each in unseen if each not in seen]
    if last.page.rows and not unseen:
        raise GitLabError(f"GitLab's pages go in a circle: {last.page.request} repeats another")
    seen.update((place_of(last.query), *unseen[:1]))
    if last.page.next_query is not None and place_of(last.page.next_query) in seen:
        raise GitLabError(f"GitLab's pages go in a circle: {last.page.request} leads back")


async def advancing(
    reader: Reader,
    path: str,
    query: str | None,
    resource: Resource,
    order: Order,
    mark: Mark = _unmarked,
) -> AsyncGenerator[Asked]:
    """Yield the pages of a list in the order of an instant, each beginning where the last one ended.

    By page numbers a row that vanishes, or moves to the end, would push another one past the reader
    unseen. The rows of the last instant come again; a keyset of GitLab's own is followed as it is.
    """
    asked = query or resized(reader.first_query(resource), reader.per_page)
    last = await _first(reader, path, asked, mark, is_first=query is None)
    seen: Seen = set()
    while True:
        last = Asked(last.query, with_other(last.page, next_query=behind(last, order)))
        refuse_circle(seen, last)
        yield last
        if last.page.next_query is None:
            return
        last = await ask(reader, path, last.page.next_query)


def behind(asked: Asked, order: Order) -> str | None:
    """Return the query from the last row's instant on; the next page among rows of one instant.

    A page that has one instant alone would come again from there on.
    """
    following = asked.page.next_query
    if following is None or page_number(following) is None:
        return following
    last, first = last_instant(asked.page, order.field), first_instant(asked.page, order.field)
    earlier = (parameter(asked.query, order.since), first or "")
    if last is None or not all(_is_later(last, each) for each in earlier):
        return following
    return without_parameter(with_parameter(asked.query, order.since, last), "page")


def repeats_last(query: str | None) -> bool:
    """Say whether a page that was named by `behind` begins with the row before it."""
    keysets = ("cursor=", "id_after=", "page_token=")
    return (
        bool(query)
        and page_number(query or "") is None
        and not any(each in (query or "") for each in keysets)
    )


def met_before(before: Ids, ids: Ids, following: str | None) -> Ids:
    """Return which rows may come again behind a page along an instant that has these ids.

    From an instant on the rows of it that came before are the first ones, on one page or on some
    smaller ones: they are kept until so many rows went by.
    """
    if page_number(following or "") is None:
        return ids
    return (*before, *ids)[-2 * PER_PAGE :]


def _is_later(one: str, other: str) -> bool:
    """Say whether an instant that GitLab wrote is behind one of ours, where there is one."""
    try:
        return not other or datetime.fromisoformat(one) > datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False
