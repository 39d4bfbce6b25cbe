"""The figures of the communication, and the jobs by state."""

from fastapi import FastAPI
from starlette.responses import Response

from labtrawl.website.api.shapes import StatisticsTold
from labtrawl.website.api.speaking import answer
from labtrawl.website.desk import Desk


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/admin/statistics."""

    @app.get("/api/admin/statistics")
    async def show() -> Response:
        figures = await desk.figures.overview()
        told = await desk.site.crawling.statistics()
        return answer(StatisticsTold(**told, jobs=dict(figures.totals.jobs)))
