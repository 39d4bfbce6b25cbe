"""The list of jobs: filtered, paged, live."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from labtrawl.store.pages.jobs import JobFilter, facets, list_jobs, resources
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import any_state, newest_change
from labtrawl.website.addresses import jobs_address, live_jobs_address
from labtrawl.website.asking import MaybeId, MaybeKind, MaybeState, PathPart, Word
from labtrawl.website.desk import Desk
from labtrawl.website.words import in_order


def add(app: FastAPI, desk: Desk) -> None:
    """Add /jobs."""

    @app.get("/jobs")
    async def show(
        state: MaybeState = None,
        resource: Word = "",
        area: PathPart = "",
        kind: MaybeKind = None,
        after: MaybeId = None,
        before: MaybeId = None,
    ) -> HTMLResponse:
        wanted = JobFilter(state, resource, area, kind)
        return await _page(desk, wanted, Place(after, before))


async def _page(desk: Desk, wanted: JobFilter, place: Place[int]) -> HTMLResponse:
    await desk.figures.outlooks.refresh()
    page, counts, known, change = await desk.site.store.read(
        lambda connection: (
            list_jobs(connection, wanted, place),
            facets(connection, any_state(wanted)),
            resources(connection),
            newest_change(connection),
        )
    )
    ids = [row.id for row in page.rows]
    previous = Place(before=ids[0]) if ids and page.has_previous else None
    following = Place(after=ids[-1]) if ids and page.has_next else None
    return desk.page(
        "jobs.html",
        live=live_jobs_address(wanted, ids, not page.has_previous, change),
        wanted=wanted,
        page=page,
        counts=counts,
        resources=in_order(set(known) | ({wanted.resource} - {""})),
        newest=jobs_address(wanted),
        newer=jobs_address(wanted, previous) if previous else None,
        older=jobs_address(wanted, following) if following else None,
    )
