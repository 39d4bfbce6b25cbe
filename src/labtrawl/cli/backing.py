"""Making a backup while everything runs: the database first, then the files that it names.

A committed segment never changes and is kept for hours after it was replaced, so the files of the
database's instant are there however long the copy takes. Keys are no part of it.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labtrawl import __version__
from labtrawl.cli.chests import (
    DRAFT,
    FORMAT,
    TAR,
    Contents,
    Draft,
    File,
    FolderDraft,
    TarDraft,
    alone_in,
    backups_in,
    linkable_in,
)
from labtrawl.config import Settings
from labtrawl.dataset.layout import dataset_root, segment_path
from labtrawl.errors import ConfigError, Conflict, DiskFull, LabtrawlError, StoreError
from labtrawl.store import backup as rows
from labtrawl.store.engine import Store, database_path

DATABASE = "config/labtrawl.sqlite"
SETTINGS = "labtrawl.toml"
DATASET = "dataset/"
_NAME = "%Y-%m-%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is whole; `copied` are the bytes that were not there yet."""

    place: Path
    segments: int
    bytes: int
    copied: int
    removed: int = 0


def _never() -> bool:
    return False


async def make_backup(
    settings: Settings,
    store: Store,
    to: Path,
    keep: int | None = None,
    now: datetime | None = None,
    is_stopped: Callable[[], bool] = _never,
) -> Made:
    """Write a backup below the folder `to`, or into the file `to` where it ends in .tar.

    It is noted in the database, also where it fails. `keep` removes all but so many of the newest.
    Raises ConfigError, Conflict (another is being written, or it `is_stopped`), DiskFull.
    """
    number: int | None = None
    made_at = now or datetime.now(UTC)
    loop = asyncio.get_running_loop()

    def begin() -> None:
        # Called by the thread that holds the lock: no other backup there is taken for cut off.
        nonlocal number
        writing = store.write(lambda c: rows.begin(c, str(to)))
        number = asyncio.run_coroutine_threadsafe(writing, loop).result()

    try:
        made = await asyncio.to_thread(_make, settings, to, keep, made_at, is_stopped, begin)
    except (LabtrawlError, OSError) as error:
        failure = _failure(error, to)
        await _note_failure(store, number, str(to), str(failure))
        raise failure from error
    assert number is not None, "it began before it was made"
    told = (number, str(made.place), made.segments, made.bytes, made.copied)
    await store.write(lambda c: rows.end(c, *told))
    return made


async def _note_failure(store: Store, number: int | None, to: str, message: str) -> None:
    if number is None:
        await store.write(lambda c: rows.refuse(c, to, message))
    else:
        await store.write(lambda c: rows.fail(c, number, message))


def _failure(error: LabtrawlError | OSError, to: Path) -> LabtrawlError:
    if isinstance(error, LabtrawlError):
        return error
    told = f"{error.filename or to}: {error.strerror or error}"
    return DiskFull(f"the backup is not made: {told}; what is there stays as it is")


def _make(
    settings: Settings,
    to: Path,
    keep: int | None,
    made_at: datetime,
    is_stopped: Callable[[], bool],
    begin: Callable[[], None],
) -> Made:
    data_dir = settings.data_dir.resolve()
    if to.resolve().is_relative_to(data_dir):
        raise ConfigError(f"{to} is inside the data folder: choose a place outside of it")
    folder = to.parent if to.suffix == TAR else to
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone_in(folder):
        begin()
        scratch = folder / f"{DRAFT}database"
        made = _write(settings, _draft(to, made_at), scratch, made_at, is_stopped)
        removed = 0 if keep is None or to.suffix == TAR else _remove_old(folder, keep)
    return Made(_place(to, made_at), *made, removed)


def _place(to: Path, made_at: datetime) -> Path:
    return to if to.suffix == TAR else to / made_at.strftime(_NAME)


def _draft(to: Path, made_at: datetime) -> Draft:
    place = _place(to, made_at)
    if place.exists():
        raise ConfigError(f"{place} is there already: a backup is never written over")
    if to.suffix == TAR:
        return TarDraft(place)
    return FolderDraft(place, linkable_in(to))


def _write(
    settings: Settings,
    draft: Draft,
    scratch: Path,
    made_at: datetime,
    is_stopped: Callable[[], bool],
) -> tuple[int, int, int]:
    """Fill a draft and give it its name; return segments, bytes, and bytes that were copied."""
    _copy_database(database_path(settings.data_dir), scratch)
    revision, segments = rows.revision_of(scratch), rows.segments_of(scratch)
    added = [draft.take(DATABASE, scratch)]
    added += [draft.add(name, path) for name, path in _small_files(settings)]
    root = dataset_root(settings.data_dir)
    for each in segments:
        if is_stopped():
            raise Conflict("labtrawl was stopped meanwhile: the next backup begins anew")
        known = File(DATASET + each.name, each.length, each.sha256)
        try:
            added.append(draft.add(known.name, segment_path(root, each.name), known))
        except FileNotFoundError:
            raise ConfigError(
                f"{each.name} is missing from the dataset: `labtrawl dataset verify` lists what is"
                " damaged; a backup holds whole datasets only"
            ) from None
    files = tuple(file for file, _ in added)
    when = made_at.isoformat(timespec="seconds")
    draft.finish(Contents(FORMAT, __version__, revision, when, files))
    return len(segments), sum(each.length for each in files), sum(copied for _, copied in added)


def _copy_database(database: Path, scratch: Path) -> None:
    """Copy the database; StoreError or DiskFull that says what to do."""
    try:
        rows.copy_database(database, scratch)
    except StoreError as error:
        scratch.unlink(missing_ok=True)
        if "disk is full" in str(error):
            raise DiskFull(
                f"the backup is not made: {scratch.parent} is full; free some space there, or name"
                " another place"
            ) from error
        raise StoreError(
            f"{error}; labtrawl doctor says whether it is whole and what to do; backups that are"
            " there stay as they are"
        ) from error


def _small_files(settings: Settings) -> list[tuple[str, Path]]:
    """The settings, and what `labtrawl crawl` keeps of its target; never a key."""
    from labtrawl.cli.crawl_place import kept_path

    kept = kept_path(settings.data_dir)
    found = [(kept.relative_to(settings.data_dir).as_posix(), kept)] if kept.is_file() else []
    if settings.file is not None and settings.file.is_file():
        found.append((SETTINGS, settings.file))
    return found


def _remove_old(folder: Path, keep: int) -> int:
    """Remove all but the newest; each loses its name first, so that no half of one is left."""
    old = backups_in(folder)[:-keep]
    for each in old:
        gone = each.with_name(f"{DRAFT}{each.name}")
        each.rename(gone)
        shutil.rmtree(gone)
    return len(old)
