"""The file of a database before anything opens it; imports nothing heavy."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from labtrawl.errors import ConfigError, StoreError

# How each file of SQLite begins (sqlite.org/fileformat2.html).
SQLITE = b"SQLite format 3\0"


def check_is_database(path: Path) -> None:
    """Raise ConfigError for a file that is no database; one that is empty or not there is fine."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(SQLITE))
    except (FileNotFoundError, NotADirectoryError):
        return
    except IsADirectoryError:
        begin = b"a folder"
    if begin and begin != SQLITE:
        raise ConfigError(
            f"{path} is damaged, it is no database any more: restore a backup of the folder, or move"
            " it away and collect anew"
        )


def check_is_writable(path: Path) -> None:
    """Raise ConfigError for a database that this user may read only, as on an archive."""
    places = (path, path.parent)
    if not all(os.access(each, os.W_OK) for each in places if each.exists()):
        raise ConfigError(
            f"{path} may only be read by you, and this writes to it: run it as the user whose"
            " folder it is, where the disk can be written"
        )


@contextlib.contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yield a database to read; a copy where nothing may be written beside it, as on an archive.

    SQLite needs a file there even to read (sqlite.org/wal.html, "Read-Only Databases"). Raises
    StoreError where somebody else writes it meanwhile: the copy would be of no one instant.
    """
    if os.access(path.parent, os.W_OK):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="labtrawl-read-") as folder:
        copy = Path(folder) / path.name
        files = (path, path.with_name(f"{path.name}-wal"))
        before = _stamps(files)
        for each in files:
            if each.exists():
                shutil.copyfile(each, copy.with_name(each.name))
        if _stamps(files) != before:
            raise StoreError(
                f"{path} is being written by somebody else, in a folder that you may not write: try"
                " again when that has ended, or read it as that user"
            )
        yield copy


def _stamps(files: Iterable[Path]) -> list[tuple[int, int] | None]:
    """Return size and time of the last change of each file, None for one that is not there."""
    stats = [each.stat() if each.exists() else None for each in files]
    return [None if one is None else (one.st_size, one.st_mtime_ns) for one in stats]
