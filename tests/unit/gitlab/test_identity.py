"""Which ID tokens are believed: one key, one algorithm, one issuer, one sign-in."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.errors import UnexpectedReply
from labtrawl.gitlab.identity import Identity, IdentityRefused, identify
from labtrawl.gitlab.oauth import Application, Pair
from labtrawl.http import Answer, Http
from labtrawl.sandbox.id_tokens import Signer, signer

BASE = "https://gitlab.example.org/gl"
APPLICATION = Application("app", "https://site.example.org/answer")
NONCE = "n" * 43
FACTS = {"sub": "42", "nickname": "ada", "name": "Ada Lindqvist"}


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    found = {"iss": BASE, "sub": "42", "aud": "app", "exp": now + 120, "iat": now, "nonce": NONCE}
    return {name: value for name, value in {**found, **changed}.items() if value is not None}


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: dict[str, object]) -> str:
    return f"{encoded(header)}.{encoded(claims())}."


def with_public_key_as_secret() -> str:
    """HS256 with what everybody knows as its key: the old confusion of algorithms."""
    key = cast("list[dict[str, Any]]", signer().keys()["keys"])[0]
    signed = f"{encoded({'alg': 'HS256', 'kid': key['kid']})}.{encoded(claims())}"
    mac = hmac.new(key["n"].encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encoded(mac)}"


@dataclass
class GitLab:
    """Answers the two questions."""

    keys: object = None
    facts: object = None
    status: int = 200

    async def get(self, path: str, headers: dict[str, str]) -> Answer:
        if path == "/oauth/discovery/keys":
            found = signer().keys() if self.keys is None else self.keys
            return Answer(200, {}, json.dumps(found).encode(), path)
        assert (path, headers["authorization"]) == ("/oauth/userinfo", "Bearer access")
        body = json.dumps(FACTS if self.facts is None else self.facts).encode()
        return Answer(self.status, {}, body, path)


async def identified(token: str, gitlab: GitLab | None = None, nonce: str = NONCE) -> Identity:
    pair = Pair(Secret("access"), Secret("refresh"), 7200, Secret(token))
    return await identify(cast("Http", gitlab or GitLab()), BASE, APPLICATION, pair, nonce)


async def test_good_token_names_its_user() -> None:
    # The clocks of two machines differ: an end half a minute ago is none yet.
    late = {"exp": int(time.time()) - 30}
    for changed in ({}, {"aud": ["app"]}, {"iss": f"{BASE}/"}, late):
        found = await identified(signer().sign(claims(**changed)))
        assert found == Identity(42, "ada", "Ada Lindqvist")


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nonce"])
async def test_token_that_lacks_a_claim_is_refused(name: str) -> None:
    with pytest.raises(IdentityRefused):
        await identified(signer().sign(claims(**{name: None})))


@pytest.mark.parametrize(
    "made",
    [
        lambda: Signer().sign(claims()),
        lambda: signer().sign(claims())[:-4] + "AAAA",
        lambda: unsigned({"alg": "none"}),
        lambda: unsigned({"alg": "none", "kid": signer().keys()["keys"][0]["kid"]}),  # type: ignore[index]
        with_public_key_as_secret,
        lambda: "",
        lambda: "a.b",
        lambda: "\N{SNOWMAN}.b.c",
        lambda: signer().sign(claims(iss=7)),
        lambda: signer().sign(claims(sub="-1")),
        lambda: signer().sign(claims(sub="9" * 19)),
        lambda: signer().sign(claims(sub="4²")),
    ],
)
async def test_token_that_nobody_could_have_signed_is_refused(made: Callable[[], str]) -> None:
    with pytest.raises(IdentityRefused) as refused:
        await identified(made())
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": [{"kty": "oct", "k": "AA"}]}, [], "x"])
async def test_keys_that_are_none_let_nobody_in(keys: object) -> None:
    with pytest.raises(IdentityRefused):
        await identified(signer().sign(claims()), GitLab(keys))


async def test_sign_in_without_a_nonce_believes_no_token() -> None:
    with pytest.raises(IdentityRefused, match="another sign-in"):
        await identified(signer().sign(claims(nonce="")), nonce="")


async def test_what_gitlab_tells_of_the_user_must_be_of_the_same() -> None:
    token = signer().sign(claims())
    with pytest.raises(IdentityRefused, match="two different people"):
        await identified(token, GitLab(facts=FACTS | {"sub": "43"}))
    with pytest.raises(UnexpectedReply, match="answers 403"):
        await identified(token, GitLab(status=403))
    with pytest.raises(UnexpectedReply, match="no JSON"):
        await identified(token, GitLab(facts=[]))
