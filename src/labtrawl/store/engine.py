"""The database engine: every difference between databases, one writer, many readers.

SQLite: WAL, `synchronous=FULL`, one writer thread with group commit. Versions 3.7.0 to 3.51.2 have
the WAL-reset bug (sqlite.org/wal.html), so Python's own module is taken only where it is fixed.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pysqlite3.dbapi2
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from labtrawl.errors import DiskFull, LabtrawlError, StoreError

__all__ = ["Connection", "Store", "database_path", "open_store"]

T = TypeVar("T")
Work = Callable[[Connection], T]

FIXED_SINCE = (3, 51, 3)
BACKPORTS = ((3, 44, 6), (3, 50, 7))
BUSY_MS = 10_000
GROUP = 256
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


def database_path(data_dir: Path) -> Path:
    """Return where the database of a data folder lies."""
    return data_dir / "config" / "labtrawl.sqlite"


def open_engine(path: Path, read_only: bool) -> Engine:
    """Return an engine on one SQLite file; readers see snapshots and cannot change anything."""
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        module=sqlite_module(),
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000},
        # What a statement was given may be somebody's name: errors tell the statement only.
        hide_parameters=True,
        pool_size=1 if not read_only else 4,
        max_overflow=0,
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
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


class Changes:
    """Tells waiters that something was committed."""

    def __init__(self) -> None:
        self._next: asyncio.Event = asyncio.Event()
        self.commits = 0

    def announce(self) -> None:
        """Wake everybody who waits for the next commit."""
        self.commits += 1
        woken, self._next = self._next, asyncio.Event()
        woken.set()

    def ticket(self) -> asyncio.Event:
        """Return an event that the next commit sets; take it before reading, wait after."""
        return self._next


class Snapshots:
    """Reads of a database that another process may be writing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a snapshot; it cannot change anything."""
        return await asyncio.to_thread(self.read_now, work)

    def read_now(self, work: Work[T]) -> T:
        """Do as `read`, in this thread."""
        try:
            with self._engine.connect() as connection, connection.begin():
                return work(connection)
        except DBAPIError as error:
            raise store_failure(error) from error


@contextlib.contextmanager
def open_snapshots(path: Path) -> Iterator[Snapshots]:
    """Open the database at `path` for reading only."""
    engine = open_engine(path, read_only=True)
    try:
        yield Snapshots(engine)
    finally:
        engine.dispose()


class _Item:
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Store:
    """One database: writes go through one thread in groups, reads run beside it."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writer = open_engine(path, read_only=False)
        self._reader = open_engine(path, read_only=True)
        self._snapshots = Snapshots(self._reader)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._stopped = False
        self.changes = Changes()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; return only after it is durable.

        Raises what `work` raises (its changes are undone, those of its neighbours are not), or
        StoreError when the commit itself failed: then nothing of the group was applied.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._stopped:
            raise StoreError("the database is closed")
        self._queue.put(_Item(work, future))
        return await future

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a snapshot; it cannot change anything."""
        return await self._snapshots.read(work)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Finish what is queued and close the files."""
        self._stopped = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._writer.dispose()
        self._reader.dispose()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            group, last = self._gather(item)
            self._commit(group)
            if last:
                break

    def _gather(self, first: _Item) -> tuple[list[_Item], bool]:
        """Take what waits as well: one fsync for all of them."""
        group = [first]
        while len(group) < GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _commit(self, group: list[_Item]) -> None:
        try:
            with self._writer.begin() as connection:
                for item in group:
                    _apply(connection, item)
        except Exception as error:  # noqa: BLE001 - the outcome of every item of the group
            # A refusal too: it may rest on what a neighbour did and what is undone now.
            failure = store_failure(error)
            for item in group:
                item.error = failure
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._answer, group)

    def _answer(self, group: list[_Item]) -> None:
        if any(item.error is None for item in group):
            self.changes.announce()
        for item in group:
            if item.future.done():
                continue
            if item.error is not None:
                item.future.set_exception(item.error)
            else:
                item.future.set_result(item.result)


def _apply(connection: Connection, item: _Item) -> None:
    try:
        with connection.begin_nested():
            item.result = item.work(connection)
    except LabtrawlError as error:
        item.error = error
    except OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of this item alone: its savepoint is undone
        item.error = error


def store_failure(error: BaseException) -> LabtrawlError:
    """Map a driver's error to the house's, once."""
    if isinstance(error, LabtrawlError):
        return error
    for words in _words_of_all(error):
        if "disk is full" in words or "disk I/O error" in words:
            return _disk_full(words)
    return StoreError(f"the database refused: {getattr(error, 'orig', error)}")


def _disk_full(words: str) -> DiskFull:
    return DiskFull(f"the database cannot be written ({words}); free some space, work goes on")


def _words_of_all(error: BaseException | None) -> Iterator[str]:
    """What began it, too: a full disk ends the transaction, and then undoing it fails as well."""
    while error is not None:
        yield str(getattr(error, "orig", error))
        error = error.__context__


@contextlib.asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """Open the database at `path` (its schema must be current, see `migrate`)."""
    store = Store(path, asyncio.get_running_loop())
    store.start()
    try:
        yield store
    finally:
        await store.stop()
