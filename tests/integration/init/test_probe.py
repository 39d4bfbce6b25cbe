"""The probe against answers as GitLab gives them, right and wrong, over real sockets."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import TypeVar

import pytest

from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import (
    ConfigError,
    Forbidden,
    LabtrawlError,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)
from labtrawl.gitlab.probe import Probe, ProbedAccount, ProbedInstance, Scope, measure_scope, probe
from labtrawl.http import Http, Limits, Origin, open_http
from tests.integration.http.wire import LOOPBACK, Reply, Wire, listening, ok
from tests.integration.init.gitlab import NOT_FOUND, TOKEN, FakeGitLab, said

T = TypeVar("T")
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


async def never(seconds: float) -> None:
    raise AssertionError("nothing waits here")


CLOCK = Clock(lambda: NOW, lambda: 0.0, never)


async def at(wire: Wire, ask: Callable[[Http], Awaitable[T]], path: str = "") -> T:
    origin = Origin(wire.base(path=path), address_allow=LOOPBACK)
    async with open_http(origin, Limits(), "labtrawl/test") as http:
        return await ask(http)


async def probed(wire: Wire, token: str = TOKEN, path: str = "") -> Probe:
    return await at(wire, lambda http: probe(http, Secret(token), CLOCK), path)


async def measured(wire: Wire) -> Scope:
    return await at(wire, lambda http: measure_scope(http, Secret(TOKEN)))


async def test_probe_of_a_gitlab_below_a_path_tells_instance_and_account() -> None:
    async with listening(FakeGitLab(base="/gitlab")) as wire:
        found = await probed(wire, path="/gitlab")
    assert found == Probe(
        ProbedInstance("19.3.0-ee", True, 0.0),
        ProbedAccount(7, "ada", "Ada [b]Lovelace[/b]", ("read_api",), date(2027, 3, 4)),
        (),
    )
    assert found.wider_scopes == ()
    assert "authorization" not in wire.heads[0].lower()


async def test_probe_of_a_community_edition_reads_it_from_the_version() -> None:
    version = said({"version": "15.1.0", "revision": "x"})
    async with listening(FakeGitLab(changed={"version": version})) as wire:
        assert (await probed(wire)).instance == ProbedInstance("15.1.0", False, 0.0)


async def test_probe_tells_by_how_much_the_clocks_differ() -> None:
    late = said({"message": "401"}, "Date: Sun, 22 Nov 2026 11:58:30 GMT", status="401 No")
    async with listening(FakeGitLab(changed={"anonymous": late})) as wire:
        assert (await probed(wire)).instance.server_time_offset_seconds == -90.0


@pytest.mark.parametrize(
    ("scopes", "missing", "wider"),
    [
        (("read_api", "read_user"), (), ()),
        (("api",), (), ("api",)),
        (("api", "sudo", "read_api"), (), ("api", "sudo")),
        (("granular",), (), ()),
        (("read_user",), ("read_api",), ()),
        (("read_user", "write_repository"), ("read_api",), ("write_repository",)),
        ((), ("read_api",), ()),
    ],
)
async def test_probe_compares_the_scopes_with_what_a_crawl_needs(
    scopes: tuple[str, ...], missing: tuple[str, ...], wider: tuple[str, ...]
) -> None:
    async with listening(FakeGitLab(scopes=scopes)) as wire:
        found = await probed(wire)
    assert (found.account.scopes, found.missing_scopes, found.wider_scopes) == (
        scopes,
        missing,
        wider,
    )


async def test_probe_of_an_oauth_token_reads_its_own_facts() -> None:
    told = said({"resource_owner_id": 7, "scope": ["read_api"], "expires_in": 7200})
    changed = {"personal_access_tokens/self": NOT_FOUND, "/oauth/token/info": told}
    async with listening(FakeGitLab(changed=changed)) as wire:
        account = (await probed(wire)).account
    assert (account.scopes, account.expires_at) == (("read_api",), date(2026, 11, 22))


async def test_probe_of_a_token_of_unknown_scopes_says_so() -> None:
    async with listening(FakeGitLab(changed={"personal_access_tokens/self": NOT_FOUND})) as wire:
        found = await probed(wire)
    assert (found.account.scopes, found.account.expires_at, found.missing_scopes) == (
        None,
        None,
        (),
    )


NOT_GITLAB = ConfigError, "there is no GitLab at this URL"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            ok(b"<html>Welcome</html>"),
            (
                ConfigError,
                r"no GitLab at this URL \(its /api/v4/version answers with something else",
            ),
        ),
        (ok(b"<html>404</html>", status="404 Not Found"), NOT_GITLAB),
        (ok(b"<html>sign in</html>", "WWW-Authenticate: Basic", status="401 No"), NOT_GITLAB),
        (said({"error": "no such page"}, status="404 Not Found"), NOT_GITLAB),
        (said([1]), NOT_GITLAB),
        (said({"name": "another API"}), NOT_GITLAB),
        (ok(b"", "Location: https://x.example/users/sign_in", status="302 Found"), NOT_GITLAB),
        (
            ok(b"", "Location: https://x.example/gl/api/v4/version", status="301 Moved"),
            (ConfigError, "this URL leads to https://x.example/gl, "),
        ),
        (ok(b"", status="503 Service Unavailable"), (Unavailable, "answers 503: try again later")),
        (ok(b"", status="429 Too Many Requests"), (Unavailable, "answers 429: try again later")),
    ],
)
async def test_probe_of_something_else_sends_no_token(
    reply: Reply, expected: tuple[type[LabtrawlError], str]
) -> None:
    async with listening({"/api/v4/version": reply}) as wire:
        with pytest.raises(expected[0], match=expected[1]):
            await probed(wire)
    assert [TOKEN in head for head in wire.heads] == [False]


async def test_probe_with_a_wrong_token_is_unauthorized() -> None:
    async with listening(FakeGitLab()) as wire:
        with pytest.raises(Unauthorized) as raised:
            await probed(wire, "glpat-wrong-CANARY")
    assert str(raised.value) == (
        "GitLab refuses the token (401 Unauthorized): make one with the scope read_api "
        "(GitLab: your profile, Access tokens)"
    )


async def test_probe_with_an_expired_token_quotes_what_gitlab_says() -> None:
    words = {"error": "invalid_token", "error_description": "Token is expired.\x1b[2J"}
    changed = {"version": said(words, status="401 Unauthorized")}
    async with listening(FakeGitLab(changed=changed)) as wire:
        with pytest.raises(Unauthorized, match=r"\(Token is expired\.\[2J\)"):
            await probed(wire)


@pytest.mark.parametrize("path", ["version", "user"])
async def test_probe_with_too_small_a_scope_is_forbidden(path: str) -> None:
    words = {"error": "insufficient_scope", "scope": "api read_user"}
    changed = {path: said(words, status="403 Forbidden")}
    async with listening(FakeGitLab(changed=changed)) as wire:
        with pytest.raises(Forbidden, match=r"\(insufficient_scope\): make one with .* read_api"):
            await probed(wire)


@pytest.mark.parametrize("reply", [said([]), ok(b"<html>"), said({"id": "seven"})])
async def test_probe_of_answers_of_another_shape_is_unexpected(reply: Reply) -> None:
    async with listening(FakeGitLab(changed={"user": reply})) as wire:
        with pytest.raises(UnexpectedReply):
            await probed(wire)


async def test_scope_is_measured_in_two_requests_where_gitlab_gives_totals() -> None:
    async with listening(FakeGitLab(groups=3, projects=1234)) as wire:
        assert await measured(wire) == Scope(3, 1234, True)
    assert sorted(head.split(" ")[1] for head in wire.heads) == [
        "/api/v4/groups?min_access_level=10&order_by=id&sort=asc&per_page=100",
        "/api/v4/projects?membership=true&simple=true&order_by=id&sort=asc&per_page=100",
    ]


async def test_probe_knows_gitlab_before_it_asks_all_at_once() -> None:
    async with listening(FakeGitLab(groups=3, projects=1234)) as wire:
        await probed(wire)
    asked = [head.split(" ")[1].partition("?")[0] for head in wire.heads]
    assert asked[0] == "/api/v4/version"
    assert sorted(asked[1:]) == [
        "/api/v4/personal_access_tokens/self",
        "/api/v4/user",
        "/api/v4/version",
    ]


async def test_scope_that_the_token_may_not_list_is_told() -> None:
    changed = {"projects": said({"error": "no"}, status="403 Forbidden")}
    async with listening(FakeGitLab(changed=changed)) as wire:
        with pytest.raises(Forbidden, match="the token may not read /api/v4/projects"):
            await measured(wire)


def page_of(head: str) -> int:
    found = re.search(r"&page=(\d+)", head)
    return int(found.group(1)) if found else 1


async def test_scope_without_totals_is_counted_page_by_page() -> None:
    rows = [[{"id": 1}] * 100, [{"id": 1}] * 99, [{"id": 1}]]

    def answer(head: str) -> Reply:
        if "/groups" in head:
            return said([{"id": 1}, {"id": 2}], "X-Next-Page: ")
        page = page_of(head)
        return said(rows[page - 1], f"X-Next-Page: {page + 1 if page < 3 else ''}")

    async with listening(answer) as wire:
        assert await measured(wire) == Scope(2, 200, True)


async def test_scope_of_too_many_pages_is_a_lower_bound() -> None:
    def answer(head: str) -> Reply:
        page = page_of(head)
        return said([{"id": 1}], f"X-Next-Page: {page + 1}")

    async with listening(answer) as wire:
        assert await measured(wire) == Scope(200, 200, False)


async def test_scope_that_the_token_may_not_list_is_forbidden() -> None:
    words = {"error": "insufficient_granular_scope", "error_description": "needs more"}
    changed = {"projects": said(words, status="403 Forbidden")}
    async with listening(FakeGitLab(changed=changed)) as wire:
        with pytest.raises(Forbidden, match="needs more"):
            await measured(wire)
