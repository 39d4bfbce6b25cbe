"""A migrated database is the schema, neither more nor less, and migrating again changes nothing."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from labtrawl.store.engine import open_engine
from labtrawl.store.migrate import migrate
from labtrawl.store.schema import metadata


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


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrated_database_differs_nowhere_for_alembic(tmp_path: Path) -> None:
    path = tmp_path / "labtrawl.sqlite"
    migrate(path)
    engine = open_engine(path, read_only=True)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


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
