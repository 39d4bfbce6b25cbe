from pathlib import Path

from labtrawl.dataset.verify import Verification, verify
from tests.integration.dataset.samples import gated, written


def test_verify_of_whole_segments_sums_them_up(tmp_path: Path) -> None:
    rows = [written(tmp_path, [gated(1), gated(2)], number=number) for number in (1, 2)]
    found = verify(tmp_path, rows)
    length = rows[0].length + rows[1].length
    assert found == Verification(2, 4, length, corrupt=(), missing=(), strays=())
    assert found.whole


def test_verify_of_an_empty_dataset_is_whole(tmp_path: Path) -> None:
    found = verify(tmp_path / "dataset", [])
    assert found == Verification(0, 0, 0, corrupt=(), missing=(), strays=())


def test_verify_names_each_fault_and_each_stray(tmp_path: Path) -> None:
    good, cut, gone, unnamed = (
        written(tmp_path, [gated(number)], number=number) for number in (1, 2, 3, 4)
    )
    (tmp_path / cut.name).write_bytes((tmp_path / cut.name).read_bytes()[:-3])
    (tmp_path / gone.name).unlink()
    (tmp_path / "notes.txt").write_text("mine")
    found = verify(tmp_path, [good, cut, gone])
    assert found == Verification(
        segments=1,
        records=1,
        bytes=good.length,
        corrupt=(f"{cut.name} has {cut.length - 3} bytes; {cut.length} were committed",),
        missing=(gone.name,),
        strays=(unnamed.name, "notes.txt"),
    )
    assert not found.whole


def test_verify_of_a_link_out_of_the_root_is_a_fault(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    row = written(tmp_path / "elsewhere", [gated(1)])
    root.mkdir()
    (root / "i1").symlink_to(tmp_path / "elsewhere" / "i1")
    (fault,) = verify(root, [row]).corrupt
    assert "leads out of" in fault


def test_verify_of_a_file_that_may_not_be_read_is_a_fault(tmp_path: Path) -> None:
    row = written(tmp_path, [gated(1)])
    (tmp_path / row.name).unlink()
    (tmp_path / row.name).mkdir()
    assert verify(tmp_path, [row]).corrupt == (f"{row.name} cannot be read: Is a directory",)
