"""One budget for all crawlers, over real sockets, with a sandbox that limits its users."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labtrawl.clock import system_clock
from labtrawl.crawler.purse import Purse, Spender
from labtrawl.dataset.layout import dataset_root
from labtrawl.domain.quiet import parse_window
from labtrawl.gitlab.limits import REST, Limits
from labtrawl.sandbox import Fault, Options, Server, World, build_world, running, truth
from labtrawl.store import budgets, manifest, quiet
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import crawler, settled, website
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import Rig, rig

# Some hundred requests.
FEW = {"issues": 20, "merge_requests": 5, "notes": 20, "commits": 20, "pipelines": 5, "ci_jobs": 5}
SPENDER = Spender("1", lambda: False, lambda _why: None)


async def _take(purse: Purse, count: int) -> float:
    """Take so many requests and return when the last of them might have gone out."""
    for _ in range(count):
        await purse.take(SPENDER)
        purse.told(SPENDER, REST, None)
    return time.monotonic()


async def _spend(purse: Purse, ends_at: float) -> int:
    """Take all there is until then, and return how much it was."""
    count = 0
    while time.monotonic() < ends_at:
        await purse.take(SPENDER)
        count += 1
    return count


async def _until_refused(website: Rig) -> None:
    await _until(website, lambda c: any(row[3] for row in budgets.load(c)))


async def _until_heard(website: Rig) -> None:
    """Wait until two crawlers that ask for nothing have told three times that they live."""
    heard = website.manager.board.desk.statistics.received
    before = heard["heartbeat"]
    await settled(lambda: heard["heartbeat"] >= before + 6)


async def _until(website: Rig, wanted: Callable[[Connection], bool]) -> None:
    while True:
        ticket = website.store.changes.ticket()
        if await website.store.read(wanted):
            return
        await ticket.wait()


async def test_refusal_seen_by_one_crawler_holds_up_the_other(tmp_path: Path) -> None:
    world = build_world("small", seed=1)
    async with rig(tmp_path, "http://gitlab") as website:
        await website.plan(world)
        async with website.purse("a") as a, website.purse("b") as b, asyncio.timeout(20):
            await asyncio.gather(_take(a, 5), _take(b, 5))
            refused_at = time.monotonic()
            a.refused(SPENDER, REST, 2.0)
            await _until_refused(website)
            # What b has in hand is less than this.
            ended_at = await asyncio.gather(_take(a, 1), _take(b, 100))
    assert [1.9 < at - refused_at < 5 for at in ended_at] == [True, True]


async def test_crawler_goes_on_while_the_website_is_away_and_after_it_is_back(
    tmp_path: Path,
) -> None:
    """With what it has; then it waits, and a website that was started anew grants again."""
    async with website(tmp_path) as site:
        site.announce("crawler-1")
        await site.plant(1)
        client = crawler(site.path)
        async with client.running(), Purse(client.request, system_clock()).running() as purse:
            async with site.serving(), asyncio.timeout(10):
                await _take(purse, 1)
            # It had asked for more than one.
            async with asyncio.timeout(2):
                await _take(purse, 5)
            waiting = asyncio.create_task(_take(purse, 100))
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            async with site.serving(), asyncio.timeout(20):
                await waiting


async def test_two_hungry_crawlers_share_a_limit_and_stay_below_it(tmp_path: Path) -> None:
    world = build_world("small", seed=1)
    async with rig(tmp_path, "http://gitlab") as website:
        await website.plan(world)
        async with website.purse("a") as a, website.purse("b") as b, asyncio.timeout(30):
            a.told(SPENDER, REST, Limits(1300, None, None))
            await a.take(SPENDER)
            ends_at = time.monotonic() + 8
            counts = await asyncio.gather(_spend(a, ends_at), _spend(b, ends_at))
    # 1040 in a minute are 17.3 a second, and the first 5 s of it at once
    assert 60 <= sum(counts) <= 87 + 8.5 * 17.4 + 1
    assert max(counts) <= 1.2 * min(counts) + 16


async def test_two_crawlers_under_a_limit_are_never_refused(tmp_path: Path) -> None:
    """200 requests in 20 s are allowed; without a budget the crawl sends more in its first seconds.

    What is under way when GitLab counts has to fit into the reserve: 40 here, 400 of a usual limit.
    """
    world = build_world("small", seed=2, sizes=FEW)
    options = Options(rate_limit_per_minute=600, rate_limit_period_seconds=20)
    async with running(world, options) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.crawler("crawler-1"), website.crawler("crawler-2"):
            await website.finished()
        asked = await asyncio.to_thread(_tally, server)
        await _assert_equals_truth(website, world)
        kept = await website.store.read(budgets.load)
    assert asked["by_status"].get("429", 0) == 0
    assert asked["total"] > 200
    assert kept == [(1, REST, 600, 0)]


async def test_crawl_goes_on_after_a_refusal_in_its_middle(tmp_path: Path) -> None:
    world = build_world("small", seed=2, sizes=FEW)
    fault = Fault(path="/issues", kind="429_http", times=1, retry_after_seconds=1)
    async with (
        running(world, Options(faults=(fault,))) as server,
        rig(tmp_path, server.url) as website,
    ):
        await website.plan(world)
        async with website.crawler("crawler-1"), website.crawler("crawler-2"):
            await website.finished()
        asked = await asyncio.to_thread(_tally, server)
        await _assert_equals_truth(website, world)
    assert asked["by_status"]["429"] == 1


async def test_job_that_waits_for_budget_says_so_and_does_not_hold_up_a_drain(
    tmp_path: Path,
) -> None:
    world = build_world("small", seed=2, sizes=FEW)
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.purse("other") as other:
            await other.take(SPENDER)
            other.refused(SPENDER, REST, 100.0)
            await _until_refused(website)
        async with website.crawler() as engine, asyncio.timeout(20):
            await _until(website, lambda c: _stages(c) == [("running", "waits for budget")])
            stopped_at = time.monotonic()
            engine.stopping.set()
        assert time.monotonic() - stopped_at < 3
        assert [state for state, _ in await website.store.read(_stages)] == ["queued"]
        assert (await asyncio.to_thread(_tally, server))["total"] == 0


async def test_limit_of_one_endpoint_holds_up_no_other(tmp_path: Path) -> None:
    """All but the members are read long before it ends; nobody asks for them meanwhile."""
    world = build_world("small", seed=2, sizes=FEW)
    fault = Fault(path="/members/all", kind="429_app", times=1, retry_after_seconds=4)
    async with (
        running(world, Options(faults=(fault,))) as server,
        rig(tmp_path, server.url) as website,
    ):
        await website.plan(world)
        async with website.crawler("crawler-1"), website.crawler("crawler-2"):
            await _until(website, lambda c: set(_open_resources(c)) == {"inherited_members"})
            held = {row[1]: row[3] for row in await website.store.read(budgets.load)}
            refused = (await asyncio.to_thread(_tally, server))["by_status"]["429"]
            await website.finished()
        await _assert_equals_truth(website, world)
    assert refused == 1
    assert [name for name, not_before in held.items() if not_before] == ["members_all"]


def _open_resources(connection: Connection) -> list[str]:
    rows = connection.exec_driver_sql(
        "SELECT resource FROM job WHERE state IN ('queued', 'running', 'held')"
    ).all()
    return [row[0] for row in rows]


async def test_quiet_hours_stop_a_crawl_with_the_reason_and_it_goes_on_after_them(
    tmp_path: Path,
) -> None:
    world = build_world("small", seed=2, sizes=FEW)
    options = Options(latency_ms=50)
    async with running(world, options) as server, rig(tmp_path, server.url) as website:
        hours = website.manager.board.desk.quiet
        await website.plan(world)
        async with website.crawler("crawler-1"), website.crawler("crawler-2"):
            await _until(website, lambda c: len(_open_resources(c)) > 10)
            hours.windows = {server.url: [parse_window("00:00-24:00 UTC")]}
            async with asyncio.timeout(20):
                await _until(website, _all_wait)
            before = (await asyncio.to_thread(_tally, server))["total"]
            reasons = await website.store.read(_reasons)
            await _until_heard(website)
            after = (await asyncio.to_thread(_tally, server))["total"]
            hours.windows = {}
            await website.store.write(quiet.let_go)
            await website.finished()
        await _assert_equals_truth(website, world)
    assert after == before
    assert len(reasons) == 1
    assert reasons.pop().startswith("quiet hours until 20")


def _all_wait(connection: Connection) -> bool:
    rows = connection.exec_driver_sql(
        "SELECT 1 FROM job WHERE state = 'running' OR (state = 'queued' AND run_after IS NULL)"
    )
    return rows.first() is None


def _reasons(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql("SELECT error_message FROM job WHERE state = 'queued'").all()
    return {row[0] for row in rows}


def _stages(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT state, stage FROM job").all()
    return [(row[0], row[1]) for row in rows]


async def _assert_equals_truth(website: Rig, world: World) -> None:
    rows = list(await website.store.read(manifest.segments))
    expected = truth(world, external_url=website.url)
    items, twice = collected_items(dataset_root(website.data_dir), rows)
    assert items == expected_items(expected)
    assert twice == []


def _tally(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/-/sandbox/requests") as answer:
        told: dict[str, Any] = json.loads(answer.read())
    return told
