"""Reading a resource of an area from a cursor on, one page at a time, each with the cursor behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import msgspec
from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import GitLabError, NotFound, UnexpectedReply
from labtrawl.gitlab.catalog import Resource, find, list_query
from labtrawl.gitlab.client import GitLab, PagingRefused
from labtrawl.gitlab.pages import Page, without_keyset


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a page, and where to go on once they are committed."""

    records: list[FetchedRecord]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one resource of one area with one account's eyes."""

    gitlab: GitLab
    resource: Resource
    gitlab_id: int
    gitlab_version: str
    version: tuple[int, int]

    async def batches(self, cursor: Cursor) -> AsyncIterator[Batch]:
        """Yield what comes after `cursor`, in order, to the end of the list."""
        if cursor.ended:
            return
        if self.resource.single:
            yield await self._single(cursor)
        elif self.resource.parent:
            async for batch in self._nested(cursor):
                yield batch
        else:
            async for batch in self._listed(cursor):
                yield batch

    async def _single(self, cursor: Cursor) -> Batch:
        path = self.resource.path.format(id=self.gitlab_id)
        page = await self.gitlab.single(path, self.resource.query)
        return Batch(self._records(page), replace(cursor, items=1, expected=1, ended=True))

    async def _listed(self, cursor: Cursor) -> AsyncIterator[Batch]:
        path = self.resource.path.format(id=self.gitlab_id)
        async for _, page in self._pages(path, cursor.query, self.resource):
            records = self._records(page)
            fresh = [one for one in records if one.id not in cursor.before]
            expected = self._expected(cursor, page)
            cursor = Cursor(
                query=page.next_query,
                before=_movable(records, page),
                items=cursor.items + len(fresh),
                expected=expected,
                changed=cursor.changed or len(fresh) < len(records) or _has_moved(cursor, page),
                ended=page.next_query is None,
            )
            yield Batch(fresh, cursor)

    async def _pages(
        self, path: str, query: str | None, resource: Resource
    ) -> AsyncIterator[tuple[str, Page]]:
        """Yield a list's pages from `query` on, each with its query; from the start for None."""
        seen: set[int] = set()
        following = query or list_query(resource, self.version)
        while True:
            seen.add(hash(following))
            asked, page = await self._page(path, following, is_first=query is None)
            yield asked, page
            if page.next_query is None:
                return
            query = following = page.next_query
            if hash(following) in seen:
                raise GitLabError(f"GitLab's pages go in a circle: {page.request} leads back")

    async def _page(self, path: str, query: str, is_first: bool) -> tuple[str, Page]:
        """Read a page; a GitLab that refuses keyset paging of this list is asked by page numbers."""
        try:
            return query, await self.gitlab.page(path, query)
        except PagingRefused:
            if not is_first or "pagination=keyset" not in query:
                raise
        query = without_keyset(query)
        return query, await self.gitlab.page(path, query)

    def _expected(self, cursor: Cursor, page: Page) -> int | None:
        """The highest total that GitLab gave, where its totals count what it shows.

        Not the newest: when a row vanishes behind the reader, the next one slips past unread and
        the total shrinks by one too; only the old total shows the loss.
        """
        if not self.resource.counted or page.total is None:
            return cursor.expected
        return max(page.total, cursor.expected or 0)

    async def _nested(self, cursor: Cursor) -> AsyncIterator[Batch]:
        parent = find(self.resource.area_kind, self.resource.parent)
        if parent is None:
            raise LookupError(f"the catalog has no parent {self.resource.parent!r}")
        path = parent.path.format(id=self.gitlab_id)
        async for query, page in self._pages(path, cursor.query, parent):
            iids = _iids(page)
            cursor = _find_place(cursor, query, page, iids)
            done = 0 if cursor.parent is None else iids.index(cursor.parent) + 1
            for iid in iids[done:]:
                async for batch in self._children(iid, cursor):
                    cursor = batch.cursor
                    yield batch
            following = page.next_query
            cursor = replace(cursor, query=following, parent=None, ended=following is None)
            yield Batch([], cursor)

    async def _children(self, iid: int, cursor: Cursor) -> AsyncIterator[Batch]:
        path = self.resource.path.format(id=self.gitlab_id, iid=iid)
        try:
            async for _, page in self._pages(path, cursor.child_query, self.resource):
                following = page.next_query
                cursor = replace(
                    cursor,
                    parent=iid if following is None else cursor.parent,
                    child=None if following is None else iid,
                    child_query=following,
                    items=cursor.items + len(page.rows),
                )
                yield Batch(self._records(page), cursor)
        except NotFound as error:
            if "Project Not Found" in str(error):
                raise
            # Deleted or hidden since its row was read: that costs its own list, not the others'.
            gone = cursor.gone + 1
            cursor = replace(cursor, parent=iid, child=None, child_query=None, gone=gone)
            yield Batch([], cursor)

    def _records(self, page: Page) -> list[FetchedRecord]:
        decoder = _id_decoder(self.resource.natural_id, self.resource.text_id)
        try:
            ids = [decoder.decode(row) for row in page.rows]
        except msgspec.MsgspecError as error:
            raise UnexpectedReply(f"a row of {page.request} has no usable id: {error}") from error
        return [
            self._record(page, row, getattr(found, self.resource.natural_id))
            for row, found in zip(page.rows, ids, strict=True)
        ]

    def _record(self, page: Page, row: msgspec.Raw, natural_id: int | str) -> FetchedRecord:
        return FetchedRecord(
            id=f"{self.gitlab_id}/{natural_id}" if self.resource.local_id else natural_id,
            kind=self.resource.kind,
            fetched_at=page.fetched_at,
            request=page.request,
            page_sha256=page.sha256,
            gitlab_version=self.gitlab_version,
            body=row,
        )


def _movable(records: list[FetchedRecord], page: Page) -> tuple[int | str, ...]:
    """Return the ids that the next page may show again: none where it begins behind a known row."""
    following = page.next_query or ""
    is_keyset = not following or "cursor=" in following or "id_after=" in following
    return () if is_keyset else tuple(one.id for one in records)


def _has_moved(cursor: Cursor, page: Page) -> bool:
    """Say whether GitLab counts another total than before."""
    return None not in (page.total, cursor.expected) and page.total != cursor.expected


def _find_place(cursor: Cursor, query: str, page: Page, iids: list[int]) -> Cursor:
    """Find the cursor's place again on a page of parents that may have moved since.

    Parents are listed as they were made: what follows a row that is gone has a higher iid.
    """
    parent, child, child_query = cursor.parent, cursor.child, cursor.child_query
    if parent is not None and parent not in iids:
        parent = max((iid for iid in iids if iid < parent), default=None)
    going_on = iids[0 if parent is None else iids.index(parent) + 1 :][:1]
    if going_on != [child]:
        child = child_query = None
    parents = page.total if cursor.parents is None else cursor.parents
    has_shrunk = page.total is not None and parents is not None and page.total < parents
    has_moved = (parent, child) != (cursor.parent, cursor.child)
    return replace(
        cursor,
        query=query,
        parent=parent,
        child=child,
        child_query=child_query,
        parents=parents,
        changed=cursor.changed or has_shrunk or has_moved,
    )


_NUMBER = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_TEXT = Annotated[str, msgspec.Meta(min_length=1)]


@cache
def _id_decoder(field: str, is_text: bool) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder that reads one field of a row and skips the rest."""
    type_ = _TEXT if is_text else _NUMBER
    return msgspec.json.Decoder(msgspec.defstruct("RowId", [(field, type_)], frozen=True))


class _RowIid(msgspec.Struct, frozen=True):
    iid: _NUMBER


_IID = msgspec.json.Decoder(_RowIid)


def _iids(page: Page) -> list[int]:
    try:
        return [_IID.decode(row).iid for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row of {page.request} has no iid: {error}") from error
