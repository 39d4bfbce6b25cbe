"""The database engine: one writer with group commit, many readers, on SQLite or PostgreSQL.

What differs between the two is in `sqlite` and `postgresql`, and nowhere else.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from labtrawl.domain.credential import Secret
from labtrawl.errors import BadMessage, DiskFull, LabtrawlError, StoreError
from labtrawl.store.direct import Direct
from labtrawl.store.sqlite import NOW_MS, open_file

__all__ = ["NOW_MS", "Connection", "Store", "database_path", "open_store"]

T = TypeVar("T")
Work = Callable[[Connection], T]
# A SQLite file, or the URL of a PostgreSQL database: it may hold a password.
Database = Path | Secret

GROUP = 256
DISK_FULL = "53100"  # disk_full: postgresql.org/docs/current/errcodes-appendix.html


def database_path(data_dir: Path) -> Path:
    """Return where the database of a data folder lies."""
    return data_dir / "config" / "labtrawl.sqlite"


def open_engine(database: Database, read_only: bool) -> Engine:
    """Return an engine on a database; readers see snapshots and cannot change anything.

    Raises StoreError for a URL that is none, or where PostgreSQL's driver is not installed.
    """
    if isinstance(database, Path):
        return open_file(database, read_only)
    try:
        from labtrawl.store import postgresql  # noqa: PLC0415 - its driver is an extra
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs its driver; install it with: pip install 'labtrawl[postgresql]'"
        ) from error
    return postgresql.open_url(database, read_only)


def check_order(connection: Connection) -> None:
    """Refuse a database that sorts texts by a language: pages are ordered by code points."""
    ordered = connection.exec_driver_sql(
        "SELECT CASE WHEN 'Z' < 'a' AND 'a-b' < 'a_b' AND 'z' < 'é' THEN 1 ELSE 0 END"
    )
    if not ordered.scalar_one():
        raise StoreError(
            "the PostgreSQL database sorts texts by a language; make it with:"
            " CREATE DATABASE labtrawl TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        )


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
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, partial(self.read_now, work))

    def read_now(self, work: Work[T]) -> T:
        """Do as `read`, in this thread."""
        try:
            with Direct(self._engine) as connection, connection.begin():
                return work(connection)
        except (DBAPIError, OverflowError) as error:
            raise store_failure(error) from error


@contextlib.contextmanager
def open_snapshots(database: Database) -> Iterator[Snapshots]:
    """Open a database for reading only."""
    engine = open_engine(database, read_only=True)
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

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writer = open_engine(database, read_only=False)
        # A file does not go away. A server may have been started anew: it is looked at each time.
        self._keeps_connection = isinstance(database, Path)
        self._connection: Connection | None = None
        self._reader = open_engine(database, read_only=True)
        self._snapshots = Snapshots(self._reader)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._stopped = False
        self.changes = Changes()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; return only after it is durable.

        Raises what `work` raises (its changes are undone, those of its neighbours are not), or
        StoreError when the commit itself failed: then nothing of the group was applied (unless a
        connection to PostgreSQL broke just then; all work is made to be asked for again).
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
        self._let_go()

    @contextlib.contextmanager
    def _begun(self) -> Iterator[Connection]:
        """Begin a transaction of the writer; after a failure its connection is another one."""
        connection = self._connection or Direct(self._writer)
        self._connection = connection
        try:
            with connection.begin():
                yield connection
        except BaseException:  # whatever ended it, its state is not known
            self._let_go()
            raise
        if not self._keeps_connection:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

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
            with self._begun() as connection:
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
        with _savepoint(connection):
            item.result = item.work(connection)
    except LabtrawlError as error:
        item.error = error
    except OperationalError:
        raise
    except (DataError, OverflowError) as error:
        item.error = store_failure(error)
    except Exception as error:  # noqa: BLE001 - a fault of this item alone: its savepoint is undone
        item.error = error


@contextlib.contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """Undo what failed and nothing else; in plain SQL, for SQLAlchemy's own is dear and each has one.

    After an OperationalError the whole group is undone, and there may be no savepoint any more.
    """
    connection.exec_driver_sql("SAVEPOINT item")
    try:
        yield
    except OperationalError:
        raise
    except BaseException:  # whatever ended one item, the others of the group are committed
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT item")
        connection.exec_driver_sql("RELEASE SAVEPOINT item")
        raise
    connection.exec_driver_sql("RELEASE SAVEPOINT item")


def store_failure(error: BaseException) -> LabtrawlError:
    """Map a driver's error to the house's, once."""
    if isinstance(error, LabtrawlError):
        return error
    if isinstance(error, DataError | OverflowError):
        # Whoever sent it would send the same again for ever.
        return BadMessage(
            "a number is too large, or a text of no form that the database cannot keep"
        )
    for cause in _causes(error):
        words = str(cause)
        if "disk is full" in words or "disk I/O error" in words or _state_of(cause) == DISK_FULL:
            return _disk_full(words)
    return StoreError(f"the database refused: {getattr(error, 'orig', error)}")


def _disk_full(words: str) -> DiskFull:
    return DiskFull(f"the database cannot be written ({words}); free some space, work goes on")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What began it, too: a full disk ends the transaction, and then undoing it fails as well."""
    while error is not None:
        yield getattr(error, "orig", error)
        error = error.__context__


def _state_of(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


@contextlib.asynccontextmanager
async def open_store(database: Database) -> AsyncIterator[Store]:
    """Open a database (its schema must be current, see `migrate`)."""
    store = Store(database, asyncio.get_running_loop())
    store.start()
    try:
        yield store
    finally:
        await store.stop()
