"""What the checks of the health page and the weekly digest want to know of the database."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.sample import Grain, fold
from labtrawl.domain.visit import DISCOVERY
from labtrawl.store import samples
from labtrawl.store.discoveries import unfinished
from labtrawl.store.engine import NOW_MS
from labtrawl.store.gaps import by_reason

DAY_MS = 86_400_000
# Files that the bytes of a record are reckoned from, the newest.
RECENT = 20_000


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account as the checks see it; `expires_at` in ms, None where nobody knows.

    `state` is off where people want it so: switched off, disconnected, or not agreed to yet.
    """

    id: int
    instance: str
    username: str
    state: str
    expires_at: int | None
    renews_itself: bool


@dataclass(frozen=True, slots=True)
class FailedJobs:
    """Jobs that failed for the same reason since an instant, and the newest of them."""

    reason: str
    number: int
    newest_id: int
    message: str


@dataclass(frozen=True, slots=True)
class Week:
    """What one week brought: objects by resource, jobs by end; and lists with a gap by reason now.

    `bytes` is reckoned of the objects. A discovery that did not come to its end is such a list;
    of those that are unexplained nobody knows why.
    """

    records: dict[str, int]
    bytes: int
    gaps: dict[str, int]
    ended: dict[str, int]
    open_jobs: int


def now_ms(connection: Connection) -> int:
    """Return the instant by the database's clock."""
    found: int = connection.exec_driver_sql(f"SELECT {NOW_MS}").scalar_one()
    return found


def accounts(connection: Connection) -> list[AccountFacts]:
    """Return the accounts in use with what is known of their credentials, and never these.

    Left out are those that are disabled or without a credential, and participants who have not
    agreed.
    """
    rows = connection.exec_driver_sql(
        "SELECT c.id, i.name, c.username, CASE WHEN c.token = '' OR c.disabled_at IS NOT NULL"
        " OR (c.mode = 'study' AND c.consent_id IS NULL) THEN 'off' ELSE c.state END, c.expires_at,"
        " CASE WHEN c.refresh_token <> '' THEN 1 ELSE 0 END FROM account AS c"
        " JOIN instance AS i ON i.id = c.instance_id WHERE c.token <> '' AND c.disabled_at IS NULL"
        " AND (c.mode <> 'study' OR c.consent_id IS NOT NULL) ORDER BY i.name, c.username, c.id"
    ).all()
    return [AccountFacts(*(*row[:5], bool(row[5]))) for row in rows]


def growth_a_day(connection: Connection) -> int:
    """Return about how many bytes the dataset grew within the last day."""
    return _bytes_of(connection, _collected(connection, now_ms(connection) - DAY_MS))


def _collected(connection: Connection, since: int) -> dict[str, int]:
    """Return the records that came since an instant (ms), by resource, most first.

    Of the samples: compacting makes new files of old records.
    """
    until = now_ms(connection) + DAY_MS
    found = samples.read_up_to_now(connection, Grain.HOUR, since, until)
    records = fold(each.figures for each in found).records
    return dict(sorted(records.items(), key=lambda each: (-each[1], each[0])))


def _bytes_of(connection: Connection, records: Mapping[str, int]) -> int:
    """Reckon the bytes of records by what the newest files take for one of their resource."""
    rows = connection.exec_driver_sql(
        "SELECT resource, SUM(length), SUM(records) FROM (SELECT resource, length, records"
        f" FROM segment ORDER BY id DESC LIMIT {RECENT}) AS newest GROUP BY resource"
    ).all()
    return sum(
        records.get(row[0], 0) * int(row[1]) // int(row[2]) for row in rows if int(row[2]) > 0
    )


def failed_since(connection: Connection, since: int) -> list[FailedJobs]:
    """Return the jobs that failed after the instant `since` (ms), by reason."""
    rows = connection.exec_driver_sql(
        "SELECT g.error_reason, g.number, g.newest, j.error_message FROM"
        " (SELECT error_reason, COUNT(*) AS number, MAX(id) AS newest FROM job"
        " WHERE state = 'failed' AND finished_at > ? GROUP BY error_reason) AS g"
        " JOIN job AS j ON j.id = g.newest ORDER BY g.number DESC, g.error_reason",
        (since,),
    ).all()
    return [FailedJobs(row[0], row[1], row[2], row[3] or "") for row in rows]


def gaps_since(connection: Connection, since: int) -> dict[str, int]:
    """Count the lists that got a gap that may be mended after the instant `since` (ms), by reason.

    Discoveries that did not come to their end are together under their own name, whatever the
    reason; those of accounts that nobody may use are not among them.
    """
    rows = connection.exec_driver_sql(
        "SELECT reason, COUNT(*) FROM ledger WHERE updated_at > ?"
        " AND reason IN ('failed', 'cap', 'changed', 'cancelled', 'deleted')"
        " GROUP BY reason ORDER BY COUNT(*) DESC, reason",
        (since,),
    ).all()
    lost = sum(each.is_used and each.updated_at > since for each in unfinished(connection))
    return {row[0]: row[1] for row in rows} | ({DISCOVERY: lost} if lost else {})


def open_jobs(connection: Connection) -> dict[str, int]:
    """Count the jobs that are not over yet, by state."""
    rows = connection.exec_driver_sql(
        "SELECT state, COUNT(*) FROM job WHERE state IN ('queued', 'running', 'held')"
        " GROUP BY state ORDER BY state"
    ).all()
    return {row[0]: row[1] for row in rows}


def stop_requests_open(connection: Connection) -> int:
    """Count the requests to stop that nobody has answered."""
    found: int = connection.exec_driver_sql(
        "SELECT COUNT(*) FROM stop_request WHERE answered_at IS NULL"
    ).scalar_one()
    return found


def is_older(connection: Connection, than: int) -> bool:
    """Say whether something was collected here before the instant `than` (ms)."""
    found = connection.exec_driver_sql("SELECT MIN(added_at) FROM instance").scalar_one()
    return found is not None and found < than


def week(connection: Connection, since: int) -> Week:
    """Return what was collected since an instant (ms), and what there is of gaps and open jobs."""
    records = _collected(connection, since)
    ended = connection.exec_driver_sql(
        "SELECT state, COUNT(*) FROM job WHERE finished_at > ? GROUP BY state ORDER BY state",
        (since,),
    ).all()
    return Week(
        records,
        _bytes_of(connection, records),
        by_reason(connection),
        {row[0]: row[1] for row in ended},
        sum(open_jobs(connection).values()),
    )
