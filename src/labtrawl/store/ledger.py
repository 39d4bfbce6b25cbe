"""The ledger: for each area and resource what was expected, what was collected, and why less."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.failure import GapReason
from labtrawl.store.engine import NOW_MS


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


def count(connection: Connection, area_id: int, resource: str, records: int) -> None:
    """Add committed records, in the transaction that commits them."""
    connection.exec_driver_sql(
        f"UPDATE ledger SET collected = collected + ?, updated_at = {NOW_MS}"
        " WHERE area_id = ? AND resource = ?",
        (records, area_id, resource),
    )


def close_row(connection: Connection, area_id: int, resource: str, entry: Entry) -> None:
    """The list was read to its end: what GitLab announced, and a reason where it differs."""
    explain(connection, area_id, resource, entry)
    connection.exec_driver_sql(
        f"UPDATE ledger SET completed_at = {NOW_MS} WHERE area_id = ? AND resource = ?",
        (area_id, resource),
    )
