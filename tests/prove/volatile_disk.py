"""A disk that loses power: a second real implementation of `dataset.disk.Disk`, for proofs.

It works on a real folder, so that the real reader can read what is left, and remembers what was
synced. `power_cut` then takes away what a file system may take: bytes that were not fsynced are
cut off or read as zeros, names in a folder that was not fsynced are gone, removals come back.
`survival` is the chance of each unsynced thing to last all the same: 0.0 is the cruellest disk.

Every operation has a number, so that a proof can cut the power, or have the disk refuse, at each.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from labtrawl.dataset.disk import LocalDisk


class PowerCut(BaseException):
    """The machine is off: no code may catch this as an error of the disk."""


class VolatileDisk:
    """`base` must exist and be empty; the power goes off just before operation `cut_at`."""

    def __init__(
        self,
        base: Path,
        seed: int = 0,
        *,
        survival: float = 0.5,
        cut_at: int | None = None,
        fail_at: int | None = None,
        fail_with: int = 0,
        fail_for: int = 1,
    ) -> None:
        self.operations = 0
        self._base = base
        self._random = Random(seed)
        self._survival = survival
        self._cut_at = cut_at
        self._fail_at = fail_at
        self._fail_with = fail_with
        self._fail_for = fail_for
        self._off = False
        self._local = LocalDisk()
        self._open: dict[int, Path] = {}
        self._synced_bytes: dict[Path, int] = {}
        self._unsyncable: set[Path] = set()
        self._entries: dict[Path, set[str]] = {base: set()}
        self._removed: dict[Path, bytes] = {}

    # ------------------------------------------------------------ the operations of a Disk

    def make_folder(self, path: Path) -> bool:
        self._step(path)
        return self._local.make_folder(path)

    def create(self, path: Path) -> int:
        self._step(path)
        handle = self._local.create(path)
        self._open[handle] = path
        self._synced_bytes[path] = 0
        self._unsyncable.discard(path)
        return handle

    def write(self, handle: int, content: bytes) -> None:
        path = self._open[handle]
        try:
            self._step(path)
        except (OSError, PowerCut):
            # A write that fails, or that the power cut interrupts, was done in part.
            self._local.write(handle, content[: self._random.randrange(len(content) + 1)])
            raise
        self._local.write(handle, content)

    def sync(self, handle: int) -> None:
        path = self._open[handle]
        try:
            self._step(path)
        except OSError:
            # Linux drops the dirty pages after a failed fsync; the next one succeeds and lies.
            self._unsyncable.add(path)
            raise
        self._keep_bytes(path)

    def close(self, handle: int) -> None:
        path = self._open.pop(handle)
        self._local.close(handle)
        self._step(path)

    def sync_folder(self, path: Path) -> None:
        self._step(path)
        self._keep_entries(path)

    def remove(self, path: Path) -> None:
        self._step(path)
        if path.exists():
            self._removed[path] = path.read_bytes()
        self._local.remove(path)

    def files(self, root: Path) -> Iterator[Path]:
        self._step(root)
        return self._local.files(root)

    def free_bytes(self, path: Path) -> int:
        self._step(path)
        return 1 << 40

    def _step(self, path: Path) -> None:
        if self._off or self.operations + 1 == self._cut_at:
            self._off = True
            raise PowerCut
        self.operations += 1
        if self._fail_at is not None and 0 <= self.operations - self._fail_at < self._fail_for:
            raise OSError(self._fail_with, os.strerror(self._fail_with), str(path))

    # ------------------------------------------------------------ what lasts; proofs override these

    def _keep_bytes(self, path: Path) -> None:
        if path not in self._unsyncable:
            self._synced_bytes[path] = path.stat().st_size

    def _keep_entries(self, folder: Path) -> None:
        self._entries[folder] = {path.name for path in folder.iterdir()}
        for path in [path for path in self._removed if path.parent == folder]:
            del self._removed[path]

    # ------------------------------------------------------------ the cut

    def power_cut(self) -> None:
        """Lose what may be lost and switch on again; what is left then lasts."""
        for handle in self._open:
            self._local.close(handle)
        self._open.clear()
        for path, content in self._removed.items():
            if path.parent.exists() and not path.exists() and not self._lasts():
                path.write_bytes(content)
        self._removed.clear()
        self._settle(self._base)
        self._off, self._cut_at, self._fail_at = False, None, None

    def _settle(self, folder: Path) -> None:
        kept = self._entries.get(folder, set())
        for path in sorted(folder.iterdir()):
            if path.name not in kept and not self._lasts():
                self._lose(path)
            elif path.is_dir():
                self._settle(path)
            else:
                self._tear(path)
        self._entries[folder] = {path.name for path in folder.iterdir()}

    def _lose(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _tear(self, path: Path) -> None:
        content, synced = path.read_bytes(), self._synced_bytes.get(path, 0)
        if synced < len(content) and not self._lasts():
            kept = self._random.randint(synced, len(content) - 1)
            zeros = bytes(len(content) - kept) if self._lasts() else b""
            path.write_bytes(content[:kept] + zeros)
        self._synced_bytes[path] = path.stat().st_size
        self._unsyncable.discard(path)

    def _lasts(self) -> bool:
        return self._random.random() < self._survival
