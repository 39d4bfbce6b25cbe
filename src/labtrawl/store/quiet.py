"""Jobs that wait for the end of quiet hours: queued, with `run_after` and the words that say why."""

from labtrawl.domain.quiet import REASON
from labtrawl.store.engine import NOW_MS, Connection
from labtrawl.store.jobs import NEXT_CHANGE

_DUE = (
    "state = 'queued' AND run_after IS NULL AND area_id IN (SELECT a.id FROM area AS a"
    " JOIN instance AS i ON i.id = a.instance_id WHERE i.url = ?)"
)


def has_due(connection: Connection, instance_url: str) -> bool:
    """Say whether jobs of an instance could be claimed now."""
    found = connection.exec_driver_sql(f"SELECT 1 FROM job WHERE {_DUE} LIMIT 1", (instance_url,))
    return found.first() is not None


def put_off(connection: Connection, instance_url: str, until: int, reason: str) -> int:
    """Let the due jobs of an instance wait until an instant (ms); return how many."""
    return connection.exec_driver_sql(
        f"UPDATE job SET run_after = ?, error_message = ?, updated_at = {NOW_MS},"
        f" change = {NEXT_CHANGE} WHERE {_DUE}",
        (until, reason, instance_url),
    ).rowcount


def let_go(connection: Connection) -> int:
    """Let all that waits for quiet hours be due: the settings may have changed. Return how many."""
    return connection.exec_driver_sql(
        f"UPDATE job SET run_after = NULL, error_message = NULL, change = {NEXT_CHANGE}"
        " WHERE state = 'queued' AND run_after IS NOT NULL AND error_message LIKE ?",
        (f"{REASON}%",),
    ).rowcount
