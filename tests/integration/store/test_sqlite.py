"""What is SQLite's alone: versions, a full disk, a file that is something else."""

from pathlib import Path

import pytest

from labtrawl.errors import DiskFull, LabtrawlError, StoreError
from labtrawl.store.engine import open_snapshots, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sqlite import has_wal_reset_bug, sqlite_module
from tests.integration.store.table import grouped, insert, names, rows, store


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


async def test_full_disk_fails_the_whole_group_and_work_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: insert(c, "before"))
        pages = await db.write(lambda c: rows(c, "PRAGMA page_count")[0][0])
        await db.write(lambda c: rows(c, f"PRAGMA max_page_count = {pages}"))
        outcomes = await grouped(
            db,
            lambda c: insert(c, "small"),
            lambda c: insert(c, "x" * 200_000),
            lambda c: insert(c, "after"),
        )
        assert {type(one) for one in outcomes} == {DiskFull}
        assert await db.read(names) == ["before"]
        await db.write(lambda c: rows(c, "PRAGMA max_page_count = 1073741823"))
        await db.write(lambda c: insert(c, "later"))
        assert await db.read(names) == ["before", "later"]


async def test_write_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    async with store(tmp_path) as db:
        await db.write(lambda c: insert(c, "one"))
        with open_snapshots(tmp_path / "config" / "labtrawl.sqlite") as other:
            assert other.read_now(names) == ["one"]
        told = await db.write(
            lambda c: [
                rows(c, f"PRAGMA {name}")[0][0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        )
        assert told == ["wal", 2, 1]


async def test_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    path.write_text("this is no database at all, but long enough to be read as one")
    with pytest.raises(StoreError, match="not a database"):
        migrate(path)


async def test_store_that_cannot_be_opened_answers_each_write_with_an_error(tmp_path: Path) -> None:
    async with open_store(tmp_path / "no" / "such" / "folder.sqlite") as db:
        with pytest.raises(LabtrawlError, match="unable to open"):
            await db.write(lambda c: insert(c, "x"))
