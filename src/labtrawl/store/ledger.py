"""The ledger: for each area and resource what was expected, what was collected, and why less."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason
from labtrawl.store.engine import NOW_MS

# What is missing for one of these stays missing until the whole list is read again.
MENDABLE = (GapReason.CAP, GapReason.FAILED, GapReason.CHANGED, GapReason.CANCELLED)
UNSEEN = "the last discovery of every account that saw it did not find it any more"
LASTING = ", ".join(f"'{reason}'" for reason in MENDABLE)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a finished list says of itself; `expected` is None where GitLab gave no number."""

    expected: int | None = None
    expected_by: str = ""
    reason: GapReason | None = None
    detail: str = ""


def open_row(connection: Connection, area_id: int, resource: str, job_id: int | None) -> None:
    """Make sure that the row exists: nothing planned is ever without one."""
    connection.exec_driver_sql(
        "INSERT INTO ledger (area_id, resource, job_id, updated_at)"
        f" VALUES (?, ?, ?, {NOW_MS}) ON CONFLICT (area_id, resource)"
        " DO UPDATE SET job_id = COALESCE(excluded.job_id, ledger.job_id)",
        (area_id, resource, job_id),
    )


def open_rows(connection: Connection, area_id: int, resources: Sequence[str]) -> None:
    """Do as `open_row` for lists of one area that have no job yet."""
    if resources:
        connection.exec_driver_sql(
            f"INSERT INTO ledger (area_id, resource, updated_at) VALUES (?, ?, {NOW_MS})"
            " ON CONFLICT DO NOTHING",
            [(area_id, resource) for resource in resources],
        )


def name_jobs(connection: Connection, lists: Sequence[tuple[int, str]]) -> None:
    """Do as `open_row` for lists (area, resource) that have jobs."""
    connection.exec_driver_sql(
        "INSERT INTO ledger (area_id, resource, job_id, updated_at)"
        f" SELECT area_id, resource, MAX(id), {NOW_MS} FROM job WHERE area_id = ? AND resource = ?"
        " GROUP BY area_id, resource"
        " ON CONFLICT (area_id, resource) DO UPDATE SET job_id = excluded.job_id",
        [*lists],
    )


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a list that was read by time: instants in ISO 8601, "" for none."""

    since: str
    until: str
    expected: int | None
    collected: int


def set_windows(
    connection: Connection, area_id: int, resource: str, windows: Sequence[Window]
) -> None:
    """Replace the windows of a list by those of its last reading, where it was read in any."""
    if not windows:
        return
    connection.exec_driver_sql(
        "DELETE FROM ledger_window WHERE area_id = ? AND resource = ?", (area_id, resource)
    )
    for one in windows:
        connection.exec_driver_sql(
            "INSERT INTO ledger_window (area_id, resource, since, until, expected, collected,"
            f" updated_at) VALUES (?, ?, ?, ?, ?, ?, {NOW_MS})"
            " ON CONFLICT (area_id, resource, since, until) DO UPDATE SET"
            " expected = excluded.expected, collected = excluded.collected",
            (area_id, resource, one.since, one.until, one.expected, one.collected),
        )


def explain(connection: Connection, area_id: int, resource: str, entry: Entry) -> None:
    """Write down why there is less, or nothing."""
    connection.exec_driver_sql(
        "UPDATE ledger SET expected = ?, expected_by = ?, reason = ?, detail = ?,"
        f" updated_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (entry.expected, entry.expected_by, entry.reason, entry.detail, area_id, resource),
    )


def explain_if_empty(connection: Connection, area_id: int, resource: str, entry: Entry) -> None:
    """Write down why there is nothing, where nothing was collected and no list was read."""
    row = connection.exec_driver_sql(
        "SELECT collected, completed_at FROM ledger WHERE area_id = ? AND resource = ?",
        (area_id, resource),
    ).one()
    if row[0] == 0 and row[1] is None:
        explain(connection, area_id, resource, entry)


def switched_off(connection: Connection, area_id: int) -> set[str]:
    """Return the resources of an area that its settings switch off, as far as was seen last."""
    rows = connection.exec_driver_sql(
        "SELECT resource FROM ledger WHERE area_id = ? AND reason = ?",
        (area_id, GapReason.FEATURE_OFF),
    )
    return {row[0] for row in rows.all()}


def switched_on(connection: Connection, area_id: int, resource: str) -> None:
    """Take back that the settings switch a resource off: its list is not read yet."""
    connection.exec_driver_sql(
        "UPDATE ledger SET expected = NULL, expected_by = '', reason = NULL, detail = '',"
        f" completed_at = NULL, updated_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (area_id, resource),
    )


def explain_unseen(connection: Connection, area_id: int) -> None:
    """Write down for each list of an area without a reason that nobody sees it any more."""
    connection.exec_driver_sql(
        f"UPDATE ledger SET reason = ?, detail = ?, updated_at = {NOW_MS}"
        " WHERE area_id = ? AND reason IS NULL",
        (GapReason.FORBIDDEN, UNSEEN, area_id),
    )


def forget_unseen(connection: Connection, area_id: int) -> list[str]:
    """Take `explain_unseen` back; return the resources of the lists."""
    rows = connection.exec_driver_sql(
        f"UPDATE ledger SET reason = NULL, detail = '', updated_at = {NOW_MS}"
        " WHERE area_id = ? AND reason = ? AND detail = ? RETURNING resource",
        (area_id, GapReason.FORBIDDEN, UNSEEN),
    ).all()
    return sorted(row[0] for row in rows)


def count(
    connection: Connection, area_id: int, resource: str, objects: int, is_known: bool = False
) -> None:
    """Add committed objects, fewer than none where some are gone, in the transaction of the commit.

    `is_known` says that GitLab's total moved as much: a visit for changes counts no list anew.
    """
    connection.exec_driver_sql(
        "UPDATE ledger SET collected = collected + ?, expected = expected + ?,"
        f" updated_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (objects, objects if is_known else 0, area_id, resource),
    )


def close_row(
    connection: Connection, area_id: int, resource: str, entry: Entry, objects: int = 0
) -> None:
    """The list was read to its end: what GitLab announced, and a reason where it differs.

    `objects` are counted with it, as `count` does.
    """
    connection.exec_driver_sql(
        "UPDATE ledger SET collected = collected + ?, expected = ?, expected_by = ?, reason = ?,"
        f" detail = ?, updated_at = {NOW_MS}, completed_at = {NOW_MS}"
        " WHERE area_id = ? AND resource = ?",
        (
            objects,
            entry.expected,
            entry.expected_by,
            entry.reason,
            entry.detail,
            area_id,
            resource,
        ),
    )


def close_changes(
    connection: Connection, area_id: int, resource: str, entry: Entry, objects: int = 0
) -> None:
    """What changed was read to its end: this mends no gap of the readings before it.

    `objects` are counted with it; GitLab's total moved as much.
    """
    connection.exec_driver_sql(
        "UPDATE ledger SET collected = collected + ?, expected = COALESCE(?, expected + ?),"
        f" reason = COALESCE(?, CASE WHEN reason IN ({LASTING}) THEN reason END),"
        " detail = CASE WHEN ? <> '' THEN ?"
        f" WHEN reason IN ({LASTING}) THEN detail ELSE '' END,"
        f" updated_at = {NOW_MS}, completed_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (
            objects,
            entry.expected,
            objects,
            entry.reason,
            entry.detail,
            entry.detail,
            area_id,
            resource,
        ),
    )
