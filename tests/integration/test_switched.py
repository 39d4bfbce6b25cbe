"""What is switched off, forbidden or lost after it was collected: told in the ledger, and not buried."""

from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Edit, Grant, build_world
from labtrawl.sandbox.changes import Change
from labtrawl.store import manifest
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import SIZES, Cell, Crawl, Key, crawl
from tests.rig.compare import expected_items

WORLD = build_world("small", 2, SIZES | {"groups": 2, "releases": 4, "environments": 2})
TOP, SUB = WORLD.groups
HOME = WORLD.projects[0]
ME = WORLD.accounts[0].username
SCHEDULE = Schedule()


def _features(*names: str, level: str) -> Change:
    levels = dict.fromkeys(names, level)
    return Edit(what="project", project=HOME.id, fields={"features": levels})


# What happens, and what takes it back: lists that seem empty, that are missing, and that refuse.
SWITCHES: dict[str, tuple[Change, Change]] = {
    f"{name} off": (_features(name, level="disabled"), _features(name, level="enabled"))
    for name in ("issues", "repository", "builds")
}
_PLANS = ("issues", "merge_requests")
SWITCHES |= {
    "nothing to plan": (_features(*_PLANS, level="disabled"), _features(*_PLANS, level="enabled")),
    "role lowered": (
        Grant(what="group", key=TOP.id, user=ME, level=10),
        Grant(what="group", key=TOP.id, user=ME, level=40),
    ),
    "fenced": (
        Edit(what="group", group=SUB.id, fields={"forbidden": True}),
        Edit(what="group", group=SUB.id, fields={"forbidden": False}),
    ),
}


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


async def _visit(one: Crawl) -> None:
    """Twice: the first discovery tells what the second reading of each list meets."""
    for _ in range(2):
        await one.site.store.write(_sweep_all)
        await one.site.finished(30)


async def _states(one: Crawl) -> dict[Key, str]:
    """The newest state of each object."""
    newest = {}
    for row in await one.site.store.read(manifest.segments):
        for record in read_segment(dataset_root(one.site.data_dir), row):
            key = (row.area_kind, row.gitlab_id, row.resource, str(record.id))
            newest[key] = record.state
    return newest


def _gaps(one: Crawl) -> dict[Cell, str]:
    cells = one.server.truth().cells
    return {(cell.full_path, cell.resource): cell.gap for cell in cells if cell.gap}


@pytest.mark.parametrize("name", SWITCHES)
async def test_what_is_lost_for_a_time_is_explained_and_comes_back(
    tmp_path: Path, name: str
) -> None:
    lost, back = SWITCHES[name]
    async with crawl(tmp_path, world=WORLD, schedule=SCHEDULE) as one:
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            before = expected_items(one.server.truth())
            assert await one.now() == before
            one.server.change(lost)
            await _visit(one)
            gaps = _gaps(one)
            assert await one.gaps() == gaps != {}
            cells = one.server.truth().cells
            hidden = {(cell.area_id, cell.resource) for cell in cells if cell.gap}
            states = await _states(one)
            told = {state for key, state in states.items() if key[1:3] in hidden}
            assert told <= {"present", "unknown", "forbidden"}
            one.server.change(back)
            await _visit(one)
        assert await one.now() == expected_items(one.server.truth())
        assert await one.gaps() == {}
