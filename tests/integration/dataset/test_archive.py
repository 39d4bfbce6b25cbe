"""The archive of everything of somebody: what is in it, and that a part is not taken for the whole."""

import gc
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from labtrawl.dataset.archive import Archive
from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.sink import Segment
from tests.integration.dataset.samples import gated, written

LABELS = SegmentPrefix(1, "group", 3, "labels", 46, 1)
FOLDER = "i1/project-12/issues"
HOSTILE = "../../etc/<passwd>\u202e\x00"
Lists = Sequence[tuple[str, str, Sequence[Segment]]]


def streamed(root: Path, lists: Lists) -> Iterator[bytes]:
    archive = Archive(root, "2026-11-22T10:00:00Z", "Records of somebody.")
    yield from archive.begin()
    for area, folder, rows in lists:
        yield from archive.add(area, folder, rows)
    yield from archive.finish()


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    many = [gated(number) for number in range(1, 4000)]
    issues = [
        written(tmp_path, many, number=1),
        written(tmp_path, [gated(1, at="2026-03-05T00:00:00Z")], number=2),
    ]
    labels = [written(tmp_path, [gated(9, kind="label")], place=LABELS)]
    return [("kelp/labs", FOLDER, issues), (HOSTILE, "i1/group-3/labels", labels)]


def test_archive_holds_each_list_with_its_hash(tmp_path: Path, lists: Lists) -> None:
    packed = zipfile.ZipFile(io.BytesIO(b"".join(streamed(tmp_path, lists))))
    assert packed.testzip() is None
    names = ["README.txt", "i1/project-12/issues.jsonl", "i1/group-3/labels.jsonl"]
    assert packed.namelist() == [*names, "manifest.json", "SHA256SUMS"]
    manifest = json.loads(packed.read("manifest.json"))
    issues = packed.read(names[1])
    assert [json.loads(line)["id"] for line in issues.splitlines()] == [*range(1, 4000), 1]
    assert (manifest["is_complete"], manifest["problems"], manifest["records"]) == (True, [], 4001)
    assert manifest["files"][0] == {
        "name": names[1],
        "area": "kelp/labs",
        "resource": "issues",
        "records": 4000,
        "bytes": len(issues),
        "sha256": hashlib.sha256(issues).hexdigest(),
    }
    assert manifest["files"][1]["area"] == HOSTILE


def test_sums_are_checked_by_the_usual_program(tmp_path: Path, lists: Lists) -> None:
    packed = zipfile.ZipFile(io.BytesIO(b"".join(streamed(tmp_path, lists))))
    packed.extractall(tmp_path / "out")
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / "out",
        check=True,
        capture_output=True,
    )


def test_lines_are_those_of_the_segments_byte_for_byte(tmp_path: Path) -> None:
    body = '{"id":1,"title":"\\u003cb\\u003e \u202e = ümlaut","n":1.50}'.encode()
    row = written(tmp_path, [made := gated(1, body=body)])
    packed = zipfile.ZipFile(io.BytesIO(b"".join(streamed(tmp_path, [("a", FOLDER, [row])]))))
    assert packed.read("i1/project-12/issues.jsonl") == made.line


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_part_of_an_archive_is_no_archive(tmp_path: Path, lists: Lists, share: float) -> None:
    whole = b"".join(streamed(tmp_path, lists))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(whole[: int(len(whole) * share)]))


def test_first_bytes_come_before_any_file_is_read(tmp_path: Path) -> None:
    assert next(streamed(tmp_path / "nowhere", []))[:4] == b"PK\3\4"


def test_chunks_are_small_however_long_a_list(tmp_path: Path, lists: Lists) -> None:
    assert max(map(len, streamed(tmp_path, lists))) < 300_000


def test_damaged_segment_is_left_out_and_told(tmp_path: Path, lists: Lists) -> None:
    _, _, (first, _) = lists[0]
    (tmp_path / first.name).write_bytes(b"nothing of the kind")
    packed = zipfile.ZipFile(io.BytesIO(b"".join(streamed(tmp_path, lists))))
    manifest = json.loads(packed.read("manifest.json"))
    assert (manifest["is_complete"], manifest["records"]) == (False, 2)
    assert [first.name in each for each in manifest["problems"]] == [True]


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", f"{FOLDER}/nothing", "i1/group-3/labels/j46-f1-000001.jsonl.zst"],
)
def test_row_that_names_no_segment_of_its_list_is_left_out_and_told(
    tmp_path: Path, lists: Lists, name: str
) -> None:
    _, _, (first, second) = lists[0]
    rows = [replace(first, name=name), second]
    archive = Archive(tmp_path, "2026-11-22T10:00:00Z", "Records of somebody.")
    parts = [archive.begin(), archive.add("kelp/labs", FOLDER, rows), archive.finish()]
    packed = zipfile.ZipFile(io.BytesIO(b"".join(chunk for part in parts for chunk in part)))
    names = ["README.txt", f"{FOLDER}.jsonl", "manifest.json", "SHA256SUMS"]
    assert packed.namelist() == names
    assert [json.loads(line)["id"] for line in packed.read(names[1]).splitlines()] == [1]
    manifest = json.loads(packed.read("manifest.json"))
    assert (manifest["is_complete"], manifest["records"], manifest["problems"]) == (
        False,
        1,
        [f"a stored file of {FOLDER} has a name that is not its own"],
    )
    assert archive.faults == [f"{name!r} is no segment of {FOLDER}"]


def test_empty_archive_says_so(tmp_path: Path) -> None:
    packed = zipfile.ZipFile(io.BytesIO(b"".join(streamed(tmp_path, []))))
    assert json.loads(packed.read("manifest.json"))["files"] == []
    assert packed.read("README.txt").startswith(b"Records of somebody.")


def test_archive_that_nobody_finishes_is_forgotten_without_complaint(
    tmp_path: Path, lists: Lists
) -> None:
    chunks = streamed(tmp_path, lists)
    assert b"".join(next(chunks) for _ in range(3))[:4] == b"PK\3\4"
    del chunks
    gc.collect()
