"""Writing several segments into one, line by line: what stands alone in a frame takes three times the room.

What is written passed the gate when it was collected; nothing is read into records here.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import zstandard

from labtrawl.dataset.disk import Disk, disk_failure
from labtrawl.dataset.layout import segment_path
from labtrawl.dataset.reader import SegmentRow, read_lines
from labtrawl.dataset.sink import FRAME_BYTES, LEVEL, Segment


def merge(disk: Disk, root: Path, rows: Sequence[SegmentRow], name: str) -> Segment:
    """Write the segments of `rows` into a new file `name`, in their order, and make it last.

    Each is compared with its row before it is taken. Raises CorruptSegment, or DatasetError where
    the disk refuses; nothing is left behind then.
    """
    path = segment_path(root, name)
    try:
        handle = disk.create(path)
        try:
            length, digest = _copy(disk, root, rows, handle)
            disk.sync(handle)
        finally:
            disk.close(handle)
        disk.sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            disk.remove(path)
        if isinstance(error, OSError):
            raise disk_failure(error, f"write {name}") from error
        raise
    return Segment(name, length, digest, sum(row.records for row in rows))


class _Frames:
    """Writes lines as whole frames of a full size, and knows what was written."""

    def __init__(self, disk: Disk, handle: int) -> None:
        self.length = 0
        self.digest = hashlib.sha256()
        self._disk, self._handle = disk, handle
        self._lines: list[bytes] = []
        self._waiting = 0

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= FRAME_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            frame = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(
                b"".join(self._lines)
            )
            self._lines.clear()
            self._waiting = 0
            self._disk.write(self._handle, frame)
            self.digest.update(frame)
            self.length += len(frame)


def _copy(disk: Disk, root: Path, rows: Sequence[SegmentRow], handle: int) -> tuple[int, str]:
    frames = _Frames(disk, handle)
    for row in rows:
        for line in read_lines(root, row):
            frames.add(line)
    frames.flush()
    return frames.length, frames.digest.hexdigest()
