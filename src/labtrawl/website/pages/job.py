"""One job: its life, what it wrote, what went wrong, its children."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

from labtrawl.store.pages.job import job_detail, retry
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import newest_change
from labtrawl.website.addresses import live_job_address
from labtrawl.website.asking import Id, MaybeId
from labtrawl.website.desk import Desk


def add(app: FastAPI, desk: Desk) -> None:
    """Add /jobs/{job_id} and its retry."""
    store = desk.site.store

    @app.get("/jobs/{job_id}")
    async def show(job_id: Id, after: MaybeId = None, before: MaybeId = None) -> HTMLResponse:
        place = Place(after, before)
        await desk.figures.outlooks.refresh()
        detail, change = await store.read(
            lambda connection: (
                job_detail(connection, job_id, place),
                newest_change(connection),
            )
        )
        live = live_job_address(job_id, place, change)
        return desk.page("job.html", live=live, detail=detail)

    @app.post("/jobs/{job_id}/retry")
    async def retry_job(job_id: Id) -> RedirectResponse:
        await store.write(lambda connection: retry(connection, job_id))
        return RedirectResponse(f"/jobs/{job_id}", 303)
