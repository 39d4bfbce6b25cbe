"""The people who signed in with their GitLab: each is one user number of one instance."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.store.accounts import record_instance
from labtrawl.store.engine import NOW_MS


@dataclass(frozen=True, slots=True)
class Identified:
    """Who a GitLab says that somebody is; the names are shown and never compared."""

    instance_name: str
    instance_url: str
    gitlab_user_id: int
    username: str = ""
    name: str = ""

    @property
    def identity(self) -> str:
        """INSTANCE:USER-ID, as the settings name people."""
        return f"{self.instance_name}:{self.gitlab_user_id}"


def record(connection: Connection, found: Identified) -> int:
    """Insert or update a person; return the id."""
    instance_id = record_instance(connection, found.instance_name, found.instance_url, None)
    person_id: int = connection.exec_driver_sql(
        "INSERT INTO person (instance_id, gitlab_user_id, username, name, added_at, seen_at)"
        f" VALUES (?, ?, ?, ?, {NOW_MS}, {NOW_MS}) ON CONFLICT (instance_id, gitlab_user_id)"
        " DO UPDATE SET username = excluded.username, name = excluded.name,"
        " seen_at = excluded.seen_at RETURNING id",
        (instance_id, found.gitlab_user_id, found.username, found.name),
    ).scalar_one()
    return person_id
