import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import zstandard

from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.policy import Record
from labtrawl.dataset.reader import newest, read, read_segment
from labtrawl.dataset.sink import Segment
from labtrawl.dataset.users import SeenUser, users_seen
from labtrawl.errors import CorruptSegment
from tests.integration.dataset.samples import ISSUES, gated, written

OTHER_INSTANCE = replace(ISSUES, instance_id=2)
LABELS = SegmentPrefix(1, "project", 12, "labels", 46, 1)
OLD, MIDDLE, NEW = (f"2026-03-0{day}T00:00:00Z" for day in (1, 2, 3))
A, B = b'{"id":1,"title":"a"}', b'{"id":1,"title":"b"}'


def seen(records: object) -> list[tuple[int | str, str, bytes]]:
    assert isinstance(records, list)
    return [(record.id, record.fetched_at, bytes(record.body)) for record in records]


def test_read_segment_gives_back_what_was_written(tmp_path: Path) -> None:
    row = written(tmp_path, [gated(1, at=OLD, body=A)])
    (record,) = read_segment(tmp_path, row)
    body = bytes(record.body)
    assert (msgspec.structs.replace(record, body=msgspec.Raw(b"")), body) == (
        Record(
            id=1,
            kind="issue",
            fetched_at=OLD,
            request="/api/v4/projects/12/issues?per_page=100",
            page_sha256="ab" * 32,
            gitlab_version="19.3.0",
            policy="as_is",
            body=msgspec.Raw(b""),
        ),
        A,
    )


def test_read_drops_an_unchanged_reread_and_keeps_each_version(tmp_path: Path) -> None:
    rows = [
        written(tmp_path, [gated(1, at=OLD, body=A), gated(2, at=OLD, body=A)], number=1),
        written(tmp_path, [gated(1, at=MIDDLE, body=A), gated(2, at=MIDDLE, body=B)], number=2),
        written(tmp_path, [gated(1, at=NEW, body=A), gated(2, at=NEW, body=A)], number=3),
    ]
    assert seen(list(read(tmp_path, rows))) == [
        (1, OLD, A),
        (2, OLD, A),
        (2, MIDDLE, B),
        (2, NEW, A),
    ]


def test_read_of_a_page_delivered_twice_gives_each_record_once(tmp_path: Path) -> None:
    page = [gated(number) for number in range(5)]
    row = written(tmp_path, [*page, *page])
    assert [record.id for record in read(tmp_path, [row])] == [0, 1, 2, 3, 4]


def test_read_keeps_equal_ids_of_other_kinds_types_and_instances_apart(tmp_path: Path) -> None:
    rows = [
        written(tmp_path, [gated(1, body=A), gated("1", body=A), gated(1, kind="x", body=A)]),
        written(tmp_path, [gated(1, body=A)], place=OTHER_INSTANCE),
    ]
    assert [(record.kind, record.id) for record in read(tmp_path, rows)] == [
        ("issue", 1),
        ("issue", "1"),
        ("x", 1),
        ("issue", 1),
    ]


def test_newest_takes_the_last_committed_whatever_the_clocks_said(tmp_path: Path) -> None:
    rows = [
        written(tmp_path, [gated(1, at=NEW, body=B), gated(2, at=OLD, body=A)], number=1),
        written(tmp_path, [gated(1, at=OLD, body=A)], number=2),
        written(tmp_path, [gated(2, at=NEW, body=B), gated(2, at=MIDDLE, body=A)], number=3),
    ]
    assert seen(list(newest(tmp_path, rows))) == [(1, OLD, A), (2, MIDDLE, A)]


def test_newest_of_one_page_takes_its_last_line(tmp_path: Path) -> None:
    rows = [
        written(tmp_path, [gated(1, body=A), gated(1, body=B)], number=1),
        written(tmp_path, [gated(1, body=A)], number=2),
    ]
    assert [bytes(record.body) for record in newest(tmp_path, rows)] == [A]
    assert [bytes(record.body) for record in newest(tmp_path, rows[:1])] == [B]


def test_users_seen_are_found_at_any_depth_once_and_newest(tmp_path: Path) -> None:
    anna = b'{"id":5,"username":"anna","name":"%s"}'
    deep = b'{"id":1,"notes":[{"by":{"author":' + anna % b"Anna Old" + b"}}]}"
    later = b'{"id":2,"author":' + anna % "Änna".encode() + b',"assignee":null}'
    no_users = b'{"id":true,"username":"t","name":"t","user":{"id":"9","username":"x","name":"x"}}'
    rows = [
        written(tmp_path, [gated(2, at=NEW, body=later)], number=1),
        written(tmp_path, [gated(1, at=OLD, body=deep), gated(3, body=no_users)], number=2),
        written(tmp_path, [gated(2, at=OLD, body=later)], place=OTHER_INSTANCE),
    ]
    assert users_seen(tmp_path, rows) == [
        SeenUser(1, 5, "anna", "Änna", NEW),
        SeenUser(2, 5, "anna", "Änna", OLD),
    ]


def test_read_segment_of_a_changed_file_yields_nothing_before_it_raises(tmp_path: Path) -> None:
    row = written(tmp_path, [gated(number) for number in range(50)])
    path = tmp_path / row.name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    records = read_segment(tmp_path, row)
    with pytest.raises(CorruptSegment, match="has other bytes than were committed"):
        next(records)


def test_read_segment_with_another_count_than_committed_raises(tmp_path: Path) -> None:
    row = replace(written(tmp_path, [gated(1)]), records=2)
    with pytest.raises(CorruptSegment, match="holds 1 records; 2 were committed"):
        list(read_segment(tmp_path, row))


def test_read_segment_that_is_missing_says_so(tmp_path: Path) -> None:
    row = Segment(ISSUES.name(9), 1, "00", 1)
    with pytest.raises(CorruptSegment, match=r"j45-f2-000009\.jsonl\.zst is missing"):
        list(read_segment(tmp_path, row))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "i1/project-1/issues"])
def test_read_segment_by_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptSegment, match="is not the name of a segment"):
        list(read_segment(tmp_path, Segment(name, 1, "00", 1)))


@pytest.mark.parametrize("plain", [b"no json\n", b'{"id":1}\n', b"\x00" * 10])
def test_read_segment_that_holds_no_records_is_refused(tmp_path: Path, plain: bytes) -> None:
    name = LABELS.name(1)
    content = zstandard.ZstdCompressor().compress(plain)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    row = Segment(name, len(content), hashlib.sha256(content).hexdigest(), 1)
    with pytest.raises(CorruptSegment, match="holds something else than records"):
        list(read_segment(tmp_path, row))
