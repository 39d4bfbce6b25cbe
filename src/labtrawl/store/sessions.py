"""Sign-in links and sessions. Only hashes are kept: who reads the database cannot sign in with it.

For the website and the cli. Instants are the database's own, in milliseconds.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS

LINK_SECONDS = 15 * 60
IDLE_SECONDS = 30 * 60
SESSION_SECONDS = 8 * 3600
# A session in use is written down at most this often: a page view costs no fsync.
TOUCH_SECONDS = 60
KEEP_SECONDS = 24 * 3600


class LinkState(StrEnum):
    """What became of a sign-in link."""

    FRESH = "fresh"
    USED = "used"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class SessionState(StrEnum):
    """Whether a session may be used; `stale` asks for a `touch`."""

    VALID = "valid"
    STALE = "stale"
    ENDED = "ended"


class Role(StrEnum):
    """What a session may do; a participant's belongs to a person."""

    ADMIN = "admin"
    OPERATOR = "operator"
    PARTICIPANT = "participant"


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session as it is at this moment; `name` tells one from another and opens nothing."""

    state: SessionState
    role: Role
    name: str
    id: int = 0
    person_id: int | None = None
    """Who signed in; None for who came by a link from the console."""
    identity: str = ""
    """INSTANCE:USER-ID of that person, as the settings name people; "" for nobody."""
    username: str = ""
    account_id: int | None = None
    """The account whose data are that person's, where there is one."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def create_link(connection: Connection, role: Role = Role.ADMIN) -> str:
    """Return a new token of 256 bits for one sign-in within 15 minutes; sweeps what is long over."""
    _sweep(connection)
    token = secrets.token_urlsafe(32)
    connection.exec_driver_sql(
        "INSERT INTO admin_link (token_sha256, created_at, expires_at, role)"
        f" VALUES (?, {NOW_MS}, {NOW_MS} + ?, ?)",
        (_hash(token), LINK_SECONDS * 1000, role),
    )
    return token


def _sweep(connection: Connection) -> None:
    for table in ("admin_link", "session"):
        connection.exec_driver_sql(
            f"DELETE FROM {table} WHERE expires_at < {NOW_MS} - ?",
            (KEEP_SECONDS * 1000,),
        )


def link_state(connection: Connection, token: str) -> LinkState:
    """Say what a link is good for, without using it up."""
    row = connection.exec_driver_sql(
        f"SELECT used_at IS NOT NULL, expires_at <= {NOW_MS} FROM admin_link"
        " WHERE token_sha256 = ?",
        (_hash(token),),
    ).first()
    if row is None:
        return LinkState.UNKNOWN
    used, expired = row
    return LinkState.USED if used else LinkState.EXPIRED if expired else LinkState.FRESH


def use_link(connection: Connection, token: str) -> LinkState:
    """Use a link up; FRESH means that it was good and this caller alone has it."""
    used = connection.exec_driver_sql(
        f"UPDATE admin_link SET used_at = {NOW_MS}"
        f" WHERE token_sha256 = ? AND used_at IS NULL AND expires_at > {NOW_MS}",
        (_hash(token),),
    ).rowcount
    return LinkState.FRESH if used else link_state(connection, token)


def create_session(
    connection: Connection, role: Role = Role.ADMIN, person_id: int | None = None
) -> str:
    """Return the token of a new session: 30 minutes idle, 8 hours at most.

    A participant's session names the person that it belongs to.
    """
    token = secrets.token_urlsafe(32)
    connection.exec_driver_sql(
        "INSERT INTO session (token_sha256, created_at, seen_at, expires_at, role, person_id)"
        f" VALUES (?, {NOW_MS}, {NOW_MS}, {NOW_MS} + ?, ?, ?)",
        (_hash(token), SESSION_SECONDS * 1000, role, person_id),
    )
    return token


def sign_in(connection: Connection, token: str) -> tuple[LinkState, str | None]:
    """Use a link up for a session, both or neither; the session's token where it was good."""
    state = use_link(connection, token)
    if state is not LinkState.FRESH:
        return state, None
    role = connection.exec_driver_sql(
        "SELECT role FROM admin_link WHERE token_sha256 = ?", (_hash(token),)
    ).scalar_one()
    return state, create_session(connection, Role(role))


def find_session(connection: Connection, token: str) -> KnownSession | None:
    """Return the session of a token, None for one that has ended; changes nothing."""
    state = check_session(connection, token)
    if state is SessionState.ENDED:
        return None
    hashed = _hash(token)
    role, number, person_id, instance, user_id, username, account_id = connection.exec_driver_sql(
        "SELECT s.role, s.id, s.person_id, i.name, p.gitlab_user_id, p.username, a.id"
        " FROM session AS s LEFT JOIN person AS p ON p.id = s.person_id"
        " LEFT JOIN instance AS i ON i.id = p.instance_id"
        " LEFT JOIN account AS a"
        " ON a.instance_id = p.instance_id AND a.gitlab_user_id = p.gitlab_user_id"
        " WHERE s.token_sha256 = ?",
        (hashed,),
    ).one()
    identity = "" if person_id is None else f"{instance}:{user_id}"
    return KnownSession(
        state, Role(role), hashed[:8], number, person_id, identity, username or "", account_id
    )


def check_session(connection: Connection, token: str) -> SessionState:
    """Say whether a session is still good; changes nothing."""
    row = connection.exec_driver_sql(
        f"SELECT seen_at < {NOW_MS} - ? FROM session WHERE token_sha256 = ?"
        f" AND revoked_at IS NULL AND expires_at > {NOW_MS} AND seen_at > {NOW_MS} - ?",
        (TOUCH_SECONDS * 1000, _hash(token), IDLE_SECONDS * 1000),
    ).first()
    if row is None:
        return SessionState.ENDED
    return SessionState.STALE if row[0] else SessionState.VALID


def ended_sessions(connection: Connection, tokens: Iterable[str]) -> set[str]:
    """Return those of these sessions that have ended; changes nothing."""
    states = {token: check_session(connection, token) for token in tokens}
    return {token for token, state in states.items() if state is SessionState.ENDED}


def touch(connection: Connection, token: str) -> None:
    """Note that a session is in use; one that has ended stays ended."""
    connection.exec_driver_sql(
        f"UPDATE session SET seen_at = {NOW_MS} WHERE token_sha256 = ? AND revoked_at IS NULL"
        f" AND expires_at > {NOW_MS} AND seen_at > {NOW_MS} - ?",
        (_hash(token), IDLE_SECONDS * 1000),
    )


def revoke(connection: Connection, token: str) -> None:
    """End a session at once."""
    connection.exec_driver_sql(
        f"UPDATE session SET revoked_at = {NOW_MS} WHERE token_sha256 = ? AND revoked_at IS NULL",
        (_hash(token),),
    )


def end(connection: Connection, session_id: int, person_id: int | None = None) -> bool:
    """End a session at once, of that person where one is named; say whether there was one."""
    return bool(
        connection.exec_driver_sql(
            f"UPDATE session SET revoked_at = {NOW_MS} WHERE id = ? AND revoked_at IS NULL"
            " AND (CAST(? AS INTEGER) IS NULL OR person_id = ?)",
            (session_id, person_id, person_id),
        ).rowcount
    )


def end_all(connection: Connection, person_id: int, but: int | None = None) -> int:
    """End every session of a person, except the one named; return how many."""
    return connection.exec_driver_sql(
        f"UPDATE session SET revoked_at = {NOW_MS} WHERE person_id = ? AND revoked_at IS NULL"
        f" AND expires_at > {NOW_MS} AND id <> ?",
        (person_id, but or 0),
    ).rowcount
