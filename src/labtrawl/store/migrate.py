"""Bring a database to the newest schema; safe to call at every start.

A new SQLite file is made from `newest.sql`, which holds what all migrations come to: a crawl shall
not wait for Alembic. A test compares both; `scripts/newest_schema.py` writes the file after a
migration was added.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

from labtrawl.errors import StoreError
from labtrawl.store.engine import Database, check_order, open_engine, store_failure

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "head"
PREPARED = "newest.sql"
_REVISION = "-- revision "


def migrate(database: Database, revision: str = NEWEST) -> None:
    """Create a SQLite file or fill a PostgreSQL database, or bring its schema up to date.

    All of it happens in one transaction. StoreError for a PostgreSQL that sorts by a language.
    """
    if isinstance(database, Path):
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_engine(database, read_only=False)
    try:
        with engine.connect() as connection, connection.begin():
            check_order(connection)
            is_file = isinstance(database, Path)
            if not (is_file and revision == NEWEST and _is_prepared(connection)):
                _upgrade(connection, revision)
    except Exception as error:
        raise store_failure(error) from error
    finally:
        engine.dispose()
    if isinstance(database, Path):
        database.chmod(0o600)


def is_begun(connection: Connection) -> bool:
    """Say whether a database has tables: a first start that was killed may leave a file empty."""
    return bool(inspect(connection).get_table_names())


def is_newest(connection: Connection) -> bool:
    """Say whether a database that `migrate` has seen has the newest schema; changes nothing."""
    wanted = next(_prepared())
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
    return [revision for (revision,) in found] == [wanted]


def _is_prepared(connection: Connection) -> bool:
    """Fill an empty file; say whether it has the newest schema now."""
    revision, *statements = _prepared()
    tables = inspect(connection).get_table_names()
    if not tables:
        for statement in statements:
            connection.exec_driver_sql(statement)
        return True
    if "alembic_version" not in tables:
        return False
    versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
    return list(versions.scalars()) == [revision]


def _prepared() -> Iterator[str]:
    """Yield the revision of the prepared schema, and its statements."""
    first, *lines = Path(__file__).with_name(PREPARED).read_text("utf-8").splitlines()
    yield first.removeprefix(_REVISION)
    statement = ""
    for line in lines:
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def as_prepared(path: Path) -> str:
    """Return the schema of a migrated SQLite file in the words of `newest.sql`."""
    connection = sqlite3.connect(path)
    with connection:
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        made = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE"
            " '\\' ORDER BY rowid"
        )
        statements = ["\n".join(map(str.rstrip, f"{sql};".splitlines())) for (sql,) in made]
    connection.close()
    version = f"INSERT INTO alembic_version (version_num) VALUES ('{revision}');"
    return "\n".join((_REVISION + revision, *statements, version)) + "\n"


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - 50 ms and 7 MB that few runs need
    from alembic.util.exc import CommandError  # noqa: PLC0415 - as above

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        if "Can't locate revision" not in str(error):
            raise
        raise StoreError(
            "the data folder was used by a newer labtrawl: use that version; nothing was changed"
        ) from error


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - as `_upgrade`

    config = Config()
    config.set_main_option("script_location", "labtrawl.store:migrations")
    return config
