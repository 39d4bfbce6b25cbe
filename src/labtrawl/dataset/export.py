"""Exports: typed tables rebuilt from the segments alone, in bounded memory, without a request."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Final

import duckdb

from labtrawl.dataset.export_draft import drafted
from labtrawl.dataset.export_formats import FORMS, Form
from labtrawl.dataset.export_staging import Sightings, Staging, interrupted, located, open_workshop
from labtrawl.dataset.export_versions import outputs, wrong_values
from labtrawl.dataset.layout import parse_segment_name
from labtrawl.dataset.reader import SegmentRow
from labtrawl.dataset.tables import (
    BODY,
    BODY_MEANING,
    HISTORY,
    HISTORY_COLUMNS,
    NEWEST_COLUMNS,
    SCHEMA_VERSION,
    TABLES,
)
from labtrawl.dataset.tables_places import OTHER, SEEN
from labtrawl.dataset.tables_shape import Table
from labtrawl.dataset.tables_values import decode
from labtrawl.errors import DatasetError, DiskFull

_STEP: Final = 500
_WITH_TABLE: Final = {resource for table in TABLES for resource in table.resources}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to export: the committed segments, the tables to make of them, and whose they are.

    `names` holds names of tables, "issues" for the newest state and "issues_history" for all
    versions. `instances` are the addresses by instance id; `stamps` are further facts to keep.
    """

    root: Path
    rows: Sequence[SegmentRow]
    names: frozenset[str]
    instances: Mapping[int, str]
    stamps: Mapping[str, str]

    def passes(self) -> list[tuple[Table, list[SegmentRow]]]:
        """Return each table that is wanted with the segments that are read for it.

        Users are gathered on the way; only what nobody else reads is read for them.
        """
        taken: list[tuple[Table, list[SegmentRow]]] = []
        placed = [(_resource(row), row) for row in self.rows]
        read: set[str] = set()
        for table in TABLES:
            if table.name in self.names or table.name + HISTORY in self.names:
                rows = [row for resource, row in placed if _feeds(resource, row, table, read)]
                read.update(row.name for row in rows)
                taken.append((table, rows))
        return taken

    def records(self) -> int:
        """Return how many records will be read, for a bar: some are read for two tables."""
        return sum(row.records for _, rows in self.passes() for row in rows)


@dataclass(slots=True)
class Report:
    """What an export wrote: records by table, and by "table.column" what was of a wrong type."""

    records: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)


def all_names(tables: Iterable[Table], *, history: bool) -> frozenset[str]:
    """Return the names of these tables, with their histories."""
    names = {table.name for table in tables}
    return frozenset(names | {name + HISTORY for name in names} if history else names)


def export(plan: Plan, form: str, out: Path, *, force: bool, told: Callable[[int], None]) -> Report:
    """Write the tables of `plan` as `form` ("parquet", "csv", "duckdb") to `out`.

    `told` hears how many records were read since it heard last. Raises ConfigError, CorruptSegment,
    DiskFull and DatasetError; then `out` is as it was.
    """
    with drafted(out, force=force) as (result, work):
        return write_tables(plan, form, result, work, told)


def write_tables(
    plan: Plan, form: str, result: Path, work: Path, told: Callable[[int], None]
) -> Report:
    """Do as `export`, with `result` not there yet and `work` an empty folder."""
    with our_words(), open_workshop(work) as connection:
        facts = facts_of(plan.instances, plan.stamps)
        writer = FORMS[form](connection, result, facts)
        report = _Making(plan, connection, work, writer, facts, told).make()
        writer.describe(
            facts | {"records": json.dumps(report.records), "wrong_types": json.dumps(report.wrong)}
        )
        writer.close()
    return report


def facts_of(instances: Mapping[int, str], stamps: Mapping[str, str]) -> dict[str, str]:
    """Return what is kept beside the tables; `policy` follows as the records are read."""
    addresses = [{"id": number, "url": url} for number, url in sorted(instances.items())]
    return {
        "schema_version": str(SCHEMA_VERSION),
        **stamps,
        "instances": json.dumps(addresses),
        "policy": "",
    }


def _resource(row: SegmentRow) -> str:
    place = parse_segment_name(row.name)
    return intern(place.resource) if place else ""


def _feeds(resource: str, row: SegmentRow, table: Table, read: AbstractSet[str]) -> bool:
    if table is SEEN:
        return row.name not in read
    return resource not in _WITH_TABLE if table is OTHER else resource in table.resources


class _Making:
    """Makes one table after the other."""

    def __init__(
        self,
        plan: Plan,
        connection: duckdb.DuckDBPyConnection,
        work: Path,
        writer: Form,
        facts: dict[str, str],
        told: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._connection = connection
        self._work = work
        self._writer = writer
        self._facts = facts
        self._told = told
        self._policies: set[str] = set()
        self._seen = Sightings()
        self._passes = plan.passes()
        self._gathered: set[str] | None = set()
        if not any(table is SEEN for table, _ in self._passes):
            self._gathered = None
        self._report = Report()

    def make(self) -> Report:
        """Make all that the plan names."""
        for table, rows in self._passes:
            staging = Staging(self._connection, self._work, table)
            for row in rows:
                self._read(row, None if table is SEEN else staging)
            if table is SEEN:
                self._seen.stage(staging)
            staging.finish()
            self._write(staging)
        return self._report

    def _read(self, row: SegmentRow, staging: Staging | None) -> None:
        gather = self._gathered is not None and row.name not in self._gathered
        count = 0
        for place, record in located(self._plan.root, row):
            self._policies.add(record.policy)
            raw = bytes(record.body)
            body = decode(raw)
            if gather and b'"username"' in raw:
                self._seen.note(place, record, body)
            if staging is not None:
                staging.add(place, record, body)
            count += 1
            if count % _STEP == 0:
                self._told(_STEP)
        self._told(count % _STEP)
        if self._gathered is not None:
            self._gathered.add(row.name)

    def _write(self, staging: Staging) -> None:
        self._facts["policy"] = ", ".join(sorted(self._policies))
        for output in outputs(self._connection, staging, self._plan.names):
            self._writer.write(output, _comments(staging.table, output.name))
            self._report.records[output.name] = output.records
        for column, count in wrong_values(self._connection).items():
            self._report.wrong[f"{staging.table.name}.{column}"] = count


def _comments(table: Table, name: str) -> dict[str, str]:
    """Return the meaning of each column, with its unit."""
    first = HISTORY_COLUMNS if name.endswith(HISTORY) else NEWEST_COLUMNS
    meant = {
        column.name: f"{column.meaning} ({column.unit})" if column.unit else column.meaning
        for column in (*first, *table.columns)
    }
    return meant | {BODY: BODY_MEANING}


@contextlib.contextmanager
def our_words() -> Iterator[None]:
    """Say in our words what DuckDB could not do."""
    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        if interrupted(error):
            raise KeyboardInterrupt from error
        if not isinstance(error, duckdb.Error):
            raise
        first = str(error).partition("\n")[0]
        if "No space left" in first or "max_temp_directory_size" in str(error):
            raise DiskFull(f"the disk is full ({first}); free some space") from error
        raise DatasetError(f"the tables could not be made: {first}") from error
