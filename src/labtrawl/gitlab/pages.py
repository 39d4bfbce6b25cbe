"""One page of a list: its rows as raw JSON, and where the next one is.

A page ends the list only when GitLab names no next one: short pages are normal, totals are missing
above 10,000 rows (doc/api/rest/_index.md, "Pagination").
"""

import codecs
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from labtrawl.domain.json_object import JsonObject
from labtrawl.errors import UnexpectedReply
from labtrawl.http import Answer

# Digits of a count: no list has more rows, and the number fits everywhere.
LONGEST_COUNT = 15
OBJECT = ord("{")
# No number has so many digits, and readers of the dataset refuse it (sys.set_int_max_str_digits).
LONGEST_NUMBER = 4300
# A longer one shows as so many digits in a row when every so many-th byte is looked at.
SAMPLED = 50
# Bytes of a text that are looked at together.
PIECE = 1 << 14
_UTF8 = codecs.getincrementaldecoder("utf-8")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_TOO_LONG = b"0" * (LONGEST_NUMBER // SAMPLED)
_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])


Row = msgspec.Raw | bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as GitLab sent them; `next_query` is None on the last page, `total` where it is known.

    `etag` is GitLab's mark of these very bytes; empty where it gives none. `served_at` is GitLab's
    own time of the answer (ms) where it tells one.
    """

    rows: Sequence[Row]
    next_query: str | None
    total: int | None
    request: str
    sha256: str
    fetched_at: str
    etag: str = ""
    served_at: int | None = None


def read_page(answer: Answer, request: str, query: str, fetched_at: str) -> Page:
    """Read a list; UnexpectedReply for what is no JSON array of objects."""
    try:
        rows = _ROWS.decode(answer.body)
        _check_readable(answer.body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnexpectedReply(f"GitLab answered with no list: {error} ({request})") from error
    _check_objects(rows, request)
    return Page(
        list(map(JsonObject, rows)),
        next_query(answer, query, request),
        _number(answer.headers.get("x-total", "")),
        request,
        hashlib.sha256(answer.body).hexdigest(),
        fetched_at,
        answer.headers.get("etag", ""),
        served_at(answer),
    )


def read_single(answer: Answer, request: str, fetched_at: str) -> Page:
    """Read one object as a page of one row; UnexpectedReply for anything else."""
    try:
        _ROW.decode(answer.body)
        _check_readable(answer.body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnexpectedReply(f"GitLab answered with no object: {error} ({request})") from error
    sha256, etag = hashlib.sha256(answer.body).hexdigest(), answer.headers.get("etag", "")
    return Page([JsonObject(answer.body)], None, 1, request, sha256, fetched_at, etag)


def _check_readable(body: bytes) -> None:
    """Raise ValueError for what is JSON by its form, and no reader could take back.

    The decoder skips over texts without looking at their encoding, and over numbers of any length.
    """
    if not body.isascii():
        _check_text(body)
    if _TOO_LONG in body[::SAMPLED].translate(_DIGITS):
        json.loads(body)


def _check_text(body: bytes) -> None:
    """Raise ValueError for what is no UTF-8.

    Piece by piece: one rare letter makes a whole page four bytes a letter wide.
    """
    decoder = _UTF8()
    for at in range(0, len(body), PIECE):
        decoder.decode(body[at : at + PIECE])
    decoder.decode(b"", final=True)


class _Counts(msgspec.Struct):
    all: int


class _Counted(msgspec.Struct):
    counts: _Counts


class _Statistics(msgspec.Struct):
    statistics: _Counted


def count_in(page: Page) -> int | None:
    """Return how many rows an answer of a list's statistics tells; None for another shape."""
    try:
        return msgspec.json.decode(page.rows[0], type=_Statistics).statistics.counts.all
    except msgspec.MsgspecError:
        return None


def served_at(answer: Answer) -> int | None:
    """Return the server's own time of an answer in ms (RFC 9110, 6.6.1); None where it tells none."""
    return _instant_of(answer.headers.get("date", ""))


@lru_cache(maxsize=64)
def _instant_of(date: str) -> int | None:
    """Read a date; many answers come in the same second."""
    try:
        at = parsedate_to_datetime(date)
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str) -> int | None:
    """Read a count; None for what cannot be one."""
    is_count = text.isascii() and text.isdecimal() and len(text) <= LONGEST_COUNT
    return int(text) if is_count else None


def _check_objects(rows: list[msgspec.Raw], request: str) -> None:
    if {memoryview(row)[0] for row in rows} - {OBJECT}:
        raise UnexpectedReply(f"GitLab answered with a list of something else ({request})")


def has_next(answer: Answer) -> bool:
    """Say whether an answer names a next page."""
    return bool(answer.headers.get("x-next-page")) or bool(
        _LINK.search(answer.headers.get("link", ""))
    )


def next_query(answer: Answer, query: str, request: str) -> str | None:
    """Return the query of the next page, or None.

    Of `Link` only the query is used: its host is the server's idea of its own name, and a token
    never goes where a header points.
    """
    found = _LINK.search(answer.headers.get("link", ""))
    if found:
        following = _query_of(found.group(1), request)
    elif page := answer.headers.get("x-next-page", ""):
        following = with_parameter(query, "page", page)
    else:
        return None
    if place_of(following) == place_of(query):
        raise UnexpectedReply(f"GitLab names a page as its own next one: {request}")
    return following


def _query_of(link: str, request: str) -> str:
    try:
        query = urlsplit(link).query
    except ValueError as error:
        raise UnexpectedReply(f"GitLab names a next page that is no URL: {request}") from error
    if not query:
        raise UnexpectedReply(f"GitLab names a next page without a query: {request}")
    return query


def without_keyset(query: str) -> str:
    """Return the query that asks for the same list by page numbers."""
    return without_parameter(query, "pagination")


def with_parameter(query: str, name: str, value: str) -> str:
    """Set one parameter of a query."""
    pairs = [(key, old) for key, old in parse_qsl(query, keep_blank_values=True) if key != name]
    return urlencode([*pairs, (name, value)])


@lru_cache(maxsize=64)
def parameter(query: str, name: str) -> str:
    """Return one parameter of a query; empty where it has none."""
    return dict(parse_qsl(query)).get(name, "")


def without_parameter(query: str, name: str) -> str:
    """Return a query without one of its parameters."""
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != name])


def resized(query: str, per_page: int) -> str:
    """Return a query from the same row on in smaller pages; as it is where they are no smaller."""
    before = parameter(query, "per_page")
    if not before.isdecimal() or int(before) <= per_page:
        return query
    number = page_number(query)
    query = with_parameter(query, "per_page", str(per_page))
    if number is None:
        return query
    return with_parameter(query, "page", str((number - 1) * int(before) // per_page + 1))


@lru_cache(maxsize=64)
def place_of(query: str) -> tuple[tuple[str, str], ...]:
    """Return what a query means, the same for the same parameters in any order."""
    return tuple(sorted(parse_qsl(query)))


def page_number(query: str) -> int | None:
    """Return the number of the page that a query asks for; None where it asks by a cursor."""
    found = re.search(r"(?:^|&)page=([0-9]{1,9})(?:&|$)", query)
    return int(found.group(1)) if found and "cursor=" not in query else None
