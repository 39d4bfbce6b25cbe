"""Who signed in: the ID token of a grant, believed only after every check of the standard.

OpenID Connect Core 1.0, 3.1.3.7 and 5.3.2. GitLab's facts (doc/integration/
openid_connect_provider.md, config/initializers/doorkeeper_openid_connect.rb of 19.3): RS256, keys at
a fixed path, `sub` is the number of the user. The paths are ours, not the discovery document's: it
could name others. Entered by the cli.
"""

import hmac
from dataclasses import dataclass
from typing import Any

import msgspec

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Unauthorized, UnexpectedReply
from labtrawl.gitlab.oauth import Application, Pair
from labtrawl.http import Answer, Http, canonical_url

SCOPE = "openid"
_KEYS = "/oauth/discovery/keys"
_FACTS = "/oauth/userinfo"
_JSON = {"accept": "application/json"}
_LEEWAY_SECONDS = 60
_LONGEST_NUMBER = 18
_LONGEST_NAME = 255
_NEEDED = ["iss", "sub", "aud", "exp", "iat", "nonce"]


class IdentityRefused(Unauthorized):
    """What GitLab says about who signed in does not hold; nobody is signed in."""

    reason = "identity_refused"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user of one GitLab by number; what it is called now is for people to read."""

    user_id: int
    username: str
    name: str


async def identify(
    http: Http, base: str, application: Application, pair: Pair, nonce: str
) -> Identity:
    """Return whose grant it is.

    Raises IdentityRefused where a check fails, UnexpectedReply, and as `Http.get`.
    """
    answer = _successful(await http.get(_KEYS, _JSON), "its keys")
    user = _user(_claims(pair.id_token, answer.body, base, application.client_id, nonce))
    bearer = {"authorization": f"Bearer {pair.access_token.reveal()}"}
    facts = _decoded(_successful(await http.get(_FACTS, _JSON | bearer), "who signed in"))
    if facts.get("sub") != user:
        raise IdentityRefused("GitLab names two different people as the one who signed in")
    names = [str(facts.get(key) or "")[:_LONGEST_NAME] for key in ("nickname", "name")]
    return Identity(int(user), *names)


def _claims(token: Secret, keys: bytes, base: str, client_id: str, nonce: str) -> dict[str, Any]:
    """Return the claims of a token that passed every check."""
    # Here, not above: it loads 10 MB, and this room is a crawl's too.
    import jwt  # noqa: PLC0415

    try:
        kid = jwt.get_unverified_header(token.reveal()).get("kid")
        key = next(
            each for each in jwt.PyJWKSet.from_json(keys.decode()).keys if each.key_id == kid
        )
        claims: dict[str, Any] = jwt.decode(
            token.reveal(),
            key,
            algorithms=["RS256"],
            audience=client_id,
            leeway=_LEEWAY_SECONDS,
            options={"require": _NEEDED},
        )
    except (jwt.PyJWTError, StopIteration, ValueError, TypeError, AttributeError) as error:
        why = str(error) or "it is signed with an unknown key"
        raise IdentityRefused(f"GitLab's ID token does not hold: {why}") from None
    _check(claims, base, client_id, nonce)
    return claims


def _check(claims: dict[str, Any], base: str, client_id: str, nonce: str) -> None:
    """Check what the library leaves to us."""
    if not _is_same(claims["iss"], base):
        raise IdentityRefused("the ID token was issued by another GitLab")
    if claims["aud"] not in (client_id, [client_id]):
        raise IdentityRefused("the ID token is for other applications too")
    if not nonce or not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
        raise IdentityRefused("the ID token belongs to another sign-in")


def _is_same(issuer: object, base: str) -> bool:
    try:
        return canonical_url(str(issuer)) == canonical_url(base)
    except ConfigError:
        return False


def _user(claims: dict[str, Any]) -> str:
    number = str(claims["sub"])
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER):
        raise IdentityRefused("GitLab does not tell the number of the user who signed in")
    return number


def _successful(answer: Answer, what: str) -> Answer:
    if answer.status != 200:
        raise UnexpectedReply(f"GitLab answers {answer.status} where it should tell {what}")
    return answer


def _decoded(answer: Answer) -> dict[str, object]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnexpectedReply("GitLab's answer about who signed in is no JSON") from None
