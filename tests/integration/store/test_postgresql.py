"""What is PostgreSQL's alone: the translation, a lost connection, its own errors, its driver."""

import sys
from collections.abc import Iterator

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.errors import BadMessage, DiskFull, StoreError
from labtrawl.store import leases
from labtrawl.store.engine import NOW_MS, Connection, open_engine, open_snapshots, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.postgresql import CLOCK_MS, translate
from tests.integration.store.table import grouped, insert, names, planned, rows, store
from tests.rig import postgresql

RAISE = "DO $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = '{state}'; END $$"


@pytest.fixture
def url() -> Iterator[Secret]:
    fresh = postgresql.server().fresh()
    yield fresh
    postgresql.server().drop(fresh)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT a FROM job WHERE b = ? AND c = ?", "SELECT a FROM job WHERE b = %s AND c = %s"),
        ("SELECT i % 7", "SELECT i %% 7"),
        (f"SELECT {NOW_MS} + ?", f"SELECT {CLOCK_MS} + %s"),
        ("SET a = MAX(a, b + ?)", "SET a = GREATEST(a, b + %s)"),
        ("SELECT COALESCE(MAX(a), 0) FROM job", "SELECT COALESCE(MAX(a), 0) FROM job"),
        (r"WHERE a.b LIKE ? ESCAPE '\'", "WHERE LOWER(a.b) LIKE (SELECT LOWER(%s))"),
        ("WHERE a.b LIKE ?", "WHERE LOWER(a.b) LIKE (SELECT LOWER(%s))"),
        ("WHERE a.b LIKE ? ESCAPE '/'", "WHERE a.b ILIKE %s ESCAPE '/'"),
        ("WHERE a LIKE CAST(? AS TEXT)", "WHERE a ILIKE CAST(%s AS TEXT)"),
        ("FROM job AS j INDEXED BY ix_job_due\nWHERE", "FROM job AS j \nWHERE"),
    ],
)
def test_statement_is_translated(ours: str, theirs: str) -> None:
    assert translate(ours) == theirs


async def test_lost_connection_fails_the_whole_group_and_work_goes_on_with_another(
    url: Secret,
) -> None:
    def cut(connection: Connection) -> None:
        rows(connection, "SELECT pg_terminate_backend(pg_backend_pid())")

    async with store(url) as db:
        await db.write(lambda c: insert(c, "before"))
        outcomes = await grouped(db, lambda c: insert(c, "one"), cut, lambda c: insert(c, "two"))
        assert {type(one) for one in outcomes} == {StoreError}
        await db.write(lambda c: insert(c, "later"))
        assert await db.read(names) == ["before", "later"]


async def test_connections_that_the_server_closed_are_made_again(url: Secret) -> None:
    async with store(url) as db:
        await db.write(lambda c: insert(c, "one"))
        assert await db.read(names) == ["one"]
        postgresql.server().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        assert await db.read(names) == ["one"]
        await db.write(lambda c: insert(c, "two"))
        assert await db.read(names) == ["one", "two"]


async def test_full_disk_fails_the_whole_group_and_work_goes_on_when_there_is_room(
    url: Secret,
) -> None:
    words = "could not extend file: No space left on device"

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql(RAISE.format(words=words, state="53100"))

    async with store(url) as db:
        outcomes = await grouped(db, lambda c: insert(c, "one"), fill, lambda c: insert(c, "two"))
        assert {type(one) for one in outcomes} == {DiskFull}
        await db.write(lambda c: insert(c, "later"))
        assert await db.read(names) == ["later"]


async def test_value_that_is_refused_is_not_told(url: Secret) -> None:
    async with store(url) as db:
        with pytest.raises(BadMessage) as raised:
            await db.read(lambda c: rows(c, "SELECT CAST('canary' AS INTEGER) AS number"))
        assert "canary" not in str(raised.value)


async def test_writer_waits_for_the_other_writer_and_says_so_when_it_takes_too_long(
    url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labtrawl.store.postgresql.BUSY_MS", 50)
    first = open_engine(url, read_only=False)
    with first.begin() as connection:
        insert(connection, "mine")
        async with open_store(url) as db:
            with pytest.raises(StoreError, match="lock timeout"):
                await db.write(lambda c: insert(c, "yours"))
    first.dispose()
    with open_snapshots(url) as db_now:
        assert db_now.read_now(names) == ["mine"]


async def test_claim_searches_its_index(url: Secret) -> None:
    """A hundred thousand jobs are not looked at for one: the plan, with statistics."""

    def plan(connection: Connection) -> str:
        planned(connection)
        connection.exec_driver_sql(
            "INSERT INTO job (area_id, resource, state, priority, created_at, updated_at, change)"
            " SELECT 1, 'x' || i, CASE i % 10 WHEN 0 THEN 'queued' ELSE 'completed' END,"
            " i % 6, 0, 0, i FROM generate_series(1, 20000) AS i"
        )
        connection.exec_driver_sql("ANALYZE job")
        found = rows(connection, f"EXPLAIN {leases.NEEDS_CARE}")
        for row in connection.exec_driver_sql(f"EXPLAIN {leases.CLAIMABLE}", (None, None, 8)):
            found.append(tuple(row))
        return "\n".join(line for (line,) in found)

    async with store(url) as db:
        told = await db.write(plan)
        for index in ("ix_job_due", "ix_job_run_after", "ix_job_lease_expires_at"):
            assert index in told
        assert "Seq Scan on job" not in told, told


def test_database_that_sorts_by_a_language_is_refused_with_the_command_that_makes_a_right_one(
    url: Secret,
) -> None:
    """Not every machine has a language installed: an operator that ignores case stands for one."""
    engine = open_engine(url, read_only=False)
    with engine.begin() as connection:
        for statement in (
            "CREATE SCHEMA odd",
            "CREATE FUNCTION odd.below(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE"
            " AS $$ SELECT lower($1) OPERATOR(pg_catalog.<) lower($2) $$",
            "CREATE OPERATOR odd.< (LEFTARG = text, RIGHTARG = text, FUNCTION = odd.below)",
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = odd, pg_catalog,"
            " public', current_database()); END $$",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with pytest.raises(StoreError, match="CREATE DATABASE labtrawl TEMPLATE template0"):
        migrate(url)


def test_url_that_is_none_is_one_sentence_without_it() -> None:
    for wrong in ("mysql://user:canary@host/db", "canary"):
        with pytest.raises(StoreError, match="postgresql://user@host") as raised:
            migrate(Secret(wrong))
        assert "canary" not in str(raised.value)


def test_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StoreError, match="refused") as raised:
        migrate(Secret("postgresql://user:canary@127.0.0.1:1/labtrawl"))
    assert "canary" not in str(raised.value)


def test_driver_that_is_not_installed_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "labtrawl.store.postgresql", None)
    monkeypatch.delattr("labtrawl.store.postgresql", raising=False)
    with pytest.raises(StoreError, match=r"pip install 'labtrawl\[postgresql\]'"):
        open_engine(Secret("postgresql://user@host/db"), read_only=True)
