"""The list of operations, and one of them."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, literal, select

from labtrawl.errors import Missing
from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.pages.walks import Target, target_of
from labtrawl.store.schema_operations import operation

PAGE = 50


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation; `skipped` counts by cause the jobs that were left as they are."""

    id: int
    action: str
    target: Target
    value: int | None
    because: str
    who: str
    state: str
    expected: int
    expected_more: bool
    matching: int
    done: int
    skipped: dict[str, int]
    ended_by: str
    created_at: int
    updated_at: int
    ended_at: int | None


COLUMNS: tuple[ColumnElement[Any], ...] = (
    operation.c.id,
    operation.c.action,
    operation.c.wanted,
    operation.c.value,
    operation.c.because,
    operation.c.who,
    operation.c.state,
    operation.c.expected,
    operation.c.expected_more,
    operation.c.matching,
    operation.c.done,
    operation.c.skipped,
    operation.c.ended_by,
    operation.c.created_at,
    operation.c.updated_at,
    operation.c.ended_at,
)


def _row(found: Any) -> OperationRow:
    number, action, wanted, value, because, who, state, expected, more, matching, done = found[:11]
    return OperationRow(
        number,
        action,
        target_of(wanted),
        value,
        because,
        who,
        state,
        expected,
        bool(more),
        matching,
        done,
        msgspec.json.decode(found[11], type=dict[str, int]),
        *found[12:],
    )


def list_operations(
    connection: Connection, place: Place[int], size: int = PAGE
) -> Page[OperationRow]:
    """Return one page of the operations, the newest first."""
    query = select(*COLUMNS).limit(size + 1)
    if place.before is not None:
        before = literal(place.before, BigInteger)
        query = query.where(operation.c.id > before).order_by(operation.c.id)
    else:
        after = literal(place.after if place.after is not None else 2**62, BigInteger)
        query = query.where(operation.c.id < after).order_by(operation.c.id.desc())
    return cut([_row(each) for each in connection.execute(query).all()], place, size)


def one_operation(connection: Connection, operation_id: int) -> OperationRow:
    """Return an operation; Missing where there is none."""
    query = select(*COLUMNS).where(operation.c.id == literal(operation_id, BigInteger))
    found = connection.execute(query).first()
    if found is None:
        raise Missing(f"There is no operation {operation_id}.")
    return _row(found)
