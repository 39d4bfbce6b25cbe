"""Every table of an export against what plain Python reads, from a world that has all kinds."""

from collections import Counter
from pathlib import Path

import pytest

from labtrawl.dataset.tables import BY_NAME, TABLES
from labtrawl.gitlab.catalog import RESOURCES, find
from labtrawl.sandbox import build_world, truth
from tests.integration.dataset.exported import Line, collected, expected, labtrawl, rows_of

SIZES = {"issues": 60, "merge_requests": 40, "commits": 200, "ci_jobs": 200, "pipelines": 100}


def world_lines() -> list[Line]:
    """A line for each object of the world, called as a crawler would call it."""
    lines = []
    for area_kind, area_id, resource, natural, body in truth(
        build_world("default", 7, SIZES)
    ).items():
        row = find(area_kind, resource)
        assert row is not None
        number = f"{area_id}/{natural}" if row.local_id else natural
        lines.append(
            Line(resource, number, body, area_kind=area_kind, area_id=area_id, kind=row.kind)
        )
    return lines


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return world_lines()


@pytest.mark.long
async def test_every_table_equals_a_plain_reading(tmp_path: Path, lines: list[Line]) -> None:
    await collected(tmp_path, lines)
    ran = labtrawl("export", "parquet", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    for name, rows in expected(lines).items():
        if name in {"users", "other_records"}:
            continue
        found = rows_of(tmp_path / "out", name)
        key = ("area_kind", "area_id", "resource", "id")
        assert sorted(found, key=lambda row: str([row[k] for k in key])) == sorted(
            rows, key=lambda row: str([row[k] for k in key])
        ), name


def test_world_fills_every_table(lines: list[Line]) -> None:
    filled = {name for name, rows in expected(lines).items() if rows}
    assert filled == set(BY_NAME) - {"users", "other_records"}


def test_every_resource_of_the_catalog_has_a_table() -> None:
    known = {resource for table in TABLES for resource in table.resources}
    assert {row.name for row in RESOURCES if row.kind} - known == set()


def test_no_table_has_a_column_twice() -> None:
    counts = {
        table.name: [n for n, c in Counter(col.name for col in table.columns).items() if c > 1]
        for table in TABLES
    }
    assert {name: twice for name, twice in counts.items() if twice} == {}


# What no object of the look-alike has; GitLab's own schema names each (OpenAPI 19.3).
UNFILLED = {
    "projects": {"forked_from_project_id"},
    "issues": {"discussion_locked", "start_date", "weight", "moved_to_id"},
    "notes": {"path", "line"},
    "state_events": {"source_commit", "source_merge_request_id"},
    "merge_requests": {"discussion_locked", "squash_commit_sha"},
    "merge_request_pipelines": {"name"},
    "pipelines": {"name"},
    "ci_jobs": {"tag_list", "runner_id"},
    "environments": {"auto_stop_at"},
}


def test_every_column_names_a_field_that_objects_have(lines: list[Line]) -> None:
    """A column that looks in a place where nothing ever is would be NULL without a word."""
    told = expected(lines)
    always_null = {
        table.name: {
            column.name
            for column in table.columns
            if all(row.get(column.name) in (None, []) for row in told[table.name])
        }
        for table in TABLES
        if told.get(table.name)
    }
    assert {name: columns for name, columns in always_null.items() if columns} == UNFILLED
