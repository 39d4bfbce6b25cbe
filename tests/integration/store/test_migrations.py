"""A migrated database is the schema, neither more nor less, and migrating again changes nothing."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from labtrawl.store.engine import Connection, Database, open_engine
from labtrawl.store.migrate import as_prepared, migrate
from labtrawl.store.schema import metadata
from tests.integration.store.table import rows
from tests.rig import postgresql

# A row of each table that 0002 rebuilds or adds columns to, as 0001 knew them.
ROWS_OF_0001 = (
    "INSERT INTO instance VALUES (1, 'main', 'http://gitlab', '17', 1)",
    "INSERT INTO account VALUES (1, 1, 5000000000, 'a', '', 'enc', 'active', 1)",
    "INSERT INTO area VALUES (1, 1, 'project', 7, 'lab/p', 'p', '', '', 1, 1)",
    "INSERT INTO job (id, area_id, resource, state, created_at, updated_at, change)"
    " VALUES (1, 1, 'issues', 'completed', 1, 1, 1), (2, 1, 'notes', 'queued', 1, 1, 2)",
    "INSERT INTO ledger VALUES (1, 'issues', 1, 5, 'x-total', 5, NULL, '', 9, 9)",
    "INSERT INTO ledger VALUES (1, 'notes', 2, NULL, '', 0, 'cap', 'too many', NULL, 8)",
    "INSERT INTO session VALUES ('s', 1, 1, 2, NULL)",
    "INSERT INTO admin_link VALUES ('l', 1, 2, NULL)",
)
TABLES = ("account", "admin_link", "job", "ledger", "session")
ROW_OF_AUDIT = (
    "INSERT INTO audit (at, tier, client, level, action, target, outcome, mac)"
    " VALUES (1, 't', 'c', 'low', 'a', 't', 'o', 'm')"
)
CATALOGUE = """
SELECT table_name, column_name, data_type, is_nullable, COALESCE(column_default, '')
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes
WHERE schemaname = 'public' AND indexname NOT LIKE 'pk_%'
ORDER BY 1, 2, 3, 4, 5
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database in which there is nothing."""
    if request.param == "sqlite":
        yield tmp_path / "empty.sqlite"
    else:
        url = postgresql.server().fresh("template0")
        yield url
        postgresql.server().drop(url)


@pytest.fixture
def conditions() -> None:
    """The schema names the conditions of its indexes for SQLite alone; they are both databases'."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.kwargs["postgresql_where"] = index.dialect_options["sqlite"]["where"]


@contextlib.contextmanager
def _connected(database: Database) -> Iterator[Connection]:
    engine = open_engine(database, read_only=False)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


def _objects(path: Path) -> dict[tuple[str, str], list[str]]:
    """Every table with its columns, keys and constraints, every index with its statement.

    How it was written says nothing: a column that was added later has its constraint beside it.
    """
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index')"
        ).fetchall()
        found = {
            (kind, name): _table(connection, name, sql) if kind == "table" else [_flat(sql or "")]
            for kind, name, sql in rows
            if "alembic" not in name
        }
    connection.close()
    return found


def _table(connection: sqlite3.Connection, name: str, sql: str) -> list[str]:
    columns = connection.execute(f"SELECT * FROM pragma_table_info('{name}')").fetchall()
    keys = connection.execute(
        f'SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'{name}\')'
    ).fetchall()
    unique = connection.execute(
        f"SELECT name, \"unique\", origin FROM pragma_index_list('{name}')"
    ).fetchall()
    checks = [_balanced(part) for part in _flat(sql).split(" CHECK ")[1:]]
    return sorted(map(repr, [*(column[1:] for column in columns), *keys, *unique, *checks]))


def _balanced(text: str) -> str:
    """What stands in the brackets that a text begins with."""
    depth = 0
    for place, sign in enumerate(text):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0:
            return text[: place + 1]
    raise ValueError(text)


def _flat(sql: str) -> str:
    return " ".join(sql.split())


def test_migrated_database_equals_the_schema(tmp_path: Path) -> None:
    migrated, created = tmp_path / "migrated.sqlite", tmp_path / "created.sqlite"
    migrate(migrated)
    engine = create_engine(f"sqlite:///{created}")
    metadata.create_all(engine)
    engine.dispose()
    assert _objects(migrated) == _objects(created)


def test_prepared_schema_is_what_all_migrations_come_to(tmp_path: Path) -> None:
    prepared, stepwise = tmp_path / "prepared.sqlite", tmp_path / "stepwise.sqlite"
    migrate(prepared)
    migrate(stepwise, "0001")
    migrate(stepwise)
    anew = "a migration was added: run scripts/newest_schema.py"
    assert as_prepared(prepared) == as_prepared(stepwise), anew
    assert _objects(prepared) == _objects(stepwise)


def test_new_file_is_made_and_known_without_alembic_and_postgresql(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from labtrawl.store import migrate, schema;"
        " [migrate.migrate(Path(sys.argv[1])) for _ in range(2)];"
        " sys.exit(bool({'alembic', 'sqlalchemy.dialects.postgresql'} & set(sys.modules)))"
    )
    path = tmp_path / "new.sqlite"
    done = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    migrate(tmp_path / "here.sqlite")
    assert as_prepared(path) == as_prepared(tmp_path / "here.sqlite")


@pytest.mark.usefixtures("conditions")
def test_migrated_postgresql_equals_the_schema() -> None:
    migrated, created = (postgresql.server().fresh(name) for name in ("", "template0"))
    with _connected(created) as connection:
        metadata.create_all(connection)
    found = []
    for url in (migrated, created):
        with _connected(url) as connection:
            told = rows(connection, CATALOGUE)
            found.append([row for row in told if "alembic" not in row[0]])
        postgresql.server().drop(url)
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*expression-based index")
@pytest.mark.usefixtures("conditions")
def test_migrated_database_differs_nowhere_for_alembic(empty: Database) -> None:
    migrate(empty)
    with _connected(empty) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_rows_of_the_first_schema_are_kept(empty: Database) -> None:
    migrate(empty, "0001")
    with _connected(empty) as connection:
        for statement in ROWS_OF_0001:
            connection.exec_driver_sql(statement)
        before = {name: _columns(connection, name) for name in TABLES}
    migrate(empty)
    with _connected(empty) as connection:
        for name, kept in before.items():
            now = _columns(connection, name)
            assert {column: now[column] for column in kept} == kept
        assert rows(connection, "SELECT role, person_id FROM session") == [("admin", None)]
        assert rows(connection, "SELECT role FROM admin_link") == [("admin",)]
        assert rows(connection, "SELECT wanted FROM job") == [("run",), ("run",)]


def test_role_that_lists_were_stored_with_is_taken_over_as_far_as_it_is_known(
    empty: Database,
) -> None:
    migrate(empty, "0001")
    with _connected(empty) as connection:
        for statement in ROWS_OF_0001:
            connection.exec_driver_sql(statement)
    migrate(empty, "0009")
    with _connected(empty) as connection:
        connection.exec_driver_sql("UPDATE job SET read_role = 10 + 10 * id")
        connection.exec_driver_sql("DELETE FROM visit")
        connection.exec_driver_sql(
            "INSERT INTO visit (area_id, resource, role) VALUES (1, 'issues', 40), (1, 'notes', 10)"
        )
    migrate(empty)
    with _connected(empty) as connection:
        told = "SELECT resource, stored_role FROM ledger ORDER BY resource"
        assert rows(connection, told) == [("issues", 40), ("notes", 30)]


def _columns(connection: Connection, table: str) -> dict[str, list[object]]:
    found = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2")
    names = list(found.keys())
    return dict(zip(names, map(list, zip(*found.all(), strict=True)), strict=True))


@pytest.mark.parametrize("change", ["UPDATE audit SET mac = 'x'", "DELETE FROM audit"])
def test_audit_log_is_append_only(empty: Database, change: str) -> None:
    migrate(empty)
    with _connected(empty) as connection:
        connection.exec_driver_sql(ROW_OF_AUDIT)
    with pytest.raises(DBAPIError, match="append-only"), _connected(empty) as connection:
        connection.exec_driver_sql(change)
    with _connected(empty) as connection:
        assert rows(connection, "SELECT id, mac FROM audit") == [(1, "m")]


def test_audit_log_on_postgresql_cannot_be_emptied_at_once() -> None:
    url = postgresql.server().fresh()
    with pytest.raises(DBAPIError, match="append-only"), _connected(url) as connection:
        connection.exec_driver_sql("TRUNCATE audit")
    postgresql.server().drop(url)


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    migrate(path)
    before = _objects(path)
    migrate(path)
    assert _objects(path) == before


def test_database_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "config" / "labtrawl.sqlite"
    migrate(path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
