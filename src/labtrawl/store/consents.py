"""Consent: the texts that were published, who agreed to which, and what follows from either.

All of it happens in one transaction with its consequences: whoever withdraws has no job any more
when the transaction is over. Functions that stop jobs return them, for their crawlers to be told.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.consent import Areas, Ended, Wording, problem_of_until
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import DISCOVERY, Mode
from labtrawl.errors import Conflict, Missing
from labtrawl.store import areas, choices, jobs, visits
from labtrawl.store.commands import Worked
from labtrawl.store.engine import NOW_MS

DISCOVERY_PRIORITY = 10
# The other half of what a participant says; `choices` has it, with what follows from both.
choose = choices.choose
ASKED_AGAIN = "the text has changed meanwhile: read the newest one and decide again"


@dataclass(frozen=True, slots=True)
class Text:
    """A published text; instants in milliseconds."""

    version: int
    title: str
    body: str
    until: int
    written_at: int
    written_by: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    """What an account's owner agreed to; it holds while `ended_at` is None."""

    id: int
    account_id: int
    version: int
    areas: Areas
    until: int
    given_at: int
    given_by: str
    ended_at: int | None
    ended_why: str | None

    @property
    def holds(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Asked:
    """How many accounts of the study there are, and how they stand."""

    accounts: int
    consented: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """A field that the gate did not let pass, by the resource that has it."""

    resource: str
    field: str
    records: int
    seen_at: int


_TEXT = "SELECT version, title, body, until, written_at, written_by FROM consent_text"
_CONSENT = (
    "SELECT id, account_id, version, areas, until, given_at, given_by, ended_at, ended_why"
    " FROM consent"
)


def newest_text(connection: Connection) -> Text | None:
    """Return the text that holds now; None where none was published."""
    row = connection.exec_driver_sql(f"{_TEXT} ORDER BY version DESC LIMIT 1").first()
    return None if row is None else _text(connection, row)


def text_of(connection: Connection, version: int) -> Text:
    """Return a version; Missing where there is none."""
    row = connection.exec_driver_sql(f"{_TEXT} WHERE version = ?", (version,)).first()
    if row is None:
        raise Missing(f"there is no version {version} of the consent text")
    return _text(connection, row)


def texts(connection: Connection) -> list[Text]:
    """Return all versions, the newest first."""
    rows = connection.exec_driver_sql(f"{_TEXT} ORDER BY version DESC").all()
    return [_text(connection, row) for row in rows]


def _text(connection: Connection, row: Any) -> Text:
    version, title, body, until, written_at, written_by = row
    names = connection.exec_driver_sql(
        "SELECT resource FROM consent_resource WHERE version = ? ORDER BY resource", (version,)
    ).all()
    return Text(
        version, title, body, until, written_at, written_by, tuple(name for (name,) in names)
    )


def publish(connection: Connection, new: Wording, by: str) -> tuple[int, list[Worked]]:
    """Publish a new version; return its number and the jobs that were stopped.

    Every consent ends: nothing is read by anybody until they have agreed to the new words.
    """
    version: int = connection.exec_driver_sql(
        "INSERT INTO consent_text (version, title, body, until, written_at, written_by)"
        f" SELECT COALESCE(MAX(version), 0) + 1, CAST(? AS TEXT), CAST(? AS TEXT),"
        f" CAST(? AS BIGINT), {NOW_MS}, CAST(? AS TEXT) FROM consent_text RETURNING version",
        (new.title, new.body, new.until, by),
    ).scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO consent_resource (version, resource) VALUES (?, ?)",
        [(version, resource) for resource in sorted(set(new.resources))],
    )
    living = connection.exec_driver_sql(
        "SELECT account_id FROM consent WHERE ended_at IS NULL ORDER BY account_id"
    ).all()
    stopped: list[Worked] = []
    for (account_id,) in living:
        stopped += withdraw(connection, account_id, Ended.NEW_TEXT)
    return version, stopped


def current(connection: Connection, account_id: int) -> Consent | None:
    """Return the consent that holds; None for none."""
    row = connection.exec_driver_sql(
        f"{_CONSENT} WHERE account_id = ? AND ended_at IS NULL", (account_id,)
    ).first()
    return None if row is None else _consent(row)


def history(connection: Connection, account_id: int) -> list[Consent]:
    """Return every consent of an account, the newest first."""
    rows = connection.exec_driver_sql(
        f"{_CONSENT} WHERE account_id = ? ORDER BY id DESC", (account_id,)
    ).all()
    return [_consent(row) for row in rows]


def _consent(row: Any) -> Consent:
    number, account_id, version, scope, *rest = row
    return Consent(number, account_id, version, Areas(scope), *rest)


def asked(connection: Connection) -> Asked:
    """Count the accounts of the study, and those of them that have agreed."""
    row = connection.exec_driver_sql(
        "SELECT COUNT(*), COUNT(consent_id) FROM account WHERE mode = 'study'"
    ).one()
    return Asked(*row)


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody agrees to: the version that they read, for which areas, until when (ms)."""

    version: int
    areas: Areas
    until: int
    by: str


def give(connection: Connection, account_id: int, given: Given) -> list[Worked]:
    """Record a consent and let the account be used; one that holds is replaced.

    Returns the jobs that were stopped because fewer areas may be read. Conflict for an older text,
    a wrong last day, or an account that is of no study; Missing for no such account.
    """
    row = connection.exec_driver_sql(
        f"SELECT mode, {NOW_MS} FROM account WHERE id = ?", (account_id,)
    ).first()
    text = newest_text(connection)
    if row is None:
        raise Missing(f"there is no account {account_id}")
    if row[0] != "study" or text is None:
        raise Conflict("nothing was asked of this account: there is nothing to agree to")
    if given.version != text.version:
        raise Conflict(ASKED_AGAIN)
    if problem := problem_of_until(given.until, text.until, row[1]):
        raise Conflict(problem)
    had = choices.areas_of(connection, account_id)
    _end(connection, account_id, Ended.CHANGED)
    _begin(connection, account_id, given)
    return choices.settle(connection, account_id, had)


def _begin(connection: Connection, account_id: int, given: Given) -> None:
    consent_id: int = connection.exec_driver_sql(
        "INSERT INTO consent (account_id, version, areas, until, given_at, given_by)"
        f" VALUES (?, ?, ?, ?, {NOW_MS}, ?) RETURNING id",
        (account_id, given.version, given.areas, given.until, given.by),
    ).scalar_one()
    # Without a token there is nothing to use: a sign-in with GitLab brings one.
    connection.exec_driver_sql(
        "UPDATE account SET consent_id = ?,"
        " state = CASE WHEN token = '' OR disabled_at IS NOT NULL THEN state ELSE 'active' END"
        " WHERE id = ?",
        (consent_id, account_id),
    )
    begin_discovery(connection, account_id)


def begin_discovery(connection: Connection, account_id: int) -> None:
    """Let an account's areas be discovered, where it may be used; as it should at each sign-in."""
    row = connection.exec_driver_sql(
        "SELECT instance_id, gitlab_user_id, username FROM account"
        " WHERE id = ? AND state = 'active'",
        (account_id,),
    ).first()
    if row is None:
        return
    instance_id, user_id, username = row
    own = FoundArea(AreaKind.USER, user_id, f"@{username}", username)
    area_id = areas.record(connection, instance_id, own)
    areas.grant(connection, area_id, account_id, 0)
    areas.seen_again(connection, area_id)
    visits.due_again(connection, account_id)
    first = jobs.PlannedJob(area_id, DISCOVERY, priority=DISCOVERY_PRIORITY)
    if jobs.enqueue_first(connection, first) is None:
        jobs.resume(connection, HoldReason.CREDENTIAL, account_id)
        jobs.resume(connection, HoldReason.UNSEEN, account_id)
        jobs.reopen(connection, area_id, DISCOVERY, Mode.CHANGES, failed=True, cancelled=True)


def withdraw(connection: Connection, account_id: int, why: Ended = Ended.WITHDRAWN) -> list[Worked]:
    """End an account's consent with all that rests on it; return the jobs that were stopped.

    What was collected stays. Nothing happens where no consent holds.
    """
    if current(connection, account_id) is None:
        return []
    had = choices.areas_of(connection, account_id)
    stopped = choices.stop(connection, account_id)
    _end(connection, account_id, why)
    if (own := _own_area(connection, account_id)) is not None:
        choices.lose(connection, account_id, own)
    choices.settle(connection, account_id, had)
    return stopped


def _own_area(connection: Connection, account_id: int) -> int | None:
    """Return the area that stands for the account's user, by which the others are discovered."""
    row = connection.exec_driver_sql(
        "SELECT a.id FROM area AS a JOIN account AS c ON c.instance_id = a.instance_id"
        " AND c.gitlab_user_id = a.gitlab_id WHERE c.id = ? AND a.kind = 'user'",
        (account_id,),
    ).first()
    return None if row is None else row[0]


def _end(connection: Connection, account_id: int, why: Ended) -> None:
    """Let go of the consent first: a trigger keeps one that an account rests on."""
    connection.exec_driver_sql(
        "UPDATE account SET state = 'refused', consent_id = NULL"
        " WHERE id = ? AND mode = 'study' AND consent_id IS NOT NULL",
        (account_id,),
    )
    connection.exec_driver_sql(
        f"UPDATE consent SET ended_at = {NOW_MS}, ended_why = ?"
        " WHERE account_id = ? AND ended_at IS NULL",
        (why, account_id),
    )


def has_expired(connection: Connection) -> bool:
    """Say whether `end_expired` has something to do; a search in an index."""
    row = connection.exec_driver_sql(
        f"SELECT 1 FROM consent WHERE ended_at IS NULL AND until <= {NOW_MS} LIMIT 1"
    ).first()
    return row is not None


def end_expired(connection: Connection) -> list[Worked]:
    """End every consent whose last instant is over; return the jobs that were stopped."""
    rows = connection.exec_driver_sql(
        f"SELECT account_id FROM consent WHERE ended_at IS NULL AND until <= {NOW_MS} ORDER BY id"
    ).all()
    stopped: list[Worked] = []
    for (account_id,) in rows:
        stopped += withdraw(connection, account_id, Ended.EXPIRED)
    return stopped


def withhold(connection: Connection, area_id: int, resource: str, fields: dict[str, int]) -> None:
    """Count fields that the gate withheld, in the transaction that commits the records."""
    if fields:
        connection.exec_driver_sql(
            "INSERT INTO withheld (area_id, resource, field, records, seen_at)"
            f" VALUES (?, ?, ?, ?, {NOW_MS}) ON CONFLICT (area_id, resource, field) DO UPDATE SET"
            " records = withheld.records + excluded.records, seen_at = excluded.seen_at",
            [(area_id, resource, field, count) for field, count in sorted(fields.items())],
        )


def all_withheld(connection: Connection, limit: int) -> list[Withheld]:
    """Return the fields that were withheld, summed over all areas, in their order by name."""
    rows = connection.exec_driver_sql(
        "SELECT resource, field, SUM(records), MAX(seen_at) FROM withheld"
        " GROUP BY resource, field ORDER BY resource, field LIMIT ?",
        (limit,),
    ).all()
    return [Withheld(row[0], row[1], int(row[2]), row[3]) for row in rows]
