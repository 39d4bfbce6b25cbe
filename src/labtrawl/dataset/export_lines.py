"""The export as JSON lines: the records themselves, a file for each resource.

Two readings of each segment: the first notes only where each version stands, the second writes the
lines that are wanted. So memory holds no record and no index.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from labtrawl.dataset.export import Report, facts_of, our_words
from labtrawl.dataset.export_draft import drafted
from labtrawl.dataset.export_staging import Staging, located, open_workshop
from labtrawl.dataset.export_versions import order
from labtrawl.dataset.layout import SegmentPlace, parse_segment_name
from labtrawl.dataset.policy import Record
from labtrawl.dataset.reader import SegmentRow
from labtrawl.dataset.tables import HISTORY, META
from labtrawl.dataset.tables_shape import Table, Type

_STEP: Final = 500
_NEWEST: Final = """
SELECT max(ordinal) AS ordinal FROM staged
GROUP BY instance_id, kind, key ORDER BY ordinal
"""
_CHANGED: Final = "SELECT ordinal FROM versions ORDER BY ordinal"


def export_lines(
    root: Path,
    rows: Sequence[SegmentRow],
    out: Path,
    *,
    history: bool,
    force: bool,
    instances: Mapping[int, str],
    stamps: Mapping[str, str],
    told: Callable[[int], None],
) -> Report:
    """Write the newest record of each object, and with `history` each version, to the folder `out`.

    A line is a record as it was collected; one that was deleted since is a record without a body.
    `told` and the errors are those of `export.export`.
    """
    facts, report = facts_of(instances, stamps), Report()
    policies: set[str] = set()
    with drafted(out, force=force) as (result, work), our_words(), open_workshop(work) as workshop:
        result.mkdir()
        for resource, chosen in _by_resource(rows).items():
            staging = Staging(workshop, work, Table(resource, "", (), Type.VARCHAR, ()))
            for place, record in _told(root, chosen, told):
                policies.add(record.policy)
                staging.add(place, _slim(record), {})
            staging.finish()
            order(workshop)
            for name, query in _wanted(resource, history=history):
                places = workshop.execute(query)
                records = _told(root, chosen, told)
                report.records[name] = _write(result / f"{name}.jsonl", records, places)
        facts |= {"policy": ", ".join(sorted(policies)), "records": json.dumps(report.records)}
        (result / f"{META}.json").write_text(json.dumps(facts, indent=2) + "\n")
    return report


def readings(*, history: bool) -> int:
    """Return how often `export_lines` reads each record, for a bar."""
    return 3 if history else 2


def _wanted(resource: str, *, history: bool) -> list[tuple[str, str]]:
    more = [(resource + HISTORY, _CHANGED)] if history else []
    return [(resource, _NEWEST), *more]


def _by_resource(rows: Sequence[SegmentRow]) -> dict[str, list[SegmentRow]]:
    groups: dict[str, list[SegmentRow]] = {}
    for row in rows:
        place = parse_segment_name(row.name)
        groups.setdefault(place.resource if place else "", []).append(row)
    return groups


def _told(
    root: Path, rows: Sequence[SegmentRow], told: Callable[[int], None]
) -> Iterator[tuple[SegmentPlace, Record]]:
    count = 0
    for row in rows:
        for count, each in enumerate(located(root, row), 1):
            yield each
            if count % _STEP == 0:
                told(_STEP)
        told(count % _STEP)
        count = 0


def _slim(record: Record) -> Record:
    """Put the hash of a body in its place."""
    digest = hashlib.blake2b(bytes(record.body), digest_size=16).hexdigest()
    return msgspec.structs.replace(record, body=msgspec.Raw(f'"{digest}"'.encode()))


def _write(
    path: Path,
    records: Iterator[tuple[SegmentPlace, Record]],
    places: duckdb.DuckDBPyConnection,
) -> int:
    """Write the records that stand at these places, which ascend; return how many."""
    encoder = msgspec.json.Encoder()
    wanted = _ordinals(places)
    count, following = 0, next(wanted, None)
    with path.open("wb") as file:
        for ordinal, (_, record) in enumerate(records, 1):
            if ordinal == following:
                file.write(encoder.encode(record) + b"\n")
                count, following = count + 1, next(wanted, None)
    return count


def _ordinals(places: duckdb.DuckDBPyConnection) -> Iterator[int]:
    while rows := places.fetchmany(10_000):
        yield from (row[0] for row in rows)
