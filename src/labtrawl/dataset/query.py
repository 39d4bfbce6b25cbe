"""Questions in SQL to the typed tables; nothing but these tables is within reach of the SQL.

The database is opened for reading only, without files, network or extensions, and its settings are
locked before the SQL runs (DuckDB, "Securing DuckDB").
"""

import contextlib
import difflib
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from labtrawl.dataset.export_staging import interrupted
from labtrawl.dataset.tables import HISTORY, META, TABLES
from labtrawl.errors import ConfigError

MEMORY_LIMIT: Final = "1GB"
NAMES: Final = frozenset(
    {table.name for table in TABLES} | {table.name + HISTORY for table in TABLES}
)
_READS: Final = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}
_TEXTS: Final = {"VARCHAR", "JSON"}
_INTERRUPT_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """The columns of an answer and its rows, as they come; `kinds` are DuckDB's types.

    A cell is a text, or JSON where that was asked for; None is NULL.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: Iterator[tuple[str | None, ...]]

    @property
    def is_text(self) -> tuple[bool, ...]:
        """Say of each column whether its cells are texts, which may hold anything."""
        return tuple(kind in _TEXTS for kind in self.kinds)


def named_tables(sql: str) -> frozenset[str]:
    """Return the tables of ours that a query names. Raises ConfigError for what is no one query."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise ConfigError(_sentence(error)) from error
    if len(statements) != 1 or statements[0].type not in _READS:
        raise ConfigError("one query is answered at a time, and it only reads: SELECT …")
    return frozenset(_named(statements[0].query)) & NAMES


def _named(sql: str) -> Iterator[str]:
    """Yield the names of tables in a query; all its words, where DuckDB cannot take it apart."""
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    told = json.loads(found[0]) if found else {"error": True}
    if told["error"]:
        yield from (word.lower() for word in re.findall(r"\w+", sql))
        return
    waiting: list[Any] = [told]
    while waiting:
        match waiting.pop():
            case dict() as node:
                if node.get("type") == "BASE_TABLE":
                    yield str(node["table_name"]).lower()
                waiting.extend(node.values())
            case list() as nodes:
                waiting.extend(nodes)


def open_locked(path: Path, spill: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file so that SQL can read its tables and do nothing else."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(str(path), read_only=True, config=settings)
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    # In this order: the folder for what does not fit into memory is set while files are allowed.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@contextlib.contextmanager
def obeying(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let Ctrl-C end what the main thread asks of DuckDB meanwhile.

    DuckDB looks for signals between its own steps only, and takes none while its other threads
    work, which may be for ever. So the signal is heard beside it.
    """
    heard, told = socket.socketpair()
    with heard, told:
        told.setblocking(False)
        before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        ear = threading.Thread(target=_interrupt, args=(heard, connection), daemon=True)
        ear.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            told.shutdown(socket.SHUT_WR)
            ear.join()


def _interrupt(heard: socket.socket, connection: duckdb.DuckDBPyConnection) -> None:
    """Interrupt the query once a signal is heard, and again until nobody asks any more.

    Once is not enough: a query that begins just then forgets it.
    """
    while said := heard.recv(64):
        if signal.SIGINT in said:
            heard.settimeout(_INTERRUPT_SECONDS)
            break
    while said:
        connection.interrupt()
        with contextlib.suppress(TimeoutError):
            said = heard.recv(64)


def ask(connection: duckdb.DuckDBPyConnection, sql: str, *, as_json: bool) -> Answer:
    """Run one query of `named_tables` on what `open_locked` opened.

    Raises ConfigError, in one sentence, for what DuckDB refuses; so does reading the rows.
    """
    query = duckdb.extract_statements(sql)[0].query.rstrip().rstrip(";")
    try:
        asked = connection.sql(query)
        # Columns may share a name, so they are counted; a text of each is what all forms write.
        places = [f"c{place}" for place in range(len(asked.columns))]
        kinds = tuple(map(str, asked.types))
        cells = [f"to_json({each})" if as_json else f"{each}::VARCHAR" for each in places]
        source = f"({query}\n) AS asked({', '.join(places)})"
        rows = connection.execute(f"SELECT {', '.join(cells)} FROM {source}")  # noqa: S608 - locked
    except (duckdb.Error, RuntimeError) as error:
        raise _told(error) from error
    return Answer(tuple(asked.columns), kinds, _rows(rows))


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[str | None, ...]]:
    try:
        while rows := found.fetchmany(1000):
            yield from rows
    except (duckdb.Error, RuntimeError) as error:
        raise _told(error) from error


def _told(error: Exception) -> BaseException:
    """Return what an error of DuckDB's means; Ctrl-C comes as one."""
    if interrupted(error):
        return KeyboardInterrupt()
    return ConfigError(_sentence(error)) if isinstance(error, duckdb.Error) else error


def _sentence(error: Exception) -> str:
    """Say in one sentence what DuckDB refused, with the nearest table where one is missing."""
    first = str(error).partition("\n")[0].strip()
    missing = re.search(r"Table with name (\S+) does not exist", first)
    if missing:
        name = missing.group(1)
        nearest = difflib.get_close_matches(name.lower(), [*NAMES, META], n=1)
        hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
        return f"there is no table {name!r}{hint} (docs/reference/tables.md lists all)"
    kind, _, told = first.partition(": ")
    near = re.search(r'(?:Candidate bindings: (?:: )?|Did you mean )("[^"\n]*")', str(error))
    hint = f"; the nearest is {near[1]}" if near else ""
    return f"the query was refused: {(told or kind).removesuffix('!')}{hint}"
