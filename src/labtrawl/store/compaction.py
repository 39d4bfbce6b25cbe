"""Many small segments of a list become one: a new file, then one transaction of the manifest.

The rows keep their place: the new one has the number of the last that it replaces, and those that it
replaces follow each other. The old files stay for readers that hold the old list, until `retired`
forgets them. A list that is being read is left alone; a fence number of its own guards the change.

Each visit that finds a change adds a small segment, so this is what keeps the manifest and the files
from growing with the visits. The newest are merged first and often; what is large already waits
until as much has come after it, so that nothing is written again and again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS
from labtrawl.store.manifest import ClosedSegment

SMALL_BYTES = 1 << 20
MOST_BYTES = 8 << 20
# So many small files of a list are too many, whatever their sizes: all of them are merged.
LEAST = 32
# So many of the newest are merged before; each is at most so many times what came after it.
NEWEST = 4
RATIO = 2
OPEN = "state IN ('queued', 'running', 'held')"


@dataclass(frozen=True, slots=True)
class Plan:
    """Segments that follow each other, with their numbers, and where the new one goes.

    Its file is that of the job under this fence, with this number.
    """

    instance_id: int
    area_kind: str
    gitlab_id: int
    resource: str
    job_id: int
    fence: int
    number: int
    ids: tuple[int, ...]
    segments: tuple[ClosedSegment, ...]


# `place` counts from the newest; where a segment is too large, the newest run ends before it.
CANDIDATES = f"""
WITH placed AS (
  SELECT area_id, resource, length, ROW_NUMBER() OVER newest AS place,
    SUM(length) OVER (newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer
  FROM segment WINDOW newest AS (PARTITION BY area_id, resource ORDER BY id DESC)
)
SELECT s.area_id, s.resource FROM placed AS s
WHERE NOT EXISTS (SELECT 1 FROM job AS j WHERE j.area_id = s.area_id AND j.resource = s.resource
  AND j.{OPEN}) AND (s.area_id > ? OR (s.area_id = ? AND s.resource > ?))
GROUP BY s.area_id, s.resource
HAVING SUM(CASE WHEN s.length < ? THEN 1 ELSE 0 END) >= ?
  OR COALESCE(MIN(CASE WHEN s.length >= ? OR s.length > ? * s.newer THEN s.place END),
    COUNT(*) + 1) > ?
ORDER BY s.area_id, s.resource LIMIT ?
"""


Place = tuple[int, str]
"""A list: its area and resource."""
FIRST: Place = (0, "")


def candidates(
    connection: Connection, limit: int, least: int = LEAST, after: Place = FIRST
) -> list[Place]:
    """Return the lists at rest that have `least` small segments, or a newest run.

    Those that come `after` a list: what stays a candidate, since it is damaged, keeps none waiting.
    """
    asked = (after[0], *after, SMALL_BYTES, least, SMALL_BYTES, RATIO, NEWEST, limit)
    rows = connection.exec_driver_sql(CANDIDATES, asked).all()
    return [(row[0], row[1]) for row in rows]


def plan(connection: Connection, area_id: int, resource: str, least: int = LEAST) -> list[Plan]:
    """Plan the new segments of a list, and take a fence number for them; none where it is open."""
    rows = connection.exec_driver_sql(
        "SELECT id, name, length, sha256, records FROM segment"
        " WHERE area_id = ? AND resource = ? ORDER BY id",
        (area_id, resource),
    ).all()
    there = [(row[0], ClosedSegment(*row[1:])) for row in rows]
    runs = list(_runs(there if _small(there) >= least else _newest(there)))
    fence = _take_fence(connection, area_id, resource) if runs else None
    if fence is None:
        return []
    place = connection.exec_driver_sql(
        "SELECT instance_id, kind, gitlab_id FROM area WHERE id = ?", (area_id,)
    ).one()
    return [
        Plan(place[0], place[1], place[2], resource, *fence, order, ids, segments)
        for order, (ids, segments) in enumerate(runs, start=1)
    ]


_Row = tuple[int, ClosedSegment]
_Run = tuple[tuple[int, ...], tuple[ClosedSegment, ...]]


def _small(rows: Sequence[_Row]) -> int:
    return sum(segment.length < SMALL_BYTES for _, segment in rows)


def _newest(rows: Sequence[_Row]) -> Sequence[_Row]:
    """Return the newest rows of which none is much larger than all after it; or none, if so few."""
    count = newer = 0
    for _, segment in reversed(rows):
        if segment.length >= SMALL_BYTES or (newer and segment.length > RATIO * newer):
            break
        count, newer = count + 1, newer + segment.length
    return rows[len(rows) - count :] if count >= NEWEST else ()


def _runs(rows: Sequence[_Row]) -> Iterator[_Run]:
    """Yield rows of two or more small segments that follow each other, up to a full size each."""
    run: list[_Row] = []
    for number, segment in rows:
        is_small = segment.length < SMALL_BYTES
        if run and (not is_small or sum(one.length for _, one in run) >= MOST_BYTES):
            yield from _whole(run)
            run = []
        if is_small:
            run.append((number, segment))
    yield from _whole(run)


def _whole(run: list[_Row]) -> Iterator[_Run]:
    if len(run) > 1:
        yield tuple(number for number, _ in run), tuple(segment for _, segment in run)


def _take_fence(connection: Connection, area_id: int, resource: str) -> tuple[int, int] | None:
    row = connection.exec_driver_sql(
        "UPDATE job SET fence = fence + 1 WHERE id = (SELECT MAX(id) FROM job WHERE area_id = ?"
        f" AND resource = ?) AND NOT EXISTS (SELECT 1 FROM job AS o WHERE o.area_id = job.area_id"
        f" AND o.resource = job.resource AND o.{OPEN}) RETURNING id, fence",
        (area_id, resource),
    ).first()
    return (row[0], row[1]) if row else None


def commit(connection: Connection, planned: Plan, closed: ClosedSegment) -> bool:
    """Put a closed, durable segment in the place of those that it holds.

    False, and nothing is changed, where the list was opened or compacted meanwhile.
    """
    if not _is_untouched(connection, planned):
        return False
    job_id, area_id, resource = connection.exec_driver_sql(
        "SELECT job_id, area_id, resource FROM segment WHERE id = ?", (planned.ids[-1],)
    ).one()
    for number, segment in zip(planned.ids, planned.segments, strict=True):
        connection.exec_driver_sql("DELETE FROM segment WHERE id = ?", (number,))
        connection.exec_driver_sql(
            f"INSERT INTO retired (name, retired_at) VALUES (?, {NOW_MS})", (segment.name,)
        )
    connection.exec_driver_sql(
        "INSERT INTO segment (id, job_id, area_id, resource, fence, name, length, sha256, records,"
        f" created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {NOW_MS})",
        (
            planned.ids[-1],
            job_id,
            area_id,
            resource,
            planned.fence,
            closed.name,
            closed.length,
            closed.sha256,
            closed.records,
        ),
    )
    return True


def _is_untouched(connection: Connection, planned: Plan) -> bool:
    guarded = connection.exec_driver_sql(
        f"SELECT 1 FROM job WHERE id = ? AND fence = ? AND NOT ({OPEN})",
        (planned.job_id, planned.fence),
    ).first()
    there = [
        connection.exec_driver_sql(
            "SELECT 1 FROM segment WHERE id = ? AND name = ?", (number, segment.name)
        ).first()
        for number, segment in zip(planned.ids, planned.segments, strict=True)
    ]
    return guarded is not None and all(row is not None for row in there)


def forget(connection: Connection, keep_hours: float) -> int:
    """Let the files be swept that were replaced so long ago; return how many."""
    return connection.exec_driver_sql(
        f"DELETE FROM retired WHERE retired_at < {NOW_MS} - ?", (int(keep_hours * 3_600_000),)
    ).rowcount
