"""API tokens, and which names of crawlers belong to which of them.

For the website and the cli. Only hashes are kept: who reads the database cannot use a token.
Instants are the database's own, in milliseconds.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Conflict, Missing
from labtrawl.store import commands
from labtrawl.store.engine import NOW_MS

MARK = "ltw"
PREFIX_BYTES = 4
PREFIX_LENGTH = len(MARK) + 1 + 2 * PREFIX_BYTES
SECRET_BYTES = 32
DEFAULT_DAYS = 90
MOST_DAYS = 365
DAY_MS = 24 * 3600 * 1000
# A token in use is written down at most this often: a request costs no fsync.
USED_MS = 60_000

# What the supervisor calls its own crawlers, and what means somebody else on the wire.
RESERVED = re.compile(r"crawler-\d+|\*|external-crawler|web-server|copilot-study")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


OWNER = "token:"
"""How the names of crawlers are marked that a token took."""


class TokenScope(StrEnum):
    """What a token may be used for."""

    CRAWLER = "crawler"
    ADMIN = "admin"
    READ = "read"


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A fresh token: `text` is shown once and never again."""

    text: Secret
    prefix: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that is good; `stale` asks for a `touch`."""

    id: int
    name: str
    prefix: str
    scopes: frozenset[TokenScope]
    stale: bool

    @property
    def owner(self) -> str:
        """How its names of crawlers are marked."""
        return f"{OWNER}{self.id}"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as a list shows it."""

    name: str
    prefix: str
    scopes: str
    created_at: int
    expires_at: int
    last_used_at: int | None
    revoked_at: int | None
    is_over: bool


def token_hash(text: str) -> str:
    """Return what is kept of a token, and by which it is found again."""
    return hashlib.sha256(text.encode()).hexdigest()


def create(
    connection: Connection, name: str, scopes: frozenset[TokenScope], days: int = DEFAULT_DAYS
) -> CreatedToken:
    """Make a token of 256 random bits; ConfigError for a name, scopes or days that cannot be."""
    if not NAME.fullmatch(name):
        raise ConfigError("a token's name is 1 to 64 letters, digits, dots, dashes or underscores")
    if not scopes:
        raise ConfigError("a token without a scope opens nothing; name one with --scope")
    if not 1 <= days <= MOST_DAYS:
        raise ConfigError(f"a token lasts from 1 to {MOST_DAYS} days")
    prefix = f"{MARK}_{secrets.token_hex(PREFIX_BYTES)}"
    text = f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    expires_at = connection.exec_driver_sql(
        "INSERT INTO api_token (name, prefix, token_sha256, scopes, created_at, expires_at)"
        f" VALUES (?, ?, ?, ?, {NOW_MS}, {NOW_MS} + ?) RETURNING expires_at",
        (name, prefix, token_hash(text), " ".join(sorted(scopes)), days * DAY_MS),
    ).scalar_one()
    return CreatedToken(Secret(text), prefix, expires_at)


def find(connection: Connection, text: str) -> KnownToken | None:
    """Return the token of this text, None where there is none that is good now."""
    wanted = token_hash(text)
    row = connection.exec_driver_sql(
        "SELECT token_sha256, id, name, prefix, scopes,"
        f" CASE WHEN last_used_at IS NULL OR last_used_at < {NOW_MS} - ? THEN 1 ELSE 0 END"
        " FROM api_token WHERE token_sha256 = ? AND revoked_at IS NULL"
        f" AND expires_at > {NOW_MS}",
        (USED_MS, wanted),
    ).first()
    if row is None or not hmac.compare_digest(row[0], wanted):
        return None
    scopes = frozenset(TokenScope(scope) for scope in row[4].split())
    return KnownToken(row[1], row[2], row[3], scopes, bool(row[5]))


def crawler_secrets(connection: Connection) -> list[tuple[str, str]]:
    """Return owner and hash of each token that a crawler may prove itself with now."""
    rows = connection.exec_driver_sql(
        "SELECT id, token_sha256, scopes FROM api_token WHERE revoked_at IS NULL"
        f" AND expires_at > {NOW_MS} ORDER BY id"
    ).all()
    return [(f"{OWNER}{row[0]}", row[1]) for row in rows if TokenScope.CRAWLER in row[2].split()]


def touch(connection: Connection, token_id: int) -> None:
    """Note that a token is in use."""
    connection.exec_driver_sql(
        f"UPDATE api_token SET last_used_at = {NOW_MS} WHERE id = ?", (token_id,)
    )


def revoke(connection: Connection, prefix: str) -> str:
    """End a token at once and return its name; Missing where there is none that could be ended."""
    row = connection.exec_driver_sql(
        f"UPDATE api_token SET revoked_at = {NOW_MS} WHERE prefix = ? AND revoked_at IS NULL"
        " RETURNING name",
        (prefix,),
    ).first()
    if row is None:
        raise Missing(
            f"there is no token {prefix[:PREFIX_LENGTH]} that is not revoked yet; `labtrawl token list` shows them"
        )
    return str(row[0])


def every(connection: Connection) -> list[TokenRow]:
    """Return all tokens, the newest first, those that are over too."""
    rows = connection.exec_driver_sql(
        "SELECT name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at,"
        f" CASE WHEN expires_at <= {NOW_MS} THEN 1 ELSE 0 END FROM api_token ORDER BY id DESC"
    ).all()
    return [TokenRow(*row) for row in rows]


def take_name(connection: Connection, name: str, owner: str) -> None:
    """Give a crawler's name to the credential that registers under it first.

    Conflict where it is another's, or one of those that the supervisor gives.
    """
    if not NAME.fullmatch(name) or RESERVED.fullmatch(name):
        raise Conflict(
            f"a crawler outside cannot be called {name!r}; choose another id: up to 64 letters,"
            " digits, dots, dashes or underscores, and not crawler-<number>"
        )
    commands.register(connection, name, owner)


def owns_name(connection: Connection, name: str, owner: str) -> bool:
    """Say whether a crawler's name belongs to this credential."""
    row = connection.exec_driver_sql(
        "SELECT 1 FROM crawler WHERE name = ? AND owner = ?", (name, owner)
    ).first()
    return row is not None


def day_of(milliseconds: int) -> str:
    """Write an instant as a day, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
