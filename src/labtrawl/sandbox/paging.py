"""GitLab's two ways to cut a list into pages: numbered pages and keyset.

Entered by the routes. Headers as in ``doc/api/rest/_index.md`` "Pagination" of GitLab 19.3.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from labtrawl.sandbox.listing import Row, order_value
from labtrawl.sandbox.wire import Headers, Refused, Reply, Request

MAX_PER_PAGE = 100
COUNT_LIMIT = 10_000
OFFSET_LIMIT = 50_000
_NO_KEYSET = "Keyset pagination is not yet available for this type of request"


def page_numbers(request: Request) -> tuple[int, int]:
    """Page and rows a page (at most 100). Raises Refused (400) below 1 or for no number."""
    numbers = []
    for name, default in (("page", 1), ("per_page", 20)):
        number = request.number(name)
        if number is not None and number < 1:
            raise Refused(400, {"error": f"{name} does not have a valid value"})
        numbers.append(default if number is None else number)
    return numbers[0], min(numbers[1], MAX_PER_PAGE)


def refuse_keyset(request: Request) -> None:
    """Raises GitLab's 405 if the caller asks for keyset paging where there is none."""
    if request.get("pagination") == "keyset":
        raise Refused(405, {"error": _NO_KEYSET})


def offset_page(
    request: Request, rows: Sequence[Row], *, totals: bool = True, limited: str = ""
) -> Reply:
    """The numbered page the request asks for.

    `totals=False`: the list never counts itself (jobs, commits) and claims a next page whenever
    the page is full. `limited`: name of the class if the list refuses offsets above 50,000.
    """
    page, per_page = page_numbers(request)
    start = (page - 1) * per_page
    if limited and start > OFFSET_LIMIT:
        raise Refused(405, {"error": _offset_words(limited)})
    cut = rows[start : start + per_page]
    count = len(rows)
    more = len(cut) == per_page if not totals else start + per_page < count
    counted = totals and count <= COUNT_LIMIT
    pages = max((count + per_page - 1) // per_page, 1)
    headers = _page_headers(page, per_page, more, (count, pages) if counted else None)
    headers.append((b"link", _page_links(request, page, per_page, more, pages if counted else 0)))
    return Reply(200, join_rows(cut), headers)


def _offset_words(klass: str) -> str:
    return (
        f"Offset pagination has a maximum allowed offset of {OFFSET_LIMIT} for requests that "
        f"return objects of type {klass}. Remaining records can be retrieved using keyset "
        "pagination."
    )


def join_rows(rows: Sequence[Row]) -> bytes:
    """The readable rows as a JSON array; rows hidden from the caller leave no trace."""
    return b"[" + b",".join([row.body for row in rows if row.body is not None]) + b"]"


def _page_headers(page: int, per_page: int, more: bool, totals: tuple[int, int] | None) -> Headers:
    headers = [
        (b"x-next-page", str(page + 1).encode() if more else b""),
        (b"x-page", str(page).encode()),
        (b"x-per-page", str(per_page).encode()),
        (b"x-prev-page", str(page - 1).encode() if page > 1 else b""),
    ]
    if totals:
        headers.append((b"x-total", str(totals[0]).encode()))
        headers.append((b"x-total-pages", str(totals[1]).encode()))
    return headers


def _page_links(request: Request, page: int, per_page: int, more: bool, last: int) -> bytes:
    kept = [pair for pair in request.query if pair[0] not in ("page", "per_page")]
    targets = [("prev", page - 1)] if page > 1 else []
    targets += [("next", page + 1)] if more else []
    targets += [("first", 1)] + ([("last", last)] if last else [])
    links = []
    for rel, number in targets:
        query = sorted([*kept, ("page", str(number)), ("per_page", str(per_page))])
        links.append(f'<{request.url}?{urlencode(query)}>; rel="{rel}"')
    return ", ".join(links).encode()


def _next_link(request: Request, changes: dict[str, str], dropped: tuple[str, ...]) -> bytes:
    kept = [pair for pair in request.query if pair[0] not in changes and pair[0] not in dropped]
    query = sorted([*kept, *changes.items()])
    return f'<{request.url}?{urlencode(query)}>; rel="next"'.encode()


def id_keyset_page(request: Request, rows: Sequence[Row]) -> Reply:
    """Keyset by id with ``id_after``/``id_before``.

    A page with rows always has a next one, so that an empty page ends the list.
    """
    if request.get("order_by") != "id":
        raise Refused(405, {"error": _NO_KEYSET})
    ascending = request.choice("sort", ("asc", "desc"), "desc") == "asc"
    _, per_page = page_numbers(request)
    cut = rows[:per_page]
    headers: Headers = []
    if cut:
        bound = "id_after" if ascending else "id_before"
        changes = {bound: str(cut[-1].item.id), "per_page": str(per_page)}
        headers.append((b"link", _next_link(request, changes, ("page",))))
    return Reply(200, join_rows(cut), headers)


def cursor_page(request: Request, order_by: str, kept: Sequence[Row]) -> Reply:
    """Keyset with an opaque cursor that holds the last row's sort value and id.

    `kept` are all rows that pass the filters, in the asked order.
    """
    _, per_page = page_numbers(request)
    start = _start(request, kept, order_by)
    cut = kept[start : start + per_page]
    headers: Headers = []
    if cut and start + per_page < len(kept):
        cursor = _cursor(cut[-1], order_by)
        changes = {"cursor": cursor, "per_page": str(per_page)}
        headers.append((b"x-next-cursor", cursor.encode()))
        headers.append((b"link", _next_link(request, changes, ("page",))))
    else:
        headers.append((b"x-next-cursor", b""))
    return Reply(200, join_rows(cut), headers)


def id_cursor_page(request: Request, rows: Sequence[Row]) -> Reply:
    """Keyset where ``id desc`` is the only order, as for the jobs of a project."""
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    if request.get("order_by", "id") != "id" or not descending:
        raise Refused(405, {"error": _NO_KEYSET})
    return cursor_page(request, "id", rows)


def token_page(request: Request, rows: Sequence[Row]) -> Reply:
    """Keyset of repository lists: ``page_token`` is the name of the last row of the page before."""
    _, per_page = page_numbers(request)
    names = [row.item.name for row in rows]
    token = request.get("page_token")
    if token and token not in names:
        raise Refused(400, {"message": "Invalid page token"})
    start = names.index(token) + 1 if token else 0
    cut = rows[start : start + per_page]
    headers: Headers = []
    if start + per_page < len(rows):
        changes = {"page_token": names[start + per_page - 1], "per_page": str(per_page)}
        headers.append((b"link", _next_link(request, changes, ("page",))))
    return Reply(200, join_rows(cut), headers)


def _cursor(row: Row, order_by: str) -> str:
    value = order_value(row.item, order_by)
    content = {order_by: value, "id": str(row.item.id), "_kd": "n"}
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def _start(request: Request, kept: Sequence[Row], order_by: str) -> int:
    """Where the page begins: behind the cursor's row, or where that was before it was deleted."""
    text = request.get("cursor")
    if not text:
        return 0
    try:
        content = json.loads(base64.urlsafe_b64decode(text))
        number = int(content["id"])
        value = number if order_by == "id" else content[order_by]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Refused(400, {"error": "cursor is invalid"}) from None
    for index, row in enumerate(kept):
        if row.item.id == number and order_value(row.item, order_by) == value:
            return index + 1
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    past = (_is_past(row, order_by, (value, number), descending) for row in kept)
    return next((index for index, found in enumerate(past) if found), len(kept))


def _is_past(row: Row, order_by: str, cursor: tuple[Any, int], descending: bool) -> bool:
    value = order_value(row.item, order_by)
    if (value is None) != (cursor[0] is None):
        return value is None
    mine = (row.item.id,) if value is None else (value, row.item.id)
    last = cursor[1:] if value is None else cursor
    return mine < last if descending else mine > last
