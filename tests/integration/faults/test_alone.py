"""A list that fails costs itself, and what is read of its rows: every other one is whole."""

import re
from pathlib import Path

import pytest

from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.catalog import RESOURCES, Resource
from labtrawl.sandbox import Fault
from tests.integration.faults.crawling import crawl
from tests.integration.test_changed_and_deleted import WORLD
from tests.rig.cases import CELLS, Cell
from tests.rig.compare import expected_items

SCHEDULE = Schedule(resources=("*", "commit_discussions"))
LISTS = [one for one in RESOURCES if one.path and not one.watches]
# In two halves; with a list of parents all that they have fails, so those are in one.
PARENTS = {one.parent for one in LISTS if one.parent}
HALVES = {
    "parents": [one for one in LISTS[::2] if not one.parent]
    + [one for one in LISTS if one.name in PARENTS],
    "others": [one for one in LISTS if one.name not in PARENTS][1::2],
}


def _fault(one: Resource) -> Fault:
    path = re.escape(one.path).replace(r"\{id\}", "[0-9]+").replace(r"\{iid\}", "[^/?]+")
    return Fault(path=rf"/{path}(\?|$)", kind="500", times=0)


def _cells(half: list[Resource]) -> set[Cell]:
    names = {one.name for one in half}
    nested = [one for one in LISTS if one.parent in names]
    return {(one.area_kind.value, one.name) for one in (*half, *nested)}


@pytest.mark.parametrize("half", HALVES)
async def test_list_that_fails_costs_itself_alone(tmp_path: Path, half: str) -> None:
    failing = _cells(HALVES[half])
    faults = [_fault(one) for one in HALVES[half]]
    async with crawl(tmp_path, *faults, world=WORLD, schedule=SCHEDULE) as one:
        one.site.graphql = False
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(60)
        truth = one.server.truth(commit_discussions=True)
        items, twice = await one.items()
        gaps = await one.gaps()
    assert failing < CELLS
    assert gaps == {
        (cell.full_path, cell.resource): "failed"
        for cell in truth.cells
        if (cell.area_kind, cell.resource) in failing
    }
    wanted = {k: b for k, b in expected_items(truth).items() if (k[0], k[2]) not in failing}
    assert (items, twice) == (wanted, [])
