"""Notices to the operators and the durable queue of their deliveries; requests to stop.

A notice is raised with its deliveries in one transaction, and once for each cause and period, so
whoever finds the same thing again says nothing. For the website, which raises and delivers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.errors import Missing
from labtrawl.store.engine import NOW_MS

HOUR_MS = 3_600_000
LONGEST_RESULT = 300
# So many tries in vain are no passing fault.
FAILING = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: `cause` and `period` together are told once."""

    cause: str
    period: str
    kind: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way over one channel; `attempts` are those that were made."""

    notice_id: int
    channel: str
    attempts: int
    raised_at: int
    notice: Notice


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """How a delivery stands; instants in ms, `due_at` is None once it is sent or given up."""

    channel: str
    state: str
    attempts: int
    due_at: int | None
    tried_at: int | None
    result: str


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice with its deliveries, for people."""

    id: int
    kind: str
    subject: str
    body: str
    raised_at: int
    deliveries: tuple[DeliveryRow, ...]


@dataclass(frozen=True, slots=True)
class StopRequest:
    """What somebody who wants the crawl to stop wrote."""

    id: int
    asked_at: int
    contact: str
    words: str
    answered_at: int | None
    answered_by: str


def raise_notice(connection: Connection, notice: Notice, channels: Iterable[str]) -> int | None:
    """Write a notice down and queue it for each channel; None where it was told already."""
    row = connection.exec_driver_sql(
        "INSERT INTO notice (cause, period, kind, subject, body, raised_at)"
        f" VALUES (?, ?, ?, ?, ?, {NOW_MS}) ON CONFLICT (cause, period) DO NOTHING RETURNING id",
        (notice.cause, notice.period, notice.kind, notice.subject, notice.body),
    ).first()
    if row is None:
        return None
    for channel in channels:
        connection.exec_driver_sql(
            f"INSERT INTO delivery (notice_id, channel, due_at) VALUES (?, ?, {NOW_MS})",
            (row[0], channel),
        )
    return int(row[0])


def is_told(connection: Connection, cause: str, period: str) -> bool:
    """Say whether a cause was told for this period."""
    found = connection.exec_driver_sql(
        "SELECT 1 FROM notice WHERE cause = ? AND period = ?", (cause, period)
    ).first()
    return found is not None


def is_kind_told(connection: Connection, kind: str, period: str) -> bool:
    """Say whether anything of a kind was told for this period."""
    found = connection.exec_driver_sql(
        "SELECT 1 FROM notice WHERE kind = ? AND period = ? LIMIT 1", (kind, period)
    ).first()
    return found is not None


def due(connection: Connection, limit: int = 50) -> list[Delivery]:
    """Return what is to be sent now, the longest due first."""
    rows = connection.exec_driver_sql(
        "SELECT d.notice_id, d.channel, d.attempts, n.raised_at, n.cause, n.period, n.kind,"
        " n.subject, n.body FROM delivery AS d JOIN notice AS n ON n.id = d.notice_id"
        f" WHERE d.due_at IS NOT NULL AND d.due_at <= {NOW_MS} ORDER BY d.due_at, d.notice_id"
        " LIMIT ?",
        (limit,),
    ).all()
    return [Delivery(row[0], row[1], row[2], row[3], Notice(*row[4:])) for row in rows]


def sent(connection: Connection, delivery: Delivery, result: str) -> None:
    """Note that a delivery arrived."""
    _tried(connection, delivery, "sent", None, result)


def not_sent(connection: Connection, delivery: Delivery, result: str, again_ms: int | None) -> None:
    """Note a failure; the next try is after `again_ms`, or never where that is None."""
    _tried(connection, delivery, "failed" if again_ms is None else "queued", again_ms, result)


def _tried(
    connection: Connection, delivery: Delivery, state: str, again_ms: int | None, result: str
) -> None:
    connection.exec_driver_sql(
        f"UPDATE delivery SET state = ?, attempts = attempts + 1, tried_at = {NOW_MS},"
        f" due_at = CASE WHEN ? = 'queued' THEN {NOW_MS} + ? ELSE NULL END, result = ?"
        " WHERE notice_id = ? AND channel = ? AND state = 'queued'",
        (
            state,
            state,
            again_ms or 0,
            result[:LONGEST_RESULT],
            delivery.notice_id,
            delivery.channel,
        ),
    )


def failed_since(connection: Connection, since: int) -> int:
    """Count the deliveries that were given up after the instant `since` (ms), or go on failing."""
    found: int = connection.exec_driver_sql(
        "SELECT COUNT(*) FROM delivery WHERE tried_at > ? AND (state = 'failed'"
        " OR (state = 'queued' AND attempts >= ?))",
        (since, FAILING),
    ).scalar_one()
    return found


def last_raised(connection: Connection, cause: str) -> int | None:
    """Return when a cause was told last, in ms."""
    found: int | None = connection.exec_driver_sql(
        "SELECT MAX(raised_at) FROM notice WHERE cause = ?", (cause,)
    ).scalar_one()
    return found


def newest(connection: Connection, limit: int, before: int | None = None) -> list[NoticeRow]:
    """Return notices with a smaller id than `before`, the newest first."""
    found = connection.exec_driver_sql(
        "SELECT id, kind, subject, body, raised_at FROM notice"
        " WHERE id < COALESCE(CAST(? AS INTEGER), 2147483647) ORDER BY id DESC LIMIT ?",
        (before, limit),
    ).all()
    if not found:
        return []
    deliveries: dict[int, list[DeliveryRow]] = {}
    for row in connection.exec_driver_sql(
        "SELECT notice_id, channel, state, attempts, due_at, tried_at, result FROM delivery"
        " WHERE notice_id BETWEEN ? AND ? ORDER BY notice_id, channel",
        (found[-1][0], found[0][0]),
    ).all():
        deliveries.setdefault(row[0], []).append(DeliveryRow(*row[1:]))
    return [NoticeRow(*(*row, tuple(deliveries.get(row[0], ())))) for row in found]


def forget(connection: Connection, keep_days: int) -> int:
    """Remove notices that are so old and on no way any more; return how many."""
    old = f"SELECT id FROM notice WHERE raised_at < {NOW_MS} - ?"
    keep_ms = keep_days * 24 * HOUR_MS
    connection.exec_driver_sql(
        f"DELETE FROM delivery WHERE due_at IS NULL AND notice_id IN ({old})", (keep_ms,)
    )
    return connection.exec_driver_sql(
        f"DELETE FROM notice WHERE id IN ({old}) AND NOT EXISTS"
        " (SELECT 1 FROM delivery WHERE notice_id = notice.id)",
        (keep_ms,),
    ).rowcount


def ask_to_stop(connection: Connection, contact: str, words: str, most_an_hour: int) -> int | None:
    """Write a request to stop down; None where so many came within the last hour."""
    count: int = connection.exec_driver_sql(
        f"SELECT COUNT(*) FROM stop_request WHERE asked_at > {NOW_MS} - ?", (HOUR_MS,)
    ).scalar_one()
    if count >= most_an_hour:
        return None
    number: int = connection.exec_driver_sql(
        f"INSERT INTO stop_request (asked_at, contact, words) VALUES ({NOW_MS}, ?, ?) RETURNING id",
        (contact, words),
    ).scalar_one()
    return number


def stop_requests(connection: Connection, limit: int = 50) -> Sequence[StopRequest]:
    """Return requests to stop, the open ones first, then the newest."""
    rows = connection.exec_driver_sql(
        "SELECT id, asked_at, contact, words, answered_at, answered_by FROM stop_request"
        " ORDER BY CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT ?",
        (limit,),
    ).all()
    return [StopRequest(*row) for row in rows]


def answer_stop(connection: Connection, number: int, who: str) -> None:
    """Note that somebody answered a request to stop. Raises Missing where there is none open."""
    changed = connection.exec_driver_sql(
        f"UPDATE stop_request SET answered_at = {NOW_MS}, answered_by = ?"
        " WHERE id = ? AND answered_at IS NULL",
        (who, number),
    ).rowcount
    if not changed:
        raise Missing(f"There is no open request {number}.")
