"""A long list, cut by time of creation into windows that are read at once.

A list that is read by keyset, and one that GitLab no longer counts (over 10,000 rows), give no page
to ask for ahead: time does. Each window is a list of its own, with its own place in the cursor, so
their pages are committed in whatever order they come.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace as with_other
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor, Window
from labtrawl.crawler.paging import (
    BY_CREATION,
    PER_PAGE,
    Asked,
    Ids,
    Seen,
    ask,
    behind,
    met_before,
    refuse_circle,
    repeats_last,
)
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.crawler.records import first_instant, instants, last_instant
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.gitlab.pages import Page, page_number, resized, with_parameter, without_parameter

UnderWay = dict[asyncio.Task[Asked], int]
"""Pages that were asked for, each with the number of its window."""

# So many pages of a keyset are read one by one before the list counts as long.
FIRST_PAGES = 3
# A window costs up to one request of its own: its last page is seldom full.
FIRST_WINDOWS = 8
# Windows that are read at once where a list is cut by its number of rows: each waits for one page.
WIDTH = 24
MOST_WINDOWS = 12
# Rows that are left of a window before it is cut in two.
WORTH_A_WINDOW = 500
# Rows that a list has, where GitLab counts them, before it is cut.
LONG = 1000
# Rows that a list seems to have by its first page, before GitLab is asked for their number.
SEEMS_LONG = 2000
# Between the milliseconds that rows show: a row lies in one window only.
BETWEEN = timedelta(microseconds=500)


def is_long(reader: Reader, cursor: Cursor, page: Page) -> bool:
    """Say whether a list that goes on behind `page` should be cut, as far as one can tell.

    Not behind a page of one instant: rows of it may lie on pages before, and would come again.
    """
    if not reader.resource.windowed or reader.since is not None or page.next_query is None:
        return False
    if first_instant(page, "created_at") == last_instant(page, "created_at"):
        return False
    if "cursor=" not in page.next_query:
        is_first = cursor.items <= PER_PAGE
        return is_first and (cursor.expected is None or cursor.expected > LONG)
    return cursor.expected is None and (
        cursor.items >= FIRST_PAGES * PER_PAGE or _seems_long(cursor, page)
    )


def _seems_long(cursor: Cursor, page: Page) -> bool:
    """Say whether a list that goes on as its first page began would be long by now."""
    shown = instants(page, "created_at") if cursor.items <= PER_PAGE else []
    first, last = (instant_of(shown[0]), instant_of(shown[-1])) if shown else (None, None)
    if first is None or last is None or first >= last:
        return False
    now = datetime.fromisoformat(page.fetched_at)
    return len(shown) * ((now - first) / (last - first)) >= SEEMS_LONG


def bounds(page: Page) -> tuple[datetime | None, datetime]:
    """Return the time of a page's last row, None where it tells none, and of the page itself."""
    return instant_of(last_instant(page, "created_at") or ""), datetime.fromisoformat(
        page.fetched_at
    )


def begin(reader: Reader, cursor: Cursor, since: datetime, until: datetime) -> Cursor:
    """Cut what lies behind `since` into windows; the last one has no end."""
    count = FIRST_WINDOWS
    step = (until - since) / count
    query = reader.first_query(reader.resource)
    starts = [since, *(_cut(since + step * number) for number in range(1, count))]
    ends = [*starts[1:], None]
    cut = tuple(bounded(query, one, end) for one, end in zip(starts, ends, strict=True))
    return replace(cursor, query=None, windows=cut)


def _cut(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000) + BETWEEN


def bounded(query: str, since: datetime, until: datetime | None) -> Window:
    """Return the window of a list between two instants, both inclusive; without `until` to its end."""
    asked = with_parameter(query, "created_after", text_of(since))
    if until is not None:
        asked = with_parameter(asked, "created_before", text_of(until))
    return Window(text_of(since), "" if until is None else text_of(until), asked)


def text_of(instant: datetime) -> str:
    """Write an instant as queries and the ledger have it."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def batches(
    reader: Reader, cursor: Cursor, under_way: UnderWay | None = None
) -> AsyncGenerator[Batch]:
    """Yield the pages of all windows as they come, each with the places of all behind it.

    `under_way` is what `ask_more` asked for already. What follows a page is asked for before the
    page is given away: whoever takes it may be long about it.
    """
    under_way = {} if under_way is None else under_way
    seen: dict[int, Seen] = {}
    try:
        ask_more(reader, cursor, under_way)
        while not cursor.ended:
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            while done:
                # Kept no longer than it is read: a page is a quarter of a megabyte.
                task = done.pop()
                number = under_way.pop(task)
                asked = _followed(task.result(), seen.setdefault(number, set()))
                batch = _past(reader, cursor, number, asked.page)
                cursor = batch.cursor
                ask_more(reader, cursor, under_way)
                yield batch
    finally:
        await drop(under_way)


async def drop(under_way: UnderWay) -> None:
    """Ask for nothing any more."""
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


def ask_more(reader: Reader, cursor: Cursor, under_way: UnderWay) -> None:
    """Ask for the next page of each open window, as many as may be under way."""
    path = reader.path(reader.resource)
    asked = set(under_way.values())
    waiting = [
        number
        for number, window in enumerate(cursor.windows)
        if not window.ended and number not in asked
    ]
    for number in waiting[: WIDTH - len(asked)]:
        query = resized(cursor.windows[number].query, reader.per_page)
        under_way[asyncio.ensure_future(ask(reader, path, query))] = number


def _followed(asked: Asked, seen: Seen) -> Asked:
    """Return a page of a window with what follows it. Raises GitLabError where that was read before."""
    following = behind(asked, BY_CREATION)
    found = Asked(asked.query, with_other(asked.page, next_query=following))
    refuse_circle(seen, found)
    return found


def _past(reader: Reader, cursor: Cursor, number: int, page: Page) -> Batch:
    window, following = cursor.windows[number], page.next_query
    records = reader.records(page)
    fresh = [one for one in records if one.id not in cursor.before and one.id not in window.before]
    past = replace(
        window,
        query=following or window.query,
        items=window.items + len(fresh),
        ended=following is None,
        before=_met_before(window, records, following),
    )
    windows = list(cursor.windows)
    windows[number] = past
    is_room = sum(not one.ended for one in windows) < FIRST_WINDOWS
    if not past.ended and is_room and len(windows) < MOST_WINDOWS:
        windows = _split(windows, cursor, number, page)
    items = cursor.items + len(fresh)
    ended = all(one.ended for one in windows)
    return Batch(fresh, replace(cursor, windows=tuple(windows), items=items, ended=ended))


def _met_before(window: Window, records: list[FetchedRecord], following: str | None) -> Ids:
    """Return which rows of a window may come again; none where GitLab has a cursor of its own."""
    is_numbered = page_number(following or "") is not None
    if not is_numbered and not repeats_last(following):
        return ()
    return met_before(window.before, tuple(one.id for one in records), following)


def _split(windows: list[Window], cursor: Cursor, number: int, page: Page) -> list[Window]:
    """Give half of what is left of a window to one of its own, where that is much.

    Windows that cover the same time seldom hold the same number of rows.
    """
    window = windows[number]
    last = last_instant(page, "created_at")
    until = instant_of(window.until) or _from_ms(cursor.started_at)
    position, since = instant_of(last or ""), instant_of(window.since)
    if position is None or since is None or until is None or not since < position < until:
        return windows
    left = window.items * ((until - position) / (position - since))
    if left < WORTH_A_WINDOW:
        return windows
    middle = _cut(position + (until - position) / 2)
    first = replace(
        window,
        until=text_of(middle),
        query=with_parameter(window.query, "created_before", text_of(middle)),
    )
    end = None if not window.until else instant_of(window.until)
    query = without_parameter(without_parameter(window.query, "cursor"), "page")
    windows[number : number + 1] = [first]
    return [*windows, bounded(without_parameter(query, "created_before"), middle, end)]


def instant_of(text: str) -> datetime | None:
    """Read an instant as GitLab writes it; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _from_ms(instant: int | None) -> datetime | None:
    return None if instant is None else datetime.fromtimestamp(instant / 1000, UTC)
