"""Messages that belong to no job, or carry no id that grows: known by what they say, for a while."""

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS


def record_once(connection: Connection, origin: str, message_id: str) -> bool:
    """Record that a message took effect, in its transaction; say whether it is the first time."""
    return bool(
        connection.exec_driver_sql(
            f"INSERT INTO message (origin, message_id, applied_at) VALUES (?, ?, {NOW_MS})"
            " ON CONFLICT DO NOTHING",
            (origin, message_id),
        ).rowcount
    )


def forget(connection: Connection, keep_hours: float) -> int:
    """Remove the records that are older than this; return how many."""
    return connection.exec_driver_sql(
        f"DELETE FROM message WHERE applied_at < {NOW_MS} - ?", (int(keep_hours * 3_600_000),)
    ).rowcount


def recorded(connection: Connection) -> int:
    """Return how many records there are."""
    return int(connection.exec_driver_sql("SELECT COUNT(*) FROM message").scalar_one())
