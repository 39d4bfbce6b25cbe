"""Writing several segments into one, byte by byte: whole frames after whole frames are a segment.

What is written passed the gate when it was collected; nothing is read into records here.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labtrawl.dataset.disk import Disk, disk_failure
from labtrawl.dataset.layout import segment_path
from labtrawl.dataset.reader import SegmentRow, check_bytes
from labtrawl.dataset.sink import Segment


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


def _copy(disk: Disk, root: Path, rows: Sequence[SegmentRow], handle: int) -> tuple[int, str]:
    digest, length = hashlib.sha256(), 0
    for row in rows:
        with segment_path(root, row.name).open("rb") as file:
            check_bytes(file, row)
            content = file.read()
        disk.write(handle, content)
        digest.update(content)
        length += len(content)
    return length, digest.hexdigest()
