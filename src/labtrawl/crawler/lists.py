"""Reading a resource of an area from a cursor on, one page at a time, each with the cursor behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache

import msgspec
from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import UnexpectedReply
from labtrawl.gitlab.catalog import Resource, find, list_query
from labtrawl.gitlab.client import GitLab
from labtrawl.gitlab.pages import Page


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
        query: str | None = cursor.query or list_query(self.resource, self.version)
        while query is not None:
            page = await self.gitlab.page(path, query)
            cursor = Cursor(
                query=page.next_query,
                items=cursor.items + len(page.rows),
                expected=self._expected(cursor, page),
                ended=page.next_query is None,
            )
            query = page.next_query
            yield Batch(self._records(page), cursor)

    def _expected(self, cursor: Cursor, page: Page) -> int | None:
        """The newest total that GitLab gave, where its totals count what it shows."""
        if not self.resource.counted:
            return None
        return cursor.expected if page.total is None else page.total

    async def _nested(self, cursor: Cursor) -> AsyncIterator[Batch]:
        parent = find(self.resource.area_kind, self.resource.parent)
        if parent is None:
            raise LookupError(f"the catalog has no parent {self.resource.parent!r}")
        path = parent.path.format(id=self.gitlab_id)
        query: str | None = cursor.query or list_query(parent, self.version)
        while query is not None:
            page = await self.gitlab.page(path, query)
            cursor = replace(cursor, query=query)
            for iid in _iids(page)[cursor.parents_done :]:
                async for batch in self._children(iid, cursor):
                    cursor = batch.cursor
                    yield batch
            query = page.next_query
            cursor = Cursor(query=query, items=cursor.items, ended=query is None)
            yield Batch([], cursor)

    async def _children(self, iid: int, cursor: Cursor) -> AsyncIterator[Batch]:
        path = self.resource.path.format(id=self.gitlab_id, iid=iid)
        query: str | None = cursor.child_query or list_query(self.resource, self.version)
        while query is not None:
            page = await self.gitlab.page(path, query)
            query = page.next_query
            cursor = replace(
                cursor,
                child_query=query,
                parents_done=cursor.parents_done + (query is None),
                items=cursor.items + len(page.rows),
            )
            yield Batch(self._records(page), cursor)

    def _records(self, page: Page) -> list[FetchedRecord]:
        decoder = _id_decoder(self.resource.natural_id)
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


@cache
def _id_decoder(field: str) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder that reads one field of a row and skips the rest."""
    return msgspec.json.Decoder(msgspec.defstruct("RowId", [(field, int | str)], frozen=True))


class _RowIid(msgspec.Struct, frozen=True):
    iid: int


_IID = msgspec.json.Decoder(_RowIid)


def _iids(page: Page) -> list[int]:
    try:
        return [_IID.decode(row).iid for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row of {page.request} has no iid: {error}") from error
