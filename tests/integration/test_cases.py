"""Each resource of the catalog in its cases: truth, forbidden, switched off, empty, two pages.

The other two, changed and deleted, are in `test_changed_and_deleted`. A resource that is added to
the catalog fails here until the look-alike has it in all of them.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.catalog import RESOURCES
from labtrawl.sandbox.truth import Cell as TrueCell
from labtrawl.sandbox.truth import Truth
from labtrawl.store import manifest
from tests.integration.faults.crawling import Crawl, crawl
from tests.rig.cases import CELLS, Cell, world_of_cases
from tests.rig.compare import expected_items

SCHEDULE = Schedule(resources=("*", "commit_discussions"))
ONE_OBJECT = {
    (one.area_kind.value, one.name) for one in RESOURCES if one.single and not one.watches
}
# Nobody is without a place from which to inherit, and one object is always there.
NEVER_EMPTY = (ONE_OBJECT - {("project", "merge_request_approvals")}) | {
    ("group", "inherited_members"),
    ("project", "inherited_members"),
}
# GitLab gives all of them at once (lib/api/issue_links.rb).
ONE_PAGE = ONE_OBJECT | {("project", "issue_links")}
# What a project has whatever is switched off.
NO_SWITCH = {(kind, name) for kind, name in CELLS if kind == "group"} | {
    ("project", "project"),
    ("project", "members"),
    ("project", "inherited_members"),
    ("project", "events"),
}
BY_GRAPHQL_ALONE = {("project", "timelogs")}


def _where(truth: Truth, test: Callable[[TrueCell], bool]) -> set[Cell]:
    return {(cell.area_kind, cell.resource) for cell in truth.cells if test(cell)}


@pytest.mark.parametrize("graphql", [True, False])
async def test_each_resource_is_read_as_it_is_in_each_case(tmp_path: Path, graphql: bool) -> None:
    world = world_of_cases()
    async with crawl(tmp_path, world=world, schedule=SCHEDULE) as one:
        one.site.graphql = graphql
        await one.site.plan(world)
        async with one.site.crawler():
            await one.site.finished(60)
        truth = one.server.truth(commit_discussions=True)
        items, twice = await one.items()
        assert items == expected_items(truth)
        assert twice == []
        assert await one.gaps() == _gaps(truth)
        if not graphql:
            assert CELLS - await _paged(one) == ONE_PAGE | BY_GRAPHQL_ALONE
    assert CELLS - _where(truth, lambda cell: bool(cell.items)) == set()
    assert CELLS - _where(truth, lambda cell: cell.gap == "forbidden") == set()
    assert CELLS - _where(truth, lambda cell: cell.gap == "feature_off") == NO_SWITCH
    assert CELLS - _where(truth, lambda cell: not (cell.items or cell.gap)) == NEVER_EMPTY


def _gaps(truth: Truth) -> dict[tuple[str, str], str]:
    return {(cell.full_path, cell.resource): cell.gap for cell in truth.cells if cell.gap}


async def _paged(one: Crawl) -> set[Cell]:
    """The resources of which something came with the second page of a list.

    By number, by GitLab's keyset, or along the time of creation.
    """
    found: set[Cell] = set()
    for row in await one.site.store.read(manifest.segments):
        for record in read_segment(dataset_root(one.site.data_dir), row):
            if any(each in record.request for each in ("page=2", "cursor=", "created_after=")):
                found.add((row.area_kind, row.resource))
    return found
