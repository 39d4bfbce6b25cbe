"""SQLite: WAL, `synchronous=FULL`, a driver that loses nothing. The text of all SQL is SQLite's.

Versions 3.7.0 to 3.51.2 have the WAL-reset bug (sqlite.org/wal.html), so Python's own module is
taken only where it is fixed.
"""

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import pysqlite3.dbapi2
from sqlalchemy import Connection, Engine, create_engine, event

from labtrawl.errors import StoreError

FIXED_SINCE = (3, 51, 3)
BACKPORTS = ((3, 44, 6), (3, 50, 7))
BUSY_MS = 10_000
# Of each connection; by itself SQLite takes 2,000. What is not in it is in the memory of the system.
CACHE_KIB = 500
# By the database's clock, in milliseconds: the only clock that leases know.
NOW_MS = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Say whether a SQLite version can lose commits in WAL mode."""
    backported = any(version[:2] == fixed[:2] and version >= fixed for fixed in BACKPORTS)
    return version < FIXED_SINCE and not backported


def sqlite_module() -> ModuleType:
    """Return a SQLite driver without the WAL-reset bug; StoreError says how to get one."""
    for module in (sqlite3, pysqlite3.dbapi2):
        if not has_wal_reset_bug(module.sqlite_version_info):
            return module
    raise StoreError(
        f"SQLite {pysqlite3.dbapi2.sqlite_version} can lose data in WAL mode; "
        "install a newer one with: pip install --upgrade pysqlite3"
    )


def open_file(path: Path, read_only: bool) -> Engine:
    """Return an engine on one SQLite file; readers see snapshots and cannot change anything."""
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        module=sqlite_module(),
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000},
        # What a statement was given may be somebody's name: errors tell the statement only.
        hide_parameters=True,
        pool_size=1 if not read_only else 4,
        max_overflow=0,
        # One after the other takes the one that has the most in its cache.
        pool_use_lifo=True,
    )
    _configure(engine, read_only)
    return engine


def _configure(engine: Engine, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        # The driver's own transaction handling begins too late for savepoints.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # What is erased, a token above all, does not stay in the free space of its page.
        connection.execute("PRAGMA secure_delete=FAST")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
