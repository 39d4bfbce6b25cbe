"""Holding the files against the manifest: every committed segment must be there, byte for byte."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labtrawl.dataset.disk import LocalDisk, names_below
from labtrawl.dataset.layout import parse_segment_name
from labtrawl.dataset.reader import SegmentRow, read_segment
from labtrawl.errors import CorruptSegment


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: sums over the whole segments, and every difference.

    `corrupt` holds one sentence for each segment that differs from its row, `missing` the names
    whose file is not there, `strays` the files that no row names: being written, or left over.
    """

    segments: int
    records: int
    bytes: int
    corrupt: tuple[str, ...]
    missing: tuple[str, ...]
    strays: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Say whether every committed segment is there, byte for byte; strays harm nobody."""
        return not self.corrupt and not self.missing


def verify(root: Path, rows: Iterable[SegmentRow]) -> Verification:
    """Read every committed segment to its end and compare it with its row."""
    segments = records = length = 0
    corrupt: list[str] = []
    missing: list[str] = []
    named: set[str] = set()
    for row in rows:
        named.add(row.name)
        fault = _fault(root, row)
        if fault is None:
            segments, records, length = segments + 1, records + row.records, length + row.length
        elif _is_missing(root, row.name):
            missing.append(row.name)
        else:
            corrupt.append(fault)
    strays = sorted(set(names_below(LocalDisk(), root)) - named)
    return Verification(segments, records, length, tuple(corrupt), tuple(missing), tuple(strays))


def _fault(root: Path, row: SegmentRow) -> str | None:
    try:
        for _ in read_segment(root, row):
            pass
    except CorruptSegment as error:
        return str(error)
    return None


def _is_missing(root: Path, name: str) -> bool:
    return parse_segment_name(name) is not None and not (root / name).exists()
