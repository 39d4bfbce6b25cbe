"""Renewing pairs, over real sockets against a look-alike that rotates as GitLab does."""

import asyncio
import contextlib
import hashlib
import random
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.renewal import Renewals
from labtrawl.domain.credential import Secret
from labtrawl.errors import LabtrawlError, Unauthorized
from labtrawl.gitlab.oauth import GrantRefused
from labtrawl.sandbox import World, build_world, running
from labtrawl.store import renewals
from labtrawl.store.engine import Store
from tests.integration.dispatch.signed_in import (
    HandClock,
    House,
    control,
    house,
    signed_in_pair,
    works,
)
from tests.integration.store.table import area, job, rows, states

LIFE = 7200
DUE = LIFE * 0.8
TOKEN_PATH = "^/oauth/token"
STEPS = ("begun", "answered", "spooled", "committed", "done")


@dataclass(frozen=True, slots=True)
class Timed:
    """A website's side whose time the test lets pass."""

    house: House
    time: HandClock

    @property
    def url(self) -> str:
        return self.house.url

    @property
    def store(self) -> Store:
        return self.house.store

    @property
    def renewals(self) -> Renewals:
        return self.house.renewals

    @property
    def credentials(self) -> Credentials:
        return self.house.credentials


@pytest.fixture(scope="module")
def world() -> World:
    return build_world("small", 1, {}, [])


@contextlib.asynccontextmanager
async def signed_in(folder: Path, world: World) -> AsyncIterator[Timed]:
    """A house with one account, number 1, signed in just now, and its time."""
    time = HandClock()
    async with running(world) as server, house(folder, server.url, time.clock) as opened:
        one = Timed(opened, time)
        await sign_in(one, world)
        await control(one.url, "DELETE", "oauth")
        yield one


async def sign_in(one: Timed, world: World, source: str = "a") -> Secret:
    account = world.accounts[0]
    pair = await signed_in_pair(one.url, one.house.http, account.username)
    assert await one.house.sign_in(account.username, pair, account.user_id, source) == 1
    return pair.access_token


async def token_requests(one: Timed) -> object:
    return (await control(one.url, "GET", "oauth"))["token_requests"]


async def account_row(one: Timed) -> tuple[object, ...]:
    """State, version, and whether a renewal is under way."""
    (row,) = await one.store.read(
        lambda c: rows(c, "SELECT state, token_version, renewal_began_at FROM account")
    )
    return row


def sha256(token: Secret) -> str:
    return hashlib.sha256(token.reveal().encode()).hexdigest()


async def fifty_needs(one: Timed) -> None:
    one.time.advance(LIFE + 1)
    tokens = await asyncio.gather(*(one.credentials.access_token(1) for _ in range(50)))
    assert len({each.reveal() for each in tokens}) == 1
    assert await works(one.url, tokens[0])


async def test_fifty_needs_of_a_renewal_at_once_are_one_request_each_time(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        for _ in range(20):
            await fifty_needs(one)
        assert await token_requests(one) == {"refresh_token 200": 20}
        assert await account_row(one) == ("active", 20, None)


@pytest.mark.proof
@pytest.mark.timeout(600)
async def test_fifty_needs_of_a_renewal_at_once_are_one_request_a_thousand_times(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        for _ in range(1000):
            await fifty_needs(one)
        assert await token_requests(one) == {"refresh_token 200": 1000}


async def test_two_processes_renew_once(tmp_path: Path, world: World) -> None:
    async with signed_in(tmp_path, world) as one:
        # The second sees time pass, so that its wait for the first one's turn ends.
        time = HandClock()
        async with house(tmp_path, one.url, time.clock) as two:
            one.time.advance(LIFE)
            time.advance(LIFE)

            async def pass_time() -> None:
                while True:
                    await asyncio.sleep(0)
                    time.advance(0.01)
                    one.time.advance(0.01)

            passing = asyncio.create_task(pass_time())
            tokens = await asyncio.gather(
                *(each.credentials.access_token(1) for each in (one, two) for _ in range(5))
            )
            passing.cancel()
            assert len({each.reveal() for each in tokens}) == 1
            assert await token_requests(one) == {"refresh_token 200": 1}


async def test_token_is_renewed_when_most_of_its_life_is_over(tmp_path: Path, world: World) -> None:
    async with signed_in(tmp_path, world) as one:
        one.time.advance(LIFE)
        first = await one.credentials.access_token(1)
        one.time.advance(DUE - 1)
        assert await one.credentials.access_token(1) == first
        one.time.advance(1)
        second = await one.credentials.access_token(1)
        assert (await works(one.url, first), await works(one.url, second)) == (False, True)


async def test_background_renews_in_time_and_tells(tmp_path: Path, world: World) -> None:
    async with signed_in(tmp_path, world) as one, one.renewals.running():
        one.time.advance(LIFE)
        assert await one.house.heard.get() == 1
        assert await account_row(one) == ("active", 1, None)


async def test_short_refusal_of_a_good_pair_costs_nothing(tmp_path: Path, world: World) -> None:
    """GitLab's replicas refuse a pair that they have not seen yet."""
    async with signed_in(tmp_path, world) as one:
        one.time.advance(LIFE)
        first = await one.credentials.access_token(1)
        fault = {"path": TOKEN_PATH, "kind": "invalid_grant", "times": 3}
        await control(one.url, "POST", "faults", [fault])
        one.time.advance(DUE + 1)
        # While the old token lives it is handed out.
        assert await one.credentials.access_token(1) == first
        assert await works(one.url, first)
        for seconds in (15, 30, 60):
            one.time.advance(seconds)
            last = await one.credentials.access_token(1)
        assert (await works(one.url, last), last != first) == (True, True)
        assert await account_row(one) == ("active", 2, None)
        assert one.renewals.problems() == []
        assert await token_requests(one) == {"refresh_token 400": 3, "refresh_token 200": 2}


async def test_failing_gitlab_is_asked_again_after_a_pause_that_grows(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        fault = {"path": TOKEN_PATH, "kind": "503", "times": 2}
        await control(one.url, "POST", "faults", [fault])
        one.time.advance(LIFE)
        for _ in range(3):
            with pytest.raises(LabtrawlError, match="not renewed yet"):
                await one.credentials.access_token(1)
        assert await token_requests(one) == {"refresh_token 503": 1}
        one.time.advance(1)
        with pytest.raises(LabtrawlError, match="not renewed yet"):
            await one.credentials.access_token(1)
        one.time.advance(2)
        assert await works(one.url, await one.credentials.access_token(1))
        assert await account_row(one) == ("active", 1, None)


async def _lose_the_answer(one: Timed) -> None:
    fault = {"path": TOKEN_PATH, "kind": "reset", "times": 1}
    await control(one.url, "POST", "faults", [fault])
    with pytest.raises(LabtrawlError, match="not renewed yet"):
        await one.credentials.access_token(1)
    one.time.advance(1)


async def _try_until_refused(one: Timed) -> list[float]:
    """Drive the time until the account is refused; return when GitLab was asked."""
    asked, began = [], one.time.seconds
    while (await account_row(one))[0] == "active":
        with pytest.raises(LabtrawlError):
            await one.credentials.access_token(1)
        before = await token_requests(one)
        one.time.advance(1)
        with contextlib.suppress(LabtrawlError):
            await one.credentials.access_token(1)
        if await token_requests(one) != before:
            asked.append(one.time.seconds - began)
    return asked


async def test_lost_answer_ends_refused_after_ten_minutes_and_a_new_sign_in_resumes(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        await one.store.write(lambda c: job(c, area(c, 7, {1: 30})))
        one.time.advance(LIFE)
        await _lose_the_answer(one)
        kept = await one.store.read(lambda c: renewals.pair_of(c, 1))
        asked = await _try_until_refused(one)
        assert asked == [15, 45, 105, 225, 465, 600]
        assert one.renewals.problems() == [
            f"GitLab does not accept the sign-in of @{world.accounts[0].username} on main any more: "
            f"sign in again with labtrawl init --oauth --add --url {one.url}"
        ]
        assert set(await one.store.read(states)) == {"held"}
        now = await one.store.read(lambda c: renewals.pair_of(c, 1))
        assert (now.token, now.refresh_token) == (kept.token, kept.refresh_token)

        new = await sign_in(one, world, "b")
        assert set(await one.store.read(states)) == {"queued"}
        assert await works(one.url, new)
        assert (await account_row(one))[0] == "active"
        # The refusals of the old pair do not count for the new one.
        one.time.advance(LIFE)
        assert await works(one.url, await one.credentials.access_token(1))
        assert one.renewals.problems() == []


async def test_refused_token_is_replaced_once_and_an_older_one_costs_no_renewal(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        one.time.advance(LIFE)
        first = await one.credentials.access_token(1)
        second = (await one.credentials.refresh(1, sha256(first))).secret
        third = (await one.credentials.refresh(1, sha256(first))).secret
        assert (second == third, await works(one.url, second)) == (True, True)
        # Who does not say what was refused gets the one that was renewed a moment ago.
        assert (await one.credentials.refresh(1, None)).secret == second
        one.time.advance(60)
        assert (await one.credentials.refresh(1, "")).secret != second
        assert await token_requests(one) == {"refresh_token 200": 3}


async def test_token_that_gitlab_does_not_accept_is_not_handed_out_again(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        one.time.advance(LIFE)
        token = await one.credentials.access_token(1)
        fault = {"path": TOKEN_PATH, "kind": "invalid_grant", "times": 1}
        await control(one.url, "POST", "faults", [fault])
        with pytest.raises(GrantRefused, match="not renewed yet"):
            await one.credentials.refresh(1, sha256(token))
        with pytest.raises(GrantRefused, match="not renewed yet"):
            await one.credentials.access_token(1)
        one.time.advance(15)
        assert await works(one.url, await one.credentials.access_token(1))


async def test_token_made_by_hand_is_not_renewed_and_the_sentence_says_what_to_do(
    tmp_path: Path, world: World
) -> None:
    async with signed_in(tmp_path, world) as one:
        await one.store.write(lambda c: c.exec_driver_sql("UPDATE account SET refresh_token = ''"))
        token = await one.credentials.access_token(1)
        for refused in (sha256(token), None):
            with pytest.raises(Unauthorized, match="made by hand and cannot be renewed: give a"):
                await one.credentials.refresh(1, refused)
        assert (await one.credentials.refresh(1, "0" * 64)).secret == token


async def kill_at(one: Timed, step: str) -> None:
    """Let another process renew, and die at a step by kill -9."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.dispatch.signed_in"),
        *(str(one.house.data_dir), one.url, str(one.time.seconds), step),
    )
    assert await process.wait() == -signal.SIGKILL


async def outcome(one: Timed) -> str:
    """Start as the website does; say what became of the account: it works, or it says so."""
    one.time.advance(61)
    try:
        token = await one.credentials.access_token(1)
    except LabtrawlError:
        await _try_until_refused(one)
        assert any("sign in again" in each for each in one.renewals.problems())
        return "refused, and it says so"
    assert await works(one.url, token)
    return "works"


@pytest.mark.parametrize("step", STEPS)
async def test_kill_in_a_renewal_leaves_no_account_dead_in_silence(
    tmp_path: Path, world: World, step: str
) -> None:
    async with signed_in(tmp_path, world) as one:
        one.time.advance(LIFE)
        await kill_at(one, step)
        async with one.renewals.running():
            await asyncio.sleep(0)
        # Between GitLab's answer and the disk nothing can be kept: GitLab has no grace period.
        lost = step == "answered"
        assert await outcome(one) == ("refused, and it says so" if lost else "works")
        assert list((tmp_path / "config").glob("*.spool")) == []


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_thousand_kills_in_renewals_leave_no_account_dead_in_silence(
    tmp_path: Path, world: World
) -> None:
    chance = random.Random(7)
    ended = {"works": 0, "refused, and it says so": 0}
    async with signed_in(tmp_path, world) as one:
        for _ in range(1000):
            one.time.advance(LIFE)
            await kill_at(one, chance.choice(STEPS))
            async with one.renewals.running():
                await asyncio.sleep(0)
            result = await outcome(one)
            ended[result] += 1
            if result != "works":
                await sign_in(one, world, str(ended))
    assert sum(ended.values()) == 1000
