"""Commits that are pushed while their list is read: told once, and all there after the next look."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Add, Planned, build_world
from labtrawl.store import visits
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl, path_of
from tests.rig.compare import expected_items

NAMES = ("commits", "commit_discussions")
SCHEDULE = Schedule(resources=NAMES)
WORLD = build_world("small", 2, SIZES | {"projects": 1, "commits": 330})
HOME = WORLD.projects[0]


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = NULL")
    visits.open_due(connection, SCHEDULE, 100)


async def _collected(one: Crawl) -> dict[str, int]:
    rows = await one.site.store.read(
        lambda c: c.exec_driver_sql("SELECT resource, collected FROM ledger").all()
    )
    return {row[0]: row[1] for row in rows if row[0] in NAMES}


def _truth(one: Crawl) -> dict[Key, object]:
    truth = expected_items(one.server.truth(commit_discussions=True))
    return {key: body for key, body in truth.items() if key[2] in NAMES}


def _counted(keys: Sequence[Key]) -> dict[str, int]:
    return {name: sum(key[2] == name for key in keys) for name in NAMES}


@pytest.mark.parametrize("pushed", [1, 120, 260])
@pytest.mark.parametrize("after", [1, 2])
async def test_commits_pushed_between_two_pages_are_counted_once(
    tmp_path: Path, pushed: int, after: int
) -> None:
    """A page of a hundred that moved down comes again, on whatever page that is by now."""
    push = tuple(Add(what="commit", project=HOME.id) for _ in range(pushed))
    plan = Planned(
        changes=push, matching=path_of("repository/commits", HOME.id), after_requests=after
    )
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE, script=(plan,)) as one:
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(60)
            _, twice = await one.items()
            found = await one.now()
            assert (twice, await _collected(one)) == ([], _counted(list(found)))
            await one.site.store.write(_sweep_all)
            await one.site.finished(60)
        assert await one.now() == _truth(one)
        assert await _collected(one) == _counted(list(_truth(one)))
        assert await one.gaps() == {}
