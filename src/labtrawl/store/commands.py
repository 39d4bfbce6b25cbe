"""What people want of jobs and crawlers: pause, resume, cancel, drain.

A command is a row first and a message second: a lost message costs time, never correctness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason
from labtrawl.domain.job import HoldReason
from labtrawl.errors import Conflict, Missing
from labtrawl.store import jobs, ledger
from labtrawl.store.engine import NOW_MS
from labtrawl.store.jobs import FREE, NEXT_CHANGE

EVERY_CRAWLER = "*"
CANCELLED = "somebody cancelled it"


class Wanted(StrEnum):
    """What a crawler is to do; a drained one ends what it has and takes nothing more."""

    RUN = "run"
    PAUSE = "pause"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Worked:
    """A job that a command is about, and the crawler that has it in hand, "" for none."""

    job_id: int
    holder: str


JobCommand = Callable[[Connection, int], Worked]


def pause_job(connection: Connection, job_id: int) -> Worked:
    """Hold an open job until `resume_job`; one in hand is asked to come to a page's end first.

    Missing for no such job, Conflict for one that has ended.
    """
    state, holder = _state(connection, job_id)
    if state == "running":
        _update(connection, job_id, "wanted = 'pause'", "state = 'running'")
    elif state in ("queued", "held"):
        _update(
            connection,
            job_id,
            f"state = 'held', hold_reason = '{HoldReason.PAUSED}', run_after = NULL",
            "state IN ('queued', 'held')",
        )
    else:
        raise Conflict(f"job {job_id} has {state}; only one that has not ended can be paused")
    return Worked(job_id, holder)


def resume_job(connection: Connection, job_id: int) -> Worked:
    """Let a paused job go on; where no account can read it, it waits for one.

    Missing for no such job, Conflict for one that nobody paused.
    """
    state, holder = _state(connection, job_id)
    resumed = _update(connection, job_id, "wanted = 'run'", "wanted = 'pause'") or _update(
        connection,
        job_id,
        "state = 'queued', hold_reason = NULL",
        f"state = 'held' AND hold_reason = '{HoldReason.PAUSED}'",
    )
    if not resumed:
        raise Conflict(f"job {job_id} is {state} and not paused; there is nothing to resume")
    jobs.hold_unseen(connection, job_id)
    return Worked(job_id, holder)


def cancel_job(connection: Connection, job_id: int) -> Worked:
    """End an open job at once; what it committed stays, what comes of it later changes nothing.

    Missing for no such job, Conflict for one that has ended.
    """
    state, holder = _state(connection, job_id)
    cancelled = _update(
        connection,
        job_id,
        f"state = 'cancelled', {FREE}, hold_reason = NULL, run_after = NULL, stage = '',"
        f" finished_at = {NOW_MS}",
        "state IN ('queued', 'running', 'held')",
    )
    if not cancelled:
        raise Conflict(f"job {job_id} has {state} already; there is nothing to cancel")
    area_id, resource = connection.exec_driver_sql(
        "SELECT area_id, resource FROM job WHERE id = ?", (job_id,)
    ).one()
    entry = ledger.Entry(reason=GapReason.CANCELLED, detail=CANCELLED)
    ledger.explain(connection, area_id, resource, entry)
    return Worked(job_id, holder)


def _state(connection: Connection, job_id: int) -> tuple[str, str]:
    row = connection.exec_driver_sql(
        "SELECT state, lease_holder FROM job WHERE id = ?", (job_id,)
    ).first()
    if row is None:
        raise Missing(f"there is no job {job_id}")
    return row[0], row[1] or ""


def _update(connection: Connection, job_id: int, change: str, only: str) -> bool:
    return bool(
        connection.exec_driver_sql(
            f"UPDATE job SET {change}, updated_at = {NOW_MS}, change = {NEXT_CHANGE}"
            f" WHERE id = ? AND {only}",
            (job_id,),
        ).rowcount
    )


def held_by(connection: Connection, holder: str) -> list[int]:
    """Return the jobs that a crawler has in hand, or all that are, for `EVERY_CRAWLER`."""
    rows = connection.exec_driver_sql(
        "SELECT id FROM job WHERE state = 'running' AND (lease_holder = ? OR ? = '*') ORDER BY id",
        (holder, holder),
    ).all()
    return [row[0] for row in rows]


def register(connection: Connection, name: str, owner: str) -> None:
    """Note that a crawler of this name came; Conflict where the name is another credential's."""
    row = connection.exec_driver_sql("SELECT owner FROM crawler WHERE name = ?", (name,)).first()
    if row is not None and row[0] not in ("", owner):
        raise Conflict(f"the name {name} belongs to another credential; register under another one")
    if row is None or row[0] != owner:
        connection.exec_driver_sql(
            f"INSERT INTO crawler (name, owner, changed_at) VALUES (?, ?, {NOW_MS})"
            " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner",
            (name, owner),
        )


def check_known(connection: Connection, name: str) -> None:
    """Raise Missing for a crawler that never came."""
    row = connection.exec_driver_sql("SELECT 1 FROM crawler WHERE name = ?", (name,)).first()
    if row is None:
        raise Missing(f"no crawler {name} ever came; labtrawl status lists those that run")


def want(connection: Connection, name: str, wanted: Wanted) -> None:
    """Write down what a crawler, or every one, is to do; Missing for one that never came.

    What is wanted of every crawler replaces what was wanted of single ones; Conflict where one is to
    go on while all are to stop.
    """
    if name == EVERY_CRAWLER:
        connection.exec_driver_sql("UPDATE crawler SET wanted = 'run' WHERE name <> '*'")
        register(connection, EVERY_CRAWLER, EVERY_CRAWLER)
    changed = connection.exec_driver_sql(
        f"UPDATE crawler SET wanted = ?, changed_at = {NOW_MS} WHERE name = ?", (wanted, name)
    ).rowcount
    if not changed:
        raise Missing(f"no crawler {name} ever came; labtrawl status lists those that run")
    if wanted is Wanted.RUN and (all_of_them := wanted_of(connection, name)) is not Wanted.RUN:
        raise Conflict(f"every crawler is told to {all_of_them}: resume them all, not {name} alone")


def wanted_of(connection: Connection, name: str) -> Wanted:
    """Return what a crawler is to do: its own wish, else that of every crawler."""
    rows = connection.exec_driver_sql(
        "SELECT wanted FROM crawler WHERE name IN (?, '*') AND wanted <> 'run'"
        " ORDER BY CASE WHEN name = '*' THEN 1 ELSE 0 END LIMIT 1",
        (name,),
    ).first()
    return Wanted(rows[0]) if rows else Wanted.RUN
