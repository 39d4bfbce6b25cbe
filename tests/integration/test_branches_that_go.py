"""A branch that is deleted, then a push: what is read for the push does not hide what is gone."""

from pathlib import Path

from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Add, Remove, build_world
from labtrawl.store import visits
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import SIZES, crawl
from tests.rig.compare import expected_items

WORLD = build_world("small", 2, SIZES | {"projects": 1, "commits": 40, "branches": 6})
HOME = WORLD.projects[0]
NAMES = ("branches", "commits")
SCHEDULE = Schedule(resources=NAMES)


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = NULL")
    visits.open_due(connection, SCHEDULE, 100)


async def test_branch_that_went_before_a_push_is_buried_by_the_next_sweep(tmp_path: Path) -> None:
    gone = next(each.name for each in HOME.branches if each.name != HOME.default_branch)
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE) as one:
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            one.server.change(
                Remove(what="branch", project=HOME.id, key=gone),
                Add(what="commit", project=HOME.id),
            )
            await one.site.store.write(lambda c: visiting.open_all(c, SCHEDULE))
            await one.site.finished(30)
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
        truth = expected_items(one.server.truth())
        assert await one.now() == {key: body for key, body in truth.items() if key[2] in NAMES}
        assert await one.gaps() == {}
