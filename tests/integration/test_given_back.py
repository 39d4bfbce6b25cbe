"""Sweeps that are given back again and again: they go on, end, and bury what is gone and nothing else."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.policy import GONE
from labtrawl.domain.visit import Mode, Schedule
from labtrawl.http import Answer
from labtrawl.sandbox import Add, Remove, build_world
from labtrawl.sandbox.changes import Change
from labtrawl.store import jobs, visits
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl
from tests.prove.sim import Sim, sim
from tests.prove.test_invariants_readings import LIMITS, LivingPages, _present, _states, _truth
from tests.rig.compare import expected_items
from tests.rig.crawl import open_jobs

WORLD = build_world("small", 2, SIZES | {"projects": 1, "issues": 16})
HOME = WORLD.projects[0]
NAMES = ("labels", "issue_award_emoji")
SCHEDULE = Schedule(resources=NAMES)
# Of the requests that a sweep of either list takes, no crawler lives for more.
REQUESTS = 4
MOST_RUNS = 40


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = NULL")
    visits.open_due(connection, SCHEDULE, 100)


def _labels(count: int) -> list[Change]:
    return [
        Add(what="label", project=HOME.id, fields={"name": f"m{number:03d}"})
        for number in range(count)
    ]


def _expected(one: Crawl) -> dict[Key, object]:
    truth = expected_items(one.server.truth())
    return {key: body for key, body in truth.items() if key[2] in NAMES}


async def _is_open(one: Crawl) -> bool:
    count: int = await one.site.store.read(open_jobs)
    return count > 0


async def _crawlers_until_done(one: Crawl) -> int:
    """Let crawlers come and go, each after a few requests; return how many it took."""
    for run in range(1, MOST_RUNS):
        async with one.site.crawler(jobs=1) as engine, asyncio.timeout(20):
            while engine.requests() < REQUESTS and await _is_open(one):  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # the crawler works meanwhile, in this very loop
        if not await _is_open(one):
            return run
    return MOST_RUNS


async def test_sweep_that_no_crawler_outlives_goes_on_and_finds_what_is_gone(
    tmp_path: Path,
) -> None:
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE, latency_ms=3) as one:
        one.site.graphql = False
        one.server.change(*_labels(620))
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
        awarded = next(issue for issue in HOME.issues if issue.awards)
        label = one.server.world.projects[0].labels[5]
        award = awarded.awards[0]
        one.server.change(
            Remove(what="label", project=HOME.id, key=label.id),
            Remove(what="award", project=HOME.id, iid=awarded.iid, key=award.id),
        )
        await one.site.store.write(_sweep_all)
        assert await _crawlers_until_done(one) < MOST_RUNS
        assert await one.now() == _expected(one)
        assert await one.gaps() == {}


async def _sweep_in_parts(
    world: Sim, chance: random.Random, meddle: Callable[[], None], by: Callable[[], str]
) -> int:
    """Sweep by runs that are given back after some pages; return how many it took."""
    assert await world.store.write(lambda c: jobs.reopen(c, 1, "issues", Mode.SWEEP)) is not None
    for run in range(1, MOST_RUNS):
        job = world.run(await world.claim("crawler-1"), LocalDisk(), limits=LIMITS)
        left = [chance.randrange(1, 4)]

        def stopping(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] <= 0

        job.stopping, job.visit.by = stopping, by()
        await job.run()
        if await world.state() == "completed":
            return run
        meddle()
    return MOST_RUNS


async def _read(world: Sim) -> None:
    await world.run(await world.claim("crawler-1"), LocalDisk(), limits=LIMITS).run()


@pytest.mark.parametrize("seed", range(8))
async def test_sweep_in_parts_buries_what_went_before_it_and_nothing_that_stayed(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(25, seed)  # type: ignore[assignment]
        await _read(world)
        before = set(_truth(pages))
        for _ in range(chance.randrange(4)):
            pages.delete()
        went = before - set(_truth(pages))

        def meddle() -> None:
            if chance.random() < 0.4:
                chance.choice([pages.add, pages.delete, pages.edit])()

        assert await _sweep_in_parts(world, chance, meddle, str) < MOST_RUNS
        states = await _states(world)
        assert {states[each] for each in went} <= {GONE}
        assert {states[each] for each in before & set(_truth(pages))} <= {"present"}
        assert await _sweep_in_parts(world, chance, lambda: None, str) < MOST_RUNS
        assert await _present(world) == _truth(pages)


class Limited(LivingPages):
    """A GitLab that lets nobody ask for more than a few pages, and then for minutes for none."""

    left = 3

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        self.left -= 1
        if self.left < 0:
            told = {"content-type": "text/plain", "retry-after": "600"}
            return Answer(429, told, b"Retry later", request)
        return await LivingPages.get(self, request, headers)


async def test_sweep_that_is_told_to_wait_again_and_again_ends(tmp_path: Path) -> None:
    async with sim(tmp_path, rows=0) as world:
        pages = Limited(25, 1)
        world.pages, pages.left = pages, 100  # type: ignore[assignment]
        await _read(world)
        pages.delete()
        assert await world.store.write(lambda c: jobs.reopen(c, 1, "issues", Mode.SWEEP))
        for _ in range(MOST_RUNS):
            pages.left = 3
            await _read(world)
            if await world.state() == "completed":
                break
            await world.store.write(
                lambda c: c.exec_driver_sql("UPDATE job SET run_after = NULL").rowcount
            )
        assert await world.state() == "completed"
        assert await _present(world) == _truth(pages)


async def test_sweep_that_another_account_takes_over_begins_anew(tmp_path: Path) -> None:
    """What one account met says nothing of what another one sees: so no such sweep ends."""
    chance = random.Random(1)
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(25, 1)  # type: ignore[assignment]
        await _read(world)
        pages.delete()
        names = iter(f"account-{number}" for number in range(MOST_RUNS))
        taken = await _sweep_in_parts(world, chance, lambda: None, lambda: next(names))
        assert (taken, set((await _states(world)).values())) == (MOST_RUNS, {"present"})
