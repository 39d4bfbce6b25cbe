"""The tree of areas, and one area."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from labtrawl.domain.eta import Told
from labtrawl.store import gaps
from labtrawl.store.pages.areas import AreaDetail, AreaFilter, AreaSum, area_detail, list_areas
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Shown
from labtrawl.website.parts.addresses import Pager, around
from labtrawl.website.parts.asking import Id, InTree, MaybeId, MaybeKind, PathPart, place_in_tree
from labtrawl.website.parts.words import in_order, read_again


@dataclass(frozen=True, slots=True)
class AreasTold:
    """A page of the tree, and the addresses of the pages around it."""

    rows: Sequence[AreaSum]
    pages: Pager


@dataclass(frozen=True, slots=True)
class AreaTold:
    """One area, its ledger in the order of its page, and when it will be done."""

    area: AreaDetail
    ends: Told


def add(app: FastAPI, desk: Desk) -> None:
    """Add /areas and /areas/{area_id}."""
    store = desk.site.store

    @twins.page(app, desk, "/areas", AreasTold, "The areas that match, in the order of the tree")
    async def show(
        path: PathPart = "",
        kind: MaybeKind = None,
        after: InTree = None,
        before: InTree = None,
    ) -> Shown:
        wanted = AreaFilter(path, kind)
        place = place_in_tree(after, before)
        page = await store.read(lambda connection: list_areas(connection, wanted, place))
        pager = around("/areas", wanted, page, [area.row for area in page.rows])
        values = {"wanted": wanted, "page": page, "pager": pager}
        return Shown("areas.html", AreasTold(page.rows, pager.for_programs()), values=values)

    @twins.page(app, desk, "/areas/{area_id}", AreaTold, "One area with its ledger and its jobs")
    async def show_one(area_id: Id, lists: MaybeId = None) -> Shown:
        detail = await store.read(lambda connection: area_detail(connection, area_id))
        lines = {line.resource: line for line in detail.ledger}
        ordered = [lines[name] for name in in_order(set(lines))]
        ends = await desk.figures.outlooks.area(area_id)
        said = read_again(lists, gaps.MOST)
        values = {"detail": detail, "lines": ordered, "ends": ends, "said": said}
        return Shown("area.html", AreaTold(detail, ends), values=values)
