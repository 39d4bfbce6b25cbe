"""Accounts that are disconnected, or connected anew, just while their pair is renewed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from labtrawl.cli.sign_ins import SignIns
from labtrawl.clock import system_clock
from labtrawl.domain.credential import Secret
from labtrawl.gitlab import oauth
from labtrawl.sandbox import World
from labtrawl.store.sign_in_attempts import Keys, Wish
from tests.integration.website.entering import Entered, entered, people, settings_of

RENEWAL = "renewal-1"
TOKENS = "SELECT token, refresh_token, state FROM account"


@pytest.fixture(scope="module")
def world() -> World:
    return people()


class Turns:
    """The database, whose next writes wait for what a test lets happen before them."""

    def __init__(self, site: Entered) -> None:
        self.read = site.store.read
        self.changes = site.store.changes
        self._write = site.store.write
        self.before: dict[str, list[Callable[[], Awaitable[object]]]] = {}
        self.after: dict[str, Callable[[], object]] = {}

    async def write(self, work: Any) -> Any:
        name = "renewal" if _is_renewal() else "other"
        if waits := self.before.get(name):
            await waits.pop(0)()
        done = await self._write(work)
        if (then := self.after.get(name)) is not None:
            then()
        return done


def _is_renewal() -> bool:
    task = asyncio.current_task()
    return task is not None and task.get_name() == RENEWAL


def _of(site: Entered, folder: Path, turns: Turns) -> SignIns:
    """The sign-ins of the same website, which see that database."""
    told: asyncio.Queue[object] = asyncio.Queue()
    store: Any = turns
    return SignIns(settings_of(folder, site.gitlabs), store, system_clock(), told.put)


async def _at_once() -> None:
    pass


def _answer_comes_late(turns: Turns, sign_ins: SignIns) -> None:
    """Let a renewal begin just before the next write, and be answered before it, kept after it."""
    answered, written = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        answered.set()
        await written.wait()

    async def begin() -> None:
        _ = sign_ins.renewals.flight(1, 0)
        await answered.wait()

    turns.before = {"renewal": [_at_once, wait], "other": [begin]}
    turns.after = {"other": written.set}


def _renewed_just_before(turns: Turns, sign_ins: SignIns) -> None:
    """Let a whole renewal happen just before the next write."""
    turns.before = {"other": [lambda: sign_ins.renewals.renew(1, 0)]}


@pytest.mark.parametrize("meanwhile", [_answer_comes_late, _renewed_just_before])
async def test_account_that_is_disconnected_while_it_is_renewed_leaves_no_pair_at_gitlab(
    tmp_path: Path, world: World, meanwhile: Callable[[Turns, SignIns], None]
) -> None:
    async with entered(tmp_path, world) as site, asyncio.timeout(20):
        await site.sign_in(site.browser())
        turns = Turns(site)
        sign_ins = _of(site, tmp_path, turns)
        meanwhile(turns, sign_ins)
        assert await sign_ins.entrance(site.client.url).disconnect(1, lambda _jobs: None)
        assert await site.rows(TOKENS) == [("", "", "refused")]
        assert (await site.told())["living_pairs"] == 0
        assert sign_ins.renewals.problems() == []
        assert list((tmp_path / "config").glob("*.spool")) == []


async def test_pair_that_came_too_late_and_gitlab_does_not_end_is_told(
    tmp_path: Path, world: World
) -> None:
    async with entered(tmp_path, world) as site, asyncio.timeout(20):
        await site.sign_in(site.browser())
        turns = Turns(site)
        sign_ins = _of(site, tmp_path, turns)
        _answer_comes_late(turns, sign_ins)
        await site.fault({"path": "^/oauth/revoke", "kind": "503", "times": 1})
        assert not await sign_ins.entrance(site.client.url).disconnect(1, lambda _jobs: None)
        assert (await site.told())["living_pairs"] == 1
        assert await site.rows(TOKENS) == [("", "", "refused")]


@pytest.mark.parametrize("meanwhile", [_answer_comes_late, _renewed_just_before])
async def test_account_that_is_connected_anew_while_it_is_renewed_keeps_one_pair(
    tmp_path: Path, world: World, meanwhile: Callable[[Turns, SignIns], None]
) -> None:
    async with entered(tmp_path, world) as site, asyncio.timeout(20):
        await site.sign_in(site.browser())
        turns = Turns(site)
        sign_ins = _of(site, tmp_path, turns)
        entrance = sign_ins.entrance(site.client.url)
        attempt = oauth.new_attempt()
        keys = Keys(attempt.state, attempt.verifier, "a nonce")
        back = await site.allow(entrance.address("main", Wish.TAKE_PART, keys))
        code = Secret(parse_qs(urlsplit(back).query)["code"][0])
        arrival = await entrance.arrive("main", Wish.TAKE_PART, keys, code)
        meanwhile(turns, sign_ins)
        assert await entrance.connect(arrival) == 1
        assert (await site.told())["living_pairs"] == 1
        async with sign_ins.renewals.running():
            version = (await site.rows("SELECT token_version FROM account"))[0][0]
            await sign_ins.renewals.renew(1, version)
        assert (await site.told())["living_pairs"] == 1
        assert sign_ins.renewals.problems() == []
