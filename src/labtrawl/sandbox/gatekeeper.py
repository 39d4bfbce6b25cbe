"""Who a request comes from, and whether the token suffices.

Entered by the app. Words of the refusals: ``lib/api/api_guard.rb`` of GitLab 19.3.
"""

from msgspec.structs import replace

from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.model import Account
from labtrawl.sandbox.oauth import Provider
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.wire import Refused, Request

_EXPIRED = "Token is expired. You can either do re-authorization or token refresh."
_REVOKED = "Token was revoked. You have to re-authorize from the user."
_USER_PATHS = ("user", "users", "version", "metadata")
_READERS = frozenset({"api", "read_api"})


class Gatekeeper:
    """Knows every token of the world, and those that its OAuth provider handed out."""

    def __init__(self, shelf: Shelf, provider: Provider) -> None:
        self._shelf = shelf
        self._provider = provider
        self._accounts = {account.token: account for account in shelf.world.accounts}
        self._accounts |= {account.token: account for account in shelf.world.spoilt_tokens}

    def account(self, request: Request) -> Account | None:
        """The account of the request's token, good or spoilt; None without a token.

        Raises Refused (401) for an unknown token.
        """
        token = request.headers.get(b"private-token", b"").decode("latin-1")
        if not token:
            scheme, _, rest = request.headers.get(b"authorization", b"").partition(b" ")
            token = rest.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
        if not token:
            return None
        account = self._accounts.get(token) or self._provider.account(token)
        if account is None:
            raise Refused(401, {"message": "401 Unauthorized"})
        return account

    def viewer(self, account: Account | None, request: Request) -> Viewer:
        """The viewer behind the account. Raises Refused (401, 403) for a token that won't do."""
        if account is None:
            return Viewer()
        if account.revoked or account.expired:
            words = _REVOKED if account.revoked else _EXPIRED
            raise Refused(401, {"error": "invalid_token", "error_description": words})
        first = request.segments[0] if request.segments else ""
        enough = _READERS | {"read_user"} if first in _USER_PATHS else _READERS
        if first != "personal_access_tokens" and not enough & set(account.scopes):
            raise Refused(
                403,
                {
                    "error": "insufficient_scope",
                    "error_description": "The request requires higher privileges than provided "
                    "by the access token.",
                    "scope": " ".join(sorted(enough)),
                },
            )
        return self._shelf.access.viewer(account)

    def revokes(self, account: Account | None, request: Request) -> bool:
        """Revoke the very token that asks for it, whatever its scopes; False for another request.

        ``DELETE /personal_access_tokens/self``: lib/api/personal_access_tokens/self_information.rb.
        """
        asked = (request.method, *request.segments)
        if account is None or asked != ("DELETE", "personal_access_tokens", "self"):
            return False
        self._accounts[account.token] = replace(account, revoked=True)
        return True
