from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.sweep import list_segments, sweep
from labtrawl.errors import DatasetError
from tests.integration.dataset.samples import ISSUES, gated, written

FENCE_3 = replace(ISSUES, fence=3)


def test_sweep_removes_what_is_neither_named_nor_of_a_living_lease(tmp_path: Path) -> None:
    named = written(tmp_path, [gated(1)], number=1)
    leftover = written(tmp_path, [gated(2)], number=2)
    living = written(tmp_path, [gated(2)], place=FENCE_3, number=1)
    stranger = tmp_path / "i1/project-12/issues/README"
    stranger.write_text("mine")
    found = list_segments(LocalDisk(), tmp_path)
    swept = sweep(LocalDisk(), tmp_path, found, {named.name}, {(45, 3)})
    left = sorted(path.relative_to(tmp_path).as_posix() for path in LocalDisk().files(tmp_path))
    assert swept == [leftover.name]
    assert left == sorted([named.name, living.name, "i1/project-12/issues/README"])


def test_sweep_keeps_a_segment_written_after_the_files_were_listed(tmp_path: Path) -> None:
    found = list_segments(LocalDisk(), tmp_path)
    later = written(tmp_path, [gated(1)])
    assert sweep(LocalDisk(), tmp_path, found, set(), set()) == []
    assert (tmp_path / later.name).exists()


def test_sweep_of_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    assert sweep(LocalDisk(), root, list_segments(LocalDisk(), root), set(), set()) == []


def test_sweep_of_a_file_that_is_gone_already_goes_on(tmp_path: Path) -> None:
    rows = [written(tmp_path, [gated(1)], number=number) for number in (1, 2)]
    found = list_segments(LocalDisk(), tmp_path)
    (tmp_path / rows[0].name).unlink()
    swept = sweep(LocalDisk(), tmp_path, found, set(), set())
    assert sorted(swept) == [row.name for row in rows]
    assert list_segments(LocalDisk(), tmp_path).places == {}


def test_sweep_of_a_file_that_cannot_be_removed_says_why(tmp_path: Path) -> None:
    class Stubborn(LocalDisk):
        def remove(self, path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

    row = written(tmp_path, [gated(1)])
    found = list_segments(LocalDisk(), tmp_path)
    with pytest.raises(DatasetError, match=f"cannot remove {row.name}: Permission denied; check"):
        sweep(Stubborn(), tmp_path, found, set(), set())


def test_list_segments_of_a_folder_that_cannot_be_listed_says_why(tmp_path: Path) -> None:
    class Unreadable(LocalDisk):
        def files(self, root: Path) -> Iterator[Path]:
            raise PermissionError(13, "Permission denied", str(root))

    with pytest.raises(DatasetError, match=f"cannot list {tmp_path}: Permission denied; check"):
        list_segments(Unreadable(), tmp_path)


def test_list_segments_of_a_file_in_the_roots_place_says_why(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    root.write_text("mine")
    with pytest.raises(DatasetError, match="Not a directory"):
        list_segments(LocalDisk(), root)
