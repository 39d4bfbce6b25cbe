"""The manifest: which segments the dataset is made of. A file that no row names does not count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from sys import intern

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A closed, durable file that a checkpoint commits."""

    name: str
    length: int
    sha256: str
    records: int


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A committed segment with its place in the dataset."""

    name: str
    length: int
    sha256: str
    records: int
    job_id: int
    fence: int
    instance_id: int
    area_kind: str
    gitlab_id: int
    full_path: str
    resource: str
    created_at: int


def commit(
    connection: Connection, job_id: int, fence: int, segments: Iterable[ClosedSegment]
) -> None:
    """Insert the rows of a job's segments; its area and resource come with the job."""
    for new in segments:
        connection.exec_driver_sql(
            "INSERT INTO segment (job_id, area_id, resource, fence, name, length, sha256, records,"
            f" created_at) SELECT id, area_id, resource, ?, ?, ?, ?, ?, {NOW_MS} FROM job"
            " WHERE id = ?",
            (fence, new.name, new.length, new.sha256, new.records, job_id),
        )


SEGMENTS = """
SELECT s.id, s.name, s.length, s.sha256, s.records, s.job_id, s.fence, a.instance_id, a.kind,
  a.gitlab_id, a.full_path, s.resource, s.created_at
FROM segment AS s JOIN area AS a ON a.id = s.area_id
WHERE (CAST(? AS TEXT) IS NULL OR s.resource = ?)
  AND (CAST(? AS TEXT) IS NULL OR a.full_path = ?) AND s.id > ?
ORDER BY s.id LIMIT ?
"""
# Rows that are in memory twice, as they come and as they are kept.
_AT_ONCE = 2000


def segments(
    connection: Connection, resource: str | None = None, full_path: str | None = None
) -> Sequence[SegmentRow]:
    """Return the committed segments in the order of their commit."""
    found: list[SegmentRow] = []
    last, is_more = 0, True
    while is_more:
        asked = (resource, resource, full_path, full_path, last, _AT_ONCE)
        rows = connection.exec_driver_sql(SEGMENTS, asked).all()
        found += [_shared(SegmentRow(*row[1:])) for row in rows]
        is_more = len(rows) == _AT_ONCE
        last = rows[-1][0] if rows else last
    return found


def _shared(row: SegmentRow) -> SegmentRow:
    """Let a row share with others what they say alike: there are a dozen a project."""
    return replace(
        row,
        area_kind=intern(row.area_kind),
        full_path=intern(row.full_path),
        resource=intern(row.resource),
    )


def page(
    connection: Connection, area_id: int, resource: str, after: int, limit: int
) -> list[tuple[int, ClosedSegment]]:
    """Return segments of one list with their numbers, larger than `after`, in their order.

    Compacted meanwhile, a list may show an object twice and leaves none out.
    """
    rows = connection.exec_driver_sql(
        "SELECT id, name, length, sha256, records FROM segment"
        " WHERE area_id = ? AND resource = ? AND id > ? ORDER BY id LIMIT ?",
        (area_id, resource, after, limit),
    ).all()
    return [(row[0], ClosedSegment(*row[1:])) for row in rows]


def names(connection: Connection) -> set[str]:
    """Return the names of all committed segments, and of those that readers may still hold."""
    found = connection.exec_driver_sql("SELECT name FROM segment UNION SELECT name FROM retired")
    return {row[0] for row in found.all()}


def addresses(connection: Connection) -> dict[int, str]:
    """Return the address of each GitLab by the id of its instance."""
    rows = connection.exec_driver_sql("SELECT id, url FROM instance ORDER BY id").all()
    return {row[0]: row[1] for row in rows}


def mark(connection: Connection, resources: Sequence[str]) -> tuple[str, int]:
    """Return a word that changes with what is committed of these resources, and their records."""
    places = ", ".join("?" for _ in resources)
    newest, number, records = connection.exec_driver_sql(
        f"SELECT COALESCE(MAX(id), 0), COUNT(*), COALESCE(SUM(records), 0) FROM segment"
        f" WHERE resource IN ({places})",
        tuple(resources),
    ).one()
    return f"{newest}-{number}-{records}", int(records)
