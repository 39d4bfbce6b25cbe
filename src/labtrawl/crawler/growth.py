"""Rows that are made while a list is read: where its total did not grow by them, others vanished.

By page numbers a row that vanishes pushes another one past the reader, and one that comes at the
same time hides that from the total. Totals count what an account may not see too, so only their
differences tell. Pure.
"""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from labtrawl.crawler.cursor import Grown
from labtrawl.crawler.records import made_at
from labtrawl.gitlab.pages import Page

# GitLab tells the time of an answer in whole seconds.
TOLD = timedelta(seconds=1)


def heard(before: Grown | None, page: Page) -> Grown | None:
    """Return what is known of a list by its next page; None where GitLab does not count it."""
    if before is not None:
        return replace(before, newer=before.newer + _made_between(before.served_at, page))
    if page.total is None or page.served_at is None:
        return None
    return Grown(page.total, page.served_at)


def least(grown: Grown | None) -> int | None:
    """Return how many rows a list has by now if none vanished; None where nobody knows."""
    return None if grown is None else grown.total + grown.newer


def _made_between(served_at: int, page: Page) -> int:
    """Count the rows of a page that were made after another one was answered.

    A time that is still to come is an import's, and tells nothing.
    """
    if page.served_at is None:
        return 0
    since, until = _instant(served_at) + TOLD, _instant(page.served_at) + TOLD
    return sum(at is not None and since <= at < until for at in made_at(page))


def _instant(served_at: int) -> datetime:
    return datetime.fromtimestamp(served_at / 1000, UTC)
