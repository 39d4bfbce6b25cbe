"""What a clock that was set back leaves behind: instants of ours that lie too far ahead.

A list would be read, a job tried again and a lease end later by as much as the clock went back. What
was written down by the clock as it was is moved by so much; days, which people name, are not.
"""

from collections.abc import Callable

from sqlalchemy import Connection

from labtrawl.store import quiet
from labtrawl.store.engine import NOW_MS
from labtrawl.store.jobs import NEXT_CHANGE

# No lease is cut to less than this: one that is renewed ends no earlier for it.
LEASE_MS = 3_600_000


def mend(connection: Connection, by: int, cron: Callable[[int], int] | None = None) -> None:
    """Move what was planned by a clock that was set back by so many ms; `cron` as of a Schedule."""
    _leases(connection, by)
    _jobs(connection, by)
    _visits(connection, by, cron)


def _leases(connection: Connection, by: int) -> None:
    connection.exec_driver_sql(
        f"UPDATE job SET lease_expires_at = MAX(lease_expires_at - ?, {NOW_MS} + {LEASE_MS})"
        f" WHERE state = 'running' AND lease_expires_at > {NOW_MS} + {LEASE_MS}",
        (by,),
    )


def _jobs(connection: Connection, by: int) -> None:
    """Quiet hours go by the clock as it is now: who claims a job in them puts it off again."""
    quiet.let_go(connection)
    connection.exec_driver_sql(
        f"UPDATE job SET run_after = MAX(run_after - ?, {NOW_MS}), change = {NEXT_CHANGE}"
        f" WHERE run_after > {NOW_MS} AND state = 'queued'",
        (by,),
    )


def _visits(connection: Connection, by: int, cron: Callable[[int], int] | None) -> None:
    """What was read by the clock as it was, or waits for longer than it went back, waits less."""
    on_cron = "every_ms IS NULL" if cron else "1 = 0"
    for due, kept in (("next_at", on_cron), ("sweep_at", "1 = 0")):
        connection.exec_driver_sql(
            f"UPDATE visit SET {due} = {due} - ?"
            f" WHERE (last_at > {NOW_MS} OR {due} > {NOW_MS} + ?) AND NOT ({kept})",
            (by, by),
        )
    if cron is not None:
        now = connection.exec_driver_sql(f"SELECT {NOW_MS}").scalar_one()
        connection.exec_driver_sql(
            f"UPDATE visit SET next_at = ? WHERE next_at > ? AND {on_cron}", (cron(now),) * 2
        )
    connection.exec_driver_sql(f"UPDATE visit SET last_at = {NOW_MS} WHERE last_at > {NOW_MS}")
