"""What is foretold of real crawls, at a limit of requests as users have it."""

import asyncio
from pathlib import Path

import pytest

from labtrawl.domain.eta import FIRM_SHARE
from labtrawl.domain.learned import Kind, Seen
from labtrawl.sandbox.presets import build_world
from labtrawl.store import jobs, leases
from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.pages import outlook
from labtrawl.website.figures.forecasts import PARENTS
from tests.integration.website.world import one_job
from tests.rig.foretold import WHOLE, Foretold, foretell

SMALL = {"projects": 5, "issues": 60, "merge_requests": 20, "notes": 100, "commits": 100}


def assert_is_told_narrowly(found: Foretold) -> None:
    """Once a fifth is done a range is told, first seconds apart, and it is narrow."""
    later = found.later(FIRM_SHARE)
    ranges = [one.told.range for one in later if one.told.range is not None]
    assert len(ranges) >= 0.8 * len(later) > 0
    assert all(each.upper <= 2 * each.lower for each in ranges)


async def test_requests_of_what_runs_are_those_until_it_was_heard_of(tmp_path: Path) -> None:
    """Not until now: a job would seem the slower, the longer it says nothing."""
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    async with open_store(path) as store:
        job_id = await store.write(one_job)
        await store.write(lambda c: leases.claim(c, "crawler-1", "claim", 1, 60.0))
        told = jobs.Progress(requests=7)
        await store.write(lambda c: jobs.progress(c, job_id, told))
        times = "UPDATE job SET started_at = 2000, updated_at = 6000"
        await store.write(lambda c: c.exec_driver_sql(times))
        look = await store.read(lambda c: outlook.outlook(c, PARENTS, 9000))
    assert look.seen == (Seen(Kind("issues"), 7, None, 2000, 6000, is_done=False),)


async def test_range_is_told_of_each_area_once_a_fifth_is_done(tmp_path: Path) -> None:
    found = await foretell(build_world("shared", sizes=SMALL), 2400, tmp_path / "out")
    assert_is_told_narrowly(found)
    whole = [one for one in found.later(FIRM_SHARE) if one.area == WHOLE]
    assert sum(map(found.is_inside, whole)) >= len(whole) / 2 > 0


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_true_end_is_inside_for_four_of_five_areas(tmp_path: Path) -> None:
    """Three crawls at a limit: many small areas, twenty with all their lists, one project."""
    shared, small = build_world("shared"), build_world("default")
    largest = max(small.projects, key=lambda one: len(one.issues) + len(one.merge_requests))
    crawls = {
        "twenty projects": await foretell(shared, 1500, tmp_path / "twenty"),
        "a tenth of w3n": await foretell(build_world("w3n@0.1"), 2000, tmp_path / "w3n"),
        "one project": await foretell(small, 1200, tmp_path / "one", largest.full_path),
    }
    inside = firsts = 0
    for name, found in crawls.items():
        assert_is_told_narrowly(found)
        first = [one for one in found.first(FIRM_SHARE) if one.area != WHOLE]
        later = found.later(FIRM_SHARE)
        right = sum(map(found.is_inside, first))
        print(
            f"{name:18} areas {right} of {len(first)}, all looks"
            f" {sum(map(found.is_inside, later))} of {len(later)}"
        )
        inside, firsts = inside + right, firsts + len(first)
    assert firsts >= 20
    assert inside >= 0.8 * firsts
