"""What every way of reading shares: whose eyes, which list, and what comes out."""

from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from datetime import datetime

from labtrawl.crawler.cursor import Cursor, Tag
from labtrawl.crawler.records import records_of
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.gitlab.catalog import Resource, changes_query, list_query
from labtrawl.gitlab.client import GitLab, request_of
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.gitlab.pages import Page, resized

MOST_ROWS = 100
FEWEST_ROWS = 10
# The try of a job from which on its lists are read by REST.
FAILING_ATTEMPT = 3


def rows_a_page(attempt: int) -> int:
    """Return how many rows to ask for: half as many with each try that got no further."""
    return max(MOST_ROWS >> max(0, attempt - 1), FEWEST_ROWS)


async def nothing() -> Set[int | str]:
    """Return the ids of a list of which nothing is known."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a page, and where to go on once they are committed.

    `is_same` says that the whole list is as the visit before read it: it was not sent again.
    """

    records: list[FetchedRecord]
    cursor: Cursor
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one resource of one area with one account's eyes.

    `since` asks for what changed since an instant, where the resource can say that; `width` is how
    many requests of one list may be under way at once; `learnt` is what is known of this GitLab's
    GraphQL, without which all is read by REST.
    """

    gitlab: GitLab
    resource: Resource
    gitlab_id: int
    gitlab_version: str
    version: tuple[int, int]
    since: datetime | None = None
    width: int = 16
    learnt: Learnt | None = None
    # Smaller where GitLab could not answer a whole page in time (doc/api/rest, time-outs).
    per_page: int = MOST_ROWS
    # What the gate lets pass of a row: a page that was read under another one is asked for anew.
    policy: str = ""
    # The area's full path, as far as is known.
    full_path: str = ""
    # The ids of what the dataset holds of the list.
    known: Callable[[], Awaitable[Set[int | str]]] = nothing

    def path(self, resource: Resource, item: int | str | None = None) -> str:
        """Return where this area has the resource, or one item of its parent has."""
        return resource.path.format(id=self.gitlab_id, iid=item)

    def first_query(self, resource: Resource) -> str:
        """Return the query of a list's first page."""
        if self.since is not None and resource.changes:
            return changes_query(resource, self.since)
        return list_query(resource, self.version)

    def item_query(self) -> str:
        """Return the query of the first page of one item's list."""
        return resized(list_query(self.resource, self.version), self.per_page)

    def tag(self, page: Page) -> Tag | None:
        """Return the mark of a list's only page, which its next visit can ask with.

        None where the page was full: one that follows it would not show in it.
        """
        is_asked_again = self.since is None or not self.resource.changes
        is_whole = page.next_query is None and len(page.rows) < self.per_page
        if not page.etag or not is_asked_again or not is_whole:
            return None
        return Tag(page.etag, page.request, self.policy)

    def etag(self, cursor: Cursor, path: str, query: str) -> str:
        """Return the mark to ask a list's first page with; empty where it is to be sent whole."""
        tag = cursor.last.tag if cursor.last is not None else None
        if tag is None or (tag.request, tag.policy) != (request_of(path, query), self.policy):
            return ""
        return tag.etag

    def is_by_change(self, resource: Resource) -> bool:
        """Say whether rows come in the order of their change: one that changes moves to the end."""
        return self.since is not None and "order_by=updated_at" in resource.changes

    def records(self, page: Page, item: int | str | None = None) -> list[FetchedRecord]:
        """Return a page's rows as records. Raises UnexpectedReply for a row without an id."""
        return records_of(self.resource, page, self.gitlab_id, self.gitlab_version, item)
