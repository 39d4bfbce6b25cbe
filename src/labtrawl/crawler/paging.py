"""The pages of one list in order: one after the other, some ahead, or each from the last change on."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from dataclasses import replace as with_other
from datetime import datetime
from functools import partial

from labtrawl.crawler.ahead import ahead
from labtrawl.crawler.reader import Reader
from labtrawl.crawler.records import last_instant
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
    refuse_circle(seen, last)
    count = 1
    yield last
    while last.page.next_query is not None:
        calls = _calls(reader, path, last, count)
        async with aclosing(ahead(calls, min(reader.width, MOST_AHEAD))) as answers:
            async for following in answers:
                if not _follows(last, following):
                    break
                last = following
                refuse_circle(seen, last)
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


def has_shrunk(most: int | None, page: Page) -> bool:
    """Say whether a list has fewer rows than it had: one that vanished may have hidden another.

    By page numbers what follows it moves up, the first row of the next page out of sight.
    """
    return most is not None and page.total is not None and page.total < most


def most_of(most: int | None, page: Page) -> int | None:
    """Return how many rows a list had at most, by a further page of it."""
    return most if page.total is None else max(page.total, most or 0)


def shrinks(pages: Iterable[Page]) -> bool:
    """Say whether a list got shorter from one of its pages to another."""
    most = None
    for page in pages:
        if has_shrunk(most, page):
            return True
        most = most_of(most, page)
    return False


def refuse_circle(seen: Seen, last: Asked) -> None:
    """Note a page as read. Raises GitLabError where its next one, or all of its rows, were read before.

    Whoever answers each number with the same rows would be asked for ever.
    """
    rows = (("rows", last.page.sha256),)
    if last.page.rows and rows in seen:
        raise GitLabError(f"GitLab's pages go in a circle: {last.page.request} repeats another")
    seen.update((place_of(last.query), rows))
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
    """Return the query from the last row's instant on; the next page among rows of one instant."""
    following = asked.page.next_query
    if following is None or page_number(following) is None:
        return following
    last = last_instant(asked.page, order.field)
    if last is None or not _is_later(last, parameter(asked.query, order.since)):
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


def _is_later(one: str, other: str) -> bool:
    """Say whether an instant that GitLab wrote is behind one of ours, where there is one."""
    try:
        return not other or datetime.fromisoformat(one) > datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False
