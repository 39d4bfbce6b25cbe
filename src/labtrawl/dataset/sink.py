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
from labtrawl.dataset.layout import SegmentPrefix, segment_path
from labtrawl.dataset.policy import GatedRecord
from labtrawl.errors import DatasetError, DiskFull

LEVEL: Final = 3
# Raw bytes of a frame: large enough to compress well, small enough to hold one for each lease.
FRAME_BYTES: Final = 1 << 20


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


class _OpenSegment:
    """The one unfinished file of a sink: raw lines wait here until they fill a frame."""

    def __init__(self, disk: Disk, path: Path, name: str, begun_at: float) -> None:
        self.name = name
        self.begun_at = begun_at
        self.length = 0
        self.records = 0
        self._disk = disk
        self._path = path
        self._lines: list[bytes] = []
        self._raw_bytes = 0
        self._hash = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._handle = disk.create(path)
        self._closed = False

    def add(self, line: bytes, frame_bytes: int) -> None:
        self._lines.append(line)
        self._raw_bytes += len(line)
        self.records += 1
        if self._raw_bytes >= frame_bytes:
            self._write_frame()

    def _write_frame(self) -> None:
        if not self._lines:
            return
        frame = self._compressor.compress(b"".join(self._lines))
        self._lines.clear()
        self._raw_bytes = 0
        self._disk.write(self._handle, frame)
        self._hash.update(frame)
        self.length += len(frame)

    def finish(self) -> Segment:
        """Write what waits, then make the bytes last, then the name; in this order."""
        self._write_frame()
        self._disk.sync(self._handle)
        self._close()
        self._disk.sync_folder(self._path.parent)
        return Segment(self.name, self.length, self._hash.hexdigest(), self.records)

    def discard(self) -> None:
        """Close and remove the file as far as the disk still allows; the sweep does the rest."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._disk.remove(self._path)

    def _close(self) -> None:
        if not self._closed:
            # First, since a handle whose close failed is gone all the same.
            self._closed = True
            self._disk.close(self._handle)


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
    ) -> None:
        self._disk = disk
        self._root = root
        self._place = place
        self._next_number = first_number
        self._limits = limits or SegmentLimits()
        self._monotonic = monotonic
        self._frame_bytes = min(FRAME_BYTES, self._limits.max_bytes)
        self._segment: _OpenSegment | None = None
        self._folders_last = False
        self._over = False
        # Without it, a late write could reach a handle that is closed and belongs to another file.
        self._one_call = threading.Lock()

    @property
    def due(self) -> bool:
        """Say whether the open segment reached its size or its age."""
        segment = self._segment
        if segment is None:
            return False
        age_seconds = self._monotonic() - segment.begun_at
        return segment.length >= self._limits.max_bytes or age_seconds >= self._limits.max_seconds

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
            for record in records:
                segment.add(record.line, self._frame_bytes)

    def close_segment(self) -> Segment | None:
        """Finish the open segment and return it once it would survive a power cut.

        None when nothing was written. Raises DiskFull or DatasetError; the file is then given up.
        """
        with self._one_call, self._all_or_nothing():
            if self._segment is None:
                return None
            closed = self._segment.finish()
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
        path = segment_path(self._root, name)
        self._make_folders(path.parent)
        self._refuse_without_room(name)
        self._segment = _OpenSegment(self._disk, path, name, self._monotonic())
        return self._segment

    def _make_folders(self, folder: Path) -> None:
        """Make the folders from the root down and let each entry last, once a sink.

        Those that are there already are synced too: a crawler that died may have made them and
        never have synced their parents.
        """
        if self._folders_last:
            return
        inside = folder.relative_to(self._root).parents
        way = [self._root, *(self._root / part for part in reversed(inside[:-1])), folder]
        for step in way:
            self._disk.make_folder(step)
            self._disk.sync_folder(step.parent)
        self._folders_last = True

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
            raise disk_failure(error, f"write {name}") from error
        except BaseException:
            self._end()
            raise
