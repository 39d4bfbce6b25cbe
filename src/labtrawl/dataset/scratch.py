"""Folders for what an export or a query needs meanwhile: what a killed one left, the next one sweeps."""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

# Whoever has just made a folder may not hold it yet.
YOUNG_SECONDS = 60.0


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """Make an empty folder of our own in `parent`, held as long as the block runs, then gone.

    Folders of ours with the same prefix that nobody holds any more go first. Raises OSError.
    """
    _sweep(parent, prefix)
    folder = parent / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            # Where nothing can be held, nothing is swept either.
            with contextlib.suppress(OSError):
                stack.enter_context(_held(folder))
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path, prefix: str) -> None:
    ours = re.compile(f"{re.escape(prefix)}[0-9a-f]{{8}}")
    for folder in parent.iterdir():
        if not ours.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError):
            found = folder.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if is_ours and time.time() - found.st_mtime > YOUNG_SECONDS:
                with _held(folder):
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; BlockingIOError where another process does. A killed one holds nothing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
