from pathlib import Path

import pytest

from labtrawl.dataset.layout import (
    SegmentPlace,
    SegmentPrefix,
    dataset_root,
    folder_of,
    parse_segment_name,
    segment_name,
)
from labtrawl.errors import DatasetError

NAME = "i1/project-12/issues/j45-f2-000001.jsonl.zst"


def test_segment_name_of_an_issue_list_has_its_folder_job_fence_and_number() -> None:
    assert segment_name(1, "project", 12, "issues", 45, 2, 1) == NAME


def test_segment_name_past_six_digits_grows() -> None:
    name = segment_name(1, "group", 3, "labels", 4, 5, 1_000_000)
    assert name == "i1/group-3/labels/j4-f5-1000000.jsonl.zst"


def test_prefix_names_its_segments() -> None:
    assert SegmentPrefix(1, "project", 12, "issues", 45, 2).name(1) == NAME


def test_parse_of_a_name_gives_its_parts() -> None:
    assert parse_segment_name(NAME) == SegmentPlace(1, "project", 12, "issues", 45, 2, 1)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/" + NAME,
        "../" + NAME,
        "i1/project-12/issues/../issues/j45-f2-000001.jsonl.zst",
        "i1/project-12//issues/j45-f2-000001.jsonl.zst",
        "i1/project-12/issues/j45-f2-000001.jsonl.zst\n",
        "i1/project-12/issues/j45-f2-000001.jsonl.zst/x",
        "i1/project-12/issues/j45-f2-000001.jsonl",
        "i1/project-12/issues/j45-f2-1.jsonl.zst",
        "i1/project-12/issues/j45-f2-0000001.jsonl.zst",
        "i01/project-12/issues/j45-f2-000001.jsonl.zst",
        "i-1/project-12/issues/j45-f2-000001.jsonl.zst",
        "i1/project-٣/issues/j45-f2-000001.jsonl.zst",
        "i1/runner-12/issues/j45-f2-000001.jsonl.zst",
        "i1/project-12/Issues/j45-f2-000001.jsonl.zst",
        "i1/project-12/is\x00ues/j45-f2-000001.jsonl.zst",
        "i1\\project-12\\issues\\j45-f2-000001.jsonl.zst",
        f"i{'9' * 20}/project-12/issues/j45-f2-000001.jsonl.zst",
    ],
)
def test_parse_of_anything_else_is_none(name: str) -> None:
    assert parse_segment_name(name) is None


@pytest.mark.parametrize(
    ("kind", "resource", "number"),
    [("project", "..", 1), ("project", "a/b", 1), ("../x", "issues", 1), ("group", "labels", -1)],
)
def test_segment_name_of_hostile_parts_is_refused(kind: str, resource: str, number: int) -> None:
    with pytest.raises(DatasetError, match="cannot be a segment"):
        segment_name(1, kind, 12, resource, 45, 2, number)


def test_folder_and_root_are_where_the_reference_says() -> None:
    assert folder_of(NAME) == "i1/project-12/issues"
    assert dataset_root(Path("somewhere")) == Path("somewhere/dataset")
