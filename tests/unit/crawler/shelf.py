"""A GitLab with lists that a test can change while they are read; what was asked is kept."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qs

from labtrawl.clock import Clock
from labtrawl.crawler.cursor import Cursor, decode_cursor
from labtrawl.crawler.lists import batches
from labtrawl.crawler.reader import MOST_ROWS, Reader
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.gitlab.catalog import find
from labtrawl.gitlab.client import GitLab
from labtrawl.http import Answer, Http

Row = dict[str, Any]
Lists = dict[str, list[Row]]
PROJECT = "/api/v4/projects/7"


@dataclass(slots=True)
class Shelf:
    """Lists by path, paged by `size`; `total` says whether GitLab counts; `before` may meddle."""

    lists: Lists
    size: int = 3
    total: bool = True
    refuses_keyset: bool = False
    before: Callable[["Shelf", str], object] = lambda _shelf, _request: None
    asked: list[str] = field(default_factory=list)
    singles: dict[str, Row] = field(default_factory=dict)

    def pages(self) -> list[int]:
        """The numbers of the pages that were asked for."""
        queries = [parse_qs(request.partition("?")[2]) for request in self.asked]
        return [int(query.get("page", ["1"])[0]) for query in queries]

    async def get(self, request: str, _headers: dict[str, str]) -> Answer:
        self.before(self, request)
        self.asked.append(request)
        path, _, query = request.partition("?")
        told = {name: values[0] for name, values in parse_qs(query).items()}
        if path in self.singles:
            return said(200, self.singles[path])
        if path not in self.lists:
            return said(404, {"message": "404 Not found"})
        if "pagination" in told and self.refuses_keyset:
            return said(405, {"error": "Keyset pagination is not yet available"})
        if "pagination" in told:
            return self._after(path, query, told)
        return self._numbered(path, told)

    def _numbered(self, path: str, told: dict[str, str]) -> Answer:
        page = int(told.get("page", 1))
        size = self._size(told)
        rows, start = self._asked_for(path, told), (page - 1) * size
        headers = self.headers(path, page)
        if size < self.size and start + size < len(rows):
            headers["x-next-page"] = str(page + 1)
        elif len(rows) < len(self.lists[path]) and start + size >= len(rows):
            headers.pop("x-next-page", None)
        return said(200, rows[start : start + size], headers)

    def _size(self, told: dict[str, str]) -> int:
        """`size` rows stand for a whole page; who asks for a part of one gets that part of it."""
        return max(1, self.size * int(told.get("per_page", MOST_ROWS)) // MOST_ROWS)

    def _asked_for(self, path: str, told: dict[str, str]) -> list[Row]:
        """The rows within the times of creation that the query tells, both inclusive."""
        first, last = told.get("created_after", ""), told.get("created_before", "~")
        rows = self.lists[path]
        if first or last != "~":
            rows = [row for row in rows if _at(first) <= _at(row["created_at"]) <= _at(last)]
        return rows

    def headers(self, path: str, page: int) -> dict[str, str]:
        """What GitLab says of a numbered page; a test may let it say something else."""
        count = len(self.lists[path])
        headers = {"x-total": str(count)} if self.total else {}
        if page * self.size < count:
            headers["x-next-page"] = str(page + 1)
        return headers

    def _after(self, path: str, query: str, told: dict[str, str]) -> Answer:
        after = int(told.get("cursor", -1))
        rows = [row for row in self._asked_for(path, told) if row["iid"] > after]
        headers = {}
        size = self._size(told)
        if len(rows) > size:
            base = "&".join(part for part in query.split("&") if not part.startswith("cursor="))
            last = rows[size - 1]["iid"]
            headers["link"] = f'<https://elsewhere/x?{base}&cursor={last}>; rel="next"'
        return said(200, rows[:size], headers)


def _at(text: str) -> float:
    """An instant to compare by, a leap second too; before all for an empty text, behind all for `~`."""
    if text in ("", "~"):
        return float("inf") if text else float("-inf")
    return datetime.fromisoformat(text.replace(":60Z", ":59.999Z")).timestamp()


def said(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer in JSON."""
    told = {"content-type": "application/json", **(headers or {})}
    return Answer(status, told, json.dumps(body).encode(), "/")


def gitlab_of(shelf: object) -> GitLab:
    async def no_sleep(_seconds: float) -> None:
        return None

    now = datetime(2026, 1, 1, tzinfo=UTC)
    clock = Clock(lambda: now, lambda: 0.0, no_sleep)
    return GitLab(cast("Http", shelf), lambda: Secret("t"), clock, RetryPolicy(2), lambda: 0.0)


def reader_of(shelf: object, name: str, version: tuple[int, int] = (16, 0)) -> Reader:
    resource = find("project", name)
    assert resource is not None
    return Reader(gitlab_of(shelf), resource, 7, "16.0", version)


def rows(*iids: int) -> list[Row]:
    return [{"id": 1000 + iid, "iid": iid} for iid in iids]


async def read(reader: Reader, cursor: Cursor | None = None) -> tuple[list[Any], Cursor]:
    """Read to the end; every cursor passes through its text, as between two crawlers."""
    found: list[Any] = []
    at = cursor or Cursor()
    async for batch in batches(reader, at):
        found += [record.id for record in batch.records]
        at = decode_cursor(batch.cursor.encode())
    return found, at


async def steps(reader: Reader) -> list[tuple[list[Any], Cursor]]:
    """Every cursor of a whole read, with what came before it."""
    found: list[Any] = []
    told: list[tuple[list[Any], Cursor]] = [([], Cursor())]
    async for batch in batches(reader, Cursor()):
        found += [record.id for record in batch.records]
        told.append((list(found), decode_cursor(batch.cursor.encode())))
    return told
