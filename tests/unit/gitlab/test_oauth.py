"""What GitLab may answer to a request for a token, and what of it is believed."""

import json
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, LabtrawlError, RateLimited, Unavailable, UnexpectedReply
from labtrawl.gitlab import oauth
from labtrawl.gitlab.oauth import Application, Attempt, GrantRefused, Pair
from labtrawl.http import Answer, Http

PUBLIC = Application("id", "http://127.0.0.1:7171/callback")
GRANT = {
    "access_token": "CANARY-access",
    "refresh_token": "CANARY-refresh",
    "expires_in": 300,
    "token_type": "Bearer",
    "scope": "read_api",
    "created_at": 1,
}


@dataclass(slots=True)
class Endpoint:
    """Gives one answer and keeps what was sent."""

    answer: Answer
    sent: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        self.sent.append((method, path, parse_qs((body or b"").decode())))
        return self.answer


def answer(status: int, body: object, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw, "/")


async def renewed(given: Answer, application: Application = PUBLIC) -> tuple[Pair, Endpoint]:
    endpoint = Endpoint(given)
    pair = await oauth.renew(cast("Http", endpoint), application, Secret("CANARY-old"))
    return pair, endpoint


async def test_renewal_names_client_and_redirect_uri_and_a_confidential_one_its_secret() -> None:
    pair, endpoint = await renewed(answer(200, GRANT))
    assert pair == Pair(Secret("CANARY-access"), Secret("CANARY-refresh"), 300)
    form = {
        "grant_type": ["refresh_token"],
        "refresh_token": ["CANARY-old"],
        "client_id": ["id"],
        "redirect_uri": ["http://127.0.0.1:7171/callback"],
    }
    assert endpoint.sent == [("POST", "/oauth/token", form)]
    _, endpoint = await renewed(
        answer(200, GRANT), Application("id", PUBLIC.redirect_uri, Secret("s"))
    )
    assert endpoint.sent == [("POST", "/oauth/token", {**form, "client_secret": ["s"]})]


def test_authorize_url_shows_a_challenge_and_never_its_verifier() -> None:
    # RFC 7636, appendix B.
    attempt = Attempt("state", Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
    url = urlsplit(oauth.authorize_url("https://gitlab.example.org/gl/", PUBLIC, attempt))
    assert (
        f"{url.scheme}://{url.netloc}{url.path}" == "https://gitlab.example.org/gl/oauth/authorize"
    )
    assert parse_qs(url.query) == {
        "client_id": ["id"],
        "redirect_uri": ["http://127.0.0.1:7171/callback"],
        "response_type": ["code"],
        "state": ["state"],
        "scope": ["read_api"],
        "code_challenge": ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
        "code_challenge_method": ["S256"],
    }


def test_attempts_differ_and_have_256_bits() -> None:
    attempts = [oauth.new_attempt() for _ in range(50)]
    assert len({each.state for each in attempts} | {each.challenge for each in attempts}) == 100
    assert {len(each.verifier.reveal()) for each in attempts} == {43}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (answer(400, {"error": "invalid_grant"}), GrantRefused, "refuses the grant"),
        (answer(401, {"error": "invalid_client"}), ConfigError, "check client_id"),
        (answer(400, {"error": "unauthorized_client"}), ConfigError, "check client_id"),
        (answer(503, b"<html>"), Unavailable, "answers 503"),
        (answer(429, b"Retry later", retry_after="7"), RateLimited, "asks to wait"),
        (answer(302, b""), UnexpectedReply, "answers 302"),
        (answer(400, b"<html>"), UnexpectedReply, "answers 400"),
        (answer(200, b"<html>"), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "token_type": "mac"}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "expires_in": 0}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "expires_in": 10**9}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "expires_in": "300"}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "access_token": ""}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "access_token": "CANARY x"}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "refresh_token": "CANARY\r\n"}), UnexpectedReply, "no pair"),
        (answer(200, {**GRANT, "refresh_token": "C" * 5000}), UnexpectedReply, "no pair"),
        (answer(200, {"access_token": "CANARY"}), UnexpectedReply, "no pair"),
    ],
)
async def test_answer_that_is_no_pair_is_an_error_that_quotes_no_token(
    given: Answer, error: type[LabtrawlError], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        await renewed(given)
    assert "CANARY" not in f"{raised.value}{raised.value.__cause__}"


async def test_wait_that_gitlab_asks_for_is_handed_on() -> None:
    with pytest.raises(RateLimited) as raised:
        await renewed(answer(429, b"", retry_after="7"))
    assert raised.value.retry_after == 7.0


async def test_revocation_names_the_token_and_the_client() -> None:
    endpoint = Endpoint(answer(200, {}))
    await oauth.revoke(cast("Http", endpoint), PUBLIC, Secret("t"))
    assert endpoint.sent == [("POST", "/oauth/revoke", {"token": ["t"], "client_id": ["id"]})]
