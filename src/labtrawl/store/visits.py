"""Visits: when each list is read again, from where, and what may not be forgotten meanwhile.

A list is one job for ever. What is due is opened in batches; what something else knows of is opened
at once, or marked while it is read. All of it happens in the transaction of what brought it about.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.visit import (
    DISCOVERY,
    LOOK_MS,
    Mode,
    Pace,
    Schedule,
    Under,
    next_visit,
)
from labtrawl.store import jobs
from labtrawl.store.engine import NOW_MS
from labtrawl.store.leases import AtWork

DAY_MS = 86_400_000
# A list that is due to be swept while it is read is asked again after this.
BUSY_MS = 600_000
# GitLab's clock may go before ours; what is further in the future is no time that it told.
SKEW_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completed visit says of itself.

    `watermark` is the server's instant (ms) at its beginning, `changed` how many objects it found
    new, changed or gone. `is_whole` is False where a part was left unread.
    """

    watermark: int | None = None
    changed: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a completed visit; `again` is the mode in which it was opened at once."""

    changed: int
    began_at: int
    again: Mode | None


FINISH = """
INSERT INTO visit (area_id, resource, watermark, every_ms, next_at, sweep_at, last_at,
  last_changed_at, role, runs, unchanged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (area_id, resource) DO UPDATE SET watermark = excluded.watermark,
  every_ms = excluded.every_ms, next_at = excluded.next_at, sweep_at = excluded.sweep_at,
  last_at = excluded.last_at,
  last_changed_at = COALESCE(excluded.last_changed_at, visit.last_changed_at),
  wanted_at = NULL, role = excluded.role, runs = visit.runs + 1,
  unchanged = CASE WHEN excluded.unchanged = 0 THEN 0 ELSE visit.unchanged + 1 END
"""


def finish(
    connection: Connection, work: AtWork, reading: Reading, schedule: Schedule, pace: Pace
) -> Finished:
    """Write down a visit whose job has just completed, and when the next one is due.

    It is opened again at once where somebody told of changes that it cannot have read, or where a
    higher role than it read with sees the area by now. The watermark only goes forward, and never
    over what was left unread.
    """
    place = work.place
    changed = reading.changed
    told = _told(work, reading)
    again = _again(work, pace)
    every, next_at = next_visit(schedule, pace, work.now, work.every, changed > 0, work.last_at)
    whole = place.mode != Mode.CHANGES and reading.is_whole
    known = [mark for mark in (work.watermark, told) if mark is not None]
    connection.exec_driver_sql(
        FINISH,
        (
            place.area_id,
            place.resource,
            max(known, default=None),
            every,
            None if again else next_at,
            _sweep_at(work, schedule, pace),
            work.now,
            work.now if changed else None,
            work.read_role if whole else work.role,
            0 if changed else 1,
        ),
    )
    if again is not None:
        _open_again(connection, place, again)
    return Finished(changed, work.began_at, again)


def _open_again(connection: Connection, place: jobs.JobPlace, mode: Mode) -> None:
    """Open a list that has just been read; where nobody sees its area by now it waits."""
    is_anew = mode is Mode.SWEEP
    job_id = jobs.reopen(connection, place.area_id, place.resource, mode, anew=is_anew)
    if job_id is not None:
        jobs.hold_unseen(connection, job_id)


def _told(facts: AtWork, reading: Reading) -> int | None:
    """The watermark that may be believed: of a whole reading, and no instant of the far future."""
    mark = reading.watermark
    if mark is None or not reading.is_whole or mark > facts.now + SKEW_MS:
        return None
    return mark


def _again(facts: AtWork, pace: Pace) -> Mode | None:
    read, best = facts.read_role, facts.best_role
    if pace.is_adaptive and read is not None and best is not None and read < best:
        return Mode.SWEEP
    if facts.wanted_at is not None and facts.wanted_at >= facts.began_at:
        return Mode.CHANGES
    return None


def _sweep_at(facts: AtWork, schedule: Schedule, pace: Pace) -> int | None:
    if not pace.is_adaptive:
        return None
    if facts.place.mode == Mode.CHANGES and facts.sweep_at is not None:
        return facts.sweep_at
    return facts.now + (schedule.sweep_every or DAY_MS) * pace.sweep_factor


def begin(
    connection: Connection, area_id: int, resource: str, watermark: int | None, every: int | None
) -> None:
    """Schedule the first visit of a list that is known up to `watermark` (the server's ms).

    Without one it is read from somewhat before this instant: its clock may be behind ours.
    """
    connection.exec_driver_sql(
        "INSERT INTO visit (area_id, resource, watermark, every_ms, last_at, next_at)"
        f" VALUES (?, ?, COALESCE(CAST(? AS BIGINT), {NOW_MS} - {BUSY_MS}), ?, {NOW_MS},"
        f" CASE WHEN CAST(? AS BIGINT) IS NOT NULL THEN {NOW_MS} + ? END)"
        " ON CONFLICT (area_id, resource) DO NOTHING",
        (area_id, resource, watermark, every, every, every or 0),
    )


def fail(connection: Connection, job_id: int, schedule: Schedule, pace: Pace) -> None:
    """Let a list whose job has just failed be tried as a whole when its sweep is due.

    One that has no sweeps is tried again when it would be due.
    """
    later = (pace.every if not pace.is_adaptive else schedule.sweep_every) or DAY_MS
    due, other = ("sweep_at", "next_at") if pace.is_adaptive else ("next_at", "sweep_at")
    connection.exec_driver_sql(
        f"INSERT INTO visit (area_id, resource, {due})"
        f" SELECT area_id, resource, {NOW_MS} + ? FROM job WHERE id = ?"
        f" ON CONFLICT (area_id, resource) DO UPDATE SET {due} = excluded.{due}, {other} = NULL",
        (later, job_id),
    )


def tell(connection: Connection, area_id: int, resource: str) -> bool:
    """Somebody knows of changes in a list: open it, or note it where it is open already.

    A visit that began before may have read over them, whatever its watermark says: what changed is
    known from readings that saw more than their own. Says whether the list was opened; where
    nobody sees its area it waits.
    """
    job_id = jobs.reopen(connection, area_id, resource, Mode.CHANGES)
    if job_id is not None:
        _opened(connection, area_id, resource)
        jobs.hold_unseen(connection, job_id)
        return True
    # Not before it began: the clock may have been set back since.
    began_at = connection.exec_driver_sql(
        "SELECT MAX(started_at) FROM job WHERE area_id = ? AND resource = ?", (area_id, resource)
    ).scalar()
    connection.exec_driver_sql(
        f"INSERT INTO visit (area_id, resource, wanted_at) VALUES (?, ?, MAX(?, {NOW_MS}))"
        " ON CONFLICT (area_id, resource) DO UPDATE SET wanted_at = excluded.wanted_at",
        (area_id, resource, began_at or 0),
    )
    return False


def begun(connection: Connection, area_id: int, resources: Sequence[str]) -> list[str]:
    """Return which of these lists have been read, or are: the others begin after this instant."""
    marks = ", ".join("?" * len(resources))
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT resource FROM job WHERE area_id = ? AND resource IN ({marks})"
        " AND (started_at IS NOT NULL OR state = 'completed') ORDER BY resource",
        (area_id, *resources),
    ).all()
    return [row[0] for row in rows]


def _opened(connection: Connection, area_id: int, resource: str) -> None:
    connection.exec_driver_sql(
        "UPDATE visit SET next_at = NULL WHERE area_id = ? AND resource = ?", (area_id, resource)
    )


HAS_DUE = f"""
SELECT EXISTS (SELECT 1 FROM visit WHERE next_at <= {NOW_MS})
  OR EXISTS (SELECT 1 FROM visit WHERE sweep_at <= {NOW_MS})
"""


def has_due(connection: Connection) -> bool:
    """Say whether `open_due` has something to do."""
    return bool(connection.exec_driver_sql(HAS_DUE).scalar_one())


def open_due(connection: Connection, schedule: Schedule, limit: int) -> int:
    """Open what is due, at most `limit` sweeps and `limit` others; return how many were opened.

    What is open is left alone: runs that come late are one.
    """
    opened = 0
    for due, visit in (("sweep_at", _sweep), ("next_at", _visit)):
        rows = connection.exec_driver_sql(
            f"SELECT area_id, resource FROM visit WHERE {due} <= {NOW_MS} ORDER BY {due} LIMIT ?",
            (limit,),
        ).all()
        for area_id, resource in rows:
            if schedule.has(resource) and _is_seen(connection, area_id):
                opened += visit(connection, area_id, resource)
            else:
                _put_off(connection, area_id, resource)
    return opened


UNDER_WAY = """
SELECT (SELECT COALESCE(SUM(requests), 0) FROM job),
  (SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running')),
  (SELECT CASE WHEN COUNT(*) = COUNT(b.limit_per_minute) THEN SUM(b.limit_per_minute) END
   FROM account AS c LEFT JOIN budget AS b ON b.account_id = c.id AND b.class = 'rest'
   WHERE c.state = 'active')
"""


def under_way(connection: Connection) -> Under:
    """Return what is under way; a walk over all jobs."""
    return Under(*connection.exec_driver_sql(UNDER_WAY).one())


# The longer ago for how often a list changes, the sooner its turn. What finds the areas costs many
# requests, and waits for its time.
EARLY = f"""
SELECT area_id, resource FROM visit
WHERE next_at > {NOW_MS} AND last_at <= {NOW_MS} - {LOOK_MS} AND every_ms > 0
  AND resource <> '{DISCOVERY}'
ORDER BY ({NOW_MS} - last_at) * 1.0 / every_ms DESC, area_id, resource LIMIT ?
"""


def open_early(connection: Connection, schedule: Schedule, limit: int) -> int:
    """Open at most `limit` lists before they are due; return how many."""
    rows = connection.exec_driver_sql(EARLY, (limit,)).all()
    return sum(
        _visit(connection, area_id, resource)
        for area_id, resource in rows
        if schedule.has(resource) and _is_seen(connection, area_id)
    )


def _sweep(connection: Connection, area_id: int, resource: str) -> bool:
    is_opened = jobs.reopen(connection, area_id, resource, Mode.SWEEP, failed=True) is not None
    connection.exec_driver_sql(
        "UPDATE visit SET next_at = CASE WHEN ? = 1 THEN NULL ELSE next_at END,"
        f" sweep_at = CASE WHEN ? = 0 THEN {NOW_MS} + {BUSY_MS} END"
        " WHERE area_id = ? AND resource = ?",
        (int(is_opened), int(is_opened), area_id, resource),
    )
    return is_opened


def _visit(connection: Connection, area_id: int, resource: str) -> bool:
    is_opened = jobs.reopen(connection, area_id, resource, Mode.CHANGES, failed=True) is not None
    _opened(connection, area_id, resource)
    return is_opened


def _put_off(connection: Connection, area_id: int, resource: str) -> None:
    """A list that nobody may read, or that is not collected any more, is looked at tomorrow."""
    connection.exec_driver_sql(
        f"UPDATE visit SET next_at = CASE WHEN next_at IS NOT NULL THEN {NOW_MS} + {DAY_MS} END,"
        f" sweep_at = CASE WHEN sweep_at IS NOT NULL THEN {NOW_MS} + {DAY_MS} END"
        " WHERE area_id = ? AND resource = ?",
        (area_id, resource),
    )


def due_again(connection: Connection, account_id: int) -> None:
    """An account may be used again: what was put off meanwhile, and it can read, is due now."""
    connection.exec_driver_sql(
        f"UPDATE visit SET next_at = {NOW_MS} WHERE next_at > last_at + every_ms"
        f" AND next_at > {NOW_MS} AND area_id IN"
        " (SELECT area_id FROM area_access WHERE account_id = ?)",
        (account_id,),
    )


def _is_seen(connection: Connection, area_id: int) -> bool:
    seen = connection.exec_driver_sql(
        "SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id"
        " WHERE x.area_id = ? AND c.state = 'active' LIMIT 1",
        (area_id,),
    ).first()
    return seen is not None


def read_by_less(connection: Connection, area_id: int, role: int) -> list[str]:
    """Return the lists of an area whose last complete reading used a lower role."""
    rows = connection.exec_driver_sql(
        "SELECT resource FROM visit WHERE area_id = ? AND role < ? ORDER BY resource",
        (area_id, role),
    ).all()
    return [row[0] for row in rows]


def sweep_now(connection: Connection, area_id: int, resource: str, *, anew: bool = False) -> bool:
    """Open a list to be looked through, whatever its schedule says; say whether it was opened.

    With `anew` it is read whole, whatever is known of it. Where nobody sees its area it waits.
    """
    job_id = jobs.reopen(connection, area_id, resource, Mode.SWEEP, failed=True, anew=anew)
    if job_id is not None:
        _opened(connection, area_id, resource)
        jobs.hold_unseen(connection, job_id)
    return job_id is not None


def sweep_soon(connection: Connection, area_id: int, resource: str) -> None:
    """Let a list that was read before be due to be looked through, when it is open no more."""
    connection.exec_driver_sql(
        f"UPDATE visit SET sweep_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (area_id, resource),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """A list whose job has ended, and whether it is to be read as a whole."""

    area_id: int
    area_kind: str
    resource: str
    is_failed: bool
    is_sweep_due: bool


def ended(connection: Connection) -> list[Ended]:
    """Return all lists whose job completed or failed."""
    rows = connection.exec_driver_sql(
        "SELECT j.area_id, a.kind, j.resource, j.state = 'failed' AND j.error_reason = 'failed',"
        f" COALESCE(v.sweep_at <= {NOW_MS}, j.state = 'failed')"
        " FROM job AS j JOIN area AS a ON a.id = j.area_id"
        " LEFT JOIN visit AS v ON v.area_id = j.area_id AND v.resource = j.resource"
        " WHERE j.state IN ('completed', 'failed') ORDER BY j.id"
    ).all()
    return [Ended(row[0], row[1], row[2], bool(row[3]), bool(row[4])) for row in rows]
