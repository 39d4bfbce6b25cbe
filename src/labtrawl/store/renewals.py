"""The pairs of accounts that can be renewed. A pair changes only from the version that was read.

Nothing here erases a token: a refused pair stays, since the refusal may be a mistake. Instants are
milliseconds since the epoch by the caller's clock, which also counts the lives of tokens.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from labtrawl.errors import ConfigError, Missing
from labtrawl.store.accounts import StoredToken
from labtrawl.store.mode import USABLE
from labtrawl.store.secrets import Cipher, account_place

# A renewal that began longer ago has died with its process: no request for a token lasts so long.
STALE_MS = 60_000

_PAIR = (
    "SELECT c.id, c.gitlab_user_id, c.username, i.name, i.url, c.token, c.refresh_token,"
    " c.expires_at, c.renew_at, c.token_version, c.renewal_began_at, c.renewal_refused_at, c.state,"
    " c.redirect_uri"
    " FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
)


@dataclass(frozen=True, slots=True)
class StoredPair:
    """An account's tokens, encrypted, and where their renewal stands."""

    account_id: int
    user_id: int
    username: str
    instance_name: str
    instance_url: str
    token: str
    refresh_token: str
    expires_at: int | None
    renew_at: int | None
    version: int
    began_at: int | None
    refused_at: int | None
    state: str
    redirect_uri: str = ""
    """Where GitLab sent the browser at the sign-in, where it was on the website."""

    @property
    def stored_token(self) -> StoredToken:
        """The access token and its place."""
        return StoredToken(self.token, self.instance_url, self.user_id)


@dataclass(frozen=True, slots=True)
class SealedPair:
    """An encrypted pair to be stored."""

    token: str
    refresh_token: str
    expires_at: int
    renew_at: int


class Turn(StrEnum):
    """Who renews a pair."""

    OURS = "ours"
    ANOTHERS = "anothers"
    DONE = "done"


def pair_of(connection: Connection, account_id: int) -> StoredPair:
    """Return an account's pair; Missing for no account."""
    row = connection.exec_driver_sql(f"{_PAIR} WHERE c.id = ?", (account_id,)).first()
    if row is None:
        raise Missing(f"there is no account {account_id}")
    return StoredPair(*row)


def find_source(connection: Connection, instance: str, source_sha256: str) -> int | None:
    """Return the account that was signed in with this very text of the settings, if any."""
    return connection.exec_driver_sql(
        "SELECT c.id FROM account AS c JOIN instance AS i ON i.id = c.instance_id"
        " WHERE i.name = ? AND c.source_sha256 = ?",
        (instance, source_sha256),
    ).scalar()


def begin(connection: Connection, account_id: int, version: int, now: int) -> Turn:
    """Take the renewal of a pair, unless it is done or somebody else is at it."""
    taken = connection.exec_driver_sql(
        "UPDATE account SET renewal_began_at = ? WHERE id = ? AND token_version = ?"
        " AND (renewal_began_at IS NULL OR renewal_began_at <= ?)",
        (now, account_id, version, now - STALE_MS),
    ).rowcount
    if taken:
        return Turn.OURS
    return Turn.ANOTHERS if pair_of(connection, account_id).version == version else Turn.DONE


def keep(connection: Connection, account_id: int, version: int, new: SealedPair) -> bool:
    """Store the pair that GitLab gave for `version`; False where a newer one is there already."""
    return bool(
        connection.exec_driver_sql(
            "UPDATE account SET token = ?, refresh_token = ?, expires_at = ?, renew_at = ?,"
            " token_version = token_version + 1, renewal_began_at = NULL,"
            f" renewal_refused_at = NULL, state = {USABLE} WHERE id = ? AND token_version = ?",
            (new.token, new.refresh_token, new.expires_at, new.renew_at, account_id, version),
        ).rowcount
    )


def leave(connection: Connection, account_id: int, version: int, refused_at: int | None) -> bool:
    """End a renewal that brought nothing; `refused_at` is the first of the refusals in a row.

    False where that version is not there any more.
    """
    return bool(
        connection.exec_driver_sql(
            "UPDATE account SET renewal_began_at = NULL, renewal_refused_at = ?"
            " WHERE id = ? AND token_version = ?",
            (refused_at, account_id, version),
        ).rowcount
    )


def give_up(connection: Connection, account_id: int, version: int) -> None:
    """GitLab refused the pair too often and too long: its user has to sign in again."""
    connection.exec_driver_sql(
        "UPDATE account SET state = 'refused' WHERE id = ? AND token_version = ?",
        (account_id, version),
    )


def expire(connection: Connection, account_id: int, version: int, now: int) -> None:
    """GitLab does not accept the access token any more, whatever its life was to be."""
    connection.exec_driver_sql(
        "UPDATE account SET expires_at = ?, renew_at = ? WHERE id = ? AND token_version = ?",
        (now, now, account_id, version),
    )


def release_all(connection: Connection) -> None:
    """At a start: whoever was renewing has ended, and what it was answered lies in the spool."""
    connection.exec_driver_sql("UPDATE account SET renewal_began_at = NULL")


def due(connection: Connection, now: int) -> list[tuple[int, int]]:
    """Return (account, version) of the pairs that should be renewed by now."""
    rows = connection.exec_driver_sql(
        "SELECT id, token_version FROM account WHERE refresh_token <> '' AND state = 'active'"
        " AND renew_at <= ? ORDER BY renew_at, id",
        (now,),
    ).all()
    return [(row[0], row[1]) for row in rows]


def waited_for(connection: Connection, now: int) -> list[StoredPair]:
    """Return the pairs that are valid and for which jobs are held nevertheless."""
    rows = connection.exec_driver_sql(
        f"{_PAIR} WHERE c.refresh_token <> '' AND c.state = 'active' AND c.expires_at > ?"
        " AND EXISTS (SELECT 1 FROM job AS j JOIN area_access AS x ON x.area_id = j.area_id"
        " WHERE x.account_id = c.id AND j.state = 'held' AND j.hold_reason = 'credential')",
        (now,),
    ).all()
    return [StoredPair(*row) for row in rows]


def texts(connection: Connection) -> list[str]:
    """Return every encrypted text of the database."""
    rows = connection.exec_driver_sql("SELECT token, refresh_token FROM account").all()
    return [text for row in rows for text in row if text]


def encrypt_again(connection: Connection, cipher: Cipher) -> tuple[int, int]:
    """Bring every text under the current key; return how many accounts changed, and how many not.

    The second are those whose texts do not open; they stay as they are.
    """
    changed = broken = 0
    for row in connection.exec_driver_sql(f"{_PAIR} WHERE c.token <> ''").all():
        pair = StoredPair(*row)
        try:
            new = _under(cipher, pair)
        except ConfigError:
            broken += 1
            continue
        if new != (pair.token, pair.refresh_token):
            changed += 1
            connection.exec_driver_sql(
                "UPDATE account SET token = ?, refresh_token = ? WHERE id = ?",
                (*new, pair.account_id),
            )
    return changed, broken


def _under(cipher: Cipher, pair: StoredPair) -> tuple[str, str]:
    url, user_id = pair.instance_url, pair.user_id
    token = cipher.renewed(pair.token, account_place(url, user_id))
    if not pair.refresh_token:
        return token, ""
    place = account_place(url, user_id, "refresh_token")
    return token, cipher.renewed(pair.refresh_token, place)
