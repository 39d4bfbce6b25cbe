"""An output that appears whole or not at all: drawn up beside its place, renamed at the end.

Only an earlier export is ever replaced: a folder of anything else is nobody's to delete here.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from labtrawl.dataset.disk import disk_failure
from labtrawl.dataset.scratch import scratch
from labtrawl.dataset.tables import META
from labtrawl.errors import ConfigError

_SUFFIXES = frozenset({".parquet", ".csv", ".jsonl", ".json"})
# A DuckDB file says so behind its checksum (DuckDB, "Internals", "Storage Versions and Format").
_DUCK, _DUCK_AT = b"DUCK", 8


@contextlib.contextmanager
def drafted(out: Path, *, force: bool) -> Iterator[tuple[Path, Path]]:
    """Give (where to write, an empty folder to work in); put the result at `out` at the end.

    After a failure `out` is as it was and nothing is left beside it. Raises ConfigError where
    something is there already and `force` does not say to replace it, or it is no earlier export;
    DiskFull and DatasetError.
    """
    _refuse(out, force=force)
    try:
        with scratch(out.parent, f".{out.name}.") as place:
            work = place / "work"
            work.mkdir()
            yield place / "result", work
            _last(place / "result")
            if out.exists():
                out.rename(place / "replaced")
            (place / "result").rename(out)
            _sync(out.parent)
    except OSError as error:
        raise disk_failure(error, f"write {out}") from error


def _refuse(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is no folder; make it first")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; --force replaces it, --out names another place")
    try:
        is_replaceable = not out.exists() or _is_export(out)
    except OSError as error:
        raise disk_failure(error, f"read {out}") from error
    if not is_replaceable:
        raise ConfigError(
            f"{out} is no earlier export, or holds other things too, and --force replaces nothing"
            " else; --out names another place"
        )


def _is_export(out: Path) -> bool:
    """Say whether nothing but an export is there: a DuckDB file, or a folder of tables."""
    if out.is_file():
        with out.open("rb") as file:
            return file.read(_DUCK_AT + len(_DUCK))[_DUCK_AT:] == _DUCK
    found = list(out.iterdir())
    is_told = not found or any(each.stem == META for each in found)
    return is_told and all(each.is_file() and each.suffix in _SUFFIXES for each in found)


def _last(path: Path) -> None:
    """Make what was written last through a power cut."""
    for each in [*(path.iterdir() if path.is_dir() else ()), path]:
        _sync(each)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
