"""Reading the values of a declared table out of a record's body, with strict types.

A value of another JSON type than the column's becomes NULL and is named, so that it can be counted;
a missing one or `null` is NULL and nothing else.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import msgspec

from labtrawl.dataset.tables_shape import Body, Column, Table, Type

_WRONG: Final = object()
_BIGGEST: Final = 2**63
Read = Callable[[Any], Any]
# Place, name, field of the body (and of the object in it), the type that needs no check, the check.
_Plain = tuple[int, str, str, type | None, Read]
_Inner = tuple[int, str, str, str, type | None, Read]
_Other = tuple[int, str, Callable[["_Given"], Any], Read]


class Row(NamedTuple):
    """The values of a table's columns in their order, the record's id first.

    `wrong` names the columns whose value had another type; these are None.
    """

    values: list[Any]
    wrong: list[str]


def decode(raw: bytes) -> Body:
    """Decode a body, which passed the gate as valid JSON; a number too large is infinite."""
    try:
        body: Body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = json.loads(raw)
    return body


class Reader:
    """Reads rows of one table.

    An export reads some thirty values of each of a million records: fields of the body, and fields
    of an object in it (`author.id`), are read without a call where they have the type they should.
    """

    def __init__(self, table: Table) -> None:
        self._id = _key if table.id_type is Type.VARCHAR else _CHECKS[table.id_type]
        self._plain: list[_Plain] = []
        self._inner: list[_Inner] = []
        self._others: list[_Other] = []
        self._width = len(table.columns)
        for place, column in enumerate(table.columns):
            self._sort(place, column)

    def _sort(self, place: int, column: Column) -> None:
        steps, check = column.path.split("."), _CHECKS[column.type]
        kind = _KINDS.get(column.type)
        is_walked = len(steps) > 2 or column.path[0] == "@" or _is_step_of_list(steps[-1])
        if is_walked:
            self._others.append((place, column.name, _finder(column), check))
        elif len(steps) == 1:
            self._plain.append((place, column.name, steps[0], kind, check))
        else:
            self._inner.append((place, column.name, steps[0], steps[1], kind, check))

    def row(self, number: int | str, area_id: int, body: Body, parent: Body) -> Row:
        """Read a row; `parent` is the body that a derived object was taken from, else empty."""
        values: list[Any] = [None] * self._width
        wrong: list[str] = []
        for place, name, path, kind, check in self._plain:
            value = body.get(path)
            if type(value) is kind:
                values[place] = value
            elif value is not None:
                _put(values, wrong, place, name, check(value))
        for place, name, outer, path, kind, check in self._inner:
            holder = body.get(outer)
            if holder is None:
                continue
            value = holder.get(path) if type(holder) is dict else _WRONG
            if type(value) is kind:
                values[place] = value
            elif value is not None:
                _put(values, wrong, place, name, value if value is _WRONG else check(value))
        if self._others:
            given = _Given(number, area_id, body, parent)
            for place, name, find, check in self._others:
                value = find(given)
                if value is not None:
                    _put(values, wrong, place, name, check(value))
        own = self._id(number)
        return Row([None if own is _WRONG else own, *values], ["id"] * (own is _WRONG) + wrong)


def _put(values: list[Any], wrong: list[str], place: int, name: str, value: Any) -> None:
    if value is _WRONG:
        wrong.append(name)
    else:
        values[place] = value


class _Given(NamedTuple):
    id: int | str
    area_id: int
    body: Body
    parent: Body


def _is_step_of_list(step: str) -> bool:
    return step == "*" or step.isdecimal()


def _finder(column: Column) -> Callable[[_Given], Any]:
    """Return what finds a column's value; None where there is none."""
    first, *rest = column.path.split(".")
    if first == "@area":
        return lambda given: given.area_id
    if first == "@id":
        return lambda given: _part(given.id, int(rest[0]) - 1)
    if first == "@parent":
        return lambda given: _follow(given.parent, rest)
    return lambda given: _follow(given.body, [first, *rest])


def _part(number: int | str, place: int) -> int | str | None:
    """Return a part of "12/7/345"; a number as such."""
    parts = str(number).split("/", 2)
    if place >= len(parts):
        return None
    part = parts[place]
    return int(part) if part.isascii() and part.isdecimal() else part


def _follow(value: Any, path: Sequence[str]) -> Any:
    """Follow a path; None where it ends early, wrong where it leads through something else."""
    for place, step in enumerate(path):
        if value is None:
            return None
        if step == "*":
            if type(value) is not list:
                return _WRONG
            return [_follow(each, path[place + 1 :]) for each in value]
        if step.isdecimal():
            if type(value) is not list:
                return _WRONG
            value = value[int(step)] if len(value) > int(step) else None
        elif type(value) is dict:
            value = value.get(step)
        else:
            return _WRONG
    return value


def _number(value: Any) -> Any:
    return value if type(value) is int and -_BIGGEST <= value < _BIGGEST else _WRONG


def _real(value: Any) -> Any:
    if type(value) is int and not -_BIGGEST <= value < _BIGGEST:
        return _WRONG
    return value if type(value) in {int, float} else _WRONG


def _flag(value: Any) -> Any:
    return value if type(value) is bool else _WRONG


def _text(value: Any) -> Any:
    return value if type(value) is str else _WRONG


def _key(value: Any) -> Any:
    """Return an id as text: a number is one too."""
    return str(value)


def _instant(value: Any) -> Any:
    """Take an instant in ISO 8601 with its zone; without one nobody knows when it was."""
    try:
        told = datetime.fromisoformat(value)
        return _WRONG if told.tzinfo is None else told.astimezone(UTC).isoformat()
    except (TypeError, ValueError, OverflowError):
        return _WRONG


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        return _WRONG


def _each(check: Read) -> Read:
    def read(value: Any) -> Any:
        if type(value) is not list:
            return _WRONG
        checked = [None if each is None else check(each) for each in value]
        return _WRONG if _holds_wrong(checked) else checked

    return read


def _holds_wrong(values: Iterable[Any]) -> bool:
    return any(value is _WRONG for value in values)


_CHECKS: Final[dict[Type, Read]] = {
    Type.BIGINT: _number,
    Type.DOUBLE: _real,
    Type.BOOLEAN: _flag,
    Type.VARCHAR: _text,
    Type.TIMESTAMPTZ: _instant,
    Type.DATE: _day,
    Type.NUMBERS: _each(_number),
    Type.TEXTS: _each(_text),
}
# A text or a flag is right as soon as it is one; a number may be too large.
_KINDS: Final[dict[Type, type]] = {Type.BOOLEAN: bool, Type.VARCHAR: str}
