"""What an export is written as: Parquet and CSV in a folder, or one DuckDB file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import duckdb

from labtrawl.dataset.export_staging import literal, name_of
from labtrawl.dataset.export_versions import Output
from labtrawl.dataset.formulas import FORMULA
from labtrawl.dataset.tables import META

# Rows that a writer holds before it writes them; a body of GitLab's has some 2 kB.
_ROW_GROUP: Final = 10_000
_ROW_GROUP_BYTES: Final = 16 << 20
_INSTANT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class Form(Protocol):
    """Writes tables; `close` ends the writing and leaves nothing open."""

    def write(self, output: Output, comments: Mapping[str, str]) -> None: ...
    def describe(self, facts: Mapping[str, str]) -> None: ...
    def close(self) -> None: ...


class ParquetFolder:
    """A Parquet file for each table; the facts are in a table and in each file's metadata."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, facts: Mapping[str, str]
    ) -> None:
        path.mkdir()
        self._connection, self._path, self._facts = connection, path, facts

    def write(self, output: Output, comments: Mapping[str, str]) -> None:
        del comments
        facts = {**self._facts, "table": output.name, "records": str(output.records)}
        told = ", ".join(f"{META}_{key}: {literal(value)}" for key, value in facts.items())
        self._copy(output.query, output.name, f", KV_METADATA {{{told}}}")

    def describe(self, facts: Mapping[str, str]) -> None:
        self._copy(_facts_query(facts), META, "")

    def close(self) -> None:
        pass

    def _copy(self, query: str, name: str, more: str) -> None:
        file = literal(self._path / f"{name}.parquet")
        self._connection.execute(
            f"COPY ({query}) TO {file} (FORMAT parquet, COMPRESSION zstd,"
            f" ROW_GROUP_SIZE {_ROW_GROUP}, ROW_GROUP_SIZE_BYTES {_ROW_GROUP_BYTES}{more})"
        )


class CsvFolder:
    """A CSV file for each table, in which no cell is a formula."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, facts: Mapping[str, str]
    ) -> None:
        del facts
        path.mkdir()
        self._connection, self._path = connection, path

    def write(self, output: Output, comments: Mapping[str, str]) -> None:
        del comments
        self._copy(output.query, output.name)

    def describe(self, facts: Mapping[str, str]) -> None:
        self._copy(_facts_query(facts), META)

    def close(self) -> None:
        pass

    def _copy(self, query: str, name: str) -> None:
        safe = harmless(self._connection, query)
        file = literal(self._path / f"{name}.csv")
        self._connection.execute(
            f"COPY ({safe}) TO {file} (FORMAT csv, HEADER, TIMESTAMPFORMAT {literal(_INSTANT)})"
        )


def harmless(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the query for cells, with a `'` before each text that a spreadsheet would take for a formula.

    A text that begins so after one or more `'` gets one too: taking one away restores every text.
    """
    columns = connection.execute(f"DESCRIBE {query}").fetchall()
    chosen = [f"{_cell(name_of(name), kind)} AS {name_of(name)}" for name, kind, *_ in columns]
    return f"SELECT {', '.join(chosen)} FROM ({query})"  # noqa: S608 - names are quoted


def _cell(name: str, kind: str) -> str:
    """Return a column's cell: a list as JSON, since a text in it may hold a comma."""
    if kind.endswith("[]"):
        return f"to_json({name})"
    if kind != "VARCHAR":
        return name
    is_formula = f"regexp_matches({name}, {literal(FORMULA)})"
    return f"CASE WHEN {is_formula} THEN chr(39) || {name} ELSE {name} END"


class DuckFile:
    """One DuckDB file; each column carries its meaning as a comment."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, facts: Mapping[str, str]
    ) -> None:
        del facts
        connection.execute(f"ATTACH {literal(path)} AS result")
        self._connection = connection
        self._comments: list[str] = []

    def write(self, output: Output, comments: Mapping[str, str]) -> None:
        place = f"result.{name_of(output.name)}"
        self._connection.execute(f"CREATE TABLE {place} AS {output.query}")
        self._comments += [
            f"COMMENT ON COLUMN {place}.{name_of(column)} IS {literal(meaning)}"
            for column, meaning in comments.items()
        ]

    def describe(self, facts: Mapping[str, str]) -> None:
        self._connection.execute(f"CREATE TABLE result.{META} AS {_facts_query(facts)}")

    def close(self) -> None:
        self._connection.execute("; ".join(["BEGIN", *self._comments, "COMMIT"]))
        self._connection.execute("DETACH result")


def _facts_query(facts: Mapping[str, str]) -> str:
    rows = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in facts.items())
    return f"SELECT key, value FROM (VALUES {rows}) AS facts(key, value)"  # noqa: S608 - quoted


FORMS: Final[dict[str, Callable[[duckdb.DuckDBPyConnection, Path, Mapping[str, str]], Form]]] = {
    "parquet": ParquetFolder,
    "csv": CsvFolder,
    "duckdb": DuckFile,
}
