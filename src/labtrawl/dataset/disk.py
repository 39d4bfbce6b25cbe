"""The durable operations that the sink and the sweep need, each one call to the system.

The sink decides their order; a disk only does them. The proofs hand in a second disk that loses
power. Both raise OSError, which `disk_failure` turns into the words of the house, once.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from labtrawl.errors import DatasetError, DiskFull

_NO_ROOM = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space or raise it",
    errno.EFBIG: "the file size limit is reached; raise it (ulimit -f)",
}


class Disk(Protocol):
    """What a file system promises: nothing lasts through a power cut before it was synced."""

    def make_folder(self, path: Path) -> bool:
        """Make one folder inside an existing one; False for one that is there, which is left as it is."""

    def create(self, path: Path) -> int:
        """Create a file that must not exist yet and return a handle to write it."""

    def write(self, handle: int, content: bytes) -> None:
        """Append all of `content`."""

    def sync(self, handle: int) -> None:
        """Make the file's bytes last (fsync)."""

    def close(self, handle: int) -> None:
        """Close the file; the handle is gone even where this raises."""

    def sync_folder(self, path: Path) -> None:
        """Make the folder's entries last (fsync): names of new files and folders, removals."""

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""

    def files(self, root: Path) -> Iterator[Path]:
        """List all files below `root`, links not followed; nothing where there is no root."""

    def free_bytes(self, path: Path) -> int:
        """Return the room that an ordinary user has left, in bytes."""


class LocalDisk:
    """The machine's own file system."""

    def make_folder(self, path: Path) -> bool:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise
            return False
        return True

    def create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def write(self, handle: int, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]

    def sync(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def sync_folder(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def files(self, root: Path) -> Iterator[Path]:
        for folder, _, names in os.walk(root, onerror=_tell):
            for name in sorted(names):
                yield Path(folder, name)

    def free_bytes(self, path: Path) -> int:
        state = os.statvfs(path)
        return state.f_bavail * state.f_frsize


def _tell(error: OSError) -> None:
    """Pass on why a folder cannot be listed; one that is not there, or no more, has no files."""
    if not isinstance(error, FileNotFoundError):
        raise error


def names_below(disk: Disk, root: Path) -> list[str]:
    """Return the names of all files below `root`, relative to it. Raises DatasetError."""
    try:
        return [path.relative_to(root).as_posix() for path in disk.files(root)]
    except OSError as error:
        raise disk_failure(error, f"list {root}") from error


def disk_failure(error: OSError, deed: str) -> DatasetError:
    """Say a disk's refusal in one sentence; `deed` is what was tried ("write i1/…")."""
    if error.errno in _NO_ROOM:
        return DiskFull(f"cannot {deed}: {_NO_ROOM[error.errno]}; the job then goes on")
    told = error.strerror or type(error).__name__
    return DatasetError(f"cannot {deed}: {told}; check the disk and the rights of its folders")
