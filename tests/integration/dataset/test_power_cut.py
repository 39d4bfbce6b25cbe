"""Power cut, and the disk's refusal, at every operation of a small crawl: what was promised holds.

The promise: whatever `close_segment` returned is whole after a cut at any later moment, and what
it did not return is swept away. Each missing durable call is planted once and must be caught.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.policy import GatedRecord
from labtrawl.dataset.reader import read_segment
from labtrawl.dataset.sink import Segment, SegmentLimits
from labtrawl.dataset.sweep import list_segments, sweep
from labtrawl.dataset.verify import Verification, verify
from labtrawl.errors import DatasetError, DiskFull
from tests.integration.dataset.samples import ISSUES, gated, sink_at
from tests.prove.volatile_disk import PowerCut, VolatileDisk

LABELS = SegmentPrefix(1, "project", 12, "labels", 46, 1)
# Frames of some 300 bytes: a segment is written in several calls, so a cut can tear its middle.
TINY = SegmentLimits(max_bytes=300, max_seconds=1e9, min_free_bytes=0)
Promised = list[tuple[Segment, list[GatedRecord]]]
MakeDisk = Callable[[Path, int, int | None], VolatileDisk]


def crawl(disk: VolatileDisk, root: Path, promised: Promised) -> None:
    """Two lists, five segments, one given up on the way; note each segment once it is closed."""
    for place in (ISSUES, LABELS):
        sink = sink_at(root, disk=disk, place=place, limits=TINY)
        for page in range(3):
            records = [gated(page * 10 + number) for number in range(4)]
            sink.write(records[:2])
            sink.write(records[2:])
            if place is LABELS and page == 1:
                sink.abandon()
                sink = sink_at(root, disk=disk, place=place, first_number=3, limits=TINY)
                continue
            segment = sink.close_segment()
            assert segment is not None
            promised.append((segment, records))


def broken_promises(root: Path, promised: Promised) -> list[str]:
    """Name every promised segment that does not hold exactly its records."""
    broken = []
    for segment, records in promised:
        try:
            found = [(record.kind, record.id) for record in read_segment(root, segment)]
        except DatasetError as error:
            broken.append(str(error))
            continue
        if found != [(record.kind, record.id) for record in records]:
            broken.append(f"{segment.name} holds other records")
    return broken


def cruel(base: Path, seed: int, cut_at: int | None) -> VolatileDisk:
    return VolatileDisk(base, seed, survival=0.0 if seed == 0 else 0.5, cut_at=cut_at)


def cut_everywhere(tmp_path: Path, make: MakeDisk, seeds: range) -> tuple[int, list[str]]:
    """Cut the power before each operation in turn; return the number of cuts and all faults."""
    faults: list[str] = []
    cuts = 0
    for seed in seeds:
        for cut_at in count(1):
            base = tmp_path / f"{seed}-{cut_at}"
            base.mkdir()
            disk = make(base, seed, cut_at)
            promised: Promised = []
            ended = _until_the_cut(disk, base / "dataset", promised)
            disk.power_cut()
            cuts += 1
            faults += broken_promises(base / "dataset", promised)
            faults += _left_after_sweep(disk, base / "dataset", promised)
            if ended:
                break
    return cuts, faults


def _until_the_cut(disk: VolatileDisk, root: Path, promised: Promised) -> bool:
    try:
        crawl(disk, root, promised)
    except PowerCut:
        return False
    return True


def _left_after_sweep(disk: VolatileDisk, root: Path, promised: Promised) -> list[str]:
    rows = [segment for segment, _ in promised]
    sweep(disk, root, list_segments(disk, root), {row.name for row in rows}, set())
    return list(verify(root, rows).strays)


def test_power_cut_at_every_operation_leaves_closed_segments_whole(tmp_path: Path) -> None:
    cuts, faults = cut_everywhere(tmp_path, cruel, range(4))
    assert (cuts > 200, faults) == (True, [])


class NoFileSync(VolatileDisk):
    """Planted: the sink's fsync of the file does nothing."""

    def _keep_bytes(self, path: Path) -> None:
        pass


class NoFolderSync(VolatileDisk):
    """Planted: the fsync of the segment's own folder does nothing."""

    def _keep_entries(self, folder: Path) -> None:
        if "project" not in folder.parent.name:
            super()._keep_entries(folder)


class NoParentSync(VolatileDisk):
    """Planted: the new folders on the way are never synced into their parents."""

    def _keep_entries(self, folder: Path) -> None:
        if "project" in folder.parent.name:
            super()._keep_entries(folder)


@pytest.mark.parametrize("planted", [NoFileSync, NoFolderSync, NoParentSync])
def test_power_cut_with_a_sync_left_out_is_caught(
    tmp_path: Path, planted: type[VolatileDisk]
) -> None:
    def make(base: Path, seed: int, cut_at: int | None) -> VolatileDisk:
        return planted(base, seed, survival=0.0, cut_at=cut_at)

    _, faults = cut_everywhere(tmp_path, make, range(1))
    assert faults != []


class RetriedSync(VolatileDisk):
    """Planted: a failed fsync is simply tried again, and the second one succeeds."""

    def sync(self, handle: int) -> None:
        try:
            super().sync(handle)
        except OSError:
            super().sync(handle)


def test_power_cut_after_a_blindly_retried_sync_is_caught(tmp_path: Path) -> None:
    faults: list[str] = []
    for fail_at in range(1, 40):
        base = tmp_path / str(fail_at)
        base.mkdir()
        disk = RetriedSync(base, survival=0.0, fail_at=fail_at, fail_with=errno.EIO)
        promised: Promised = []
        with suppress(DatasetError):
            crawl(disk, base / "dataset", promised)
        disk.power_cut()
        faults += broken_promises(base / "dataset", promised)
    assert faults != []


def test_power_cut_after_a_predecessor_made_the_folders_keeps_them(tmp_path: Path) -> None:
    disk = VolatileDisk(tmp_path, survival=0.0)
    root = tmp_path / "dataset"
    for folder in (root, root / "i1", root / "i1/project-12", root / "i1/project-12/issues"):
        disk.make_folder(folder)  # and died before it synced any of them
    promised: Promised = []
    crawl(disk, root, promised)
    disk.power_cut()
    assert broken_promises(root, promised) == []


@pytest.mark.parametrize(
    ("refusal", "error"), [(errno.ENOSPC, DiskFull), (errno.EIO, DatasetError)]
)
def test_disk_refusing_at_every_operation_breaks_no_promise(
    tmp_path: Path, refusal: int, error: type[DatasetError]
) -> None:
    heard: list[type[object]] = []
    for fail_at in count(1):
        base = tmp_path / str(fail_at)
        base.mkdir()
        disk = VolatileDisk(base, survival=0.0, fail_at=fail_at, fail_with=refusal)
        promised: Promised = []
        told = _refusal(disk, base / "dataset", promised)
        if disk.operations < fail_at:
            break
        # A file that could not be removed when it was abandoned is no failure: the sweep comes.
        heard.append(type(told))
        unlike = told is not None and not str(told).startswith("cannot write i1/project-12/")
        assert not unlike
        disk.power_cut()
        assert broken_promises(base / "dataset", promised) == []
        assert _left_after_sweep(disk, base / "dataset", promised) == []
    assert (len(heard) > 50, heard.count(type(None)), set(heard)) == (True, 2, {error, type(None)})


def _refusal(disk: VolatileDisk, root: Path, promised: Promised) -> DatasetError | None:
    try:
        crawl(disk, root, promised)
    except DatasetError as error:
        return error
    return None


def test_disk_that_stays_full_leaves_the_segments_closed_before(tmp_path: Path) -> None:
    for fail_at in range(1, 60, 3):
        base = tmp_path / str(fail_at)
        base.mkdir()
        disk = VolatileDisk(base, fail_at=fail_at, fail_with=errno.ENOSPC, fail_for=1 << 30)
        promised: Promised = []
        with pytest.raises(DiskFull, match="the disk is full; free some space"):
            crawl(disk, base / "dataset", promised)
        assert broken_promises(base / "dataset", promised) == []


def test_sink_after_a_failed_sync_is_over_and_the_next_one_starts_afresh(tmp_path: Path) -> None:
    probe = VolatileDisk(tmp_path / "probe")
    (tmp_path / "probe").mkdir()
    sink_at(tmp_path / "probe", disk=probe).write([gated(1)])
    base = tmp_path / "real"
    base.mkdir()
    # The small frame is written by close_segment; the sync comes right after it.
    disk = VolatileDisk(base, survival=0.0, fail_at=probe.operations + 2, fail_with=errno.EIO)
    sink = sink_at(base / "dataset", disk=disk)
    sink.write([gated(1)])
    with pytest.raises(DatasetError, match="Input/output error"):
        sink.close_segment()
    for again in (sink.close_segment, lambda: sink.write([gated(2)])):
        with pytest.raises(DatasetError, match="go back to the last checkpoint"):
            again()
    afresh = sink_at(base / "dataset", disk=disk)
    afresh.write([gated(1)])
    segment = afresh.close_segment()
    assert segment is not None
    disk.power_cut()
    assert verify(base / "dataset", [segment]) == Verification(
        1, 1, segment.length, corrupt=(), missing=(), strays=()
    )
