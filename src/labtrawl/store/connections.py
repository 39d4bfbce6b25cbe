"""Accounts that people connect themselves, on the website; what a study needs besides is consent."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.store import choices, consents, jobs
from labtrawl.store.accounts import record_instance
from labtrawl.store.commands import Worked
from labtrawl.store.engine import NOW_MS
from labtrawl.store.mode import USABLE
from labtrawl.store.people import Identified


@dataclass(frozen=True, slots=True)
class Connected:
    """What somebody connects, encrypted for its row of the database; instants in ms.

    Without `encrypted_refresh_token` it is a token that somebody made by hand.
    """

    who: Identified
    gitlab_version: str
    scopes: tuple[str, ...]
    encrypted_token: str
    encrypted_refresh_token: str = ""
    expires_at: int | None = None
    renew_at: int | None = None
    redirect_uri: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An account as its owner is shown it: how it is connected, never by what."""

    account_id: int
    instance_name: str
    instance_url: str
    username: str
    scopes: str
    is_usable: bool
    """Whether crawlers may use it now."""
    is_connected: bool
    renews_itself: bool
    expires_at: int | None
    verified_at: int


def connect(connection: Connection, new: Connected) -> int:
    """Take what was connected in the place of what was there; return the account.

    In a study it is used where its owner has agreed; a new account never is yet.
    """
    instance_id = record_instance(
        connection, new.who.instance_name, new.who.instance_url, new.gitlab_version
    )
    columns = (
        "username, scopes, token, refresh_token, expires_at, renew_at, redirect_uri, verified_at"
    )
    taken = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
    account_id: int = connection.exec_driver_sql(
        f"INSERT INTO account (instance_id, gitlab_user_id, state, source_sha256, {columns})"
        f" VALUES (?, ?, 'refused', '', ?, ?, ?, ?, ?, ?, ?, {NOW_MS})"
        f" ON CONFLICT (instance_id, gitlab_user_id) DO UPDATE SET {taken}, source_sha256 = '',"
        " token_version = account.token_version + 1, renewal_began_at = NULL,"
        f" renewal_refused_at = NULL, state = {USABLE} RETURNING id",
        (
            instance_id,
            new.who.gitlab_user_id,
            new.who.username,
            " ".join(new.scopes),
            new.encrypted_token,
            new.encrypted_refresh_token,
            new.expires_at,
            new.renew_at,
            new.redirect_uri,
        ),
    ).scalar_one()
    consents.begin_discovery(connection, account_id)
    return account_id


def find(connection: Connection, who: Identified) -> int | None:
    """Return the account of a user; None where there is none."""
    return connection.exec_driver_sql(
        "SELECT c.id FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
        " WHERE i.name = ? AND c.gitlab_user_id = ?",
        (who.instance_name, who.gitlab_user_id),
    ).scalar()


def disconnect(connection: Connection, account_id: int) -> list[Worked] | None:
    """Erase an account's tokens; what only it sees waits. None where there was nothing to erase.

    Jobs that read by it are stopped, in this transaction. Returns them: tell their crawlers.
    """
    erased = connection.exec_driver_sql(
        "UPDATE account SET token = '', refresh_token = '', expires_at = NULL, renew_at = NULL,"
        " token_version = token_version + 1, renewal_began_at = NULL, state = 'refused'"
        " WHERE id = ? AND token <> ''",
        (account_id,),
    ).rowcount
    if not erased:
        return None
    stopped = choices.stop(connection, account_id)
    jobs.hold_unseen(connection)
    return stopped


def link_of(connection: Connection, account_id: int) -> Link | None:
    """Return how an account is connected; None for no account."""
    row = connection.exec_driver_sql(
        "SELECT c.id, i.name, i.url, c.username, c.scopes, c.state, c.token, c.refresh_token,"
        " c.expires_at, c.verified_at FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
        " WHERE c.id = ?",
        (account_id,),
    ).first()
    if row is None:
        return None
    number, name, url, username, scopes, state, token, refresh_token, expires_at, verified_at = row
    return Link(
        number,
        name,
        url,
        username,
        scopes,
        state == "active",
        bool(token),
        bool(refresh_token),
        expires_at,
        verified_at,
    )


def has_usable(connection: Connection) -> bool:
    """Say whether any account may be used that was connected on the website."""
    row = connection.exec_driver_sql(
        "SELECT 1 FROM account WHERE state = 'active' AND source_sha256 = '' AND token <> '' LIMIT 1"
    ).first()
    return row is not None
