"""Whole crawls over real sockets: what is collected equals the truth, each item once."""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.sandbox import Fault, Options, Server, World, build_world, running, truth
from labtrawl.store import manifest, summary
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import Rig, rig

# A part of the default world with each kind of list, some of several pages; the demo crawls all of it.
FEW = {
    "issues": 150,
    "merge_requests": 70,
    "notes": 500,
    "commits": 1_600,
    "pipelines": 170,
    "ci_jobs": 1_400,
    "events": 250,
    "environments": 40,
    "deployments": 130,
    "timelogs": 110,
    "links": 30,
}


async def _crawl(website: Rig, world: World, *usernames: str) -> None:
    await website.plan(world, *usernames)
    async with website.crawler():
        await website.finished()


async def _assert_equals_truth(website: Rig, world: World, *usernames: str) -> None:
    """Bodies and ids equal, each once, and exactly the gaps that the truth has.

    Whether somebody approved or may approve is said of the account that asks: any of `usernames`.
    """
    rows = list(await website.store.read(manifest.segments))
    expected = truth(world, external_url=website.url)
    items, twice = collected_items(dataset_root(website.data_dir), rows)
    wanted = expected_items(expected)
    for username in usernames:
        for key, body in expected_items(truth(world, username, website.url)).items():
            if key[2] == "merge_request_approvals" and items.get(key) == body:
                wanted[key] = body
    assert items == wanted
    assert twice == []
    gaps = await website.store.read(summary.gaps)
    paths = {(c.area_kind, c.area_id): c.full_path for c in expected.cells}
    assert {(gap.full_path, gap.resource): gap.reason for gap in gaps} == {
        (paths[kind, area_id], resource): reason
        for (kind, area_id, resource), reason in expected.gaps().items()
    }


@pytest.mark.parametrize(("preset", "outside"), [("small", 0), ("default", 6)])
@pytest.mark.seed("S1.19", "S1.20", "S1.22", "S1.23", "S1.24", "S1.25", "S1.26", "S2.1", "S2.88")
async def test_crawl_of_a_generated_world_equals_the_truth(
    tmp_path: Path, preset: str, outside: int
) -> None:
    world = build_world(preset, seed=7, sizes=FEW if preset == "default" else {})
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        await _crawl(website, world)
        await _assert_equals_truth(website, world)
        await _assert_asked_inside(server, world, outside)


async def _assert_asked_inside(server: Server, world: World, outside: int) -> None:
    """Nothing was asked of the projects outside the scope."""
    told = await asyncio.to_thread(_control, server, "GET")
    inside = {c.area_id for c in truth(world).cells if c.area_kind == "project"}
    assert {int(one) for one in told["by_project"]} <= inside
    assert len(world.projects) - len(inside) == outside


async def test_three_accounts_of_the_same_projects_cause_the_requests_of_one(
    tmp_path: Path,
) -> None:
    """Each account costs its own discovery, and nothing else."""
    world = build_world("shared", seed=5, sizes=FEW)
    names = [account.username for account in world.accounts]
    async with running(world, Options()) as server:
        alone = await _requests(tmp_path / "one", server, world, names[:1])
        together = await _requests(tmp_path / "three", server, world, names)
    assert len(names) == 3
    assert {k: v for k, v in alone.items() if not _is_discovery(k)} == {
        k: v for k, v in together.items() if not _is_discovery(k)
    }


def _is_discovery(endpoint: str) -> bool:
    return endpoint in ("groups", "projects")


async def _requests(data_dir: Path, server: Server, world: World, names: list[str]) -> Counter[str]:
    """Crawl with these accounts and return what the sandbox was asked, by endpoint."""
    await asyncio.to_thread(_control, server, "DELETE")
    async with rig(data_dir, server.url) as website:
        await _crawl(website, world, *names)
        await _assert_equals_truth(website, world, *names)
    return Counter((await asyncio.to_thread(_control, server, "GET"))["by_endpoint"])


def _control(server: Server, method: str) -> dict[str, Any]:
    """Ask the sandbox about itself, beside its API."""
    request = urllib.request.Request(f"{server.url}/-/sandbox/requests", method=method)
    with urllib.request.urlopen(request) as answer:
        told: dict[str, Any] = json.loads(answer.read() or b"{}")
    return told


@pytest.mark.parametrize(
    "faults",
    [
        (Fault(path="/issues", kind="429_http", times=5, retry_after_seconds=0),),
        (Fault(path="/issues", kind="429_app", times=3, retry_after_seconds=0),),
        (Fault(path="/issues", kind="429_bare", times=2),),
        (Fault(path="/members", kind="500", times=1), Fault(path="/labels", kind="503", times=2)),
        (Fault(path="/issues", kind="truncate", times=1),),
        (Fault(path="/resource_label_events", kind="reset", times=3),),
        (
            Fault(path="/issues", kind="html200", times=1),
            Fault(path="/resource_label_events", kind="502_html", times=1),
        ),
        (Fault(path="/projects", kind="wrong_type", times=1),),
    ],
    ids=lambda faults: "+".join(fault.kind for fault in faults),
)
async def test_crawl_through_faults_ends_complete(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    world = build_world("small", seed=2, sizes={"issues": 150})
    options = Options(faults=faults)
    async with running(world, options) as server, rig(tmp_path, server.url) as website:
        await _crawl(website, world)
        await _assert_equals_truth(website, world)


async def test_crawl_with_short_pages_and_links_to_another_host_is_complete(
    tmp_path: Path,
) -> None:
    world = build_world("default", seed=4, sizes=FEW)
    options = Options(short_pages=True, link_host="https://elsewhere.example")
    async with running(world, options) as server, rig(tmp_path, server.url) as website:
        await _crawl(website, world)
        await _assert_equals_truth(website, world)


@pytest.mark.seed("S1.28", "S2.103")
async def test_two_crawlers_share_the_jobs_and_double_nothing(tmp_path: Path) -> None:
    world = build_world("default", seed=6, sizes=FEW)
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.crawler("crawler-1", jobs=4), website.crawler("crawler-2", jobs=4):
            await website.finished()
        await _assert_equals_truth(website, world)


async def test_crawler_that_stops_gives_its_jobs_back_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    world = build_world("small", seed=9, sizes={"issues": 300})
    async with (
        running(world, Options(latency_ms=3)) as server,
        rig(tmp_path, server.url) as website,
    ):
        await website.plan(world)
        async with website.crawler() as first:
            await _records(website, 100)
        assert first.holding() == []
        assert await website.store.read(_running) == 0
        async with website.crawler():
            await website.finished()
        await _assert_equals_truth(website, world)


def _running(connection: object) -> int:
    return connection.exec_driver_sql(  # type: ignore[attr-defined,no-any-return]
        "SELECT COUNT(*) FROM job WHERE state = 'running'"
    ).scalar_one()


async def _records(website: Rig, wanted: int) -> None:
    async with asyncio.timeout(30):
        while True:
            ticket = website.store.changes.ticket()
            if (await website.store.read(summary.progress)).records >= wanted:
                return
            await ticket.wait()


@pytest.mark.seed("S1.18", "S1.31")
async def test_refused_token_holds_the_jobs_until_it_is_verified_again(tmp_path: Path) -> None:
    world = build_world("small", seed=9, sizes={"issues": 30})
    fault = Fault(path="/members", kind="401", times=1)
    options = Options(faults=(fault,))
    async with running(world, options) as server, rig(tmp_path, server.url) as website:
        await website.plan(world)
        async with website.crawler():
            await _held(website)
            await website.plan(world)
            await website.finished()
        await _assert_equals_truth(website, world)


async def _held(website: Rig) -> None:
    async with asyncio.timeout(30):
        while True:
            ticket = website.store.changes.ticket()
            now = await website.store.read(summary.progress)
            if now.jobs.get("held", 0) and not now.open_jobs:
                return
            await ticket.wait()


OWN_TREES = Path(__file__).parent.parent / "data" / "trees" / "own"


async def test_crawl_of_imported_exports_equals_the_truth(
    tmp_path: Path, gitlab_truth: Path | None, record_property: Callable[[str, object], None]
) -> None:
    """GitLab's own export trees; where they are absent, a small tree of our own making."""
    trees = [OWN_TREES / "project" / "tree", OWN_TREES / "group" / "tree"]
    if gitlab_truth is not None:
        exports = gitlab_truth / "export-trees"
        trees = [exports / "complex" / "tree", exports / "group_exports" / "complex" / "tree"]
    record_property("trees", [str(tree) for tree in trees])
    world = build_world("default", 1, {}, trees)
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        await _crawl(website, world)
        await _assert_equals_truth(website, world)
