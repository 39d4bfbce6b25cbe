"""Instances and the accounts that see them. Tokens are kept encrypted, bound to their origin."""

from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.errors import Missing
from labtrawl.store import visits
from labtrawl.store.engine import NOW_MS
from labtrawl.store.mode import IS_STUDY, USABLE

# How long a token was to live is not known of one from the settings: the shortest life that GitLab
# allows (doc/administration/settings/account_and_limit_settings.md) before its end it is renewed.
FIRST_MARGIN_MS = 300_000

# What was removed on the website stays so, though the settings still have the same text.
REMOVED = (
    "account.token = '' AND account.source_sha256 <> ''"
    " AND account.source_sha256 = excluded.source_sha256"
)


@dataclass(frozen=True, slots=True)
class VerifiedAccount:
    """An account that its GitLab accepted in this run.

    `encrypted_token` is empty where the pair in the database is the one that was accepted.
    """

    instance_name: str
    instance_url: str
    gitlab_version: str
    gitlab_user_id: int
    username: str
    scopes: tuple[str, ...]
    encrypted_token: str
    source_sha256: str = ""
    expires_at: int | None = None
    """When a token that nobody renews ends, in ms; None where GitLab does not tell."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A pair that the settings hold, encrypted for its row of the database; instants in ms."""

    instance_name: str
    instance_url: str
    gitlab_user_id: int
    encrypted_token: str
    encrypted_refresh_token: str
    expires_at: int
    source_sha256: str


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An encrypted token and the place that it belongs to."""

    encrypted: str
    instance_url: str
    user_id: int = 0
    column: str = "token"


def record(connection: Connection, found: VerifiedAccount) -> tuple[int, int]:
    """Insert or update an instance and an account; return their ids. A study asks for consent first."""
    place = (found.instance_name, found.instance_url, found.gitlab_version)
    instance_id = record_instance(connection, *place)
    # A token that somebody made by hand takes the place of a pair; an accepted pair stays.
    by_hand = f"excluded.token <> '' AND NOT ({REMOVED})"
    account_id: int = connection.exec_driver_sql(
        "INSERT INTO account (instance_id, gitlab_user_id, username, scopes, token, source_sha256,"
        " expires_at, state, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?,"
        f" CASE WHEN {IS_STUDY} THEN 'refused' ELSE 'active' END, {NOW_MS})"
        " ON CONFLICT (instance_id, gitlab_user_id) DO UPDATE SET username = excluded.username,"
        f" scopes = excluded.scopes, verified_at = excluded.verified_at, state ="
        f" CASE WHEN {REMOVED} THEN account.state ELSE {USABLE} END,"
        f" token = CASE WHEN {by_hand} THEN excluded.token ELSE account.token END,"
        f" source_sha256 = CASE WHEN {by_hand} THEN excluded.source_sha256"
        " ELSE account.source_sha256 END,"
        f" refresh_token = CASE WHEN {by_hand} THEN '' ELSE account.refresh_token END,"
        f" expires_at = CASE WHEN {by_hand} OR account.refresh_token = ''"
        " THEN excluded.expires_at ELSE account.expires_at END,"
        f" renew_at = CASE WHEN {by_hand} THEN NULL ELSE account.renew_at END RETURNING id",
        (
            instance_id,
            found.gitlab_user_id,
            found.username,
            " ".join(found.scopes),
            found.encrypted_token,
            found.source_sha256,
            found.expires_at,
        ),
    ).scalar_one()
    return instance_id, account_id


def sign_in(connection: Connection, new: SignedIn) -> int:
    """Take a pair from the settings in the place of the one that is there; return the account.

    It is usable when its GitLab has accepted it (`record`): a new account begins as refused.
    """
    instance_id = record_instance(connection, new.instance_name, new.instance_url, None)
    account_id: int = connection.exec_driver_sql(
        "INSERT INTO account (instance_id, gitlab_user_id, username, token, refresh_token,"
        " expires_at, renew_at, source_sha256, state, verified_at)"
        f" VALUES (?, ?, '', ?, ?, ?, ?, ?, 'refused', {NOW_MS})"
        " ON CONFLICT (instance_id, gitlab_user_id) DO UPDATE SET token = excluded.token,"
        " refresh_token = excluded.refresh_token, expires_at = excluded.expires_at,"
        " renew_at = excluded.renew_at, source_sha256 = excluded.source_sha256,"
        " token_version = account.token_version + 1, renewal_began_at = NULL,"
        " renewal_refused_at = NULL RETURNING id",
        (
            instance_id,
            new.gitlab_user_id,
            new.encrypted_token,
            new.encrypted_refresh_token,
            new.expires_at,
            new.expires_at - FIRST_MARGIN_MS,
            new.source_sha256,
        ),
    ).scalar_one()
    return account_id


def record_instance(connection: Connection, name: str, url: str, version: str | None) -> int:
    """Insert or update an instance; a `version` of None leaves the known one."""
    instance_id: int = connection.exec_driver_sql(
        f"INSERT INTO instance (name, url, version, added_at) VALUES (?, ?, ?, {NOW_MS})"
        " ON CONFLICT (name) DO UPDATE SET url = excluded.url, version ="
        " CASE WHEN excluded.version = '' THEN instance.version ELSE excluded.version END"
        " RETURNING id",
        (name, url, version or ""),
    ).scalar_one()
    return instance_id


def refuse(connection: Connection, account_id: int) -> bool:
    """GitLab refused the account's token: it gets no more jobs until it is verified again.

    False for an account whose token can be renewed: how its renewal ends decides.
    """
    return bool(
        connection.exec_driver_sql(
            "UPDATE account SET state = 'refused' WHERE id = ? AND refresh_token = ''",
            (account_id,),
        ).rowcount
    )


def is_refused(connection: Connection, account_id: int) -> bool:
    """Say whether GitLab refused the account's token and nobody entered another."""
    state = connection.exec_driver_sql("SELECT state FROM account WHERE id = ?", (account_id,))
    return bool(state.scalar() == "refused")


def may_be_used(connection: Connection, account_id: int) -> bool:
    """Say whether an account's token may be handed out: whatever its GitLab says of it.

    False where an admin switched it off, or its owner has not agreed, or not any more. Raises Missing.
    """
    row = connection.exec_driver_sql(
        "SELECT CASE WHEN disabled_at IS NULL AND (mode = 'team' OR consent_id IS NOT NULL)"
        " THEN 1 ELSE 0 END FROM account WHERE id = ?",
        (account_id,),
    ).first()
    if row is None:
        raise Missing(f"there is no account {account_id}")
    return bool(row[0])


def was_refused(connection: Connection, found: VerifiedAccount) -> bool:
    """Say whether an account that its GitLab accepts now could not be used until now."""
    row = connection.exec_driver_sql(
        "SELECT c.state FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
        " WHERE i.name = ? AND c.gitlab_user_id = ?",
        (found.instance_name, found.gitlab_user_id),
    ).first()
    return row is not None and row[0] == "refused"


def switch(connection: Connection, account_id: int, *, is_on: bool) -> None:
    """Let an account be used again, which its GitLab has just accepted, or by nobody.

    What was held for want of it is resumed by the caller, or held. Missing for no account.
    """
    off = f"disabled_at = COALESCE(disabled_at, {NOW_MS}), state = 'refused'"
    changed = connection.exec_driver_sql(
        f"UPDATE account SET {'disabled_at = NULL' if is_on else off} WHERE id = ?", (account_id,)
    ).rowcount
    if not changed:
        raise Missing(f"there is no account {account_id}")
    if is_on:
        # Somebody may have removed its token meanwhile.
        connection.exec_driver_sql(
            f"UPDATE account SET state = {USABLE} WHERE id = ? AND token <> ''", (account_id,)
        )
        visits.due_again(connection, account_id)


def is_removed(connection: Connection, source_sha256: str) -> bool:
    """Say whether the credential of this text of the settings was removed on the website."""
    found = connection.exec_driver_sql(
        "SELECT 1 FROM account WHERE source_sha256 = ? AND source_sha256 <> '' AND token = ''",
        (source_sha256,),
    )
    return found.first() is not None


def source_of(connection: Connection, account_id: int) -> str:
    """Return what tells the text of the settings that an account came from, "" for none."""
    found = connection.exec_driver_sql(
        "SELECT source_sha256 FROM account WHERE id = ?", (account_id,)
    )
    return found.scalar() or ""


def refuse_source(connection: Connection, source_sha256: str) -> None:
    """Do as `refuse`, for whichever account came from this text of the settings before."""
    connection.exec_driver_sql(
        "UPDATE account SET state = 'refused' WHERE source_sha256 = ?", (source_sha256,)
    )


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
