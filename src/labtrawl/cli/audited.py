"""Changes made at the command line: durable together with their row of the audit log, or neither.

They work while the website runs: one short transaction each.
"""

import asyncio
import getpass
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from labtrawl.cli.database_file import check_is_database, check_is_writable
from labtrawl.config import Settings
from labtrawl.errors import ConfigError
from labtrawl.store import audit
from labtrawl.store.engine import Connection, database_path, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.secrets import key_path, open_cipher

T = TypeVar("T")
SHOWN_FOLDERS = 3
# What one does, and the target and the outcome of it as they are written down.
Change = Callable[[Connection], tuple[T, str, str]]


def database_of(settings: Settings) -> Path:
    """Return the database of a data folder; ConfigError where there is none."""
    path = place_of(settings)
    check_is_database(path)
    return path


def place_of(settings: Settings) -> Path:
    """Return where the database lies, whatever it holds; ConfigError where there is none yet."""
    path = database_path(settings.data_dir)
    if not path.exists():
        raise ConfigError(
            f"there is no labtrawl in {settings.data_dir}; start one with labtrawl start,"
            f" or name its folder with --data-dir{folders_here()}"
        )
    return path


def folders_here() -> str:
    """Name data folders below the working folder, for those who forgot which; "" for none."""
    places = [each for place in ("*", "data.private/*") for each in Path().glob(place)]
    found = [each for each in places if database_path(each).is_file() and not each.is_symlink()]
    names = sorted(map(str, found))
    more = ", …" if len(names) > SHOWN_FOLDERS else ""
    return f" (here is {', '.join(names[:SHOWN_FOLDERS])}{more})" if names else ""


def check_has_website(settings: Settings) -> None:
    """Raise ConfigError where a website's keys, links and tokens are asked for and none can be."""
    if is_of_crawl(settings):
        raise ConfigError(
            f"{settings.data_dir} is a folder of `labtrawl crawl`, which has no website; `labtrawl"
            f" init --data-dir {shlex.quote(str(settings.data_dir))}`, then `labtrawl start`, gives"
            " it one"
        )


async def audited(settings: Settings, action: str, change: Change[T]) -> T:
    """Do a change and write it down; what it raises undoes both."""
    path = database_of(settings)
    check_is_writable(path)
    if is_of_crawl(settings):
        return await _unaudited(path, change)
    keys = open_cipher(key_path(settings.data_dir))

    def both(connection: Connection) -> T:
        done, target, outcome = change(connection)
        who = ("command_line", _user(), "high")
        audit.append(connection, keys, audit.Entry(*who, action, target, outcome))
        return done

    migrate(path)
    async with open_store(path) as store:
        done = await store.write(both)
        await audit.keep(store, audit.head_path(settings.data_dir))
    return done


def is_of_crawl(settings: Settings) -> bool:
    """Say whether a data folder is one of `labtrawl crawl`, which has no key and no audit log.

    There is no website for others to change anything by: it is its user's own, as a file is.
    """
    from labtrawl.cli.crawl_place import kept_path

    return kept_path(settings.data_dir).is_file() and not key_path(settings.data_dir).exists()


async def _unaudited(path: Path, change: Change[T]) -> T:
    migrate(path)
    async with open_store(path) as store:
        done, _, _ = await store.write(change)
        return done


def note(settings: Settings, action: str, target: str, outcome: str) -> None:
    """Write down what was done outside the database; nothing where there is none yet."""
    if database_path(settings.data_dir).is_file():
        asyncio.run(audited(settings, action, lambda _connection: (None, target, outcome)))


def _user() -> str:
    try:
        return f"user {getpass.getuser()}"
    except (OSError, KeyError):
        return f"user {os.getuid()}"
