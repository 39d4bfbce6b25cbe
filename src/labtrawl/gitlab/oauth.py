"""Signing in with GitLab and staying signed in: code, renewal, revocation (RFC 6749, 7636, 7009).

Who it is that signed in says `identity`. GitLab's own facts (doc/api/oauth2.md, config/initializers/doorkeeper.rb of 19.3): a renewal kills
the old access *and* refresh token at once; the redirect URI goes with every request; `expires_in`
is the administrator's to choose. Entered by the cli and by the renewal of accounts.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, RateLimited, Unauthorized, Unavailable, UnexpectedReply
from labtrawl.http import Answer, Http

SCOPES = "read_api"
_LONGEST_TOKEN = 4096
_LONGEST_LIFE_SECONDS = 366 * 86400
_LONGEST_QUOTE = 160
_NO_TOKEN = Secret("")
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
# Of the application or the request, not of the grant: the same again would be refused again.
_OURS = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_request",
        "invalid_scope",
        "invalid_redirect_uri",
    }
)


class GrantRefused(Unauthorized):
    """`invalid_grant`: used up, expired, revoked, or not yet known to the replica that was asked."""


@dataclass(frozen=True, slots=True)
class Application:
    """labtrawl's application at one GitLab; `secret` is None for a public one."""

    client_id: str
    redirect_uri: str
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """What GitLab grants: an access token for so many seconds, and what renews it once.

    `id_token` says who granted it, where the scope `openid` was asked for.
    """

    access_token: Secret
    refresh_token: Secret
    expires_in_seconds: int
    id_token: Secret = _NO_TOKEN


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way: `state` ties the answer to it, `verifier` the code (RFC 7636).

    `nonce` ties the ID token to it (OpenID Connect Core 1.0, 3.1.2.1); "" where none is asked for.
    """

    state: str
    verifier: Secret
    nonce: str = ""

    @property
    def challenge(self) -> str:
        """What is shown of the verifier (S256)."""
        digest = hashlib.sha256(self.verifier.reveal().encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_attempt() -> Attempt:
    """Begin a sign-in; both texts have 256 bits."""
    return Attempt(secrets.token_urlsafe(32), Secret(secrets.token_urlsafe(32)))


def authorize_url(
    base: str, application: Application, attempt: Attempt, scopes: str = SCOPES
) -> str:
    """Return where the user signs in and allows labtrawl to do what the scopes name."""
    wish = {
        "client_id": application.client_id,
        "redirect_uri": application.redirect_uri,
        "response_type": "code",
        "state": attempt.state,
        "scope": scopes,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    query = urlencode(wish | ({"nonce": attempt.nonce} if attempt.nonce else {}))
    return f"{base.rstrip('/')}/oauth/authorize?{query}"


async def redeem(http: Http, application: Application, code: Secret, attempt: Attempt) -> Pair:
    """Turn the code of a sign-in into the first pair; a code is good once. Errors as `renew`."""
    form = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "code_verifier": attempt.verifier.reveal(),
    }
    return await _grant(http, application, form)


async def renew(http: Http, application: Application, refresh_token: Secret) -> Pair:
    """Turn a refresh token into a new pair; the old one is dead when GitLab has answered.

    Raises GrantRefused, ConfigError (the application), RateLimited, and Unavailable or
    UnexpectedReply, after which nobody knows whether GitLab did it.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    return await _grant(http, application, form)


async def revoke(http: Http, application: Application, token: Secret) -> None:
    """Make a token, and what belongs to it, worthless. Errors as `renew`; an unknown one is none."""
    form = {"token": token.reveal(), **_identity(application)}
    answer = await http.request("POST", "/oauth/revoke", _FORM, urlencode(form).encode())
    _check(answer)


async def _grant(http: Http, application: Application, form: dict[str, str]) -> Pair:
    fields = {**form, **_identity(application), "redirect_uri": application.redirect_uri}
    answer = await http.request("POST", "/oauth/token", _FORM, urlencode(fields).encode())
    _check(answer)
    return _pair(answer)


def _identity(application: Application) -> dict[str, str]:
    secret = {"client_secret": application.secret.reveal()} if application.secret else {}
    return {"client_id": application.client_id, **secret}


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def _check(answer: Answer) -> None:
    if answer.status == 200:
        return
    if answer.status == 429:
        raise RateLimited("GitLab asks to wait before the next token", _seconds(answer))
    if answer.status >= 500:
        raise Unavailable(f"GitLab answers {answer.status} to the request for a token")
    try:
        said = msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Refusal()
    words = "".join(c for c in said.error_description if c.isprintable())[:_LONGEST_QUOTE]
    if said.error == "invalid_grant":
        raise GrantRefused(f"GitLab refuses the grant ({words or said.error})")
    if said.error in _OURS:
        raise ConfigError(
            f"GitLab refuses labtrawl's application ({said.error}: {words}): check client_id, "
            "client_secret and redirect_uri of the instance"
        )
    raise UnexpectedReply(f"GitLab answers {answer.status} to the request for a token")


def _seconds(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else None


class _Granted(msgspec.Struct):
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str
    id_token: str = ""


def _pair(answer: Answer) -> Pair:
    """Read a grant; what is no Bearer token, has no life or no successor cannot be used."""
    try:
        found = msgspec.json.decode(answer.body, type=_Granted)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = _Granted("", "", 0, "")  # not chained: the library's text may quote the token
    texts = (found.access_token, found.refresh_token)
    if (
        found.token_type.lower() != "bearer"
        or not 0 < found.expires_in <= _LONGEST_LIFE_SECONDS
        or not all(_is_token(each) for each in texts)
    ):
        raise UnexpectedReply("GitLab's answer to the request for a token is no pair of tokens")
    return Pair(Secret(texts[0]), Secret(texts[1]), found.expires_in, Secret(found.id_token))


def _is_token(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_TOKEN and all("!" <= each <= "~" for each in text)
