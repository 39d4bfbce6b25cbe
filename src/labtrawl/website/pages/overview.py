"""The overview: where the whole stands, at one look."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from labtrawl.website.addresses import live_overview_address
from labtrawl.website.desk import Desk


def add(app: FastAPI, desk: Desk) -> None:
    """Add /."""

    @app.get("/")
    async def show() -> HTMLResponse:
        figures = await desk.figures.overview()
        live = live_overview_address(figures.now.change)
        return desk.page("overview.html", live=live, figures=figures)
