"""A consistent copy of the running database, whether a database is whole, and the list of backups.

For the cli and the website. PostgreSQL has pg_dump for all of this; only files are copied here.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from labtrawl.errors import ConfigError, StoreError
from labtrawl.store.engine import NOW_MS
from labtrawl.store.manifest import ClosedSegment
from labtrawl.store.sqlite import sqlite_module

# Steps of SQLite's machine between two looks whether to stop: some milliseconds.
STEPS = 100_000
_REVISION = "SELECT version_num FROM alembic_version"
_SEGMENTS = "SELECT name, length, sha256, records FROM segment ORDER BY id"


@dataclass(frozen=True, slots=True)
class BackupRow:
    """A backup that was begun; instants in ms. `copied_bytes` are those that were not there yet."""

    id: int
    place: str
    began_at: int
    ended_at: int | None
    state: str
    segments: int
    bytes: int
    copied_bytes: int
    message: str


def copy_database(database: Path, target: Path) -> None:
    """Write the database as it is at one instant into a new file, durable; others go on writing.

    By SQLite's backup API, in one step: a reader of a WAL keeps no writer waiting (sqlite.org/
    c3ref/backup_finish.html). Raises StoreError.
    """
    module = sqlite_module()
    try:
        with _opened(module, database) as source, _opened(module, target) as copy:
            source.backup(copy)
            # One file: what restores it has no WAL to look after.
            copy.execute("PRAGMA journal_mode=DELETE")
    except module.Error as error:
        raise StoreError(f"the database cannot be copied: {error}") from error
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(module: Any, path: Path) -> Iterator[Any]:
    connection = module.connect(path, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def fault_of(database: Path, is_stopped: Callable[[], bool] = lambda: False) -> str:
    """Return what is wrong with a database file, "" where it is whole (PRAGMA quick_check).

    It reads all of the file and changes nothing; others go on reading and writing. Stopped early
    it has found nothing.
    """
    module = sqlite_module()
    try:
        with _opened(module, database) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.set_progress_handler(lambda: int(is_stopped()), STEPS)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except module.Error as error:
        return "" if is_stopped() else str(error)
    return "" if found == "ok" else str(found)


def revision_of(database: Path) -> str:
    """Return the revision of a database's schema; ConfigError where it is no labtrawl database."""
    module = sqlite_module()
    try:
        with _opened(module, database) as connection:
            return str(connection.execute(_REVISION).fetchone()[0])
    except (module.Error, TypeError):
        raise ConfigError(f"{database.name} is no database of labtrawl") from None


def segments_of(database: Path) -> list[ClosedSegment]:
    """Return the committed segments of a database that nobody writes; the file stays as it is."""
    module = sqlite_module()
    try:
        with _opened(module, database) as connection:
            rows = connection.execute(_SEGMENTS).fetchall()
    except module.Error as error:
        raise StoreError(f"the copy of the database cannot be read: {error}") from error
    return [ClosedSegment(*row) for row in rows]


def begin(connection: Connection, place: str) -> int:
    """Note that a backup began; those that never ended are noted as cut off. Return its number."""
    connection.exec_driver_sql(
        f"UPDATE backup SET state = 'failed', ended_at = {NOW_MS}, message ="
        " 'it was cut off; nothing of it is left' WHERE state = 'running'"
    )
    number: int = connection.exec_driver_sql(
        f"INSERT INTO backup (place, began_at) VALUES (?, {NOW_MS}) RETURNING id", (place,)
    ).scalar_one()
    return number


def end(
    connection: Connection, number: int, place: str, segments: int, total: int, copied: int
) -> None:
    """Note that a backup is whole, at `place`; sizes in bytes."""
    connection.exec_driver_sql(
        f"UPDATE backup SET state = 'done', ended_at = {NOW_MS}, place = ?, segments = ?,"
        " bytes = ?, copied_bytes = ?, message = '' WHERE id = ?",
        (place, segments, total, copied, number),
    )


def fail(connection: Connection, number: int, message: str) -> None:
    """Note why a backup failed, one sentence."""
    connection.exec_driver_sql(
        f"UPDATE backup SET state = 'failed', ended_at = {NOW_MS}, message = ? WHERE id = ?",
        (message, number),
    )


def refuse(connection: Connection, place: str, message: str) -> None:
    """Note a backup that could not begin, and why; one that is being written stays as it is."""
    connection.exec_driver_sql(
        "INSERT INTO backup (place, began_at, ended_at, state, message)"
        f" VALUES (?, {NOW_MS}, {NOW_MS}, 'failed', ?)",
        (place, message),
    )


def remark(connection: Connection, number: int, message: str) -> None:
    """Write something down of a backup, one sentence."""
    connection.exec_driver_sql("UPDATE backup SET message = ? WHERE id = ?", (message, number))


def restored(connection: Connection) -> None:
    """Note that the backup that holds this database is whole: it was restored from."""
    connection.exec_driver_sql(
        "UPDATE backup SET state = 'done', ended_at = began_at,"
        " message = 'this data folder was restored from it' WHERE state = 'running'"
    )


def newest(connection: Connection, limit: int) -> list[BackupRow]:
    """Return the last backups, the newest first."""
    rows = connection.exec_driver_sql(
        "SELECT id, place, began_at, ended_at, state, segments, bytes, copied_bytes, message"
        " FROM backup ORDER BY id DESC LIMIT ?",
        (limit,),
    ).all()
    return [BackupRow(*row) for row in rows]


def last_done(connection: Connection) -> BackupRow | None:
    """Return the newest backup that is whole."""
    row = connection.exec_driver_sql(
        "SELECT id, place, began_at, ended_at, state, segments, bytes, copied_bytes, message"
        " FROM backup WHERE state = 'done' ORDER BY id DESC LIMIT 1"
    ).first()
    return None if row is None else BackupRow(*row)
