"""What was learned of the limits of each account: it outlives the website's process."""

from labtrawl.store.engine import NOW_MS, Connection

Row = tuple[int, str, int | None, int]
"""Account, class of endpoints, limit a minute as GitLab told it, and the instant (ms) to wait for."""


def load(connection: Connection) -> list[Row]:
    """Return everything that was kept."""
    rows = connection.exec_driver_sql(
        "SELECT account_id, class, limit_per_minute, not_before FROM budget"
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def keep(connection: Connection, rows: list[Row]) -> None:
    """Write down what was learned, over what was known before."""
    for row in rows:
        connection.exec_driver_sql(
            "INSERT INTO budget (account_id, class, limit_per_minute, not_before, updated_at)"
            f" VALUES (?, ?, ?, ?, {NOW_MS}) ON CONFLICT (account_id, class) DO UPDATE SET"
            " limit_per_minute = excluded.limit_per_minute, not_before = excluded.not_before,"
            " updated_at = excluded.updated_at",
            row,
        )


def instance_of(connection: Connection, account_id: int) -> str | None:
    """Return the URL of an account's instance; None where there is no such account."""
    found = connection.exec_driver_sql(
        "SELECT i.url FROM account AS a JOIN instance AS i ON i.id = a.instance_id WHERE a.id = ?",
        (account_id,),
    ).first()
    return None if found is None else str(found[0])
