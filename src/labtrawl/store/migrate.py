"""Bring a database file to the newest schema; safe to call at every start."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from labtrawl.store.engine import open_engine, store_failure


def migrate(path: Path) -> None:
    """Create the database at `path` or bring its schema up to date, in one transaction."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_engine(path, read_only=False)
    try:
        with engine.connect() as connection, connection.begin():
            config = Config()
            config.set_main_option("script_location", "labtrawl.store:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except Exception as error:
        raise store_failure(error) from error
    finally:
        engine.dispose()
    path.chmod(0o600)
