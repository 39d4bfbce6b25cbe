"""Bring a database to the newest schema; safe to call at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from labtrawl.store.engine import Database, check_order, open_engine, store_failure

NEWEST = "head"


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
            _upgrade(connection, revision)
    except Exception as error:
        raise store_failure(error) from error
    finally:
        engine.dispose()
    if isinstance(database, Path):
        database.chmod(0o600)


def is_newest(connection: Connection) -> bool:
    """Say whether a database has the newest schema; changes nothing."""
    config = Config()
    config.set_main_option("script_location", "labtrawl.store:migrations")
    wanted = ScriptDirectory.from_config(config).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == wanted


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "labtrawl.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
