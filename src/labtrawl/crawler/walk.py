"""One page of a flat list after the other: what is new on each, and where to go on behind it.

Only `lists` enters.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor, Grown
from labtrawl.crawler.growth import heard, least
from labtrawl.crawler.paging import BY_CREATION, Asked, Ids, has_shrunk, met_before
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.gitlab.pages import Page, page_number, parameter


@dataclass(slots=True)
class Walk:
    """A reading of a flat list; `is_along` an instant, or by pages alone. `last` is what came last."""

    reader: Reader
    is_along: bool
    last: list[FetchedRecord] = field(default_factory=list)

    def past(self, cursor: Cursor, one: Asked) -> Batch:
        """Return what a page gives, and the cursor behind it."""
        records = self.reader.records(one.page)
        fresh = [record for record in records if record.id not in cursor.before]
        news = fresh if self.reader.resource.windowed else _unlike(records, self.last)
        self.last = records
        return Batch(news, self._past(cursor, one, len(fresh)))

    def _past(self, cursor: Cursor, one: Asked, fresh: int) -> Cursor:
        page, total = one.page, _total(self.reader, cursor, one, fresh)
        grown = self._grown(cursor, page)
        known = (total, cursor.expected, least(grown))
        expected = [each for each in known if each is not None]
        is_counted = total is not None or cursor.expected is not None
        lost = cursor.lost or has_shrunk(None, least(grown), page)
        is_only = cursor.query is None and cursor.before == ()
        return replace(
            cursor,
            query=page.next_query,
            before=self._before(cursor, page),
            items=cursor.items + fresh,
            expected=max(expected) if is_counted else None,
            changed=cursor.changed or lost or self._has_moved(cursor, one, total, fresh),
            grown=grown,
            lost=lost,
            ended=page.next_query is None,
            tag=self.reader.tag(page) if is_only else None,
            last=None,
        )

    def _grown(self, cursor: Cursor, page: Page) -> Grown | None:
        """Return how the whole list grew; None where totals count a part of it."""
        is_part = self.is_along or self.reader.since is not None
        return None if is_part else heard(cursor.grown, page)

    def _has_moved(self, cursor: Cursor, one: Asked, total: int | None, fresh: int) -> bool:
        """Say whether the list is another one than it was on the page before."""
        is_repeated = fresh < len(one.page.rows) and not self.is_along
        is_whole = not parameter(one.query, BY_CREATION.since)
        is_other = cursor.expected is not None and total not in (None, cursor.expected)
        return is_repeated or (is_whole and is_other)

    def _before(self, cursor: Cursor, page: Page) -> Ids:
        """Return the ids that may come again: none where the next page begins behind a known row."""
        following = page.next_query or ""
        if not following or "cursor=" in following or "id_after=" in following:
            return ()
        ids = tuple(one.id for one in self.last)
        return met_before(cursor.before, ids, following) if self.is_along else ids


def _total(reader: Reader, cursor: Cursor, one: Asked, fresh: int) -> int | None:
    """How many rows the list has, where GitLab's totals count what it shows.

    Behind an instant it counts the rest, of which the first rows are known. The highest total is
    kept, not the newest: when a row vanishes behind the reader, the next one slips past unread and
    the total shrinks by one too; only the old total shows the loss.
    """
    page = one.page
    if page.total is None or not reader.resource.counted or reader.since is not None:
        return None
    if not parameter(one.query, BY_CREATION.since):
        return page.total
    # Where all of a page came again, nobody knows how many more do.
    if page_number(one.query) is not None or not fresh:
        return None
    return cursor.items + page.total - (len(page.rows) - fresh)


def _unlike(records: list[FetchedRecord], last: list[FetchedRecord]) -> list[FetchedRecord]:
    """Leave out the rows that the page before showed just so.

    One that changed meanwhile is a newer state, and most such lists have no other way to tell of it
    than to be read whole. What windows are read of tells what changed since.
    """
    shown = {record.id: bytes(record.body) for record in last}
    return [record for record in records if shown.get(record.id) != bytes(record.body)]
