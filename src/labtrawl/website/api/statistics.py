"""The figures of the communication, the jobs by state, and reading gaps again."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.store import gaps
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer, asked
from labtrawl.website.api.shapes import Refilled, RefillWanted, StatisticsTold
from labtrawl.website.door.trail import note_detail
from labtrawl.website.figures.charts import Span


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/admin/statistics and /api/admin/ledger/refill."""

    @app.get("/api/admin/statistics")
    async def show(span: Span = Span.HOUR) -> Response:
        jobs = (await desk.figures.totals()).jobs
        told = await desk.site.crawling.statistics()
        over_time = await desk.figures.timelines.over(span)
        return answer(StatisticsTold(**told, jobs=dict(jobs), over_time=over_time))

    @app.post("/api/admin/ledger/refill")
    async def refill(request: Request) -> Response:
        named = await asked(request, RefillWanted)
        note_detail(request, named.area, named.resource)
        wanted = gaps.Wanted(named.area.strip("/"), named.resource)
        opened = await desk.site.store.write(lambda connection: gaps.refill(connection, wanted))
        return answer(Refilled(opened=opened))
