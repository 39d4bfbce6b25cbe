"""One's own sessions and account, and everybody's sessions for admins."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from labtrawl.domain.consent import Areas, Wording
from labtrawl.domain.credential import Secret
from labtrawl.errors import LeaseLost
from labtrawl.sandbox import World
from labtrawl.store import consents, leases, renewals
from labtrawl.store.consents import Given
from labtrawl.store.jobs import Origin
from labtrawl.store.leases import ClaimedJob
from labtrawl.store.secrets import account_place
from labtrawl.store.sessions import Role
from labtrawl.supervisor.authentication import Credentials
from tests.integration.store import table
from tests.integration.website import world as worlds
from tests.integration.website.conftest import Client
from tests.integration.website.entering import Browser, Entered, entered, people

CANARIES = "SELECT token || refresh_token FROM account"


@pytest.fixture(scope="module")
def world() -> World:
    return people()


async def _pair(site: Entered) -> tuple[Secret, Secret]:
    """What is stored of the first account, decrypted."""
    pair = await site.store.read(lambda c: renewals.pair_of(c, 1))
    cipher, url, number = site.entrance.ring(), pair.instance_url, pair.user_id
    return (
        cipher.decrypt(pair.token, account_place(url, number)),
        cipher.decrypt(pair.refresh_token, account_place(url, number, "refresh_token")),
    )


async def _disconnect(browser: Browser) -> str:
    """Disconnect; where the browser is sent."""
    unsure = await browser.post("/me/account/disconnect")
    assert unsure.status == 422
    reply = await browser.post("/me/account/disconnect", sure="yes")
    assert reply.status == 303
    return reply.headers["location"]


async def test_disconnect_erases_the_tokens_here_and_at_gitlab_and_ends_all_sessions(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser, elsewhere = site.browser(), site.browser()
        await site.sign_in(browser)
        await site.sign_in(elsewhere)
        tokens = [each.reveal() for each in await _pair(site)]
        stored = str(await site.rows(CANARIES))
        assert not any(each in stored for each in tokens)
        told = json.loads((await browser.get("/api/v1/me/account")).text)
        assert told["account"]["is_connected"] is True
        assert not any(each in json.dumps(told) for each in tokens)
        location = await _disconnect(browser)
        assert location == "/sign-in?said=disconnected"
        assert "GitLab ended them" in (await browser.get(location)).text
        assert [(await each.get("/me/account")).status for each in (browser, elsewhere)] == [
            401
        ] * 2
        assert await site.rows("SELECT token, refresh_token, state FROM account") == [
            ("", "", "refused")
        ]
        assert (await site.told())["living_pairs"] == 0
        assert site.client.around.accounts.erased == [1]


async def _claimed(site: Entered) -> list[ClaimedJob]:
    """Let the account's owner agree, and a crawler take the job that follows."""
    until = site.sign_ins.entrance("").clock.now_ms() + 86_400_000
    text = Wording("Study", "May we?", ("issues",), until)
    version, _ = await site.store.write(lambda c: consents.publish(c, text, "test"))
    given = Given(version, Areas.ALL, until, "test")
    await site.store.write(lambda c: consents.give(c, 1, given))
    return await site.store.write(lambda c: table.claim(c, "crawler-1"))


async def test_disconnect_takes_running_jobs_from_the_crawlers(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        await site.sign_in(browser)
        (job,) = await _claimed(site)
        await site.fault({"path": "^/oauth/revoke", "kind": "503", "times": 9})
        await _disconnect(browser)
        assert site.client.around.commands == [("cancel", "crawler-1", job.job_id)]
        assert await site.rows("SELECT state, hold_reason, lease_holder FROM job") == [
            ("held", "credential", None)
        ]
        lease = (job.job_id, job.fence)
        (late,) = await site.store.write(lambda c: leases.renew(c, "crawler-1", [lease], 60.0))
        assert late.expires_at is None
        with pytest.raises(LeaseLost):
            await site.store.write(
                lambda c: leases.at_work(c, job.job_id, Origin("crawler-1", "m1", job.fence))
            )


async def test_disconnect_erases_the_tokens_here_when_gitlab_is_away(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser = site.browser()
        await site.sign_in(browser)
        await site.fault({"path": "^/oauth/revoke", "kind": "503", "times": 9})
        location = await _disconnect(browser)
        assert location == "/sign-in?said=disconnected_here"
        assert "did not confirm" in (await browser.get(location)).text
        assert await site.rows("SELECT token, refresh_token FROM account") == [("", "")]


async def test_pasted_token_ends_at_gitlab_when_it_is_disconnected(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        browser, token = site.browser(), world.accounts[1].token
        await browser.post("/sign-in/token", place="main", token=token)
        assert await _disconnect(browser) == "/sign-in?said=disconnected"
        again = await browser.post("/sign-in/token", place="main", token=token)
        assert (again.status, "refuses the token" in again.text) == (403, True)


async def test_second_sign_in_replaces_the_pair_and_ends_the_one_before(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        await site.sign_in(site.browser())
        first = await _pair(site)
        await site.sign_in(site.browser())
        assert await _pair(site) != first
        assert (await site.told())["living_pairs"] == 1
        assert await site.rows("SELECT id, token_version FROM account") == [(1, 1)]


async def test_pair_of_the_website_is_renewed_with_the_websites_address(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site:
        await site.sign_in(site.browser())
        first = await _pair(site)
        async with site.sign_ins.renewals.running():
            await site.sign_ins.renewals.renew(1, 0)
        assert await _pair(site) != first
        counted = (await site.told())["token_requests"]
        assert counted == {"authorization_code 200": 1, "refresh_token 200": 1}
        assert await site.rows("SELECT state FROM account") == [("refused",)]


async def test_first_account_that_may_be_used_lets_crawlers_start(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site, asyncio.timeout(20):
        running = asyncio.create_task(site.sign_ins.run())
        await site.sign_in(site.browser())
        assert site.announced.empty()
        until = site.sign_ins.entrance("").clock.now_ms() + 86_400_000
        text = Wording("Study", "May we?", ("issues",), until)
        version, _ = await site.store.write(lambda c: consents.publish(c, text, "test"))
        given = Given(version, Areas.ALL, until, "test")
        await site.store.write(lambda c: consents.give(c, 1, given))
        assert isinstance(await site.announced.get(), Credentials)
        await running
        assert await site.rows("SELECT resource FROM job") == [("discovery",)]
        before = await _pair(site)
        await site.sign_in(site.browser())
        assert await _pair(site) != before
        assert await site.rows("SELECT state FROM account") == [("active",)]


async def test_everybody_sees_and_ends_their_own_sessions_alone(stranger: Client) -> None:
    ids = [await stranger.write(lambda c, n=n: worlds.participant(c, n)) for n in (101, 102)]  # type: ignore[misc]
    first = stranger.by(cookie=await stranger.session(Role.PARTICIPANT, ids[0]))
    second = stranger.by(cookie=await stranger.session(Role.PARTICIPANT, ids[0]))
    other = stranger.by(cookie=await stranger.session(Role.PARTICIPANT, ids[1]))
    told = json.loads((await first.get("/api/v1/me/account")).text)
    numbers = [each["id"] for each in told["sessions"]]
    assert (len(numbers), told["current"] in numbers) == (2, True)
    theirs = json.loads((await other.get("/api/v1/me/account")).text)["current"]
    assert (await first.post(f"/me/account/sessions/{theirs}/end")).status == 404
    assert (await other.get("/me/account")).status == 200
    assert (await first.post("/me/account/sessions/end-others")).status == 303
    assert [(await each.get("/me/account")).status for each in (first, second)] == [200, 401]
    reply = await first.post(f"/me/account/sessions/{told['current']}/end")
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in")
    assert (await first.get("/me/account")).status == 401


async def test_session_of_the_console_has_none_but_itself(admin: Client) -> None:
    other = admin.by(cookie=await admin.session())
    told = json.loads((await admin.get("/api/v1/me/account")).text)
    theirs = json.loads((await other.get("/api/v1/me/account")).text)["current"]
    assert [each["id"] for each in told["sessions"]] == [told["current"]]
    assert (told["identity"], told["account"]) == ("", None)
    assert (await admin.post(f"/me/account/sessions/{theirs}/end")).status == 404
    assert (await admin.post("/me/account/sessions/end-others")).status == 303
    assert (await other.get("/me/account")).status == 200


async def test_admin_sees_every_session_and_ends_any(admin: Client) -> None:
    person = await admin.write(lambda c: worlds.participant(c, 101))
    other = admin.by(cookie=await admin.session(Role.PARTICIPANT, person))
    gone = await admin.session()
    await admin.by(cookie=gone).post("/sign-out")
    page = (await admin.get("/sessions")).text
    told = json.loads((await admin.get("/api/v1/sessions")).text)
    assert [(each["role"], each["identity"]) for each in told["rows"]] == [
        ("participant", "main:101"),
        ("admin", ""),
    ]
    assert ("user101" in page, re.findall('id="end-now-([0-9]+)"', page)) == (
        True,
        [str(each["id"]) for each in told["rows"]],
    )
    number = told["rows"][0]["id"]
    for nothing in ("", "because=", "because=+%09"):
        assert (await admin.post(f"/sessions/{number}/end", nothing)).status == 422, nothing
    assert (await other.get("/me/account")).status == 200
    assert (await admin.post(f"/sessions/{number}/end", "because=left")).status == 303
    assert (await other.get("/me/account")).status == 401
    assert (await admin.post(f"/sessions/{number}/end", "because=left")).status == 404
    details = "SELECT detail FROM audit WHERE action LIKE 'POST /sessions%' ORDER BY id"
    found = await admin.write(lambda c: c.exec_driver_sql(details).scalars().all())
    assert found == ["", "", "", *[f"session {number} left"] * 2]


async def test_sessions_are_paged_to_the_last(admin: Client) -> None:
    for _ in range(120):
        await admin.session()
    path: str | None = "/api/v1/sessions"
    found: list[int] = []
    while path:
        told = json.loads((await admin.get(path)).text)
        found += [each["id"] for each in told["rows"]]
        path = told["next"]
    assert found == sorted(found, reverse=True)
    assert len(found) == 121
    newer = (await admin.get(f"/api/v1/sessions?before={found[100]}")).text
    assert [each["id"] for each in json.loads(newer)["rows"]] == found[50:100]
