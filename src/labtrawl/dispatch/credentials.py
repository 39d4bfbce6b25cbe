"""Access tokens for leases. Only here is a stored token made readable, for one job and one origin."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.dispatch.renewal import Renewals
from labtrawl.domain.credential import Secret
from labtrawl.errors import Unauthorized
from labtrawl.store import renewals as rows
from labtrawl.store.accounts import StoredToken
from labtrawl.store.engine import Store
from labtrawl.store.renewals import StoredPair

# How long a caller waits for a renewal while the old token would still do.
PATIENCE_SECONDS = 5.0
# Who does not say which token was refused gets a new one at most so often.
UNNAMED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that may be used now; `expires_at` is in ms, None where GitLab did not tell."""

    secret: Secret
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hands out the token of an account; `decrypt` knows the key, `renewals` renews."""

    store: Store
    decrypt: Callable[[StoredToken], Secret]
    renewals: Renewals | None = None

    async def access_token(self, account_id: int) -> Secret:
        """Return an access token that is valid for a while, a renewed one where it is time.

        Raises ConfigError where the key does not fit, Missing for no account, GitLabError where
        GitLab gives no new token; then the account keeps what it has, and it is tried again.
        """
        pair = await self._pair(account_id)
        if self.renewals is not None and pair.refresh_token and self._is_due(self.renewals, pair):
            pair = await self._renewed(self.renewals, pair)
        return self.decrypt(pair.stored_token)

    async def refresh(self, account_id: int, refused_sha256: str | None) -> AccessToken:
        """Return another token than the one that GitLab refused, whose hash is `refused_sha256`.

        Raises Unauthorized for a token that somebody made by hand, else as `access_token`.
        """
        pair = await self._pair(account_id)
        if self._is_other(pair, refused_sha256):
            return AccessToken(self.decrypt(pair.stored_token), pair.expires_at)
        if self.renewals is None or not pair.refresh_token:
            raise Unauthorized(
                f"the token of @{pair.username} on {pair.instance_name} was made by hand and cannot "
                "be renewed: give a new one with labtrawl init --add"
            )
        if refused_sha256:
            now = self.renewals.clock.now_ms()
            await self.store.write(lambda c: rows.expire(c, account_id, pair.version, now))
        await self.renewals.renew(account_id, pair.version)
        pair = await self._pair(account_id)
        return AccessToken(self.decrypt(pair.stored_token), pair.expires_at)

    async def _pair(self, account_id: int) -> StoredPair:
        return await self.store.read(lambda connection: rows.pair_of(connection, account_id))

    def _is_other(self, pair: StoredPair, refused_sha256: str | None) -> bool:
        """Say whether the stored token is newer than the refused one."""
        if refused_sha256:
            text = self.decrypt(pair.stored_token).reveal()
            stored = hashlib.sha256(text.encode()).hexdigest()
            return not hmac.compare_digest(stored, refused_sha256)
        if self.renewals is None or not pair.refresh_token:
            return False
        age_ms = self.renewals.clock.now_ms() - self.renewals.renewed_at(pair.account_id)
        return age_ms < UNNAMED_SECONDS * 1000

    @staticmethod
    def _is_due(renewals: Renewals, pair: StoredPair) -> bool:
        return pair.renew_at is None or renewals.clock.now_ms() >= pair.renew_at

    async def _renewed(self, renewals: Renewals, pair: StoredPair) -> StoredPair:
        """Renew; while the old token lives, a slow or failing renewal holds nobody up."""
        flight = renewals.flight(pair.account_id, pair.version)
        if _is_usable(pair, renewals.clock.now_ms()):
            await asyncio.wait([flight], timeout=PATIENCE_SECONDS)
        else:
            await asyncio.shield(flight)
        return await self._pair(pair.account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenToken(Credentials):
    """One token for every account, in this process alone: the database is not asked for it."""

    token: Secret

    async def access_token(self, account_id: int) -> Secret:  # noqa: ARG002 - the same for each
        """Return the token."""
        return self.token


def _is_usable(pair: StoredPair, now: int) -> bool:
    """Say whether a token lives long enough for a page: a quarter of what is left at its renewal."""
    if pair.expires_at is None:
        return True
    margin_ms = (pair.expires_at - (pair.renew_at or pair.expires_at)) // 4
    return now < pair.expires_at - margin_ms
