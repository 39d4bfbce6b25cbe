"""Records and segments for the tests of the dataset."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from labtrawl.dataset.disk import Disk, LocalDisk
from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.policy import FetchedRecord, GatedRecord, apply
from labtrawl.dataset.sink import Segment, SegmentLimits, Sink

ISSUES = SegmentPrefix(1, "project", 12, "issues", 45, 2)
ROOMY = SegmentLimits(max_bytes=8 << 20, max_seconds=1e9, min_free_bytes=0)
FETCHED_AT = "2026-03-04T05:06:07.089Z"


def fetched(
    number: int | str, *, kind: str = "issue", at: str = FETCHED_AT, body: bytes | None = None
) -> FetchedRecord:
    plain: dict[str, object] = {"id": number, "title": f"Änderung {number}", "labels": []}
    return FetchedRecord(
        id=number,
        kind=kind,
        fetched_at=at,
        request="/api/v4/projects/12/issues?per_page=100",
        page_sha256="ab" * 32,
        gitlab_version="19.3.0",
        body=msgspec.Raw(json.dumps(plain).encode() if body is None else body),
    )


def gated(
    number: int | str, *, kind: str = "issue", at: str = FETCHED_AT, body: bytes | None = None
) -> GatedRecord:
    return apply("as_is", "issues", fetched(number, kind=kind, at=at, body=body))


def sink_at(
    root: Path,
    *,
    disk: Disk | None = None,
    place: SegmentPrefix = ISSUES,
    first_number: int = 1,
    limits: SegmentLimits = ROOMY,
) -> Sink:
    return Sink(disk or LocalDisk(), root, place, first_number, limits, monotonic=lambda: 0.0)


def written(
    root: Path,
    records: Sequence[GatedRecord],
    *,
    place: SegmentPrefix = ISSUES,
    number: int = 1,
    limits: SegmentLimits = ROOMY,
) -> Segment:
    sink = sink_at(root, place=place, first_number=number, limits=limits)
    sink.write(records)
    segment = sink.close_segment()
    assert segment is not None
    return segment
