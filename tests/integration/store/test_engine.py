"""The engine on both databases: group commit, readers that cannot write, errors without values."""

import asyncio
import threading
import traceback
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from labtrawl.errors import BadMessage, DiskFull, LeaseLost, StoreError
from labtrawl.store import tasks
from labtrawl.store.engine import NOW_MS, Connection, Database, open_snapshots, store_failure
from tests.integration.store.table import grouped, insert, names, planned, rows, store


async def test_group_is_one_commit_and_a_failing_item_leaves_its_neighbours_alone(
    database: Database,
) -> None:
    def breaks(connection: Connection) -> None:
        insert(connection, "broken")
        raise LeaseLost("no")

    def collides(connection: Connection) -> None:
        insert(connection, "half")
        insert(connection, "first")

    async with store(database) as db:
        before = db.changes.commits
        outcomes = await grouped(
            db,
            lambda c: insert(c, "first"),
            breaks,
            collides,
            lambda c: insert(c, "last"),
        )
        assert [type(one).__name__ for one in outcomes] == [
            "NoneType",
            "LeaseLost",
            "IntegrityError",
            "NoneType",
        ]
        assert await db.read(names) == ["first", "last"]
        assert db.changes.commits == before + 2


async def test_error_of_the_driver_does_not_tell_the_values(database: Database) -> None:
    async with store(database) as db:
        name = "can" + "ary"  # a traceback shows the source as well
        await db.write(lambda c: insert(c, name))
        with pytest.raises(Exception, match=r"(?i)unique") as raised:
            await db.write(lambda c: insert(c, name))
        assert name not in "".join(traceback.format_exception(raised.value))


async def test_value_that_no_column_can_hold_is_refused(database: Database) -> None:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        with pytest.raises(BadMessage, match="cannot keep"):
            await db.write(lambda c: tasks.prioritise(c, job_id, 2**63))
        with pytest.raises(BadMessage, match="cannot keep"):
            await db.read(lambda c: c.exec_driver_sql("SELECT 1 LIMIT ?", (2**63,)).all())


async def test_refusal_that_rests_on_an_undone_neighbour_is_no_refusal(database: Database) -> None:
    """Its neighbours' changes were never committed: whoever was refused by them may ask again."""

    def refuse(connection: Connection) -> None:
        if "first" in names(connection):
            raise LeaseLost("the neighbour was here")

    def breaks_all(_connection: Connection) -> None:
        raise OperationalError("COMMIT", None, RuntimeError("the database went away"))

    async with store(database) as db:
        outcomes = await grouped(db, lambda c: insert(c, "first"), refuse, breaks_all)
        assert [type(one) for one in outcomes] == [StoreError] * 3
        assert await db.read(names) == []


async def test_reader_cannot_change_anything(database: Database) -> None:
    async with store(database) as db:
        with pytest.raises(StoreError, match=r"read-?only"):
            await db.read(lambda c: insert(c, "x"))
        assert await db.read(names) == []


async def test_reader_sees_one_state_while_others_write(database: Database) -> None:
    async with store(database) as db:
        begun, go_on = threading.Event(), threading.Event()

        def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
            first = names(connection)
            begun.set()
            go_on.wait(30)
            return first, names(connection)

        looking = asyncio.ensure_future(db.read(look_twice))
        await asyncio.to_thread(begun.wait, 30)
        await db.write(lambda c: insert(c, "new"))
        go_on.set()
        assert await looking == ([], [])
        assert await db.read(names) == ["new"]


async def test_write_after_the_end_is_refused_and_what_was_queued_is_finished(
    database: Database,
) -> None:
    async with store(database) as db:

        def numbered(number: int) -> Callable[[Connection], None]:
            return lambda c: insert(c, f"{number}")

        queued = [asyncio.ensure_future(db.write(numbered(number))) for number in range(9)]
        await asyncio.sleep(0)
    await asyncio.gather(*queued)
    with pytest.raises(StoreError, match="closed"):
        await db.write(lambda c: insert(c, "late"))


async def test_writer_that_nobody_waits_for_any_more_still_writes(database: Database) -> None:
    async with store(database) as db:
        gate = threading.Event()
        blocker = asyncio.ensure_future(db.write(lambda _c: gate.wait(30)))
        given_up = asyncio.ensure_future(db.write(lambda c: insert(c, "kept")))
        await asyncio.sleep(0)
        given_up.cancel()
        gate.set()
        await blocker
        await db.write(lambda c: insert(c, "last"))
        assert await db.read(names) == ["kept", "last"]


async def test_waiter_that_took_its_ticket_before_reading_misses_no_commit(
    database: Database,
) -> None:
    async with store(database) as db:
        ticket = db.changes.ticket()
        await db.write(lambda c: insert(c, "x"))
        assert ticket.is_set()
        assert not db.changes.ticket().is_set()


async def test_what_was_written_is_there_for_another_process_when_the_write_returns(
    database: Database,
) -> None:
    async with store(database) as db:
        await db.write(lambda c: insert(c, "one"))
        with open_snapshots(database) as other:
            assert other.read_now(names) == ["one"]


async def test_two_stores_write_one_after_the_other(database: Database) -> None:
    """A change has a number of its own, whoever made it: viewers read on from the last they saw."""

    def plan(connection: Connection) -> None:
        planned(connection, 20)

    def touch(connection: Connection) -> None:
        connection.exec_driver_sql(
            "UPDATE job SET change = (SELECT MAX(change) + 1 FROM job)"
            " WHERE id = (SELECT id FROM job ORDER BY change, id LIMIT 1)"
        )

    async with store(database) as one, store(database) as two:
        await one.write(plan)
        await asyncio.gather(*(db.write(touch) for _ in range(10) for db in (one, two)))
        changes = await one.read(lambda c: rows(c, "SELECT change FROM job ORDER BY change"))
        assert len(set(changes)) == 20


async def test_clock_stands_within_a_statement_and_goes_on_within_a_transaction(
    database: Database,
) -> None:
    def look(connection: Connection) -> tuple[int, int]:
        ((first, again),) = rows(connection, f"SELECT {NOW_MS}, {NOW_MS}")
        assert first == again
        for _ in range(10_000):
            ((later,),) = rows(connection, f"SELECT {NOW_MS}")
            if later > first:
                break
        return first, later

    async with store(database) as db:
        first, later = await db.write(look)
        assert 10**12 < first < later


async def test_text_with_a_nul_is_no_reason_to_fail(database: Database) -> None:
    async with store(database) as db:
        await db.write(lambda c: insert(c, "a\0b"))
        assert len((await db.read(names))[0]) == 3


def test_known_error_passes_unchanged_and_a_foreign_one_is_named() -> None:
    lost = LeaseLost("x")
    assert store_failure(lost) is lost
    assert isinstance(store_failure(RuntimeError("disk I/O error")), DiskFull)
    assert type(store_failure(RuntimeError("locked"))) is StoreError
