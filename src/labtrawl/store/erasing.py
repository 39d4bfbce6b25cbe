"""What was erased is gone from the files of the database too, as far as SQLite can.

Each write overwrites what it frees (`secure_delete`, store/sqlite). The write-ahead log keeps the
pages as they were until it is begun anew: that is done at once here. What a file system, a disk or a
backup keeps of earlier files is out of reach.
"""

import contextlib
from pathlib import Path

from labtrawl.store.engine import Database, store_failure
from labtrawl.store.sqlite import BUSY_MS, sqlite_module


def empty_log(database: Database) -> bool:
    """Bring the write-ahead log into the database and empty it; say whether it is empty now.

    It waits for readers for some seconds; beside one that stays longer it is emptied another time.
    Of PostgreSQL, whose log belongs to the server, nothing is done.
    """
    if not isinstance(database, Path):
        return False
    module = sqlite_module()
    opened = contextlib.closing(module.connect(str(database), timeout=BUSY_MS / 1000))
    try:
        with opened as connection:
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except module.Error as error:
        raise store_failure(error) from None
    return not is_busy
