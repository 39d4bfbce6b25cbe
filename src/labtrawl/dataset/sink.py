"""The sink: gated records in, closed and durable segments out. One sink for each lease.

A segment is a file of whole zstd frames. `close_segment` returns it only when its bytes, its name
and every folder on its way would survive a power cut; a checkpoint may then name it. A file that
was not closed so belongs to nobody: no manifest row names it and `sweep` removes it.

The functions block and may be called from any thread, one call at a time: a caller that was
cancelled while `write` runs in a thread may call `abandon` at once; it waits for that write.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from labtrawl.dataset.disk import Disk, disk_failure
from labtrawl.dataset.layout import SegmentPrefix, folder_of, segment_path
from labtrawl.dataset.policy import GatedRecord
from labtrawl.errors import DatasetError, DiskFull

# Of zstd, for frames of a megabyte: level 3 makes them 2 % smaller, and takes 1.7 times as long.
LEVEL: Final = 1
# Raw bytes of a frame: large enough to compress well, small enough to hold one for each lease.
FRAME_BYTES: Final = 1 << 20
# So many folders are known at once; each takes half a kilobyte.
FOLDERS: Final = 1024


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """When a segment is due.

    `max_bytes` counts bytes on the disk (compressed); a segment passes it by at most one frame and
    one call of `write`. `max_seconds` counts from its first record. Below `min_free_bytes` of room
    no segment is begun: the database on the same disk must still be able to say why.
    """

    max_bytes: int = 8 << 20
    max_seconds: float = 5.0
    min_free_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed, durable file: length in bytes on the disk, sha256 in hex of those bytes."""

    name: str
    length: int
    sha256: str
    records: int


class Folders:
    """The folders of a dataset that this process knows to last, shared by its sinks: synced once.

    They are told by what their path has below the root.

    Those that were there already are synced too: a crawler that died may have made them and never
    have synced their parents. They are synced behind the file that lies in them: a file system that
    keeps one journal has little left to do then.
    """

    def __init__(self, most: int = FOLDERS) -> None:
        self._lasting: set[str] = set()
        self._most = most

    def make(self, disk: Disk, root: Path, name: str) -> list[str]:
        """Make a segment's folders from the root down; return those that must be made to last.

        Raises CorruptSegment where a folder that was there leads out of the root, and OSError.
        """
        steps = self._unknown(folder_of(name))
        for step in steps:
            path = root / step
            is_new = disk.make_folder(path)
            # Looked at before anything is made below it.
            if step and not is_new and path.is_symlink():
                segment_path(root, name)
        return steps

    def _unknown(self, folder: str) -> list[str]:
        """Return the folders from the root ("") down to this one that are not known to last."""
        way: list[str] = []
        while folder not in self._lasting:
            way.append(folder)
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        return way[::-1]

    def last(self, disk: Disk, root: Path, steps: list[str]) -> None:
        """Let the folders last that `make` returned. Raises OSError."""
        for step in steps:
            disk.sync_folder((root / step).parent)
        if len(self._lasting) >= self._most:
            # A large crawl has ever more of them and comes back to none: all are known anew.
            self._lasting.clear()
        self._lasting.update(steps)

    def forget(self) -> None:
        """Know nothing any more: the disk refused something, and may have lost folders."""
        self._lasting.clear()


class Compressor:
    """What makes frames, one after the other, for all sinks of a process.

    Its tables are a megabyte, and a frame's lines are copied for it: several at once would need as
    many, and go no faster, since what a process reads comes one page after the other.
    """

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._one_call = threading.Lock()

    def compress(self, lines: Sequence[bytes]) -> bytes:
        """Return a whole frame, with a checksum."""
        with self._one_call:
            return self._zstd.compress(b"".join(lines))


class _OpenSegment:
    """The one unfinished file of a sink: raw lines wait here until they fill a frame.

    The file is created with its first frame: a short list needs one visit to the disk.
    """

    def __init__(
        self,
        disk: Disk,
        compress: Callable[[Sequence[bytes]], bytes],
        make: Callable[[], list[str]],
        path: Path,
        name: str,
    ) -> None:
        self.name = name
        self.length = 0
        self.records = 0
        self.raw_bytes = 0
        self._disk = disk
        self._compress = compress
        self._make = make
        self._path = path
        self.made: list[str] = []
        self._lines: list[bytes] = []
        self._hash = hashlib.sha256()
        self._handle: int | None = None
        self._is_created = False

    def add(self, lines: Sequence[bytes], frame_bytes: int) -> None:
        self.records += len(lines)
        size = sum(map(len, lines))
        if self.raw_bytes + size < frame_bytes:
            self._lines += lines
            self.raw_bytes += size
            return
        for line in lines:
            self._lines.append(line)
            self.raw_bytes += len(line)
            if self.raw_bytes >= frame_bytes:
                self._write_frame()

    def _write_frame(self) -> None:
        handle = self._opened()
        if not self._lines:
            return
        frame = self._compress(self._lines)
        self._lines.clear()
        self.raw_bytes = 0
        self._disk.write(handle, frame)
        self._hash.update(frame)
        self.length += len(frame)

    def _opened(self) -> int:
        if self._handle is None:
            self.made = self._make()
            self._handle = self._disk.create(self._path)
            self._is_created = True
        return self._handle

    def finish(self) -> Segment:
        """Write what waits, then make the bytes last, then the name; in this order."""
        self._write_frame()
        self._disk.sync(self._opened())
        self._close()
        self._disk.sync_folder(self._path.parent)
        return Segment(self.name, self.length, self._hash.hexdigest(), self.records)

    def discard(self) -> None:
        """Close and remove the file as far as the disk still allows; the sweep does the rest."""
        with suppress(OSError):
            self._close()
        if self._is_created:
            with suppress(OSError):
                self._disk.remove(self._path)

    def _close(self) -> None:
        if self._handle is not None:
            # First, since a handle whose close failed is gone all the same.
            handle, self._handle = self._handle, None
            self._disk.close(handle)


class Sink:
    """Writes the segments of one lease, numbered from `first_number`.

    After any failure nothing since the last closed segment is kept and the sink is over, as it is
    after `abandon`: the caller goes back to its last checkpoint, with another sink. A failed fsync
    is never tried again on the same file, since the kernel may have dropped the pages already.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        place: SegmentPrefix,
        first_number: int = 1,
        limits: SegmentLimits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        folders: Folders | None = None,
        compressor: Compressor | None = None,
    ) -> None:
        self._disk = disk
        self._root = root
        self._place = place
        self._next_number = first_number
        self._limits = limits or SegmentLimits()
        self._monotonic = monotonic
        self._frame_bytes = min(FRAME_BYTES, self._limits.max_bytes)
        self._folders = folders or Folders()
        self._compress = (compressor or Compressor()).compress
        self._segment: _OpenSegment | None = None
        self._begun_at = 0.0
        self._over = False
        # Without it, a late write could reach a handle that is closed and belongs to another file.
        self._one_call = threading.Lock()

    @property
    def due(self) -> bool:
        """Say whether the open segment reached its size or its age."""
        segment = self._segment
        if segment is None:
            return False
        age_seconds = self._monotonic() - self._begun_at
        return segment.length >= self._limits.max_bytes or age_seconds >= self._limits.max_seconds

    def is_in_memory(self, records: Sequence[GatedRecord]) -> bool:
        """Say whether `write` would only take these records in, and not wait for the disk."""
        waiting = 0 if self._segment is None else self._segment.raw_bytes
        return waiting + sum(len(record.line) for record in records) < self._frame_bytes

    @property
    def is_idle(self) -> bool:
        """Whether nothing was written since the last closed segment: `abandon` would do nothing."""
        return self._segment is None

    def write(self, records: Sequence[GatedRecord]) -> None:
        """Take records into the open segment; the first one begins it.

        Raises DiskFull or DatasetError when the disk refuses, TypeError for a record that did not
        pass the gate (then nothing of this call was taken).
        """
        for record in records:
            if type(record) is not GatedRecord:
                raise TypeError(f"a sink takes gated records, not {type(record).__name__}")
        with self._one_call, self._all_or_nothing():
            if not records:
                return
            segment = self._segment or self._begin()
            segment.add([record.line for record in records], self._frame_bytes)

    def close_segment(self) -> Segment | None:
        """Finish the open segment and return it once it would survive a power cut.

        None when nothing was written. Raises DiskFull or DatasetError; the file is then given up.
        """
        with self._one_call, self._all_or_nothing():
            if self._segment is None:
                return None
            closed = self._segment.finish()
            self._folders.last(self._disk, self._root, self._segment.made)
            self._segment = None
            return closed

    def abandon(self) -> None:
        """Remove what was written since the last closed segment and take nothing more."""
        with self._one_call:
            self._end()

    def _end(self) -> None:
        self._over = True
        if self._segment is not None:
            self._segment.discard()
        self._segment = None

    def _begin(self) -> _OpenSegment:
        name = self._place.name(self._next_number)
        self._next_number += 1
        self._begun_at = self._monotonic()
        self._segment = _OpenSegment(
            self._disk, self._compress, lambda: self._make(name), self._root / name, name
        )
        return self._segment

    def _make(self, name: str) -> list[str]:
        steps = self._folders.make(self._disk, self._root, name)
        self._refuse_without_room(name)
        return steps

    def _refuse_without_room(self, name: str) -> None:
        free, least = self._disk.free_bytes(self._root), self._limits.min_free_bytes
        if free < least:
            raise DiskFull(
                f"cannot begin {name}: {free >> 20} MiB are free under {self._root} and"
                f" {least >> 20} MiB are kept for the database; free some space"
            )

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """End the sink when anything fails, and say a disk's refusal in our words."""
        if self._over:
            raise DatasetError(
                "the sink is over, after a failure or because it was abandoned; go back to the"
                " last checkpoint with another one"
            )
        try:
            yield
        except OSError as error:
            name = self._segment.name if self._segment else self._place.name(self._next_number - 1)
            self._end()
            self._folders.forget()
            raise disk_failure(error, f"write {name}") from error
        except BaseException:  # a cancelled write too leaves a segment that nobody may go on with
            self._end()
            raise
