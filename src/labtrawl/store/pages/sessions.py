"""The sessions that are open, for those who may end them. Nothing here opens anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from labtrawl.store.engine import NOW_MS
from labtrawl.store.pages.keyset import Page, Place, cut
from labtrawl.store.sessions import IDLE_SECONDS, Role

PAGE = 50

_OPEN = (
    "SELECT s.id, SUBSTR(s.token_sha256, 1, 8), s.role, i.name, p.gitlab_user_id, p.username,"
    " s.created_at, s.seen_at, s.expires_at FROM session AS s"
    " LEFT JOIN person AS p ON p.id = s.person_id LEFT JOIN instance AS i ON i.id = p.instance_id"
    f" WHERE s.revoked_at IS NULL AND s.expires_at > {NOW_MS} AND s.seen_at > {NOW_MS} - ?"
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """An open session; `name` is what the audit log calls it. Instants are milliseconds."""

    id: int
    name: str
    role: Role
    identity: str
    """INSTANCE:USER-ID of who signed in with GitLab; "" for who came by a link."""
    username: str
    since: int
    seen_at: int
    ends_at: int
    """When it ends if it is not used until then."""


def list_sessions(connection: Connection, place: Place[int]) -> Page[SessionRow]:
    """Return a page of the open sessions, the newest first."""
    limit = IDLE_SECONDS * 1000
    if place.before is not None:
        where, order, key = " AND s.id > ?", "ASC", place.before
    else:
        where, order, key = " AND s.id < ?", "DESC", place.after or 2**62
    rows = connection.exec_driver_sql(
        f"{_OPEN}{where} ORDER BY s.id {order} LIMIT ?", (limit, key, PAGE + 1)
    ).all()
    return cut([_row(*row) for row in rows], place, PAGE)


def own_sessions(
    connection: Connection, person_id: int | None, session_id: int
) -> Sequence[SessionRow]:
    """Return the open sessions of a person, the newest first; of nobody's, that one alone."""
    column, key = ("id", session_id) if person_id is None else ("person_id", person_id)
    rows = connection.exec_driver_sql(
        f"{_OPEN} AND s.{column} = ? ORDER BY s.id DESC LIMIT ?", (IDLE_SECONDS * 1000, key, PAGE)
    ).all()
    return [_row(*row) for row in rows]


def _row(number: int, name: str, role: str, instance: str | None, *rest: Any) -> SessionRow:
    user_id, username, since, seen_at, expires_at = rest
    return SessionRow(
        number,
        name,
        Role(role),
        f"{instance}:{user_id}" if instance is not None else "",
        username or "",
        since,
        seen_at,
        min(expires_at, seen_at + IDLE_SECONDS * 1000),
    )
