"""Sign-ins under way: who began one, in which browser, at which GitLab; each ends at most once.

Only hashes are kept. The verifier and the nonce of an attempt come from its state and the browser's
cookie, which the database has neither of: who reads it can finish no sign-in.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from labtrawl.domain.credential import Secret
from labtrawl.store.engine import NOW_MS

LIFE_SECONDS = 600
# A sweep takes all that is over, so the table holds what ten minutes bring.
MOST_OPEN = 5000


class Wish(StrEnum):
    """What somebody signs in for: it decides which scopes GitLab is asked for."""

    TAKE_PART = "take_part"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that this very browser began, and whose answer was not taken yet."""

    instance_name: str
    wish: Wish
    return_to: str = "/"


@dataclass(frozen=True, slots=True)
class Keys:
    """What one attempt proves itself with at GitLab: 256 bits each."""

    state: str
    verifier: Secret
    nonce: str


def new_browser() -> str:
    """Return a new text for the cookie of a browser that begins to sign in."""
    return secrets.token_urlsafe(32)


def keys_of(state: str, browser: str) -> Keys:
    """Return the keys of an attempt; the same for the same state and browser."""
    return Keys(
        state, Secret(_derived(browser, "verifier", state)), _derived(browser, "nonce", state)
    )


def begin(connection: Connection, attempt: Attempt, browser: str) -> Keys | None:
    """Remember an attempt for ten minutes; None where too many are open already."""
    connection.exec_driver_sql(f"DELETE FROM sign_in_attempt WHERE expires_at <= {NOW_MS}")
    count = connection.exec_driver_sql("SELECT COUNT(*) FROM sign_in_attempt").scalar_one()
    if count >= MOST_OPEN:
        return None
    keys = keys_of(secrets.token_urlsafe(32), browser)
    connection.exec_driver_sql(
        "INSERT INTO sign_in_attempt (state_sha256, browser_sha256, instance_name, wish, return_to,"
        f" created_at, expires_at) VALUES (?, ?, ?, ?, ?, {NOW_MS}, {NOW_MS} + ?)",
        (
            _hash(keys.state),
            _hash(browser),
            attempt.instance_name,
            attempt.wish,
            attempt.return_to,
            LIFE_SECONDS * 1000,
        ),
    )
    return keys


def take(connection: Connection, state: str, browser: str, instance_name: str) -> Attempt | None:
    """Use an attempt up and return it.

    None, and nothing is used up, where it is unknown, over, used, or of another browser or GitLab.
    """
    row = connection.exec_driver_sql(
        f"UPDATE sign_in_attempt SET used_at = {NOW_MS} WHERE state_sha256 = ?"
        " AND browser_sha256 = ? AND instance_name = ? AND used_at IS NULL"
        f" AND expires_at > {NOW_MS} RETURNING wish, return_to",
        (_hash(state), _hash(browser), instance_name),
    ).first()
    return None if row is None else Attempt(instance_name, Wish(row[0]), row[1])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _derived(browser: str, purpose: str, state: str) -> str:
    key = browser.encode(errors="replace")
    told = hmac.new(key, f"{purpose} {state}".encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(told).rstrip(b"=").decode()
