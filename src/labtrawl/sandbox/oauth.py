"""The look-alike's OAuth provider: applications, codes, and pairs that a renewal kills.

Entered by `routes_oauth`, by the gatekeeper and through ``/-/sandbox/oauth``. Rules and words as
GitLab 19.3 has them: doc/api/oauth2.md, config/initializers/doorkeeper.rb,
config/locales/doorkeeper.en.yml, spec/requests/oauth/flows/authorization_code_spec.rb. The device
flow is off. Who asks for the scope ``openid`` is given an ID token too.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from labtrawl.sandbox.id_tokens import LIFE_SECONDS, signer
from labtrawl.sandbox.model import Account, World
from labtrawl.sandbox.wire import Refused

SCOPES = ("api", "read_api", "read_user", "read_repository", "openid", "profile", "email")
CODE_SECONDS = 600
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")
_WORDS = {
    "invalid_grant": (
        "The provided authorization grant is invalid, expired, revoked, does not match the "
        "redirection URI used in the authorization request, or was issued to another client."
    ),
    "invalid_client": (
        "Client authentication failed due to unknown client, no client authentication included, "
        "or unsupported authentication method."
    ),
    "invalid_request": "Missing required parameter.",
    "invalid_scope": "The requested scope is invalid, unknown, or malformed.",
    "unsupported_grant_type": (
        "The authorization grant type is not supported by the authorization server."
    ),
    "unsupported_response_type": "The authorization server does not support this response type.",
    "invalid_redirect_uri": "The redirect URI included is not valid.",
    "unauthorized_client": "You are not authorized to revoke this token",
    "access_denied": "The resource owner or authorization server denied the request.",
}


class Application(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registered client; without a `secret` it is a public one, which must use PKCE."""

    client_id: str
    redirect_uris: tuple[str, ...]
    secret: str = ""


APPLICATIONS = (
    Application(client_id="labtrawl-public", redirect_uris=("http://127.0.0.1:7171/callback",)),
    Application(
        client_id="labtrawl-confidential",
        redirect_uris=("http://127.0.0.1:7171/callback",),
        secret="sandbox-client-secret",  # noqa: S106 - opens this look-alike alone
    ),
)


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /-/sandbox/oauth`` may change; None leaves it.

    `claims` take the place of those of every ID token and every ``userinfo``: a GitLab that lies.
    """

    expires_in: int | None = None
    applications: tuple[Application, ...] = ()
    claims: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A permission on its way: good once, for `CODE_SECONDS`."""

    application: Application
    account: Account
    redirect_uri: str
    scope: str
    challenge: str
    created_at: float
    nonce: str = ""


@dataclass(slots=True)
class Grant:
    """A pair that was handed out."""

    application: Application
    account: Account
    redirect_uri: str
    scope: str
    access_token: str
    refresh_token: str
    created_at: float
    expires_in: int
    revoked: bool = False


class Provider:
    """All applications, codes and pairs of one look-alike."""

    def __init__(
        self,
        world: World,
        applications: tuple[Application, ...],
        expires_in: int,
        now: Callable[[], float] = time.time,
        issuer: str = "",
    ) -> None:
        self._users = {account.username: account for account in world.accounts}
        self._applications = {each.client_id: each for each in applications}
        self._expires_in = expires_in
        self._now = now
        self._issuer = issuer
        self._claims: dict[str, Any] = {}
        self._codes: dict[str, Code] = {}
        self._grants: dict[str, Grant] = {}
        self._renewable: dict[str, Grant] = {}
        self._counts: Counter[str] = Counter()

    @property
    def usernames(self) -> list[str]:
        """Who can sign in."""
        return list(self._users)

    def change(self, rules: Rules) -> None:
        """Take other rules for what comes from now on."""
        self._expires_in = rules.expires_in or self._expires_in
        self._applications |= {each.client_id: each for each in rules.applications}
        self._claims = self._claims if rules.claims is None else rules.claims

    def count(self, grant_type: str, status: int) -> None:
        """Count one request for a token."""
        self._counts[f"{grant_type} {status}"] += 1

    def body(self) -> dict[str, object]:
        """What the control endpoint tells: requests by grant type and status, and living pairs."""
        living = sum(not each.revoked for each in self._grants.values())
        return {"token_requests": dict(self._counts), "living_pairs": living}

    def forget_counts(self) -> None:
        """Count from zero again."""
        self._counts.clear()

    def client(self, client_id: str, redirect_uri: str) -> Application:
        """The application of a request; Refused where nobody may be sent anywhere."""
        found = self._applications.get(client_id)
        if found is None:
            raise refusal("invalid_client", 401)
        if redirect_uri not in found.redirect_uris:
            raise refusal("invalid_redirect_uri")
        return found

    def check_wish(self, application: Application, query: Mapping[str, str]) -> str:
        """The error word for what an application asks of the user, or nothing."""
        if query.get("response_type") != "code":
            return "unsupported_response_type"
        scopes = query.get("scope", "").split()
        if not scopes or not set(scopes) <= set(SCOPES):
            return "invalid_scope"
        method = query.get("code_challenge_method", "")
        challenge = query.get("code_challenge", "")
        if (challenge or not application.secret) and (method != "S256" or not challenge):
            return "invalid_request"
        return ""

    def permit(self, application: Application, username: str, query: Mapping[str, str]) -> str:
        """The user says yes: the code."""
        if username not in self._users:
            raise refusal("access_denied", 403)
        code = secrets.token_hex(32)
        self._codes[code] = Code(
            application,
            self._users[username],
            query["redirect_uri"],
            query["scope"],
            query.get("code_challenge", ""),
            self._now(),
            query.get("nonce", ""),
        )
        return code

    def token(self, form: Mapping[str, str]) -> dict[str, object]:
        """``POST /oauth/token``: a new pair. Raises Refused in GitLab's words."""
        kinds = {"authorization_code": self._redeem, "refresh_token": self._renew}
        kind = kinds.get(form.get("grant_type", ""))
        if kind is None:
            raise refusal("unsupported_grant_type" if form.get("grant_type") else "invalid_request")
        return kind(self._authenticated(form), form)

    def revoke(self, form: Mapping[str, str]) -> None:
        """``POST /oauth/revoke``; an unknown token is no error (RFC 7009, 2.2)."""
        application = self._authenticated(form, status=403, word="unauthorized_client")
        token = form.get("token", "")
        grant = self._grants.get(token) or self._renewable.get(token)
        if grant is not None and grant.application.client_id == application.client_id:
            grant.revoked = True

    def account(self, token: str) -> Account | None:
        """The account behind an access token as it is now: good, expired or revoked."""
        grant = self._grants.get(token)
        if grant is None:
            return None
        return replace(
            grant.account,
            token=token,
            scopes=tuple(grant.scope.split()),
            revoked=grant.revoked,
            expired=self._seconds_left(grant) <= 0,
        )

    def token_facts(self, token: str) -> dict[str, object]:
        """``GET /oauth/token/info``. Raises Refused (401)."""
        grant = self._grants.get(token)
        if grant is None or grant.revoked or self._seconds_left(grant) <= 0:
            words = "The access token is invalid"
            raise Refused(401, {"error": "invalid_token", "error_description": words})
        return {
            "resource_owner_id": grant.account.user_id,
            "scope": grant.scope.split(),
            "expires_in": int(self._seconds_left(grant)),
            "application": {"uid": grant.application.client_id},
            "created_at": int(grant.created_at),
        }

    def user_facts(self, token: str) -> dict[str, object]:
        """``GET /oauth/userinfo``. Raises Refused (401, 403)."""
        self.token_facts(token)
        account = self._grants[token].account
        if "openid" not in self._grants[token].scope.split():
            raise Refused(403, {"error": "insufficient_scope", "scope": "openid"})
        name = account.username
        facts = {"sub": str(account.user_id), "nickname": name, "preferred_username": name}
        return facts | {"profile": f"{self._issuer}/{name}"} | self._claims

    def _id_token(
        self, application: Application, account: Account, scope: str, nonce: str
    ) -> dict[str, object]:
        """The member of an answer that holds an ID token, where one was asked for."""
        if "openid" not in scope.split():
            return {}
        now = int(self._now())
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": str(account.user_id),
            "aud": application.client_id,
            "exp": now + LIFE_SECONDS,
            "iat": now,
            "auth_time": now,
        }
        if nonce:
            claims["nonce"] = nonce
        return {"id_token": signer().sign(claims | self._claims)}

    def _seconds_left(self, grant: Grant) -> float:
        return grant.created_at + grant.expires_in - self._now()

    def _authenticated(
        self, form: Mapping[str, str], status: int = 401, word: str = "invalid_client"
    ) -> Application:
        found = self._applications.get(form.get("client_id", ""))
        given = form.get("client_secret", "")
        if found is None or not hmac.compare_digest(found.secret.encode(), given.encode()):
            raise refusal(word, status)
        return found

    def _redeem(self, application: Application, form: Mapping[str, str]) -> dict[str, object]:
        code = self._codes.pop(form.get("code", ""), None)
        if (
            code is None
            or code.application.client_id != application.client_id
            or code.redirect_uri != form.get("redirect_uri")
            or self._now() - code.created_at > CODE_SECONDS
            or not _is_verified(code.challenge, form.get("code_verifier", ""))
        ):
            raise refusal("invalid_grant")
        pair = self._hand_out(application, code.account, code.redirect_uri, code.scope)
        return pair | self._id_token(application, code.account, code.scope, code.nonce)

    def _renew(self, application: Application, form: Mapping[str, str]) -> dict[str, object]:
        """The old access and refresh token die at once: GitLab keeps no previous refresh token."""
        grant = self._renewable.get(form.get("refresh_token", ""))
        if (
            grant is None
            or grant.revoked
            or grant.application.client_id != application.client_id
            or grant.redirect_uri != form.get("redirect_uri")
        ):
            raise refusal("invalid_grant")
        grant.revoked = True
        pair = self._hand_out(application, grant.account, grant.redirect_uri, grant.scope)
        return pair | self._id_token(application, grant.account, grant.scope, "")

    def _hand_out(
        self, application: Application, account: Account, redirect_uri: str, scope: str
    ) -> dict[str, object]:
        grant = Grant(
            application,
            account,
            redirect_uri,
            scope,
            secrets.token_hex(32),
            secrets.token_hex(32),
            self._now(),
            self._expires_in,
        )
        self._grants[grant.access_token] = self._renewable[grant.refresh_token] = grant
        return {
            "access_token": grant.access_token,
            "token_type": "Bearer",
            "expires_in": grant.expires_in,
            "refresh_token": grant.refresh_token,
            "scope": scope,
            "created_at": int(grant.created_at),
        }


def refusal(word: str, status: int = 400) -> Refused:
    """An error of the protocol in GitLab's words."""
    return Refused(status, {"error": word, "error_description": _WORDS[word]})


def decode_rules(body: bytes) -> Rules:
    """Rules from JSON. Raises msgspec.ValidationError or DecodeError."""
    return msgspec.json.decode(body, type=Rules)


def _is_verified(challenge: str, verifier: str) -> bool:
    if not challenge:
        return not verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    right = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return bool(_VERIFIER.match(verifier)) and hmac.compare_digest(right, challenge)
