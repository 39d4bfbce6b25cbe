"""A data folder for the tests of exports, and what plain Python reads out of its records."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Connection

from labtrawl.dataset.layout import SegmentPrefix, dataset_root
from labtrawl.dataset.policy import FetchedRecord, apply
from labtrawl.dataset.tables import BY_NAME
from labtrawl.dataset.tables_shape import Column, Table, Type
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.store import accounts, areas, jobs, manifest
from labtrawl.store.engine import database_path, open_store
from labtrawl.store.migrate import migrate
from tests.integration.dataset.samples import written

FIRST = "2026-03-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a resource: of which area, and what it says."""

    resource: str
    id: int | str
    body: dict[str, Any] | bytes
    at: str = FIRST
    state: str = "present"
    area_kind: str = "project"
    area_id: int = 12
    kind: str = ""


@dataclass(slots=True)
class Ran:
    code: int
    out: str
    err: str


def labtrawl(*arguments: str | Path) -> Ran:
    """Run `labtrawl dataset …` as a user does."""
    command = [sys.executable, "-m", "labtrawl", "dataset", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


async def collected(data_dir: Path, lines: Sequence[Line]) -> Path:
    """Commit these records, a segment for each run of lines of one area and resource."""
    root, rows = dataset_root(data_dir), list[tuple[Line, manifest.ClosedSegment]]()
    for number, run in enumerate(_runs(lines), 1):
        first = run[0]
        place = SegmentPrefix(1, first.area_kind, first.area_id, first.resource, number, 1)
        segment = written(
            root, [apply("as_is", each.resource, _fetched(each)) for each in run], place=place
        )
        rows.append(
            (
                first,
                manifest.ClosedSegment(
                    segment.name, segment.length, segment.sha256, segment.records
                ),
            )
        )
    migrate(database_path(data_dir))
    async with open_store(database_path(data_dir)) as store:
        await store.write(lambda connection: _commit(connection, rows))
    return data_dir


def _runs(lines: Sequence[Line]) -> list[list[Line]]:
    runs: list[list[Line]] = []
    last = None
    for line in lines:
        place = (line.area_kind, line.area_id, line.resource)
        if place == last:
            runs[-1].append(line)
        else:
            runs.append([line])
        last = place
    return runs


def _fetched(line: Line) -> FetchedRecord:
    body = line.body if isinstance(line.body, bytes) else json.dumps(line.body).encode()
    kind = line.kind or line.resource.removesuffix("s")
    return FetchedRecord(line.id, kind, line.at, "/x", "ab" * 32, "19.3.0", body, line.state)


def _commit(connection: Connection, rows: Sequence[tuple[Line, manifest.ClosedSegment]]) -> None:
    account = accounts.VerifiedAccount("lab", "http://lab", "19.3.0", 5, "anna", ("api",), "enc")
    instance_id, _ = accounts.record(connection, account)
    for line, segment in rows:
        path = f"crew/{line.area_kind}-{line.area_id}"
        area = FoundArea(AreaKind(line.area_kind), line.area_id, path, path)
        area_id = areas.record(connection, instance_id, area)
        job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, line.resource))
        if job_id is None:
            job_id = connection.exec_driver_sql(
                "SELECT id FROM job WHERE area_id = ? AND resource = ?", (area_id, line.resource)
            ).scalar_one()
        manifest.commit(connection, job_id, 1, [segment])


def rows_of(source: Path | str, name: str, order: str = "ALL") -> list[dict[str, Any]]:
    """Read a table of an export back: from a folder of Parquet, or from a DuckDB file."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        place = f"'{source}/{name}.parquet'"
        if Path(source).is_file():
            connection.execute(f"ATTACH '{source}' AS told (READ_ONLY)")
            place = f"told.{name}"
        found = connection.execute(
            f"SELECT to_json(t) FROM {place} AS t ORDER BY {order}"
        ).fetchall()
        kinds = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {place}").fetchall()}
    return [_typed(json.loads(row[0]), kinds) for row in found]


def _typed(row: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    for name, kind in kinds.items():
        if kind == "TIMESTAMP WITH TIME ZONE" and row[name] is not None:
            row[name] = datetime.fromisoformat(row[name]).astimezone(UTC)
        if kind == "DATE" and row[name] is not None:
            row[name] = date.fromisoformat(row[name])
    return row


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def plain(table: Table, line: Line, body: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """Read a table's own columns from a body, as naively as it can be done."""
    return {column.name: _plain(column, line, body, parent) for column in table.columns}


def _plain(column: Column, line: Line, body: Any, parent: Any) -> Any:
    steps = column.path.split(".")
    if steps == ["@area"]:
        return line.area_id
    if steps[0] == "@id":
        return int(str(line.id).split("/")[int(steps[1]) - 1])
    value = _walk(parent, steps[1:]) if steps[0] == "@parent" else _walk(body, steps)
    if value is None:
        return None
    if column.type == Type.TIMESTAMPTZ:
        return instant(value)
    return date.fromisoformat(value) if column.type == Type.DATE else value


def _walk(value: Any, steps: list[str]) -> Any:
    if not steps or value is None:
        return value
    step, rest = steps[0], steps[1:]
    if step == "*":
        return [_walk(each, rest) for each in value]
    if step.isdecimal():
        return _walk(value[int(step)] if value else None, rest)
    return _walk(value.get(step), rest)


def expected(lines: Sequence[Line]) -> dict[str, list[dict[str, Any]]]:
    """Return each table's newest rows where every object was read once and is present."""
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in BY_NAME}
    for line in lines:
        for table in BY_NAME.values():
            if line.resource in table.resources:
                made[table.name] += _rows(table, line)
    return made


def _rows(table: Table, line: Line) -> list[dict[str, Any]]:
    assert isinstance(line.body, dict)
    parts: list[tuple[int | str, dict[str, Any]]] = [(line.id, line.body)]
    if table.name == "notes":
        parts = [(note["id"], note) for note in line.body["notes"]]
    if table.name == "project_languages":
        parts = [
            (f"{line.area_id}/{name}", {"language": name, "share": share})
            for name, share in line.body.items()
        ]
    at = instant(line.at)
    return [
        {
            "instance_id": 1,
            "area_kind": line.area_kind,
            "area_id": line.area_id,
            "resource": line.resource,
            "id": number,
            "fetched_at": at,
            "record_state": "present",
            "first_seen_at": at,
            "last_changed_at": at,
            "gone_at": None,
            **plain(table, line, body, line.body),
            "body": body,
        }
        for number, body in parts
    ]
