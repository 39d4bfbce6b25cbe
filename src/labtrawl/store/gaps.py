"""What is missing: the rows of the ledger for people and programs, and reading them again."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason
from labtrawl.domain.visit import DISCOVERY, Mode
from labtrawl.errors import Missing
from labtrawl.store import jobs
from labtrawl.store.discoveries import Unfinished, unfinished
from labtrawl.store.engine import NOW_MS

# One transaction opens so many lists; whoever asks again gets the next.
MOST = 1000
_REASONS = (GapReason.FAILED, GapReason.CHANGED, GapReason.CANCELLED)
RETRYABLE = ", ".join(f"'{reason}'" for reason in _REASONS)
# What such a gap is called, where others are called by their reason.
NOBODY_KNOWS = "unexplained"


def unexplained(row: str) -> str:
    """Return the condition that nobody knows why a row of the ledger has a gap; `row` is its name.

    While a list is read as a whole, what is there grows before GitLab's number is known.
    """
    same = f"SELECT 1 FROM job AS o WHERE o.area_id = {row}.area_id AND o.resource = {row}.resource"
    return f"""({row}.reason IS NULL AND (({row}.completed_at IS NOT NULL
  AND {row}.expected <> {row}.collected
  AND NOT EXISTS ({same} AND o.state = 'running' AND o.mode <> 'changes'))
  OR ({row}.completed_at IS NULL
    AND NOT EXISTS ({same} AND o.state IN ('queued', 'running', 'held')))))"""


UNEXPLAINED = unexplained("l")
# The parameters are those of `Wanted.parameters`.
CHOSEN = """(CAST(? AS TEXT) = '' OR a.full_path = ? OR (a.full_path > ? AND a.full_path < ?))
  AND (CAST(? AS TEXT) = '' OR l.resource = ?)"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of an area and all below it, of a resource; "" for all."""

    area: str = ""
    resource: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """What `CHOSEN` asks with; the last path below `a/` is before `a0`, the sign after `/`."""
        area = self.area
        return (area, area, f"{area}/", f"{area}0", self.resource, self.resource)

    def has(self, full_path: str, resource: str) -> bool:
        """Judge one row as `CHOSEN` does."""
        is_in = full_path == self.area or full_path.startswith(f"{self.area}/")
        return (is_in or not self.area) and self.resource in ("", resource)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a list that was read by time; ISO 8601, "" without an end."""

    since: str
    until: str
    expected: int | None
    collected: int


@dataclass(frozen=True, slots=True)
class Row:
    """One list: what GitLab announced, what is there, why less; the instant in ms.

    One of the resource "discovery" is an account's list of areas, which did not come to its end.
    """

    area_id: int
    kind: str
    full_path: str
    resource: str
    expected: int | None
    collected: int
    reason: str | None
    detail: str
    completed_at: int | None
    is_unexplained: bool
    windows: tuple[Window, ...] = ()


def rows(connection: Connection, wanted: Wanted, gaps_only: bool = False) -> list[Row]:
    """Return the ledger by path and resource; `gaps_only` leaves out what is complete or read now."""
    only = f"AND (l.reason IS NOT NULL OR {UNEXPLAINED})" if gaps_only else ""
    found = connection.exec_driver_sql(
        "SELECT l.area_id, a.kind, a.full_path, l.resource, l.expected, l.collected, l.reason,"
        f" l.detail, l.completed_at, CASE WHEN {UNEXPLAINED} THEN 1 ELSE 0 END"
        f" FROM ledger AS l JOIN area AS a ON a.id = l.area_id WHERE {CHOSEN} {only}"
        " ORDER BY a.full_path, a.kind, l.resource",
        wanted.parameters,
    ).all()
    windows = _windows(connection)
    lists = [Row(*(*row[:9], bool(row[9]), windows.get((row[0], row[3]), ()))) for row in found]
    lost = [_row_of(each) for each in _unfinished(connection, wanted)]
    return sorted([*lists, *lost], key=_place) if lost else lists


def by_reason(connection: Connection) -> dict[str, int]:
    """Count the lists with a gap, and the discoveries that did not come to their end.

    By the reason, most first; those without one are `NOBODY_KNOWS`.
    """
    found = Counter[str]()
    for reason, lists in connection.exec_driver_sql(
        "SELECT l.reason, COUNT(*) FROM ledger AS l"
        f" WHERE l.reason IS NOT NULL OR {UNEXPLAINED} GROUP BY l.reason"
    ).all():
        found[reason or NOBODY_KNOWS] = lists
    found.update(each.reason for each in unfinished(connection))
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _unfinished(connection: Connection, wanted: Wanted) -> list[Unfinished]:
    return [each for each in unfinished(connection) if wanted.has(each.full_path, DISCOVERY)]


def _row_of(lost: Unfinished) -> Row:
    place = (lost.area_id, lost.kind, lost.full_path, DISCOVERY)
    return Row(*place, None, 0, lost.reason, lost.detail, None, is_unexplained=False)


def _place(row: Row) -> tuple[str, str, str]:
    return row.full_path, row.kind, row.resource


def _windows(connection: Connection) -> dict[tuple[int, str], tuple[Window, ...]]:
    found: dict[tuple[int, str], tuple[Window, ...]] = {}
    for area_id, resource, *told in connection.exec_driver_sql(
        "SELECT area_id, resource, since, until, expected, collected FROM ledger_window"
        " ORDER BY area_id, resource, since"
    ).all():
        found[area_id, resource] = (*found.get((area_id, resource), ()), Window(*told))
    return found


def refill(connection: Connection, wanted: Wanted) -> int:
    """Open the lists that have a gap without a reason, or with one that may pass; return how many.

    They are read whole, and what is there already is not collected again. At most 1,000, and every
    discovery that did not come to its end, whatever kept it from that.
    """
    found = connection.exec_driver_sql(
        "SELECT l.area_id, l.resource FROM ledger AS l JOIN area AS a ON a.id = l.area_id"
        f" WHERE {CHOSEN} AND (l.reason IN ({RETRYABLE}) OR {UNEXPLAINED})"
        " AND NOT EXISTS (SELECT 1 FROM job AS w WHERE w.area_id = l.area_id"
        " AND w.resource = l.resource AND w.state IN ('queued', 'running', 'held'))"
        " ORDER BY l.area_id, l.resource LIMIT ?",
        (*wanted.parameters, MOST),
    ).all()
    lost = [(each.area_id, DISCOVERY) for each in _unfinished(connection, wanted)]
    opened = sum(_open(connection, area_id, resource) for area_id, resource in [*found, *lost])
    if opened:
        jobs.hold_unseen(connection)
    return opened


def refill_area(connection: Connection, area_id: int) -> int:
    """Do as `refill` for an area and all below it. Raises Missing."""
    path = connection.exec_driver_sql(
        "SELECT full_path FROM area WHERE id = ?", (area_id,)
    ).scalar()
    if path is None:
        raise Missing(f"There is no area {area_id}.")
    return refill(connection, Wanted(path))


def _open(connection: Connection, area_id: int, resource: str) -> bool:
    job_id = jobs.reopen(
        connection, area_id, resource, Mode.SWEEP, failed=True, cancelled=True, anew=True
    )
    if job_id is None:
        job_id = jobs.enqueue_first(connection, jobs.PlannedJob(area_id, resource))
    connection.exec_driver_sql(
        "UPDATE visit SET next_at = NULL WHERE area_id = ? AND resource = ?", (area_id, resource)
    )
    connection.exec_driver_sql(
        f"UPDATE ledger SET job_id = COALESCE(?, job_id), updated_at = {NOW_MS}"
        " WHERE area_id = ? AND resource = ?",
        (job_id, area_id, resource),
    )
    return job_id is not None
