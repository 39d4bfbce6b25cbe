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
    """Every table and index with the statement that made it, white space apart."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    connection.close()
    return {(kind, name): _parts(sql or "") for kind, name, sql in rows if "alembic" not in name}


def _parts(sql: str) -> list[str]:
    """A statement's lines in any order: that of columns and constraints says nothing."""
    return sorted(line.strip().rstrip(",") for line in sql.splitlines() if line.strip(" ,\t"))


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
