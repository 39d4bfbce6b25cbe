"""The audit log on a real database: each row fits to the one before, and what does not is named."""

import asyncio
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.errors import ConfigError
from labtrawl.store import audit
from labtrawl.store.audit import Entry, Head, Verdict
from labtrawl.store.engine import Connection, Database
from tests.integration.store.table import rows, store
from tests.integration.website.keys import TestKeys

FIRST = Entry("api_token", "ltw_0a", "low", "GET /x", "/x", "200")
SECOND = Entry("none", "nobody", "none", "POST /y", "/y", "401", "why")
THIRD = Entry("admin_session", "admin 1", "medium", "POST /z", "/z", "303")


def write_three(connection: Connection) -> Head:
    keys = TestKeys()
    audit.append_all(connection, keys, [FIRST, SECOND])
    assert audit.append(connection, keys, THIRD) == 3
    return audit.head(connection)


def unlocked(connection: Connection, *changes: str) -> None:
    """Do what somebody with the database in his hands can do."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER USER")
    else:
        for verb in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER audit_no_{verb}")
    for change in changes:
        connection.exec_driver_sql(change)


@pytest.mark.seed("S2.47", "S2.48", "S2.49", "S2.50")
async def test_whole_log_is_verified(database: Database) -> None:
    async with store(database) as opened:
        head = await opened.write(write_three)
        listed = await opened.read(lambda c: audit.newest(c, 2))
        assert [(row.id, row.entry) for row in listed] == [(3, THIRD), (2, SECOND)]
        assert await opened.read(lambda c: audit.verify(c, TestKeys(), head)) == Verdict(3)


async def test_empty_log_is_whole(database: Database) -> None:
    async with store(database) as opened:
        assert await opened.read(lambda c: audit.verify(c, TestKeys(), None)) == Verdict(0)


@pytest.mark.parametrize("change", ["UPDATE audit SET outcome = '200'", "DELETE FROM audit"])
async def test_row_cannot_be_changed_or_removed(database: Database, change: str) -> None:
    async with store(database) as opened:
        await opened.write(write_three)
        with pytest.raises(Exception, match="append-only"):
            await opened.write(lambda c: c.exec_driver_sql(change))


SWAP = (
    "UPDATE audit SET id = 9 WHERE id = 1",
    "UPDATE audit SET id = 1 WHERE id = 2",
    "UPDATE audit SET id = 2 WHERE id = 9",
)
TAMPERED = [
    ((f"UPDATE audit SET {column} = 'other' WHERE id = 2",), (1, "row 2 was changed"))
    for column in ("tier", "client", "action", "target", "outcome", "detail")
] + [
    (("UPDATE audit SET at = at + 1 WHERE id = 1",), (0, "row 1 was changed")),
    (("UPDATE audit SET level = 'high' WHERE id = 3",), (2, "row 3 was changed")),
    (("UPDATE audit SET mac = 'hmac:first:00' WHERE id = 1",), (0, "row 1 was changed")),
    (("UPDATE audit SET mac = 'none' WHERE id = 1",), (0, "row 1 was changed")),
    (("UPDATE audit SET mac = 'hmac:stolen:00' WHERE id = 1",), (0, "there is no key stolen")),
    (("DELETE FROM audit WHERE id = 1",), (0, "row 1 was removed")),
    (("DELETE FROM audit WHERE id = 2",), (1, "row 2 was removed")),
    (SWAP, (0, "row 1 was changed, inserted or moved")),
    (
        (
            "INSERT INTO audit SELECT 4, at, tier, client, level, action, target, outcome, detail,"
            " mac FROM audit WHERE id = 2",
        ),
        (3, "row 4 was changed, inserted or moved"),
    ),
    (("DELETE FROM audit WHERE id = 3",), (2, "the end was cut off: the log had 3 rows and has 2")),
    (("DELETE FROM audit",), (0, "the end was cut off: the log had 3 rows and has 0")),
]


@pytest.mark.parametrize(("changes", "found"), TAMPERED, ids=lambda each: str(each)[:60])
async def test_tampering_is_named(
    database: Database, changes: tuple[str, ...], found: tuple[int, str]
) -> None:
    async with store(database) as opened:
        head = await opened.write(write_three)
        await opened.write(lambda c: unlocked(c, *changes))
        verdict = await opened.read(lambda c: audit.verify(c, TestKeys(), head))
        assert (verdict.rows, found[1] in verdict.problem) == (found[0], True), verdict.problem


async def test_log_written_anew_is_found_by_the_head(database: Database) -> None:
    async with store(database) as opened:
        head = await opened.write(write_three)
        await opened.write(lambda c: unlocked(c, "DELETE FROM audit"))
        await opened.write(write_three_others)
        verdict = await opened.read(lambda c: audit.verify(c, TestKeys(), head))
        assert verdict == Verdict(
            3, "row 3 is not the one that was remembered: the log was replaced"
        )


def write_three_others(connection: Connection) -> None:
    audit.append_all(connection, TestKeys(), [FIRST, FIRST, FIRST])


def swap_for_a_sealed_row(connection: Connection) -> None:
    """Put a row that labtrawl itself sealed, in another course of events, between two others."""
    (third,) = rows(connection, "SELECT * FROM audit WHERE id = 3")
    unlocked(connection, "DELETE FROM audit WHERE id > 1")
    audit.append(connection, TestKeys(), FIRST)
    connection.exec_driver_sql("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", third)


async def test_row_of_another_course_of_events_does_not_fit(database: Database) -> None:
    async with store(database) as opened:
        head = await opened.write(write_three)
        await opened.write(swap_for_a_sealed_row)
        verdict = await opened.read(lambda c: audit.verify(c, TestKeys(), head))
        assert verdict == Verdict(2, "row 3 was changed, inserted or moved: its seal does not fit")


async def test_log_without_a_head_cannot_be_called_whole(database: Database) -> None:
    async with store(database) as opened:
        await opened.write(write_three)
        verdict = await opened.read(lambda c: audit.verify(c, TestKeys(), None))
        assert (verdict.rows, "the head is missing" in verdict.problem) == (3, True)


async def test_rows_of_an_earlier_key_stay_verifiable(database: Database) -> None:
    keys = TestKeys({"first": b"1", "second": b"2"})
    async with store(database) as opened:
        await opened.write(write_three)
        await opened.write(lambda c: audit.append(c, keys, FIRST))
        head = await opened.read(audit.head)
        macs = await opened.read(lambda c: rows(c, "SELECT mac FROM audit ORDER BY id"))
        assert [row[0].split(":")[1] for row in macs] == ["first"] * 3 + ["second"]
        assert await opened.read(lambda c: audit.verify(c, keys, head)) == Verdict(4)


async def test_change_that_fails_leaves_no_row(database: Database) -> None:
    def both(connection: Connection) -> None:
        audit.append(connection, TestKeys(), FIRST)
        raise ConfigError("no")

    async with store(database) as opened:
        with pytest.raises(ConfigError):
            await opened.write(both)
        assert await opened.read(audit.head) == Head()


async def test_head_is_kept_at_the_end(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "audit.head"
    async with store(database) as opened:
        newest = await opened.write(write_three)
        audit.remember(path, Head())
        keeping = asyncio.create_task(audit.keep_head(opened, path, system_clock()))
        await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert audit.remembered_in(path) == newest


async def test_end_that_was_cut_off_stays_known(database: Database, tmp_path: Path) -> None:
    """The head goes on only from a row that is still there: else a minute would hide the cut."""
    path = tmp_path / "audit.head"
    async with store(database) as opened:
        newest = await opened.write(write_three)
        await audit.keep(opened, path)
        await opened.write(lambda c: unlocked(c, "DELETE FROM audit WHERE id >= 2"))
        await opened.write(lambda c: audit.append(c, TestKeys(), SECOND))
        await audit.keep(opened, path)
        assert audit.remembered_in(path) == newest
        verdict = await opened.read(lambda c: audit.verify(c, TestKeys(), newest))
        assert verdict == Verdict(2, "the end was cut off: the log had 3 rows and has 2")
        path.unlink()  # somebody who may do so accepts it
        await audit.keep(opened, path)
        assert audit.remembered_in(path) == await opened.read(audit.head)


async def test_head_that_is_no_head_is_kept_for_who_looks(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "audit.head"
    path.write_text("{")
    async with store(database) as opened:
        await opened.write(write_three)
        await audit.keep(opened, path)
    assert path.read_text() == "{"


def test_head_that_is_no_head_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.head"
    assert audit.remembered_in(path) is None
    path.write_text("{")
    with pytest.raises(ConfigError, match="was changed"):
        audit.remembered_in(path)
