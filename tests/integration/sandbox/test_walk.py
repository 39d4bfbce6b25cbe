"""What the sandbox serves page by page equals its truth, item by item."""

from pathlib import Path
from typing import Any

import pytest

from labtrawl.sandbox import (
    Account,
    Options,
    World,
    WorldPlan,
    build_world,
    generate,
    import_trees,
    running,
    truth,
)
from tests.integration.sandbox.caller import Caller
from tests.integration.sandbox.walk import Walk

pytestmark = pytest.mark.long

SMALLER = {
    "issues": 150,
    "merge_requests": 70,
    "notes": 400,
    "commits": 400,
    "pipelines": 150,
    "ci_jobs": 300,
    "events": 300,
}
OWN = Path(__file__).parents[2] / "data" / "trees" / "own"


async def walked(world: World, account: Account, per_page: int, **options: Any) -> Walk:
    async with (
        running(world, Options(external_url="http://gitlab.test", **options)) as server,
        Caller(server.url, account.token) as caller,
    ):
        walk = Walk(caller, per_page)
        await walk.run()
    return walk


def expected(world: World, username: str) -> dict[Any, Any]:
    found = truth(world, username, "http://gitlab.test")
    return {
        (kind, area, res, natural): body
        for kind, area, res, natural, body in found.items()
        if res != "timelogs"  # only GraphQL has them
    }


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_default_world_walked_by_each_account_equals_truth(index: int) -> None:
    world = build_world("default", 3, SMALLER)
    account = world.accounts[index]
    walk = await walked(world, account, 100)
    assert walk.records == expected(world, account.username)


async def test_default_world_refusals_are_the_gaps_of_the_truth() -> None:
    world = build_world("default", 3, SMALLER)
    walk = await walked(world, world.accounts[0], 100)
    gaps = truth(world).gaps()
    silent = {key for key, gap in gaps.items() if key[2] == "issues" and gap == "feature_off"}
    silent |= {key for key, gap in gaps.items() if key[2] == "languages" and gap != "forbidden"}
    unreachable = {key for key in gaps if key[2].startswith(("issue_", "merge_request_"))}
    by_graphql = {key for key in gaps if key[2] == "timelogs"}
    assert set(walk.refused) == set(gaps) - silent - unreachable - by_graphql
    assert set(gaps.values()) == {"forbidden", "feature_off", "empty_repository"}


async def test_shared_world_seen_by_three_accounts_is_the_same_scope() -> None:
    world = build_world("shared", 1, SMALLER)
    walks = [await walked(world, account, 100) for account in world.accounts]
    areas = [{key[:2] for key in walk.records} for walk in walks]
    assert areas[0] == areas[1] == areas[2]
    assert sum(kind == "project" for kind, _ in areas[0]) == 20


@pytest.mark.parametrize("per_page", [1, 7, 20])
async def test_small_pages_lose_and_repeat_nothing(per_page: int) -> None:
    plan = WorldPlan(
        groups=2, projects=3, issues=23, merge_requests=9, notes=40, commits=30, pipelines=9,
        ci_jobs=21, events=25, accounts=1, users=6, specials=False, months=6,
    )  # fmt: skip
    world = generate(plan)
    walk = await walked(world, world.accounts[0], per_page)
    assert walk.records == expected(world, world.accounts[0].username)


async def test_short_pages_still_hold_everything() -> None:
    world = build_world("shared", 2, SMALLER)
    walk = await walked(world, world.accounts[0], 100, short_pages=True)
    assert walk.records == expected(world, world.accounts[0].username)


async def test_own_trees_walked_equal_truth() -> None:
    world = import_trees([OWN / "project", OWN / "group"])
    walk = await walked(world, world.accounts[0], 100)
    assert walk.records == expected(world, "importer")


@pytest.mark.truth
async def test_gitlabs_own_trees_walked_equal_truth(gitlab_truth: Path | None) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH is absent: our own trees alone were walked")
    trees = gitlab_truth / "export-trees"
    names = ("complex", "group_exports/complex", "light", "group", "with_invalid_records")
    world = import_trees([trees / name for name in names])
    walk = await walked(world, world.accounts[0], 100)
    assert walk.records == expected(world, "importer")
