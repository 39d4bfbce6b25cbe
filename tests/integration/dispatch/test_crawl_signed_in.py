"""Whole crawls with tokens that expire while they are used, and keys that change meanwhile."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labtrawl.cli.keys import rotate
from labtrawl.clock import system_clock
from labtrawl.config import defaults
from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.patience import Patience
from labtrawl.http import Http
from labtrawl.sandbox import Options, Server, World, build_world, running, truth
from labtrawl.store import manifest
from labtrawl.store.engine import Store
from labtrawl.store.keyring import key_states
from labtrawl.store.secrets import key_path
from tests.integration.dispatch.signed_in import (
    House,
    build,
    control,
    open_gitlab,
    prepare,
    signed_in_pair,
)
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import Rig, rig

pytestmark = pytest.mark.long

LIFE_SECONDS = 1
QUICK = Patience(first_refusal=0.1, first=0.1, tick=0.05)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world("small", 1, {}, [])


@contextlib.asynccontextmanager
async def signed_in(data_dir: Path, server: Server, world: World) -> AsyncIterator[Rig]:
    """A website's side with one account that signed in, renewed as in the website."""
    houses: list[House] = []

    def hand_out(store: Store) -> Credentials:
        houses.append(build(data_dir, server.url, store, http, system_clock(), patience=QUICK))
        return houses[0].credentials

    http: Http
    prepare(data_dir)
    async with (
        open_gitlab(server.url) as http,
        rig(data_dir, server.url, credentials=hand_out) as website,
        houses[0].renewals.running(),
    ):
        account = world.accounts[0]
        pair = await signed_in_pair(server.url, http, account.username)
        await houses[0].sign_in(account.username, pair, account.user_id)
        yield website


async def assert_equals_truth(website: Rig, world: World) -> None:
    found = list(await website.store.read(manifest.segments))
    items, twice = collected_items(dataset_root(website.data_dir), found)
    assert (items == expected_items(truth(world, external_url=website.url)), twice) == (True, [])


@pytest.mark.seed("S1.18")
async def test_crawl_outlives_its_tokens_short_refusals_and_a_new_key(
    tmp_path: Path, world: World
) -> None:
    options = Options(expires_in=LIFE_SECONDS, latency_ms=3)
    async with running(world, options) as server, signed_in(tmp_path, server, world) as website:
        async with website.crawler(jobs=2):
            for kind in ("invalid_grant", "503"):
                fault = {"path": "^/oauth/token", "kind": kind, "times": 2}
                await control(server.url, "POST", "faults", [fault])
                await rotate(defaults(tmp_path), None)
            await website.finished()
        await assert_equals_truth(website, world)
        told = (await control(server.url, "GET", "oauth"))["token_requests"]
        assert isinstance(told, dict)
        assert told.pop("authorization_code 200") == 1
        assert told.pop("refresh_token 200") >= 2
        assert told == {"refresh_token 400": 2, "refresh_token 503": 2}
        assert [each.state for each in key_states(key_path(tmp_path))] == ["current", "old", "old"]
