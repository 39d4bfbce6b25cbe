"""Objects that real GitLabs wrote go through the gate, a segment and the reader unchanged."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from labtrawl.dataset.reader import read_segment
from labtrawl.dataset.sink import SegmentLimits
from tests.integration.dataset.samples import gated, written

SMALL = SegmentLimits(max_bytes=64 << 10, max_seconds=1e9, min_free_bytes=0)
# Where the real data are absent: the oddities of GitLab's own output, in a few lines.
OWN = rb"""
[{"id": 1, "title": "\u00c9t\u00e9 \ud83d\ude00", "description": "a\r\nb \u2028 <script>",
  "weight": null, "labels": []},
 {"id": 9007199254740993, "created_at": "2026-03-04T05:06:07.089+02:00", "rate": 1.50e3}]
"""


def objects_of(page: bytes) -> Iterator[bytes]:
    """Take a recorded reply apart as the crawler does: bytes of objects, not decoded."""
    text = page.strip()
    if text.startswith(b"["):
        for item in msgspec.json.decode(text, type=list[msgspec.Raw]):
            if bytes(item).startswith(b"{"):
                yield bytes(item)
    elif text.startswith(b"{"):
        yield text


def recorded(folder: Path) -> Iterator[bytes]:
    for path in sorted((folder / "rest-recorded").rglob("*.json")):
        yield from objects_of(path.read_bytes())
    for path in sorted((folder / "export-trees").rglob("*.ndjson")):
        for line in path.read_bytes().splitlines():
            yield from objects_of(line)


@pytest.mark.truth
def test_real_objects_come_back_with_every_byte_but_line_breaks(
    tmp_path: Path, gitlab_truth: Path | None
) -> None:
    if gitlab_truth is None:
        print("GITLAB_TRUTH is absent: two objects of our own stand in for GitLab's")
    sent = list(objects_of(OWN) if gitlab_truth is None else recorded(gitlab_truth))
    records = [gated(number, body=body) for number, body in enumerate(sent)]
    row = written(tmp_path, records, limits=SMALL)
    found = [bytes(record.body) for record in read_segment(tmp_path, row)]
    assert found == [body.replace(b"\r", b" ").replace(b"\n", b" ") for body in sent]
    assert [json.loads(body) for body in found] == [json.loads(body) for body in sent]
    assert len(found) >= (2 if gitlab_truth is None else 1000)


@pytest.mark.truth
def test_real_objects_take_a_quarter_of_their_bytes_or_less(
    tmp_path: Path, gitlab_truth: Path | None
) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: two objects are too few to be worth compressing")
    sent = list(recorded(gitlab_truth))
    row = written(tmp_path, [gated(number, body=body) for number, body in enumerate(sent)])
    assert 4 * row.length <= sum(map(len, sent))
