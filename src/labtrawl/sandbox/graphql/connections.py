"""Connections: a sorted list cut into a page by an opaque keyset cursor.

Entered by the fields. Cursors as ``lib/gitlab/graphql/pagination/keyset`` of GitLab makes them:
the values of the sort columns of a row, so that a page survives rows that come and go.
"""

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from graphql import GraphQLError

from labtrawl.sandbox.wire import encode_json

PAGE_SIZE = 100
Key = tuple[str, float]
Node = dict[str, Any]


class Chain(NamedTuple):
    """Rows in ascending order of their keys; a row None is one that the viewer may not read."""

    column: str
    keys: Sequence[Key]
    rows: Sequence[Any]


class Cut(NamedTuple):
    """Where a page lies in its chain; `start` and `stop` count from the chain's lower end."""

    chain: Chain
    start: int
    stop: int
    descending: bool


def cut(
    chain: Chain,
    first: int | None,
    after: str | None,
    *,
    descending: bool = False,
    size: int = PAGE_SIZE,
) -> Cut:
    """The page of `first` rows (at most `size`) after the cursor.

    Raises GraphQLError for a negative `first` or a cursor of another order.
    """
    if first is not None and first < 0:
        raise GraphQLError("`first` cannot be negative")
    limit = size if first is None else min(first, size)
    count = len(chain.keys)
    key = _key(after, chain.column) if after else None
    if descending:
        stop = count if key is None else bisect_left(chain.keys, key)
        return Cut(chain, max(stop - limit, 0), stop, descending)
    start = 0 if key is None else bisect_right(chain.keys, key)
    return Cut(chain, start, min(start + limit, count), descending)


def rows_of(page: Cut) -> list[Any]:
    """The readable rows of a page, in the order asked for."""
    rows = page.chain.rows[page.start : page.stop]
    if page.descending:
        rows = rows[::-1]
    return [row for row in rows if row is not None]


def connection(page: Cut, nodes: list[Any]) -> Node:
    """A connection with these nodes."""
    return {"nodes": nodes, "_cut": page}


def count(source: Node, _info: object) -> int:
    """How many rows the whole list has, unreadable ones included."""
    page: Cut = source["_cut"]
    return len(page.chain.keys)


def page_info(source: Node, _info: object) -> Node:
    """``pageInfo``; the cursors are there whenever the page had rows, on the last page too."""
    page: Cut = source["_cut"]
    below, above = page.start > 0, page.stop < len(page.chain.keys)
    if page.start >= page.stop:
        return {"hasNextPage": False, "hasPreviousPage": below or above}
    low, high = page.chain.keys[page.start], page.chain.keys[page.stop - 1]
    ends = (high, low) if page.descending else (low, high)
    return {
        "hasNextPage": below if page.descending else above,
        "hasPreviousPage": above if page.descending else below,
        "startCursor": _cursor(page.chain.column, ends[0]),
        "endCursor": _cursor(page.chain.column, ends[1]),
    }


def _cursor(column: str, key: Key) -> str:
    content = encode_json({column: key[0], "id": str(key[1])})
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _key(cursor: str, column: str) -> Key:
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        # By the number alone a row's first key is empty, and the cursor holds the number only.
        return "" if column == "id" else str(content[column]), float(content["id"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise GraphQLError("Please provide a valid cursor") from None
