"""Who somebody is: a number of one GitLab, as its signed word says, and no name or e-mail address."""

import time
from pathlib import Path

import pytest

from labtrawl.sandbox import World
from labtrawl.store.people import Identified, record
from labtrawl.store.sessions import Role
from tests.integration.website.entering import TEAM, entered, people


@pytest.fixture(scope="module")
def world() -> World:
    return people()


@pytest.mark.parametrize("mode", [TEAM, "study"])
async def test_admins_and_operators_are_those_of_the_settings(
    tmp_path: Path, world: World, mode: str
) -> None:
    numbers = [account.user_id for account in world.accounts]
    async with entered(
        tmp_path, world, mode, [f"main:{numbers[0]}"], [f"main:{numbers[1]}"]
    ) as site:
        for who in (0, 1):
            reply = await site.sign_in(site.browser(), who, "operate", to="/jobs")
            assert (reply.status, reply.headers["location"]) == (303, "/jobs")
        stranger = site.browser()
        refused = await site.sign_in(stranger, 2, "operate")
        assert (refused.status, stranger.session) == (403, None)
        assert f"main:{numbers[2]}" in refused.text
        found = await site.rows(
            "SELECT s.role, p.gitlab_user_id FROM session AS s JOIN person AS p"
            " ON p.id = s.person_id ORDER BY s.id"
        )
        assert found == [("admin", numbers[0]), ("operator", numbers[1])]
        assert await site.rows("SELECT id FROM account") == []
        assert (await site.told())["living_pairs"] == 0


async def test_name_and_address_of_an_admin_with_another_number_give_nothing(
    tmp_path: Path, world: World
) -> None:
    admin, other = world.accounts[0], world.accounts[1]
    async with entered(tmp_path, world, TEAM, [f"main:{admin.user_id}"]) as site:
        name = admin.username
        lies = {"email": f"{name}@example.org", "nickname": name, "preferred_username": name}
        await site.rule(claims={**lies, "email_verified": True, "name": name})
        browser = site.browser()
        reply = await site.sign_in(browser, 1, "operate")
        assert (reply.status, browser.session) == (403, None)
        assert f"main:{other.user_id}" in reply.text


async def test_same_number_at_another_gitlab_is_another_person(
    tmp_path: Path, world: World
) -> None:
    number = world.accounts[0].user_id
    async with entered(tmp_path, world, TEAM, [f"other:{number}"], [f"main:{number}0"]) as site:
        browser = site.browser()
        assert (await site.sign_in(browser, 0, "operate")).status == 403
        back = await site.allow(await site.leave(browser, "other", "operate"))
        assert (await browser.get(back)).status == 303


LIES: tuple[tuple[dict[str, object], str], ...] = (
    ({"iss": "https://gitlab.example.org"}, "another GitLab"),
    ({"aud": "somebody-else"}, "Audience"),
    ({"aud": ["labtrawl", "somebody-else"]}, "other applications"),
    ({"nonce": "n" * 43}, "another sign-in"),
    ({"exp": int(time.time()) - 3600}, "expired"),
    ({"iat": int(time.time()) + 36000}, "not yet valid"),
    ({"sub": "ada"}, "number of the user"),
    ({"sub": "999999"}, "two different people"),
)


@pytest.mark.parametrize("lies", [LIES[:4], LIES[4:]])  # a fifth in a row would have to wait
async def test_id_token_that_does_not_hold_lets_nobody_in(
    tmp_path: Path, world: World, lies: tuple[tuple[dict[str, object], str], ...]
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        for claims, words in lies:
            await site.rule(claims=claims)
            reply = await site.sign_in(browser)
            assert (reply.status, browser.session, words in reply.text) == (403, None, True)
        assert await site.rows("SELECT id FROM account") == []
        assert (await site.told())["living_pairs"] == 0


async def test_participant_who_takes_the_operators_way_is_told_the_other(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        reply = await site.sign_in(browser, wish="operate")
        assert (reply.status, browser.session) == (403, None)
        assert "the other button" in reply.text


async def test_role_that_the_settings_took_away_ends_the_session(
    tmp_path: Path, world: World
) -> None:
    who = Identified("main", "http://gitlab", 7, "ada")
    async with entered(tmp_path, world, TEAM, ["main:7"]) as site:
        person_id = await site.store.write(lambda c: record(c, who))
        found = []
        for role in (Role.ADMIN, Role.OPERATOR, Role.PARTICIPANT):
            client = site.client.by(cookie=await site.client.session(role, person_id))
            found.append([(await client.get(path)).status for path in ("/sessions", "/me/account")])
        assert found == [[200, 200], [401, 401], [401, 401]]


async def test_session_is_new_at_each_sign_in_and_the_one_before_is_over(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        await site.sign_in(browser)
        before, jar = browser.session, dict(browser.jar)
        await site.sign_in(browser)
        after = browser.session
        assert before
        assert after
        assert before != after
        statuses = [(await browser.get("/me/account")).status]
        browser.jar = jar
        statuses.append((await browser.get("/me/account")).status)
        assert statuses == [200, 401]
        assert await site.rows("SELECT COUNT(*) FROM person") == [(1,)]


async def test_pasted_token_lets_a_participant_in(tmp_path: Path, world: World) -> None:
    admin, ada, _, writer = world.accounts
    async with entered(tmp_path, world, admins=[f"main:{admin.user_id}"]) as site:
        browser = site.browser()
        tried = [
            await browser.post("/sign-in/token", place="main", token=token)
            for token in (admin.token, writer.token, "glpat-nobody-knows-this", f" {ada.token}\n")
        ]
        assert [each.status for each in tried] == [403, 403, 403, 303]
        words = ("sign in with GitLab", "may do more than read", "refuses the token")
        assert [word in each.text for word, each in zip(words, tried[:3], strict=True)] == [
            True
        ] * 3
        kept = await site.rows("SELECT gitlab_user_id, state, refresh_token FROM account")
        assert kept == [(ada.user_id, "refused", "")]
        assert (await browser.post("/sign-in/token", place="x", token=ada.token)).status == 404
