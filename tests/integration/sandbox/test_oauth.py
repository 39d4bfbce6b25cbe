"""The look-alike as an OAuth provider: what GitLab allows, and what it refuses in its own words."""

import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from labtrawl.sandbox import Options, World, running
from tests.integration.sandbox.caller import Answer, Caller

REDIRECT = "http://127.0.0.1:7171/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
WISH = {
    "client_id": "labtrawl-public",
    "redirect_uri": REDIRECT,
    "response_type": "code",
    "scope": "read_api",
    "state": "s&1",
    "code_challenge": CHALLENGE.decode(),
    "code_challenge_method": "S256",
}
INVALID_GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection "
    "URI used in the authorization request, or was issued to another client."
)


class Client:
    """What a client sends; wrong where the test says so."""

    def __init__(self, caller: Caller, username: str) -> None:
        self.caller = caller
        self._username = username

    async def authorize(self, **changed: str) -> Answer:
        query = {**WISH, "sandbox_user": self._username, **changed}
        kept = {name: value for name, value in query.items() if value != "-"}
        return await self.caller.call("GET", f"/oauth/authorize?{urlencode(kept)}")

    async def code(self, **changed: str) -> str:
        location = (await self.authorize(**changed)).headers["location"]
        assert location.startswith(f"{REDIRECT}?")
        return parse_qs(urlsplit(location).query)["code"][0]

    async def token(self, **form: str) -> Answer:
        fields = {"client_id": "labtrawl-public", "redirect_uri": REDIRECT, **form}
        return await self._post("token", fields)

    async def redeem(self, code: str, **form: str) -> Answer:
        fields = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        return await self.token(**{**fields, **form})

    async def renew(self, refresh_token: str, **form: str) -> Answer:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.token(**{**fields, **form})

    async def revoke(self, token: str, **form: str) -> Answer:
        return await self._post("revoke", {"client_id": "labtrawl-public", "token": token, **form})

    async def _post(self, name: str, fields: dict[str, str]) -> Answer:
        kind = "application/x-www-form-urlencoded"
        return await self.caller.call(
            "POST", f"/oauth/{name}", urlencode(fields).encode(), Content_Type=kind
        )

    async def user(self, token: str) -> int:
        answer = await self.caller.call("GET", "/api/v4/user", Authorization=f"Bearer {token}")
        return answer.status


@contextlib.asynccontextmanager
async def client(world: World, options: Options | None = None) -> AsyncIterator[Client]:
    async with running(world, options) as server, Caller(server.url) as caller:
        yield Client(caller, world.accounts[0].username)


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]


async def test_pair_has_the_fields_of_gitlab_and_reads_the_api(world: World) -> None:
    async with client(world, Options(expires_in=300)) as one:
        granted = (await one.redeem(await one.code())).json
        assert {name: type(value) for name, value in granted.items()} == {
            "access_token": str,
            "token_type": str,
            "expires_in": int,
            "refresh_token": str,
            "scope": str,
            "created_at": int,
        }
        assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 300)
        assert await one.user(granted["access_token"]) == 200
        told = await one.caller.call(
            "GET", "/oauth/token/info", Authorization=f"Bearer {granted['access_token']}"
        )
        facts = told.json
        assert 0 <= 300 - facts.pop("expires_in") <= 5
        assert facts == {
            "resource_owner_id": world.accounts[0].user_id,
            "scope": ["read_api"],
            "application": {"uid": "labtrawl-public"},
            "created_at": granted["created_at"],
        }


async def test_code_is_good_once_for_its_client_redirect_and_verifier(world: World) -> None:
    async with client(world) as one:
        for wrong in (
            {"code_verifier": "w" * 43},
            {"code_verifier": ""},
            {"redirect_uri": f"{REDIRECT}/"},
            {"client_id": "labtrawl-confidential", "client_secret": "sandbox-client-secret"},
        ):
            code = await one.code()
            assert refused(await one.redeem(code, **wrong)) == (400, "invalid_grant")
            assert refused(await one.redeem(code)) == (400, "invalid_grant")
        code = await one.code()
        assert (await one.redeem(code)).status == 200
        again = await one.redeem(code)
        assert again.json == {"error": "invalid_grant", "error_description": INVALID_GRANT}


async def test_renewal_kills_the_old_pair_at_once(world: World) -> None:
    async with client(world) as one:
        first = (await one.redeem(await one.code())).json
        assert refused(await one.renew(first["refresh_token"], redirect_uri="http://x/")) == (
            400,
            "invalid_grant",
        )
        second = (await one.renew(first["refresh_token"])).json
        assert (
            await one.user(first["access_token"]),
            await one.user(second["access_token"]),
            refused(await one.renew(first["refresh_token"])),
        ) == (401, 200, (400, "invalid_grant"))


async def test_expired_token_is_refused_in_gitlabs_words_and_its_pair_still_renews(
    world: World,
) -> None:
    async with client(world) as one:
        await one.caller.call("POST", "/-/sandbox/oauth", json.dumps({"expires_in": 1}).encode())
        granted = (await one.redeem(await one.code())).json
        token = granted["access_token"]
        while await one.user(token) == 200:
            pass
        said = await one.caller.call("GET", "/api/v4/user", Authorization=f"Bearer {token}")
        assert (said.status, said.json) == (
            401,
            {
                "error": "invalid_token",
                "error_description": (
                    "Token is expired. You can either do re-authorization or token refresh."
                ),
            },
        )
        assert (await one.renew(granted["refresh_token"])).status == 200


async def test_revoked_token_is_dead_with_its_pair(world: World) -> None:
    async with client(world) as one:
        granted = (await one.redeem(await one.code())).json
        foreign = await one.revoke(granted["access_token"], client_id="nobody")
        assert refused(foreign) == (403, "unauthorized_client")
        assert await one.user(granted["access_token"]) == 200
        assert (await one.revoke(granted["access_token"])).json == {}
        assert (await one.revoke("unknown")).status == 200
        assert await one.user(granted["access_token"]) == 401
        assert refused(await one.renew(granted["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"redirect_uri": f"{REDIRECT}?x=1"}, 400, "invalid_redirect_uri"),
    ],
)
async def test_wish_of_an_unknown_client_or_place_leads_nowhere(
    world: World, changed: dict[str, str], status: int, error: str
) -> None:
    async with client(world) as one:
        answer = await one.authorize(**changed)
        assert (refused(answer), answer.headers.get("location")) == ((status, error), None)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "read_api sudo"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"code_challenge": "-"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
async def test_wrong_wish_comes_back_with_its_state(
    world: World, changed: dict[str, str], error: str
) -> None:
    async with client(world) as one:
        location = (await one.authorize(**changed)).headers["location"]
        assert location == f"{REDIRECT}?{urlencode({'error': error, 'state': 's&1'})}"


async def test_confidential_client_needs_its_secret_and_no_pkce(world: World) -> None:
    async with client(world) as one:
        plain = {
            "client_id": "labtrawl-confidential",
            "code_challenge": "-",
            "code_challenge_method": "-",
        }
        me = {"client_id": "labtrawl-confidential", "code_verifier": ""}
        code = await one.code(**plain)
        assert refused(await one.redeem(code, **me)) == (401, "invalid_client")
        assert refused(await one.redeem(code, **me, client_secret="x")) == (401, "invalid_client")
        right = await one.redeem(code, **me, client_secret="sandbox-client-secret")
        assert right.status == 200


async def test_other_grants_and_the_device_flow_are_off(world: World) -> None:
    async with client(world) as one:
        kinds = ("password", "urn:ietf:params:oauth:grant-type:device_code", "client_credentials")
        for kind in kinds:
            answer = await one.token(grant_type=kind)
            assert refused(answer) == (400, "unsupported_grant_type")
        assert refused(await one.token()) == (400, "invalid_request")
        assert (await one.caller.call("POST", "/oauth/authorize_device")).status == 404


async def test_page_asks_and_its_answer_counts(world: World) -> None:
    async with client(world) as one:
        page = await one.authorize(sandbox_user="-")
        assert (page.status, b"Authorize labtrawl-public" in page.body) == (200, True)
        kind = "application/x-www-form-urlencoded"
        for decision, said in (("authorize", "code="), ("deny", "error=access_denied")):
            form = {**WISH, "sandbox_user": world.accounts[0].username, "decision": decision}
            answer = await one.caller.call(
                "POST", "/oauth/authorize", urlencode(form).encode(), Content_Type=kind
            )
            assert (answer.status, said in answer.headers["location"]) == (302, True)


async def test_who_am_i_and_discovery(world: World) -> None:
    async with client(world) as one:
        found = (await one.caller.call("GET", "/.well-known/openid-configuration")).json
        base = found["issuer"]
        assert found["token_endpoint"] == f"{base}/oauth/token"
        assert found["code_challenge_methods_supported"] == ["S256"]
        bearers = []
        for scope in ("read_api", "openid read_api"):
            granted = (await one.redeem(await one.code(scope=scope))).json
            bearers.append(
                await one.caller.call(
                    "GET", "/oauth/userinfo", Authorization=f"Bearer {granted['access_token']}"
                )
            )
        assert [each.status for each in bearers] == [403, 200]
        assert bearers[1].json["nickname"] == world.accounts[0].username


async def test_planned_faults_strike_before_the_effect_or_take_the_answer_after_it(
    world: World,
) -> None:
    async with client(world) as one:
        granted = (await one.redeem(await one.code())).json
        faults = [
            {"path": "^/oauth/token", "kind": "invalid_grant", "times": 2},
            {"path": "^/oauth/token", "kind": "503", "times": 1},
        ]
        await one.caller.call("POST", "/-/sandbox/faults", json.dumps(faults).encode())
        statuses = [(await one.renew(granted["refresh_token"])).status for _ in range(4)]
        assert statuses == [400, 400, 503, 200]
        again = (await one.redeem(await one.code())).json
        lost = [{"path": "^/oauth/token", "kind": "truncate"}]
        await one.caller.call("POST", "/-/sandbox/faults", json.dumps(lost).encode())
        cut = await one.renew(again["refresh_token"])
        with pytest.raises(json.JSONDecodeError):
            _ = cut.json
        assert refused(await one.renew(again["refresh_token"])) == (400, "invalid_grant")
        told = (await one.caller.call("GET", "/-/sandbox/oauth")).json
        assert told == {
            "token_requests": {
                "authorization_code 200": 2,
                "refresh_token 400": 3,
                "refresh_token 503": 1,
                "refresh_token 200": 2,
            },
            "living_pairs": 2,
        }


def _part(token: str, number: int) -> dict[str, object]:
    part = token.split(".")[number]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_id_token_is_given_for_the_scope_openid_and_names_its_key(world: World) -> None:
    async with client(world) as one:
        without = (await one.redeem(await one.code())).json
        granted = (await one.redeem(await one.code(scope="openid read_api", nonce="n"))).json
        renewed = (await one.renew(granted["refresh_token"])).json
        keys = (await one.caller.call("GET", "/oauth/discovery/keys")).json["keys"]
        found = (await one.caller.call("GET", "/.well-known/openid-configuration")).json
        head, claims = _part(granted["id_token"], 0), _part(granted["id_token"], 1)
        account = world.accounts[0]
        assert "id_token" not in without
        assert (head["alg"], [each["kid"] for each in keys]) == ("RS256", [head["kid"]])
        assert found["jwks_uri"] == f"{found['issuer']}/oauth/discovery/keys"
        wanted = {
            "iss": found["issuer"],
            "sub": str(account.user_id),
            "aud": "labtrawl-public",
            "nonce": "n",
        }
        assert {name: claims[name] for name in wanted} == wanted
        assert claims["exp"] == int(str(claims["iat"])) + 120
        assert "nonce" not in _part(renewed["id_token"], 1)


async def test_token_made_by_hand_ends_itself(world: World) -> None:
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as one:
        path = "/api/v4/personal_access_tokens/self"
        found = [(await one.call(method, path)).status for method in ("GET", "DELETE", "GET")]
        assert found == [200, 204, 401]
