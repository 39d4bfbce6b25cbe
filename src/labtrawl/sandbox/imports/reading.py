"""Reading the files of an export tree, line by line, with errors that name file and line.

Entered by the rooms of the import.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtrawl.sandbox.instants import normal_text


class NotAnExport(ValueError):
    """The path is no export tree, or a line of it cannot be read."""


class BadRecord(ValueError):
    """A record that GitLab itself would refuse; it is left out and reported."""


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a tree, with typed access; `where` names file and line for people."""

    where: str
    fields: dict[str, Any]

    def text(self, name: str) -> str:
        """A text that must be there and not be empty."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            raise BadRecord(f"{self.where}: {name} is no text: {value!r}")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text or nothing."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRecord(f"{self.where}: {name} is no text: {value!r}")
        return value

    def number(self, name: str) -> int:
        """A whole number that must be there."""
        value = self.optional_number(name)
        if value is None:
            raise BadRecord(f"{self.where}: {name} is missing")
        return value

    def optional_number(self, name: str) -> int | None:
        """A whole number or nothing."""
        value = self.fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise BadRecord(f"{self.where}: {name} is no whole number: {value!r}")
        return value

    def instant(self, name: str) -> str:
        """An instant that must be there."""
        value = self.optional_instant(name)
        if value is None:
            raise BadRecord(f"{self.where}: {name} is missing")
        return value

    def optional_instant(self, name: str) -> str | None:
        """An instant or nothing."""
        value = self.optional_text(name)
        if not value:
            return None
        try:
            return normal_text(value)
        except ValueError:
            raise BadRecord(f"{self.where}: {name} is no date: {value!r}") from None

    def is_set(self, name: str) -> bool:
        """True if the field is there and true."""
        return self.fields.get(name) is True

    def one(self, name: str) -> "Record | None":
        """A nested object or nothing."""
        value = self.fields.get(name)
        return Record(self.where, value) if isinstance(value, dict) else None

    def many(self, name: str) -> "list[Record]":
        """A list of nested objects; empty if there is none."""
        value = self.fields.get(name)
        rows = value if isinstance(value, list) else []
        return [Record(self.where, row) for row in rows if isinstance(row, dict)]


def read_object(path: Path) -> Record:
    """A file that holds one JSON object. Raises NotAnExport."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotAnExport(f"{path} is missing: the tree is not complete") from None
    except (OSError, ValueError) as error:
        raise NotAnExport(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise NotAnExport(f"{path} holds no JSON object")
    return Record(path.name, value)


def read_lines(folder: Path, relation: str) -> Iterator[Record]:
    """The records of ``<relation>.ndjson``; none if there is no such file. Raises NotAnExport."""
    path = folder / f"{relation}.ndjson"
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise NotAnExport(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise NotAnExport(f"{path}, line {number}: no valid JSON ({error})") from None
        if not isinstance(value, dict):
            raise NotAnExport(f"{path}, line {number}: no JSON object")
        yield Record(f"{path.parent.name}/{path.name}, line {number}", value)
