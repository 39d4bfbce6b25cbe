"""What a declared table is made of: columns with a type, a place in the body and a meaning."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Body = dict[str, Any]


class Type(StrEnum):
    """The types of columns, by DuckDB's names."""

    BIGINT = "BIGINT"
    DOUBLE = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    VARCHAR = "VARCHAR"
    TIMESTAMPTZ = "TIMESTAMPTZ"
    DATE = "DATE"
    NUMBERS = "BIGINT[]"
    TEXTS = "VARCHAR[]"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type, where its value stands and what it means.

    `path` leads through the body ("author.id"; a number counts into a list, `*` takes each entry of
    one); "@id.2" is the second part of the record's id, "@parent.id" a field of the object that
    holds a derived one. `unit` is empty where a value has none.
    """

    name: str
    type: Type
    path: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: which resources fill it, how its records are told apart, and its columns.

    `parts` takes derived objects out of a record's body, as (id, body); the table then holds these.
    """

    name: str
    meaning: str
    resources: tuple[str, ...]
    id_type: Type
    columns: tuple[Column, ...]
    parts: Callable[["Origin", Body], Iterator[tuple[int | str, Body]]] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose line it is: the record's id and the area that it was collected for."""

    id: int | str
    area_id: int


def number(name: str, meaning: str, path: str = "", unit: str = "") -> Column:
    """Declare a column of whole numbers."""
    return Column(name, Type.BIGINT, path or name, meaning, unit)


def real(name: str, meaning: str, path: str = "", unit: str = "") -> Column:
    """Declare a column of numbers."""
    return Column(name, Type.DOUBLE, path or name, meaning, unit)


def flag(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of yes and no."""
    return Column(name, Type.BOOLEAN, path or name, meaning)


def text(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of texts."""
    return Column(name, Type.VARCHAR, path or name, meaning)


def instant(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of instants."""
    return Column(name, Type.TIMESTAMPTZ, path or name, meaning, "UTC")


def day(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of days."""
    return Column(name, Type.DATE, path or name, meaning)


def texts(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of lists of texts."""
    return Column(name, Type.TEXTS, path or name, meaning)


def numbers(name: str, meaning: str, path: str = "") -> Column:
    """Declare a column of lists of whole numbers."""
    return Column(name, Type.NUMBERS, path or name, meaning)


def person(name: str, meaning: str, path: str = "") -> tuple[Column, Column]:
    """Declare the two columns that name a user: the id and the username."""
    place = path or name
    return (
        number(f"{name}_id", f"{meaning}: user id", f"{place}.id"),
        text(f"{name}_username", f"{meaning}: username", f"{place}.username"),
    )
