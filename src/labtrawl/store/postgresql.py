"""PostgreSQL: the same promises as on SQLite, from the same statements.

Entered by `engine` alone. One writer at a time (a lock for the transaction, as BEGIN IMMEDIATE),
readers on snapshots; what a statement says is translated here, in one place.
"""

import functools
import re
from typing import Any

import psycopg
from psycopg.types.string import StrDumper
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError

from labtrawl.domain.credential import Secret
from labtrawl.errors import StoreError
from labtrawl.store.direct import WORDING, Wording
from labtrawl.store.sqlite import BUSY_MS, NOW_MS

# Any number that no other program takes in the same database.
WRITER_LOCK = 0x6C6162747261776C
# Fixed within a statement, as SQLite's is, so that an index may be searched by it; not within a
# transaction: a group commit is many statements, and a lease begins when its own one runs.
CLOCK_MS = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"
# What SQLite has to be told and PostgreSQL has no word for.
ONLY_SQLITE = ("INDEXED BY ix_job_due",)
# With two arguments MAX is no sum of rows: PostgreSQL has another word for that.
LARGER_OF_TWO = re.compile(r"\bMAX\((?=[^()]*,)")
# Its own character to escape with is that one, where none is named.
LIKE = re.compile(r"([\w.]+) ILIKE %s(?: ESCAPE '\\'|(?! ESCAPE))")
# Readers show pages: few rows, in the order of an index, wherever in it they lie. A planner thinks of
# matches as spread evenly and would read most of a table for the first of them; it has no other way
# than that where there is no index, and then takes it all the same.
FOR_PAGES = ("enable_seqscan = off", "enable_bitmapscan = off", "random_page_cost = 1.1")
# SQL class 22: the value itself is the message.
BAD_VALUE = "22"


def open_url(url: Secret, read_only: bool) -> Engine:
    """Return an engine on a PostgreSQL database; readers see snapshots and cannot change anything."""
    engine = create_engine(
        _parse(url),
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        # What a statement was given may be somebody's name: errors tell the statement only.
        hide_parameters=True,
        pool_size=1 if not read_only else 4,
        max_overflow=0,
        # One after the other takes the one that knows the most already: its cache, and its plans.
        pool_use_lifo=True,
        # A server that was restarted meanwhile costs a new connection, not an error.
        pool_pre_ping=True,
        execution_options={WORDING: Wording(translate, _hide_values)},
    )
    _configure(engine, read_only)
    return engine


def _parse(url: Secret) -> URL:
    try:
        parsed = make_url(url.reveal())
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in ("postgresql", "postgres"):
        raise StoreError(
            "the database's URL cannot be read; write it as postgresql://user@host:5432/database"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _configure(engine: Engine, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: psycopg.Connection, _record: object) -> None:
        connection.adapters.register_dumper(str, _WithoutNul)
        connection.read_only = read_only
        connection.execute("SET synchronous_commit = on")
        connection.execute(f"SET lock_timeout = {BUSY_MS}")
        for setting in FOR_PAGES if read_only else ():
            connection.execute(f"SET {setting}")
        connection.commit()

    if not read_only:

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    event.listen(engine, "before_cursor_execute", _translate, retval=True)
    event.listen(engine, "handle_error", _without_values)


class _WithoutNul(StrDumper):
    """A text of PostgreSQL cannot hold NUL, which what a server answered or a person typed may."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _translate(
    _connection: Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    _many: bool,
) -> tuple[str, Any]:
    """Translate what was written by hand; what SQLAlchemy compiled is PostgreSQL's already."""
    if context.compiled is None:
        return translate(statement), parameters
    return _ignore_case(statement), parameters


def _ignore_case(statement: str) -> str:
    """SQLite's LIKE ignores case, and so do those who look for a path.

    ILIKE folds the pattern anew for each row, and so would LOWER(?) where a plan is kept: a query within
    is answered once. Where the pattern is more than a parameter it stays.
    """
    return LIKE.sub(r"LOWER(\1) LIKE (SELECT LOWER(%s))", statement.replace(" LIKE ", " ILIKE "))


@functools.lru_cache(maxsize=1024)
def translate(statement: str) -> str:
    """Return a statement of this room as PostgreSQL's driver wants it.

    A `?` is a parameter, wherever it stands: no text of a statement may hold one.
    """
    statement = statement.replace("%", "%%").replace("?", "%s").replace(NOW_MS, CLOCK_MS)
    for words in ONLY_SQLITE:
        statement = statement.replace(words, "")
    return _ignore_case(LARGER_OF_TWO.sub("GREATEST(", statement))


def _without_values(context: ExceptionContext) -> None:
    """Hide the values of a row in what SQLAlchemy raises, too."""
    error = context.original_exception
    if _hide_values(error) and context.sqlalchemy_exception is not None:
        words = f"({type(error).__name__}) {error}"
        context.sqlalchemy_exception.args = (words,)


def _hide_values(error: BaseException) -> bool:
    """Say what was refused, never whose: PostgreSQL's details name the values of a row."""
    if not isinstance(error, psycopg.Error) or not (told := error.diag.message_primary):
        return False
    is_value = (error.sqlstate or "").startswith(BAD_VALUE)
    error.args = (type(error).__name__ if is_value else told,)
    return True
