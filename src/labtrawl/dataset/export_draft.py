"""An output that appears whole or not at all: drawn up beside its place, renamed at the end."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from labtrawl.dataset.disk import disk_failure
from labtrawl.errors import ConfigError


@contextlib.contextmanager
def drafted(out: Path, *, force: bool) -> Iterator[tuple[Path, Path]]:
    """Give (where to write, an empty folder to work in); put the result at `out` at the end.

    After a failure `out` is as it was and nothing is left beside it. Raises ConfigError where
    something is there already and `force` does not say to replace it, DiskFull and DatasetError.
    """
    _refuse(out, force=force)
    place = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    try:
        place.mkdir(mode=0o700)
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
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _refuse(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is no folder; make it first")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; --force replaces it, --out names another place")


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
