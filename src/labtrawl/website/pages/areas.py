"""The tree of areas, and one area."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from labtrawl.store.pages.areas import AreaFilter, area_detail, list_areas
from labtrawl.website.addresses import around
from labtrawl.website.asking import Id, InTree, MaybeKind, PathPart, place_in_tree
from labtrawl.website.desk import Desk
from labtrawl.website.words import in_order


def add(app: FastAPI, desk: Desk) -> None:
    """Add /areas and /areas/{area_id}."""
    store = desk.site.store

    @app.get("/areas")
    async def show(
        path: PathPart = "",
        kind: MaybeKind = None,
        after: InTree = None,
        before: InTree = None,
    ) -> HTMLResponse:
        wanted = AreaFilter(path, kind)
        place = place_in_tree(after, before)
        page = await store.read(lambda connection: list_areas(connection, wanted, place))
        pager = around("/areas", wanted, page, [area.row for area in page.rows])
        return desk.page("areas.html", wanted=wanted, page=page, pager=pager)

    @app.get("/areas/{area_id}")
    async def show_one(area_id: Id) -> HTMLResponse:
        detail = await store.read(lambda connection: area_detail(connection, area_id))
        lines = {line.resource: line for line in detail.ledger}
        ordered = [lines[name] for name in in_order(set(lines))]
        ends = await desk.figures.outlooks.area(area_id)
        return desk.page("area.html", detail=detail, lines=ordered, ends=ends)
