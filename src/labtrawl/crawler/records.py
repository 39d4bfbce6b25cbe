"""From a page to records: which field names a row, and what a record is called by. Pure."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import msgspec

from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import UnexpectedReply
from labtrawl.gitlab.catalog import Resource
from labtrawl.gitlab.pages import Page, Row

_NUMBER = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_TEXT = Annotated[str, msgspec.Meta(min_length=1)]


def records_of(
    resource: Resource,
    page: Page,
    gitlab_id: int,
    gitlab_version: str,
    item: int | str | None = None,
) -> list[FetchedRecord]:
    """Return a page's rows as records; `item` is the parent's iid or hash, for a list of one.

    Raises UnexpectedReply for a row without an id that can be kept.
    """
    place = f"{gitlab_id}/{item}" if resource.item_id else str(gitlab_id)
    kind, at, request, sha256 = resource.kind, page.fetched_at, page.request, page.sha256
    return [
        FetchedRecord(id_, kind, at, request, sha256, gitlab_version, row)
        for row, id_ in zip(page.rows, _ids(resource, page, place), strict=True)
    ]


def _ids(resource: Resource, page: Page, place: str) -> list[int | str]:
    """Return what the rows are called by: what is unique in a place only has its name before it."""
    if not resource.natural_id:
        return [place] * len(page.rows)
    found = _natural_ids(resource, page)
    is_local = resource.local_id or resource.item_id
    return [f"{place}/{natural}" for natural in found] if is_local else found


def _natural_ids(resource: Resource, page: Page) -> list[int | str]:
    names = resource.natural_id.split(".")
    decode = _id_decoder(resource.natural_id, resource.text_id).decode
    try:
        found: list[Any] = [decode(row) for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row has no usable id: {error} ({page.request})") from error
    for name in names:
        found = [getattr(one, name) for one in found]
    return found


@cache
def _id_decoder(path: str, is_text: bool) -> msgspec.json.Decoder[Any]:
    """Return a decoder that reads one field of a row and skips the rest."""
    type_: Any = _TEXT if is_text else _NUMBER
    for name in reversed(path.split(".")):
        type_ = msgspec.defstruct("RowId", [(name, type_)], frozen=True, gc=False)
    return msgspec.json.Decoder(type_)


def keys_of(page: Page, name: str) -> list[int | str]:
    """Return what the rows of a list of parents are asked by: `iid`, or the `id` of a commit."""
    decoder = _id_decoder(name, name == "id")
    try:
        return [getattr(decoder.decode(row), name) for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row has no {name}: {error} ({page.request})") from error


@cache
def _list_decoder(name: str) -> msgspec.json.Decoder[Any]:
    field = (name, list[msgspec.Raw] | None, None)
    return msgspec.json.Decoder(msgspec.defstruct("RowList", [field]))


def has_none(resource: Resource, row: Row) -> bool:
    """Say whether a row of the parent's list shows that it has none of a resource.

    False where nobody can know: the row has no such field, or something else in it.
    """
    if not resource.told_by:
        return False
    try:
        return bool(getattr(_list_decoder(resource.told_by).decode(row), resource.told_by) == [])
    except msgspec.MsgspecError:
        return False


@cache
def _text_decoder(name: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("RowText", [(name, str | None, None)]))


def instants(page: Page, name: str) -> list[str]:
    """Return a time of each row as GitLab wrote it, empty where a row has none."""
    decode = _text_decoder(name).decode
    try:
        return [getattr(decode(row), name) or "" for row in page.rows]
    except msgspec.MsgspecError:
        return []


class _Note(msgspec.Struct, frozen=True, gc=False):
    created_at: str | None = None


class _Made(msgspec.Struct, frozen=True, gc=False):
    created_at: str | None = None
    notes: list[_Note] = []


_MADE = msgspec.json.Decoder(_Made)


def made_at(page: Page) -> list[datetime | None]:
    """Return when each row was made, a discussion with its first note; None where it tells no time.

    Empty for rows of another shape.
    """
    try:
        return [_made_at(_MADE.decode(row)) for row in page.rows]
    except (msgspec.MsgspecError, ValueError):
        return []


def _made_at(row: _Made) -> datetime | None:
    first = row.notes[0].created_at if row.notes else None
    text = row.created_at or first
    at = datetime.fromisoformat(text) if text else None
    return at if at is not None and at.tzinfo else None


def first_instant(page: Page, name: str) -> str | None:
    """Return a time of the first row as GitLab wrote it; None where the row has none."""
    return _instant(page.rows[:1], name)


def last_instant(page: Page, name: str) -> str | None:
    """Return a time of the last row as GitLab wrote it; None where the row has none."""
    return _instant(page.rows[-1:], name)


def _instant(rows: Sequence[Row], name: str) -> str | None:
    if not rows:
        return None
    try:
        found = getattr(_text_decoder(name).decode(rows[0]), name)
    except msgspec.MsgspecError:
        return None
    return str(found) if found else None
