"""Signing in with a GitLab: the browser that began, and no other, once, within ten minutes."""

import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from starlette.responses import Response

from labtrawl.sandbox import World
from labtrawl.website.door.entering import begin, finish, remember
from tests.integration.website.entering import TEAM, Browser, entered, people
from tests.integration.website.running import Surroundings, site_of

OVER = "This sign-in is over"


@pytest.fixture(scope="module")
def world() -> World:
    return people()


async def test_participant_signs_in_and_nothing_is_collected_without_consent(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        reply = await site.sign_in(browser)
        account = world.accounts[0]
        kept = await site.rows(
            "SELECT gitlab_user_id, username, scopes, state, substr(token, 1, 7), redirect_uri"
            " FROM account"
        )
        people_rows = await site.rows("SELECT gitlab_user_id, username FROM person")
        session = await site.rows("SELECT role, person_id FROM session")
        jobs = await site.rows("SELECT id FROM job")
        home = await browser.get("/me/account")
        assert (reply.status, reply.headers["location"]) == (303, "/me")
        assert kept == [
            (
                account.user_id,
                account.username,
                "openid read_api",
                "refused",
                "enc:v2:",
                f"{site.client.url}/sign-in/gitlab/main/answer",
            )
        ]
        assert people_rows == [(account.user_id, account.username)]
        assert (session, jobs, home.status) == ([("participant", 1)], [], 200)
        assert (await site.told())["living_pairs"] == 1


async def test_way_to_gitlab_shows_challenge_state_and_nonce_and_begins_by_no_get(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        asked = [
            parse_qs(urlsplit(await site.leave(browser, wish=wish)).query)
            for wish in ("take_part", "operate")
        ]
        assert [each["scope"] for each in asked] == [["openid read_api"], ["openid"]]
        assert {each["code_challenge_method"][0] for each in asked} == {"S256"}
        words = [each[name][0] for each in asked for name in ("state", "nonce", "code_challenge")]
        assert len(set(words)) == 6
        assert {len(each) for each in words} == {43}
        assert (await browser.get("/sign-in/gitlab/main")).status == 401
        foreign = {"Sec-Fetch-Site": "cross-site"}
        reply = await site.client.ask("POST", "/sign-in/gitlab/main", foreign, "wish=take_part")
        unknown = await browser.post("/sign-in/gitlab/elsewhere", wish="take_part")
        assert (reply.status, unknown.status) == (403, 404)
        held = await site.rows("SELECT * FROM sign_in_attempt")
        shown = {each for row in held for each in map(str, row)}
        assert not shown & {*words, *browser.jar.values()}


async def test_answer_counts_once(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        await site.leave(browser)
        kept = dict(browser.jar)
        back = await site.allow(await site.leave(browser))
        first = await browser.get(back)
        browser.jar = kept
        again = await browser.get(back)
        assert (first.status, again.status, OVER in again.text) == (303, 400, True)
        assert (await site.told())["token_requests"] == {"authorization_code 200": 1}


async def test_answer_in_another_browser_asks_gitlab_nothing(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        mine, theirs = site.browser(), site.browser()
        back = await site.allow(await site.leave(mine))
        await site.leave(theirs)
        stolen = await theirs.get(back)
        bare = await site.browser().get(back)
        assert [each.status for each in (stolen, bare)] == [400, 400]
        assert (await site.told())["token_requests"] == {}
        assert (theirs.session, (await mine.get(back)).status) == (None, 303)


async def test_answer_without_its_state_asks_gitlab_nothing(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        back = await site.allow(await site.leave(browser))
        for change in ("", "unknown-state", "x" * 43):
            reply = await browser.get(re.sub("state=[^&]*", f"state={change}", back))
            assert (reply.status, OVER in reply.text, browser.session) == (400, True, None)
        assert (await site.told())["token_requests"] == {}


async def test_answer_after_ten_minutes_asks_gitlab_nothing(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        back = await site.allow(await site.leave(browser))
        late = "UPDATE sign_in_attempt SET expires_at = expires_at - 600000"
        await site.client.write(lambda c: c.exec_driver_sql(late))
        reply = await browser.get(back)
        assert (reply.status, OVER in reply.text) == (400, True)
        assert (await site.told())["token_requests"] == {}


async def test_code_of_one_gitlab_at_the_address_of_another_is_refused(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        back = await site.allow(await site.leave(browser))
        elsewhere = back.replace("/gitlab/main/", "/gitlab/other/")
        for path in (elsewhere, f"{back}&iss={quote(site.gitlabs['other'].url)}"):
            reply = await browser.get(path)
            assert (reply.status, OVER in reply.text) == (400, True)
        told = [(await site.told(name))["token_requests"] for name in ("main", "other")]
        assert told == [{}, {}]
        named = await browser.get(f"{back}&iss={quote(site.gitlabs['main'].url)}")
        assert named.status == 303


async def test_no_at_gitlab_is_told_as_such(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        state = parse_qs(urlsplit(await site.leave(browser)).query)["state"][0]
        path = f"/sign-in/gitlab/main/answer?error=access_denied&state={state}"
        replies = [await browser.get(path), await browser.get(path)]
        assert [(each.status, OVER in each.text) for each in replies] == [(403, False), (400, True)]
        assert "You said no" in replies[0].text


async def test_gitlab_that_fails_signs_nobody_in(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        back = await site.allow(await site.leave(browser))
        await site.fault({"path": "^/oauth/token", "kind": "503", "times": 1})
        reply = await browser.get(back)
        assert (reply.status, browser.session) == (502, None)
        assert "Try again in a minute" in reply.text


async def test_grant_that_cannot_be_kept_is_ended(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        refuse = "CREATE TRIGGER no BEFORE INSERT ON account BEGIN SELECT RAISE(ABORT, 'no'); END"
        await site.client.write(lambda c: c.exec_driver_sql(refuse))
        reply = await site.sign_in(browser)
        assert (reply.status, browser.session) == (500, None)
        assert (await site.told())["living_pairs"] == 0


async def test_one_goes_on_at_a_page_of_ones_own_alone(tmp_path: Path, world: World) -> None:
    records = "/me/records?resource=issues"
    others = ("/jobs", "//evil.example/me", "/\\evil.example", "/me\r\nX: y", "/sign-in")
    async with entered(tmp_path, world) as site:
        browser, found = site.browser(), {}
        for to in (records, "https://evil.example/me", *others):
            reply = await site.sign_in(browser, to=to)
            found[to] = (reply.status, reply.headers["location"])
        assert found.pop(records) == (303, records)
        assert set(found.values()) == {(303, "/me")}


async def test_team_has_one_button_and_study_explains_each_scope(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world, TEAM) as site:
        team = (await site.browser().get("/sign-in")).text
        assert (await site.browser().post("/sign-in/token", place="main", token="x")).status == 404
        refused = (await site.browser().get("/jobs?state=failed")).text
        assert 'href="/sign-in?to=/jobs%3Fstate%3Dfailed"' in refused
    (tmp_path / "study").mkdir()
    async with entered(tmp_path / "study", world) as site:
        study = (await site.browser().get("/sign-in?to=/me")).text
    for text, words in ((team, ["operate-main"]), (study, ["take_part-main", "operate-main"])):
        assert re.findall('button id="([a-z_]+-main)"', text) == words
    assert ("read_api" in team, "read_api" in study, 'value="/me"' in study) == (False, True, True)


async def test_way_in_is_in_the_audit_log(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        await site.sign_in(site.browser())
        await site.browser().get("/sign-in/gitlab/main/answer?state=s&code=c")
        found = await site.rows("SELECT action, outcome, detail FROM audit ORDER BY id")
        answer = "GET /sign-in/gitlab/{place}/answer"
        assert found == [
            ("POST /sign-in/gitlab/{place}", "200", "to main to take part"),
            (answer, "303", f"signed in as participant main:{world.accounts[0].user_id}"),
            (answer, "400", OVER),
        ]


async def test_wrong_tries_are_slowed_down(tmp_path: Path, world: World) -> None:
    async with entered(tmp_path, world) as site:
        browser: Browser = site.browser()
        path = "/sign-in/gitlab/main/answer?state=s&code=c"
        wrong = [(await browser.get(path)).status for _ in range(5)]
        last = await browser.get(path)
        others = [
            (await browser.post("/sign-in", token="t")).status,
            (await browser.post("/sign-in/token", place="main", token="t")).status,
            (await browser.post("/sign-in/gitlab/main")).status,
        ]
        assert (wrong, last.status, others) == ([400] * 5, 429, [429] * 3)
        assert 0 < int(last.headers["retry-after"]) <= 10
        assert (await site.told())["token_requests"] == {}


@pytest.mark.parametrize(
    ("base_url", "name", "secure"),
    [
        ("https://site.example.org", "__Host-labtrawl_443", "; Secure"),
        ("http://127.0.0.1:3000", "labtrawl_3000", ""),
    ],
)
def test_cookies_belong_to_this_site_alone(base_url: str, name: str, secure: str) -> None:
    site, response = site_of(cast("Any", None), Surroundings(base_url=base_url)), Response()
    remember(site, response, "s")
    begin(site, response, "b")
    finish(site, response)
    kept = f"; Path=/; SameSite=lax{secure}"
    found = [value for key, value in response.headers.items() if key == "set-cookie"]
    assert [each.partition(";")[0] for each in found] == [
        f"{name}=s",
        f"{name}_entering=b",
        f'{name}_entering=""',
    ]
    assert [
        f"HttpOnly; Max-Age={age}{kept}" in each
        for age, each in zip((28800, 600, 0), found, strict=True)
    ] == [True] * 3
