"""Instances and the accounts that see them. Tokens are kept encrypted, bound to their origin."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.errors import Missing
from labtrawl.store.engine import NOW_MS


@dataclass(frozen=True, slots=True)
class VerifiedAccount:
    """An account that its GitLab accepted in this run."""

    instance_name: str
    instance_url: str
    gitlab_version: str
    gitlab_user_id: int
    username: str
    scopes: tuple[str, ...]
    encrypted_token: str


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An encrypted token and the origin that it belongs to."""

    encrypted: str
    instance_url: str


def record(connection: Connection, found: VerifiedAccount) -> tuple[int, int]:
    """Insert or update an instance and an account; return their ids."""
    instance_id: int = connection.exec_driver_sql(
        f"INSERT INTO instance (name, url, version, added_at) VALUES (?, ?, ?, {NOW_MS})"
        " ON CONFLICT (name) DO UPDATE SET url = excluded.url, version = excluded.version"
        " RETURNING id",
        (found.instance_name, found.instance_url, found.gitlab_version),
    ).scalar_one()
    account_id: int = connection.exec_driver_sql(
        "INSERT INTO account (instance_id, gitlab_user_id, username, scopes, token, state,"
        f" verified_at) VALUES (?, ?, ?, ?, ?, 'active', {NOW_MS})"
        " ON CONFLICT (instance_id, gitlab_user_id) DO UPDATE SET username = excluded.username,"
        " scopes = excluded.scopes, token = excluded.token, state = 'active',"
        " verified_at = excluded.verified_at RETURNING id",
        (
            instance_id,
            found.gitlab_user_id,
            found.username,
            " ".join(found.scopes),
            found.encrypted_token,
        ),
    ).scalar_one()
    return instance_id, account_id


def refuse(connection: Connection, account_id: int) -> None:
    """GitLab refused the account's token: it gets no more jobs until it is verified again."""
    connection.exec_driver_sql("UPDATE account SET state = 'refused' WHERE id = ?", (account_id,))


def refuse_token(connection: Connection, encrypted_token: str) -> None:
    """Do as `refuse`, for whichever account was verified with this token before."""
    connection.exec_driver_sql(
        "UPDATE account SET state = 'refused' WHERE token = ?", (encrypted_token,)
    )


def token_of(connection: Connection, account_id: int) -> StoredToken:
    """Return the account's encrypted token and its origin."""
    row = connection.exec_driver_sql(
        "SELECT c.token, i.url FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
        " WHERE c.id = ?",
        (account_id,),
    ).first()
    if row is None:
        raise Missing(f"there is no account {account_id}")
    return StoredToken(row[0], row[1])


def another_sees(connection: Connection, account_id: int, area_id: int) -> bool:
    """Say whether another, usable account than this sees the area."""
    return (
        connection.exec_driver_sql(
            "SELECT 1 FROM area_access AS x JOIN account AS c ON c.id = x.account_id"
            " WHERE x.area_id = ? AND c.state = 'active' AND c.id <> ? LIMIT 1",
            (area_id, account_id),
        ).first()
        is not None
    )
