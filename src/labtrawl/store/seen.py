"""What was seen earlier, to be compared with what is seen now: versions, fields, shares.

For the website's care: it notes once in a while, and its checks read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS
from labtrawl.store.manifest import ClosedSegment

DAY_MS = 86_400_000
# A loss that nobody mends is what there is: after so long it is no news any more.
SETTLED_MS = 14 * DAY_MS
# Of a thousand: smaller losses are objects that somebody deleted on GitLab.
LOSS = 10


@dataclass(frozen=True, slots=True)
class SeenVersion:
    """A version of something that labtrawl works with, and when it was first seen, in ms."""

    component: str
    version: str
    seen_at: int


@dataclass(frozen=True, slots=True)
class SeenFields:
    """In how many of the sampled records of a version each field was."""

    instance: str
    resource: str
    version: str
    records: int
    fields: Mapping[str, int]
    seen_at: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A segment whose first records are to be looked at."""

    instance_id: int
    resource: str
    segment_id: int
    segment: ClosedSegment


@dataclass(frozen=True, slots=True)
class Fallen:
    """An area of which less is there than was; shares are of a thousand."""

    area_id: int
    full_path: str
    best: int
    latest: int
    fell_at: int


def note_version(connection: Connection, component: str, version: str) -> None:
    """Remember that something has this version now."""
    connection.exec_driver_sql(
        f"INSERT INTO seen_version (component, version, seen_at) VALUES (?, ?, {NOW_MS})"
        " ON CONFLICT (component, version) DO NOTHING",
        (component, version),
    )


def note_gitlab_versions(connection: Connection) -> None:
    """Remember the versions that the GitLabs have now."""
    connection.exec_driver_sql(
        "INSERT INTO seen_version (component, version, seen_at)"
        f" SELECT 'GitLab ' || name, version, {NOW_MS} FROM instance WHERE version <> ''"
        " ON CONFLICT (component, version) DO NOTHING"
    )


def versions(connection: Connection) -> list[SeenVersion]:
    """Return every version that was seen, by component, the newest last."""
    rows = connection.exec_driver_sql(
        "SELECT component, version, seen_at FROM seen_version ORDER BY component, seen_at, version"
    ).all()
    return [SeenVersion(*row) for row in rows]


def to_sample(connection: Connection, limit: int) -> list[Sample]:
    """Return the newest segment of each resource of each GitLab that was not looked at yet."""
    rows = connection.exec_driver_sql(
        "SELECT w.instance_id, w.resource, s.id, s.name, s.length, s.sha256, s.records FROM"
        " (SELECT a.instance_id AS instance_id, s.resource AS resource, MAX(s.id) AS id"
        " FROM segment AS s JOIN area AS a ON a.id = s.area_id GROUP BY a.instance_id, s.resource)"
        " AS w JOIN segment AS s ON s.id = w.id WHERE NOT EXISTS (SELECT 1 FROM seen_fields AS f"
        " WHERE f.instance_id = w.instance_id AND f.resource = w.resource AND f.segment_id >= w.id)"
        " ORDER BY w.instance_id, w.resource LIMIT ?",
        (limit,),
    ).all()
    return [Sample(row[0], row[1], row[2], ClosedSegment(*row[3:])) for row in rows]


def note_fields(
    connection: Connection, sample: Sample, version: str, records: int, counts: Mapping[str, int]
) -> None:
    """Add what a sample's records of one version hold to what was counted before."""
    place = (sample.instance_id, sample.resource, version)
    row = connection.exec_driver_sql(
        "SELECT records, fields FROM seen_fields WHERE instance_id = ? AND resource = ?"
        " AND version = ?",
        place,
    ).first()
    total = dict(counts)
    if row is not None:
        records += row[0]
        for name, number in msgspec.json.decode(row[1], type=dict[str, int]).items():
            total[name] = total.get(name, 0) + number
    connection.exec_driver_sql(
        "INSERT INTO seen_fields (instance_id, resource, version, records, fields, segment_id,"
        f" seen_at) VALUES (?, ?, ?, ?, ?, ?, {NOW_MS})"
        " ON CONFLICT (instance_id, resource, version) DO UPDATE SET records = excluded.records,"
        " fields = excluded.fields, segment_id = excluded.segment_id",
        (*place, records, msgspec.json.encode(total).decode(), sample.segment_id),
    )


def fields(connection: Connection) -> list[SeenFields]:
    """Return what was counted, by GitLab and resource, the version that was seen last at the end."""
    rows = connection.exec_driver_sql(
        "SELECT i.name, f.resource, f.version, f.records, f.fields, f.seen_at FROM seen_fields AS f"
        " JOIN instance AS i ON i.id = f.instance_id ORDER BY i.name, f.resource, f.seen_at,"
        " f.segment_id"
    ).all()
    return [
        SeenFields(*(*row[:4], msgspec.json.decode(row[4], type=dict[str, int]), row[5]))
        for row in rows
    ]


_WHOLE = """
SELECT l.area_id, CAST(SUM(CASE WHEN l.collected < l.expected THEN l.collected ELSE l.expected END)
  * 1000 / SUM(l.expected) AS INTEGER) AS share
FROM ledger AS l WHERE l.expected > 0 AND l.completed_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM job AS o WHERE o.area_id = l.area_id AND o.resource = l.resource
    AND o.state IN ('queued', 'running', 'held'))
GROUP BY l.area_id
"""


def mark_shares(connection: Connection) -> None:
    """Remember of each area how much of what GitLab announced is there, and when that fell."""
    connection.exec_driver_sql(
        "INSERT INTO share_mark (area_id, best, latest)"
        f" SELECT w.area_id, w.share, w.share FROM ({_WHOLE}) AS w WHERE 1 = 1"
        " ON CONFLICT (area_id) DO UPDATE SET latest = excluded.latest,"
        f" fell_at = CASE WHEN excluded.latest > share_mark.best - {LOSS} THEN NULL"
        f" ELSE COALESCE(share_mark.fell_at, {NOW_MS}) END,"
        " best = CASE WHEN excluded.latest > share_mark.best"
        f" OR share_mark.fell_at < {NOW_MS} - {SETTLED_MS} THEN excluded.latest"
        " ELSE share_mark.best END"
    )


def fallen(connection: Connection, limit: int = 20) -> list[Fallen]:
    """Return the areas whose share fell, the largest loss first."""
    rows = connection.exec_driver_sql(
        "SELECT m.area_id, a.full_path, m.best, m.latest, m.fell_at FROM share_mark AS m"
        " JOIN area AS a ON a.id = m.area_id WHERE m.fell_at IS NOT NULL"
        " ORDER BY m.latest - m.best, m.area_id LIMIT ?",
        (limit,),
    ).all()
    return [Fallen(*row) for row in rows]
