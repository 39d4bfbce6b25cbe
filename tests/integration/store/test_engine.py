"""The engine: versions, group commit, a full disk, readers that cannot write."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labtrawl.errors import DiskFull, LabtrawlError, LeaseLost, StoreError
from labtrawl.store.engine import (
    Connection,
    Store,
    has_wal_reset_bug,
    open_snapshots,
    open_store,
    sqlite_module,
    store_failure,
)
from labtrawl.store.migrate import migrate
from tests.integration.store.table import rows, store


@pytest.mark.parametrize(
    ("version", "is_bad"),
    [
        ((3, 7, 0), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 9), False),
        ((3, 45, 1), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_version_with_the_wal_reset_bug_is_known(
    version: tuple[int, int, int], is_bad: bool
) -> None:
    assert has_wal_reset_bug(version) is is_bad


def test_driver_in_use_is_without_that_bug() -> None:
    assert not has_wal_reset_bug(sqlite_module().sqlite_version_info)


def _insert(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(
        "INSERT INTO instance (name, url, added_at) VALUES (?, 'u', 0)", (name,)
    )


def _names(connection: Connection) -> list[str]:
    return [row[0] for row in rows(connection, "SELECT name FROM instance ORDER BY id")]


async def _grouped(db: Store, *works: Callable[[Connection], None]) -> list[object]:
    """Run works in one group: the writer is kept busy until all of them wait."""
    begun, gate = threading.Event(), threading.Event()

    def block(_connection: Connection) -> None:
        begun.set()
        gate.wait(30)

    blocker = asyncio.ensure_future(db.write(block))
    await asyncio.to_thread(begun.wait, 30)
    tasks = [asyncio.ensure_future(db.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.set()
    await blocker
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_group_is_one_commit_and_a_failing_item_leaves_its_neighbours_alone(
    tmp_path: Path,
) -> None:
    def breaks(connection: Connection) -> None:
        _insert(connection, "broken")
        raise LeaseLost("no")

    def collides(connection: Connection) -> None:
        _insert(connection, "half")
        _insert(connection, "first")

    async with store(tmp_path) as db:
        before = db.changes.commits
        outcomes = await _grouped(
            db,
            lambda c: _insert(c, "first"),
            breaks,
            collides,
            lambda c: _insert(c, "last"),
        )
        assert [type(one).__name__ for one in outcomes] == [
            "NoneType",
            "LeaseLost",
            "IntegrityError",
            "NoneType",
        ]
        assert await db.read(_names) == ["first", "last"]
        assert db.changes.commits == before + 2


async def test_error_of_the_driver_does_not_tell_the_values(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: _insert(c, "canary"))
        with pytest.raises(Exception, match="UNIQUE") as raised:
            await db.write(lambda c: _insert(c, "canary"))
        assert "canary" not in str(raised.value)


async def test_full_disk_fails_the_whole_group_and_work_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: _insert(c, "before"))
        pages = await db.write(lambda c: rows(c, "PRAGMA page_count")[0][0])
        await db.write(lambda c: rows(c, f"PRAGMA max_page_count = {pages}"))
        outcomes = await _grouped(
            db,
            lambda c: _insert(c, "small"),
            lambda c: _insert(c, "x" * 200_000),
            lambda c: _insert(c, "after"),
        )
        assert {type(one) for one in outcomes} == {DiskFull}
        assert await db.read(_names) == ["before"]
        await db.write(lambda c: rows(c, "PRAGMA max_page_count = 1073741823"))
        await db.write(lambda c: _insert(c, "later"))
        assert await db.read(_names) == ["before", "later"]


async def test_refusal_that_rests_on_an_undone_neighbour_is_no_refusal(tmp_path: Path) -> None:
    """Its neighbours' changes were never committed: whoever was refused by them may ask again."""

    def refuse(connection: Connection) -> None:
        if "first" in _names(connection):
            raise LeaseLost("the neighbour was here")

    def breaks_all(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    async with store(tmp_path) as db:
        outcomes = await _grouped(db, lambda c: _insert(c, "first"), refuse, breaks_all)
        assert [type(one) for one in outcomes] == [StoreError] * 3
        assert await db.read(_names) == []


async def test_write_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: _insert(c, "one"))
        with open_snapshots(tmp_path / "config" / "labtrawl.sqlite") as other:
            assert other.read_now(_names) == ["one"]
        told = await db.write(
            lambda c: [
                rows(c, f"PRAGMA {name}")[0][0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        )
        assert told == ["wal", 2, 1]


async def test_reader_cannot_change_anything(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        with pytest.raises(StoreError, match="readonly"):
            await db.read(lambda c: _insert(c, "x"))
        assert await db.read(_names) == []


async def test_reader_sees_one_state_while_others_write(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        begun, go_on = threading.Event(), threading.Event()

        def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
            first = _names(connection)
            begun.set()
            go_on.wait(30)
            return first, _names(connection)

        looking = asyncio.ensure_future(db.read(look_twice))
        await asyncio.to_thread(begun.wait, 30)
        await db.write(lambda c: _insert(c, "new"))
        go_on.set()
        assert await looking == ([], [])
        assert await db.read(_names) == ["new"]


async def test_write_after_the_end_is_refused_and_what_was_queued_is_finished(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:

        def insert(number: int) -> Callable[[Connection], None]:
            return lambda c: _insert(c, f"{number}")

        queued = [asyncio.ensure_future(db.write(insert(number))) for number in range(9)]
        await asyncio.sleep(0)
    await asyncio.gather(*queued)
    with pytest.raises(StoreError, match="closed"):
        await db.write(lambda c: _insert(c, "late"))


async def test_writer_that_nobody_waits_for_any_more_still_writes(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        gate = threading.Event()
        blocker = asyncio.ensure_future(db.write(lambda _c: gate.wait(30)))
        given_up = asyncio.ensure_future(db.write(lambda c: _insert(c, "kept")))
        await asyncio.sleep(0)
        given_up.cancel()
        gate.set()
        await blocker
        await db.write(lambda c: _insert(c, "last"))
        assert await db.read(_names) == ["kept", "last"]


async def test_waiter_that_took_its_ticket_before_reading_misses_no_commit(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        ticket = db.changes.ticket()
        await db.write(lambda c: _insert(c, "x"))
        assert ticket.is_set()
        assert not db.changes.ticket().is_set()


async def test_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    path.write_text("this is no database at all, but long enough to be read as one")
    with pytest.raises(StoreError, match="not a database"):
        migrate(path)


async def test_store_that_cannot_be_opened_answers_each_write_with_an_error(tmp_path: Path) -> None:
    async with open_store(tmp_path / "no" / "such" / "folder.sqlite") as db:
        with pytest.raises(LabtrawlError, match="unable to open"):
            await db.write(lambda c: _insert(c, "x"))


def test_known_error_passes_unchanged_and_a_foreign_one_is_named() -> None:
    lost = LeaseLost("x")
    assert store_failure(lost) is lost
    assert isinstance(store_failure(RuntimeError("disk I/O error")), DiskFull)
    assert type(store_failure(RuntimeError("locked"))) is StoreError
