"""From a page to records: which field names a row, and what a record is called by. Pure."""

from functools import cache
from typing import Annotated, Any

import msgspec

from labtrawl.dataset.policy import FetchedRecord
from labtrawl.errors import UnexpectedReply
from labtrawl.gitlab.catalog import Resource
from labtrawl.gitlab.pages import Page

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
    is_local = resource.local_id or resource.item_id
    return [
        FetchedRecord(
            id=_called(place, natural, is_local),
            kind=resource.kind,
            fetched_at=page.fetched_at,
            request=page.request,
            page_sha256=page.sha256,
            gitlab_version=gitlab_version,
            body=row,
        )
        for row, natural in zip(page.rows, _natural_ids(resource, page), strict=True)
    ]


def _called(place: str, natural: int | str | None, is_local: bool) -> int | str:
    if natural is None:
        return place
    return f"{place}/{natural}" if is_local else natural


def _natural_ids(resource: Resource, page: Page) -> list[int | str | None]:
    if not resource.natural_id:
        return [None] * len(page.rows)
    names = resource.natural_id.split(".")
    decoder = _id_decoder(resource.natural_id, resource.text_id)
    try:
        found: list[Any] = [decoder.decode(row) for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row of {page.request} has no usable id: {error}") from error
    for name in names:
        found = [getattr(one, name) for one in found]
    return found


@cache
def _id_decoder(path: str, is_text: bool) -> msgspec.json.Decoder[Any]:
    """Return a decoder that reads one field of a row and skips the rest."""
    type_: Any = _TEXT if is_text else _NUMBER
    for name in reversed(path.split(".")):
        type_ = msgspec.defstruct("RowId", [(name, type_)], frozen=True)
    return msgspec.json.Decoder(type_)


def keys_of(page: Page, name: str) -> list[int | str]:
    """Return what the rows of a list of parents are asked by: `iid`, or the `id` of a commit."""
    decoder = _id_decoder(name, name == "id")
    try:
        return [getattr(decoder.decode(row), name) for row in page.rows]
    except msgspec.MsgspecError as error:
        raise UnexpectedReply(f"a row of {page.request} has no {name}: {error}") from error


@cache
def _list_decoder(name: str) -> msgspec.json.Decoder[Any]:
    field = (name, list[msgspec.Raw] | None, None)
    return msgspec.json.Decoder(msgspec.defstruct("RowList", [field]))


def has_none(resource: Resource, row: msgspec.Raw) -> bool:
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


def last_instant(page: Page, name: str) -> str | None:
    """Return a time of the last row as GitLab wrote it; None where the row has none."""
    if not page.rows:
        return None
    try:
        found = getattr(_text_decoder(name).decode(page.rows[-1]), name)
    except msgspec.MsgspecError:
        return None
    return str(found) if found else None
