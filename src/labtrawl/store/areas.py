"""Areas and who sees them."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.domain.area import FoundArea
from labtrawl.store.engine import NOW_MS


def record(connection: Connection, instance_id: int, found: FoundArea) -> int:
    """Insert an area or bring its name and path up to date; return its id.

    Identity is (instance, kind, GitLab id): a rename or a transfer keeps the area.
    """
    area_id: int = connection.exec_driver_sql(
        "INSERT INTO area (instance_id, kind, gitlab_id, full_path, name, web_url, parent_path,"
        f" discovered_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, {NOW_MS}, {NOW_MS})"
        " ON CONFLICT (instance_id, kind, gitlab_id) DO UPDATE SET full_path = excluded.full_path,"
        " name = excluded.name, web_url = excluded.web_url, parent_path = excluded.parent_path,"
        " seen_at = excluded.seen_at RETURNING id",
        (
            instance_id,
            found.kind,
            found.gitlab_id,
            found.full_path,
            found.name,
            found.web_url,
            found.parent_path,
        ),
    ).scalar_one()
    connection.exec_driver_sql(
        f"INSERT INTO area_path (area_id, full_path, seen_from) VALUES (?, ?, {NOW_MS})"
        " ON CONFLICT DO NOTHING",
        (area_id, found.full_path),
    )
    return area_id


# The role of a participant in an area that GitLab does not show them any more.
NOT_SEEN = -1
# In a study an account with consent reads its own area, and by it finds the others.
GRANT = f"""
INSERT INTO area_access (area_id, account_id, role, seen_at)
SELECT CAST(? AS INTEGER), c.id, CAST(? AS INTEGER), {NOW_MS} FROM account AS c
WHERE c.id = ? AND (c.mode = 'team' OR (c.consent_id IS NOT NULL AND CAST(? AS INTEGER) = 1))
ON CONFLICT (area_id, account_id) DO UPDATE SET role = excluded.role, seen_at = excluded.seen_at
"""


def grant(
    connection: Connection, area_id: int, account_id: int, role: int, may_be_read: bool = True
) -> bool:
    """Record that an account sees an area, with its access level; say whether it reads it.

    Of an account of a study only what `may_be_read` (see `choices.found`), and with consent only.
    """
    values = (area_id, role, account_id, int(may_be_read))
    return bool(connection.exec_driver_sql(GRANT, values).rowcount)


def is_of_study(connection: Connection, account_id: int) -> bool:
    """Say whether an account is a participant's."""
    mode = connection.exec_driver_sql("SELECT mode FROM account WHERE id = ?", (account_id,))
    return bool(mode.scalar() == "study")


def seen_again(connection: Connection, area_id: int) -> bool:
    """Note that an account sees an area; say whether none did for a while."""
    return bool(
        connection.exec_driver_sql(
            "UPDATE area SET unseen_at = NULL WHERE id = ? AND unseen_at IS NOT NULL", (area_id,)
        ).rowcount
    )


@dataclass(frozen=True, slots=True)
class Lost:
    """How many areas an account sees no more, and which of them nobody sees."""

    number: int
    unseen: list[int]


def lose(connection: Connection, account_id: int, before: int) -> Lost:
    """End an account's access to what it saw last before an instant of ours (ms)."""
    gone = connection.exec_driver_sql(
        "DELETE FROM area_access WHERE account_id = ? AND seen_at < ? AND area_id IN"
        " (SELECT id FROM area WHERE kind IN ('group', 'project')) RETURNING area_id",
        (account_id, before),
    ).all()
    # What its owner said of an area stays; but it is not there to be read (`choices.ALLOWED`).
    connection.exec_driver_sql(
        f"UPDATE area_choice SET role = {NOT_SEEN} WHERE account_id = ? AND seen_at < ?",
        (account_id, before),
    )
    return Lost(len(gone), [area_id for (area_id,) in gone if _is_lost(connection, area_id)])


def _is_lost(connection: Connection, area_id: int) -> bool:
    return bool(
        connection.exec_driver_sql(
            f"UPDATE area SET unseen_at = {NOW_MS} WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM area_access AS x WHERE x.area_id = area.id)",
            (area_id,),
        ).rowcount
    )


def find(connection: Connection, instance_id: int, kind: str, gitlab_id: int) -> int | None:
    """Return the id of an area that is known."""
    row = connection.exec_driver_sql(
        "SELECT id FROM area WHERE instance_id = ? AND kind = ? AND gitlab_id = ?",
        (instance_id, kind, gitlab_id),
    ).first()
    return row[0] if row else None


def known_as(connection: Connection, instance_id: int, full_path: str) -> tuple[str, int] | None:
    """Return kind and GitLab id of the group or project that has a path, or had it last."""
    row = connection.exec_driver_sql(
        "SELECT a.kind, a.gitlab_id FROM area_path AS p JOIN area AS a ON a.id = p.area_id"
        " WHERE a.instance_id = ? AND p.full_path = ? AND a.kind IN ('group', 'project')"
        " ORDER BY CASE WHEN a.full_path = p.full_path THEN 0 ELSE 1 END, p.seen_from DESC LIMIT 1",
        (instance_id, full_path),
    ).first()
    return (row[0], row[1]) if row else None
