import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from shutil import which
from typing import cast

import pytest
import zstandard

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.policy import GatedRecord
from labtrawl.dataset.sink import Compressor, Folders, Segment, SegmentLimits, Sink
from labtrawl.errors import DatasetError, DiskFull
from tests.integration.dataset.samples import FETCHED_AT, ISSUES, ROOMY, gated, sink_at, written

FIRST = "i1/project-12/issues/j45-f2-000001.jsonl.zst"
SECOND = "i1/project-12/issues/j45-f2-000002.jsonl.zst"
SMALL = SegmentLimits(max_bytes=2000, max_seconds=1e9, min_free_bytes=0)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in LocalDisk().files(root))


def test_closed_segment_matches_the_file_on_disk(tmp_path: Path) -> None:
    segment = written(tmp_path, [gated(number) for number in range(10)])
    content = (tmp_path / FIRST).read_bytes()
    assert segment == Segment(FIRST, len(content), hashlib.sha256(content).hexdigest(), 10)


def test_sink_without_records_makes_no_file_and_no_segment(tmp_path: Path) -> None:
    sink = sink_at(tmp_path / "dataset")
    sink.write([])
    assert (sink.due, sink.close_segment(), files(tmp_path)) == (False, None, [])
    assert not (tmp_path / "dataset").exists()


def test_segments_of_a_sink_are_numbered_on(tmp_path: Path) -> None:
    sink = sink_at(tmp_path)
    closed = []
    for number in range(2):
        sink.write([gated(number)])
        closed.append(sink.close_segment())
    assert [segment.name for segment in closed if segment] == [FIRST, SECOND]
    assert files(tmp_path) == [FIRST, SECOND]


@pytest.mark.skipif(which("zstd") is None, reason="needs the zstd program")
def test_segment_of_many_frames_is_read_by_the_zstd_program(tmp_path: Path) -> None:
    segment = written(tmp_path, [gated(number) for number in range(300)], limits=SMALL)
    path = tmp_path / segment.name
    listed = subprocess.run(["zstd", "-lv", path], check=True, capture_output=True, text=True)
    plain = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    assert "XXH64" in listed.stdout
    assert [json.loads(line)["id"] for line in plain.splitlines()] == list(range(300))


def test_sink_is_due_once_its_bytes_on_disk_reach_the_limit(tmp_path: Path) -> None:
    sink = sink_at(tmp_path, limits=SMALL)
    for number in count():
        sink.write([gated(number)])
        if sink.due:
            break
    segment = sink.close_segment()
    assert segment is not None
    assert SMALL.max_bytes <= segment.length <= 2 * SMALL.max_bytes
    assert not sink.due


def test_sink_is_due_by_the_age_of_its_first_record(tmp_path: Path) -> None:
    now = [100.0]
    limits = SegmentLimits(max_seconds=5.0, min_free_bytes=0)
    sink = Sink(LocalDisk(), tmp_path, ISSUES, 1, limits, monotonic=lambda: now[0])
    now[0] = 900.0
    sink.write([gated(1)])
    now[0] = 904.9
    young = sink.due
    now[0] = 905.0
    assert (young, sink.due) == (False, True)


def test_abandon_removes_the_unfinished_file_alone_and_ends_the_sink(tmp_path: Path) -> None:
    sink = sink_at(tmp_path)
    sink.write([gated(1)])
    closed = sink.close_segment()
    sink.write([gated(2)])
    sink.abandon()
    for again in (sink.close_segment, lambda: sink.write([gated(2)])):
        with pytest.raises(DatasetError, match="the sink is over"):
            again()
    assert (closed and closed.name, files(tmp_path), sink.due) == (FIRST, [FIRST], False)


def test_sink_given_anything_but_gated_records_takes_nothing(tmp_path: Path) -> None:
    class Forged(GatedRecord):
        pass

    forged = object.__new__(Forged)
    for stranger in (b"{}\n", {"id": 1}, forged):
        sink = sink_at(tmp_path)
        with pytest.raises(TypeError, match="a sink takes gated records"):
            sink.write([gated(1), cast("GatedRecord", stranger)])
        assert (sink.close_segment(), files(tmp_path)) == (None, [])


def test_sink_whose_file_is_there_already_refuses_and_leaves_it(tmp_path: Path) -> None:
    written(tmp_path, [gated(1)])
    before = (tmp_path / FIRST).read_bytes()
    sink = sink_at(tmp_path)
    sink.write([gated(2)])
    with pytest.raises(DatasetError, match=rf"cannot write {FIRST}: File exists"):
        sink.close_segment()
    assert (tmp_path / FIRST).read_bytes() == before


def test_sink_with_too_little_room_left_says_disk_full_and_begins_nothing(tmp_path: Path) -> None:
    sink = sink_at(tmp_path, limits=SegmentLimits(min_free_bytes=1 << 60))
    sink.write([gated(1)])
    with pytest.raises(DiskFull, match=r"MiB are kept for the database; free some space"):
        sink.close_segment()
    with pytest.raises(DatasetError, match="go back to the last checkpoint"):
        sink.close_segment()
    assert files(tmp_path) == []


def test_sink_touches_the_disk_with_its_first_frame_and_not_before(tmp_path: Path) -> None:
    sink = sink_at(tmp_path / "dataset")
    records = [gated(number) for number in range(10)]
    assert (sink.is_idle, sink.is_in_memory(records)) == (True, True)
    sink.write(records)
    assert (sink.is_idle, (tmp_path / "dataset").exists()) == (False, False)
    sink.abandon()
    assert (sink.is_idle, (tmp_path / "dataset").exists()) == (True, False)


class _Telling(LocalDisk):
    """Tells which folders below one were made to last."""

    def __init__(self, base: Path) -> None:
        self.synced: list[str] = []
        self._base = base

    def sync_folder(self, path: Path) -> None:
        self.synced.append(path.relative_to(self._base).as_posix())
        super().sync_folder(path)


def test_folders_are_made_to_last_once_by_all_sinks_together(tmp_path: Path) -> None:
    disk, folders = _Telling(tmp_path), Folders()
    for number in (1, 2):
        sink = Sink(disk, tmp_path / "d", ISSUES, number, SMALL, lambda: 0.0, folders)
        sink.write([gated(number)])
        sink.close_segment()
    area = f"d/i{ISSUES.instance_id}/{ISSUES.area_kind}-{ISSUES.gitlab_id}"
    inner = f"{area}/{ISSUES.resource}"
    assert disk.synced == [inner, ".", "d", f"d/i{ISSUES.instance_id}", area, inner]


def test_folders_beyond_those_that_are_known_at_once_are_made_to_last_again(tmp_path: Path) -> None:
    disk, folders = _Telling(tmp_path), Folders(most=4)
    other = replace(ISSUES, resource="labels")
    for number, place in enumerate((ISSUES, other, ISSUES, ISSUES), 1):
        sink = Sink(disk, tmp_path / "d", place, number, SMALL, lambda: 0.0, folders)
        sink.write([gated(number)])
        sink.close_segment()
    area = f"d/i{ISSUES.instance_id}/{ISSUES.area_kind}-{ISSUES.gitlab_id}"
    issues, labels = f"{area}/issues", f"{area}/labels"
    way = [".", "d", f"d/i{ISSUES.instance_id}", area]
    # Four are known after the first segment; with the second it begins anew.
    assert disk.synced == [issues, *way, labels, area, issues, *way, issues]


def test_folders_are_made_again_after_a_failure_of_the_disk(tmp_path: Path) -> None:
    folders = Folders()
    first = Sink(LocalDisk(), tmp_path / "d", ISSUES, 1, SMALL, lambda: 0.0, folders)
    first.write([gated(1)])
    first.close_segment()
    shutil.rmtree(tmp_path / "d")
    lost, again = (
        Sink(LocalDisk(), tmp_path / "d", ISSUES, 1, SMALL, lambda: 0.0, folders) for _ in "ab"
    )
    lost.write([gated(1)])
    with pytest.raises(DatasetError, match="No such file"):
        lost.close_segment()
    again.write([gated(1)])
    assert again.close_segment() is not None


def test_sink_through_a_link_out_of_the_root_refuses(tmp_path: Path) -> None:
    root, outside = tmp_path / "dataset", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "i1").symlink_to(outside)
    sink = sink_at(root)
    sink.write([gated(1)])
    with pytest.raises(DatasetError, match="leads out of"):
        sink.close_segment()
    assert list(outside.iterdir()) == []


def test_sink_through_a_link_below_a_known_folder_refuses(tmp_path: Path) -> None:
    root, outside, folders = tmp_path / "dataset", tmp_path / "outside", Folders()
    outside.mkdir()
    first = Sink(LocalDisk(), root, ISSUES, 1, SMALL, lambda: 0.0, folders)
    first.write([gated(1)])
    first.close_segment()
    place = replace(ISSUES, resource="labels")
    (root / place.name(1)).parent.symlink_to(outside)
    second = Sink(LocalDisk(), root, place, 1, SMALL, lambda: 0.0, folders)
    second.write([gated(2)])
    with pytest.raises(DatasetError, match="leads out of"):
        second.close_segment()
    assert list(outside.iterdir()) == []


def test_sinks_that_share_a_compressor_write_whole_frames_at_once(tmp_path: Path) -> None:
    """Each frame is made while nobody else has the compressor in hand."""
    compressor, together = Compressor(), threading.Barrier(4)
    pages = {number: [gated(number * 1000 + one) for one in range(400)] for number in range(1, 5)}

    def write(number: int) -> None:
        sink = Sink(LocalDisk(), tmp_path, ISSUES, number, SMALL, lambda: 0.0, None, compressor)
        together.wait(30)
        for _ in range(50):
            sink.write(pages[number])
        sink.close_segment()

    threads = [threading.Thread(target=write, args=(number,)) for number in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, page in pages.items():
        with (tmp_path / ISSUES.name(number)).open("rb") as file:
            plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            assert plain.read() == 50 * b"".join(record.line for record in page)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    written(tmp_path / "dataset", [gated(1)])
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "dataset").rglob("*")}
    assert modes == {0o600, 0o700}


def test_content_of_a_segment_is_the_records_lines_in_order(tmp_path: Path) -> None:
    def pages() -> Iterator[list[GatedRecord]]:
        for page in range(3):
            yield [gated(page * 10 + number, at=FETCHED_AT) for number in range(10)]

    sink = sink_at(tmp_path, limits=ROOMY)
    for page in pages():
        sink.write(page)
    segment = sink.close_segment()
    assert segment is not None
    plain = _plain(tmp_path / segment.name)
    assert plain == b"".join(record.line for record in chain.from_iterable(pages()))


def _plain(path: Path) -> bytes:
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return reader.read()


def test_abandon_during_a_write_waits_for_its_end(tmp_path: Path) -> None:
    deeds: list[str] = []

    class Slow(LocalDisk):
        def write(self, handle: int, content: bytes) -> None:
            canceller.start()
            canceller.join(0.05)  # without the lock it would be through by then
            super().write(handle, content)
            deeds.append("written")

        def close(self, handle: int) -> None:
            super().close(handle)
            deeds.append("closed")

    sink = sink_at(tmp_path, disk=Slow(), limits=SegmentLimits(max_bytes=1, min_free_bytes=0))
    canceller = threading.Thread(target=sink.abandon)
    sink.write([gated(1)])
    canceller.join()
    assert (deeds, files(tmp_path)) == (["written", "closed"], [])


WRITE_UNTIL_FULL = """
import resource, sys
from pathlib import Path
from labtrawl.errors import DiskFull
from tests.integration.dataset.samples import gated, sink_at
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sink = sink_at(Path(sys.argv[1]))
try:
    sink.write([gated(n, body=b'{"x":"' + n.to_bytes(8).hex().encode() * 99 + b'"}') for n in range(9999)])
    sink.close_segment()
except DiskFull as error:
    print(error)
"""


def test_sink_at_the_file_size_limit_says_so_and_leaves_no_file(
    tmp_path: Path, repository: Path
) -> None:
    script = [sys.executable, "-c", WRITE_UNTIL_FULL, str(tmp_path)]
    ran = subprocess.run(script, check=True, capture_output=True, text=True, cwd=repository)
    assert ran.stdout == (
        f"cannot write {FIRST}: the file size limit is reached; raise it (ulimit -f); the job"
        " then goes on\n"
    )
    assert files(tmp_path) == []
