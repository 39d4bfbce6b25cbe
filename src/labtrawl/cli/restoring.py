"""A data folder out of a backup: everything is checked beside its place, then it gets its name."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from labtrawl.cli.backing import DATABASE, DATASET, SETTINGS
from labtrawl.cli.chests import (
    Chest,
    Contents,
    File,
    copy_checked,
    open_chest,
    sync_folder,
    sync_folders,
)
from labtrawl.cli.key_file import put_keys, read_kept
from labtrawl.cli.settings_desk import with_setting
from labtrawl.dataset.layout import parse_segment_name
from labtrawl.errors import ConfigError, Conflict, DiskFull, StoreError
from labtrawl.store import audit
from labtrawl.store import backup as rows
from labtrawl.store.engine import Connection, database_path, open_store
from labtrawl.store.migrate import migrate

CRAWL = "config/crawl.json"
_DRAFT = ".labtrawl-restoring-"
_ELSEWHERE = ("data_dir", "runtime_dir", "socket.path", "socket.http_path", "auth_socket.path")


@dataclass(frozen=True, slots=True)
class Restored:
    """What is there now; `dropped` are the settings that named other places."""

    contents: Contents
    has_keys: bool
    dropped: tuple[str, ...] = ()

    @property
    def is_of_crawl(self) -> bool:
        """Whether it is a folder of `labtrawl crawl`, which has no keys and needs none."""
        return any(each.name == CRAWL for each in self.contents.files)

    @property
    def segments(self) -> int:
        """How many files of the dataset there are."""
        return sum(each.name.startswith(DATASET) for each in self.contents.files)


def check_backup(source: Path, is_stopped: Callable[[], bool] = lambda: False) -> Contents:
    """Read every byte of a backup and compare it with its list, its database too.

    Raises ConfigError for whatever is damaged, Conflict where it is stopped.
    """
    with open_chest(source) as chest:
        contents = checked_contents(chest, source)
        with tempfile.TemporaryDirectory(prefix="labtrawl-check-") as folder:
            database = Path(folder) / "labtrawl.sqlite"
            for each in contents.files:
                if is_stopped():
                    raise Conflict("stopped before all of the backup was read")
                with chest.open(each.name) as file:
                    if each.name == DATABASE:
                        _copy(file, database, each)
                    else:
                        copy_checked(file, None, each)
            _check_database(database, contents)
    return contents


def restore(source: Path, target: Path, keys: Path | None) -> Restored:
    """Make the data folder `target`, which must be empty or not be there, out of a backup.

    Killed at any time, `target` is as it was. Raises ConfigError (damaged, not empty, made by a
    newer labtrawl), Conflict (another restore is making it), DiskFull.
    """
    target = target.absolute()
    _check_empty(target)
    kept = read_kept(keys) if keys is not None else None
    with open_chest(source) as chest:
        contents = checked_contents(chest, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _drafting(target) as draft:
            try:
                dropped = _fill(chest, contents, draft, target)
                if kept is not None:
                    put_keys(kept, draft)
                asyncio.run(_bring_up(draft))
                sync_folders(draft)
                # An empty folder gives way to a rename; one that filled up meanwhile does not.
                draft.rename(target)
            except OSError as error:
                told = f"{error.filename or target}: {error.strerror or error}"
                raise DiskFull(f"nothing is restored: {told}") from error
            sync_folder(target.parent)
    return Restored(contents, kept is not None, dropped)


def checked_contents(chest: Chest, source: Path) -> Contents:
    """Return the list of a backup; ConfigError where a name in it has no place in a data folder."""
    contents = chest.contents()
    names = [each.name for each in contents.files]
    for name in names:
        is_segment = name.startswith(DATASET) and parse_segment_name(name.removeprefix(DATASET))
        if not (is_segment or name in {DATABASE, SETTINGS, CRAWL}):
            raise ConfigError(f"{source} names {name!r}, which is no file of a data folder")
    if DATABASE not in names or len(names) != len(set(names)):
        raise ConfigError(f"{source} holds no database, or a file twice: it is no whole backup")
    return contents


def _check_empty(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConfigError(f"{target} is no folder: name one that is empty, or not there yet")
    if target.is_dir() and any(target.iterdir()):
        raise ConfigError(
            f"{target} is not empty: a backup is restored into an empty folder only; move what is"
            " there away first"
        )


@contextlib.contextmanager
def _drafting(target: Path) -> Iterator[Path]:
    """Yield the folder that becomes `target`; what an earlier, killed restore left is removed."""
    draft = target.parent / f"{_DRAFT}{target.name}"
    draft.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(f"another restore into {target} is under way: wait for its end") from None
    try:
        for each in draft.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        yield draft
    finally:
        os.close(handle)
        shutil.rmtree(draft, ignore_errors=True)


def _fill(chest: Chest, contents: Contents, draft: Path, target: Path) -> tuple[str, ...]:
    for each in contents.files:
        place = draft.joinpath(*PurePosixPath(each.name).parts)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with chest.open(each.name) as file:
            _copy(file, place, each)
    _check_database(database_path(draft), contents)
    return _settle(draft / SETTINGS, target)


def _copy(source: IO[bytes], place: Path, known: File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(place, flags, 0o600), "wb") as file:
        copy_checked(source, file, known)
        file.flush()
        os.fsync(file.fileno())


def _check_database(database: Path, contents: Contents) -> None:
    """Hold the database against the files: it must be whole, and name these segments."""
    if fault := rows.fault_of(database):
        raise ConfigError(f"the database of the backup is damaged: {fault}")
    named = {
        File(DATASET + each.name, each.length, each.sha256) for each in rows.segments_of(database)
    }
    there = {each for each in contents.files if each.name.startswith(DATASET)}
    if named != there:
        raise ConfigError(
            f"the database names {len(named)} segments and the backup holds {len(there)}, which are"
            " not the same: it is damaged"
        )


def _settle(settings: Path, target: Path) -> tuple[str, ...]:
    """Leave out of the settings what names the places of another data folder."""
    if not settings.is_file():
        return ()
    text = settings.read_text("utf-8")
    document = tomllib.loads(text)
    dropped = []
    for name in _ELSEWHERE:
        value: object = document
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not (name == "data_dir" and Path(str(value)) == target):
            text = with_setting(text, name, None)
            dropped.append(name)
    if dropped:
        settings.write_text(text, "utf-8")
        with settings.open("rb") as file:
            os.fsync(file.fileno())
    return tuple(dropped)


async def _bring_up(draft: Path) -> None:
    """Bring the database to this version, and remember the newest row of its audit log."""
    database = database_path(draft)
    try:
        migrate(database)
    except StoreError as error:
        raise ConfigError(
            f"the backup was made by another, newer labtrawl; use that one ({error})"
        ) from error
    async with open_store(database) as store:

        def care(connection: Connection) -> audit.Head:
            rows.restored(connection)
            return audit.head(connection)

        head = await store.write(care)
    if head.id:
        audit.remember(audit.head_path(draft), head)
        audit.head_path(draft).chmod(0o600)
