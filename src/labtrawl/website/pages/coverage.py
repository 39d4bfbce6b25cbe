"""The heat map: area by resource, how much of it is there, and why not more."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

from labtrawl.store import gaps
from labtrawl.store.pages.areas import AreaFilter
from labtrawl.store.pages.coverage import coverage
from labtrawl.website.addresses import around
from labtrawl.website.asking import Id, InTree, MaybeKind, PathPart, place_in_tree
from labtrawl.website.cells import lines_of
from labtrawl.website.desk import Desk


def add(app: FastAPI, desk: Desk) -> None:
    """Add /coverage, and the refills of all areas and of one."""

    @app.get("/coverage")
    async def show(
        path: PathPart = "",
        kind: MaybeKind = None,
        after: InTree = None,
        before: InTree = None,
    ) -> HTMLResponse:
        wanted = AreaFilter(path, kind)
        place = place_in_tree(after, before)
        page = await desk.site.store.read(lambda connection: coverage(connection, wanted, place))
        pager = around("/coverage", wanted, page, [line.row for line in page.rows])
        columns, lines = lines_of(page.rows)
        return desk.page("coverage.html", wanted=wanted, columns=columns, lines=lines, pager=pager)

    @app.post("/coverage/refill")
    async def refill() -> RedirectResponse:
        await desk.site.store.write(lambda connection: gaps.refill(connection, gaps.Wanted()))
        return RedirectResponse("/coverage", 303)

    @app.post("/areas/{area_id}/refill")
    async def refill_one(area_id: Id) -> RedirectResponse:
        await desk.site.store.write(lambda connection: gaps.refill_area(connection, area_id))
        return RedirectResponse(f"/areas/{area_id}", 303)
