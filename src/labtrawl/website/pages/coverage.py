"""The heat map: area by resource, how much of it is there, and why not more."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from labtrawl.store import gaps
from labtrawl.store.pages.areas import AreaFilter
from labtrawl.store.pages.coverage import CoverageLine, coverage
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.parts.addresses import Pager, around
from labtrawl.website.parts.asking import Id, InTree, MaybeId, MaybeKind, PathPart, place_in_tree
from labtrawl.website.parts.cells import lines_of
from labtrawl.website.parts.words import read_again


@dataclass(frozen=True, slots=True)
class CoverageTold:
    """A page of the heat map, and the addresses of the pages around it."""

    rows: Sequence[CoverageLine]
    pages: Pager


@dataclass(frozen=True, slots=True)
class ListsTold:
    """How many lists are read again."""

    lists: int


def add(app: FastAPI, desk: Desk) -> None:
    """Add /coverage, and the refills of all areas and of one."""
    store = desk.site.store

    @twins.page(app, desk, "/coverage", CoverageTold, "How much of each list of each area is there")
    async def show(
        path: PathPart = "",
        kind: MaybeKind = None,
        after: InTree = None,
        before: InTree = None,
        lists: MaybeId = None,
    ) -> Shown:
        wanted = AreaFilter(path, kind)
        place = place_in_tree(after, before)
        page = await store.read(lambda connection: coverage(connection, wanted, place))
        pager = around("/coverage", wanted, page, [line.row for line in page.rows])
        columns, lines = lines_of(page.rows)
        values = {"wanted": wanted, "columns": columns, "lines": lines, "pager": pager}
        values["said"] = read_again(lists, gaps.MOST)
        return Shown("coverage.html", CoverageTold(page.rows, pager.for_programs()), values=values)

    _add_refills(app, desk)


def _add_refills(app: FastAPI, desk: Desk) -> None:
    store = desk.site.store

    @twins.action(app, "/coverage/refill", None, ListsTold, "Read every list with a gap again")
    async def refill() -> Done:
        found = await store.write(lambda connection: gaps.refill(connection, gaps.Wanted()))
        return Done(f"/coverage?lists={found}", ListsTold(found))

    @twins.action(
        app, "/areas/{area_id}/refill", None, ListsTold, "Read an area's lists with a gap again"
    )
    async def refill_one(area_id: Id) -> Done:
        found = await store.write(lambda connection: gaps.refill_area(connection, area_id))
        return Done(f"/areas/{area_id}?lists={found}", ListsTold(found))
