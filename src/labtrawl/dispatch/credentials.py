"""Access tokens for leases. Only here is a stored token made readable, for one job and one origin."""

from collections.abc import Callable
from dataclasses import dataclass

from labtrawl.domain.credential import Secret
from labtrawl.store.accounts import StoredToken, token_of
from labtrawl.store.engine import Store


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hands out the token of an account; `decrypt` knows the key."""

    store: Store
    decrypt: Callable[[StoredToken], Secret]

    async def access_token(self, account_id: int) -> Secret:
        """Return an access token; ConfigError where the key does not fit, Missing for no account."""
        stored = await self.store.read(lambda connection: token_of(connection, account_id))
        return self.decrypt(stored)
