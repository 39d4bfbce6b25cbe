"""More rows of one instant than a page holds: made by an import, or changed all at once."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Edit, Fault, World, build_world
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl, path_of
from tests.rig.compare import expected_items

NAMES = ("issues", "merge_requests", "pipelines")
SCHEDULE = Schedule(resources=NAMES)
COUNTS = dict.fromkeys(NAMES, 230)
WORLD = build_world("small", 2, SIZES | COUNTS | {"projects": 1})
HOME = WORLD.projects[0]
AT = "2026-11-21T10:00:00.000Z"
# Keyset, which the older one has for no list, knows rows of one instant apart.
VERSIONS = pytest.mark.parametrize("version", ["18.2.0-ee", "19.3.0-ee"])


def _imported(before: int = 0) -> World:
    """A world whose items were all made at once, but for some before them."""
    lists = (HOME.issues, HOME.merge_requests)
    issues, requests = (
        tuple(
            replace(one, created_at=AT if at >= before else f"2025-01-01T00:00:{at:02d}.000Z")
            for at, one in enumerate(each)
        )
        for each in lists
    )
    return replace(WORLD, projects=(replace(HOME, issues=issues, merge_requests=requests),))


def _truth(one: Crawl) -> dict[Key, object]:
    truth = expected_items(one.server.truth())
    return {key: body for key, body in truth.items() if key[2] in NAMES}


@VERSIONS
async def test_items_that_were_made_at_once_are_all_read(tmp_path: Path, version: str) -> None:
    world = _imported()
    async with crawl(tmp_path, world=world, schedule=SCHEDULE, version=version) as one:
        await one.site.plan(world, version=version)
        async with one.site.crawler():
            await one.site.finished(30)
        found, twice = await one.items()
        assert (found, twice, await one.gaps()) == (_truth(one), [], {})


async def test_items_that_were_made_at_once_are_counted_once_by_smaller_pages(
    tmp_path: Path,
) -> None:
    """GitLab fails at the second page: the next try asks for half of it, from the same instant on."""
    world = _imported(before=20)
    fault = Fault(path=path_of("merge_requests", HOME.id), kind="500", skip=1, times=3)
    async with crawl(tmp_path, fault, world=world, schedule=SCHEDULE) as one:
        await one.site.plan(world)
        async with one.site.crawler() as engine, one.time.leaping(engine.requests):
            await one.site.finished(30)
        found, twice = await one.items()
        assert (found, twice, await one.gaps()) == (_truth(one), [], {})


def _all_edited() -> list[Edit]:
    told: dict[str, Any] = {"project": HOME.id, "at": AT}
    edits = [Edit(what="issue", key=each.iid, **told) for each in HOME.issues]
    edits += [Edit(what="merge_request", key=each.iid, **told) for each in HOME.merge_requests]
    return edits + [Edit(what="pipeline", key=each.id, **told) for each in HOME.pipelines]


@VERSIONS
async def test_items_that_changed_at_once_are_all_read_again(tmp_path: Path, version: str) -> None:
    """By the watch of their group, and by the visits that it leads to."""
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE, version=version) as one:
        await one.site.plan(WORLD, version=version)
        async with one.site.crawler():
            await one.site.finished(30)
            one.server.change(*_all_edited())
            await one.site.store.write(
                lambda c: c.exec_driver_sql("UPDATE visit SET watermark = 1").rowcount
            )
            await one.site.store.write(lambda c: visiting.open_all(c, SCHEDULE))
            await one.site.finished(30)
        assert await one.now() == _truth(one)
        assert await one.gaps() == {}
