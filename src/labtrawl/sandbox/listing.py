"""The rows of every list, encoded once and kept: what the routes cut into pages.

Entered by `shelf`, which makes listings, and by the pager and the routes, which read them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from labtrawl.sandbox.entities import Body
from labtrawl.sandbox.wire import encode_json


class Row(NamedTuple):
    """An object and its JSON; `body` None = the caller may not see it (a hole in the page)."""

    item: Any
    body: bytes | None


def order_value(item: Any, order_by: str) -> str | int | None:
    """What `item` is sorted by: an attribute, as text or number."""
    value = getattr(item, order_by, None)
    return value.lower() if order_by in ("title", "name", "path") and value else value


class Listing:
    """Rows in their stored order, and sorted copies made on first use."""

    __slots__ = ("_by_iid", "_orders", "rows")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self._orders: dict[tuple[str, bool], list[Row]] = {}
        self._by_iid: dict[int, Row] = {}

    def by_iid(self, iid: int) -> Row | None:
        """The row with this number within its project, or None."""
        if not self._by_iid:
            self._by_iid = {row.item.iid: row for row in self.rows}
        return self._by_iid.get(iid)

    def ordered(self, order_by: str, descending: bool) -> list[Row]:
        """The rows by an attribute and then by id; rows without the attribute come last."""
        key = (order_by, descending)
        if key not in self._orders:
            having = [row for row in self.rows if order_value(row.item, order_by) is not None]
            lacking = [row for row in self.rows if order_value(row.item, order_by) is None]
            having.sort(
                key=lambda row: (order_value(row.item, order_by), row.item.id), reverse=descending
            )
            lacking.sort(key=lambda row: row.item.id, reverse=descending)
            self._orders[key] = having + lacking
        return self._orders[key]


def encoded(pairs: Iterable[tuple[object, Body]]) -> Listing:
    """A listing of objects and their bodies."""
    return Listing([Row(item, encode_json(body)) for item, body in pairs])
