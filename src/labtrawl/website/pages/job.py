"""One job: its life, what it wrote, what went wrong, its children, and what can be done to it."""

from typing import Annotated

import msgspec
from fastapi import FastAPI, Request

from labtrawl.store import tasks
from labtrawl.store.operations import LARGEST_PRIORITY
from labtrawl.store.pages.job import JobDetail, job_detail, retry
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import newest_change
from labtrawl.store.tasks import TaskRow
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.addresses import live_job_address
from labtrawl.website.parts.asking import Id, MaybeId


class PriorityWanted(msgspec.Struct, frozen=True):
    """A job with a higher priority is done first; 0 is usual."""

    value: Annotated[int, msgspec.Meta(ge=-LARGEST_PRIORITY, le=LARGEST_PRIORITY)]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /jobs/{job_id}, and what is done to one job at once."""
    store = desk.site.store

    @twins.page(app, desk, "/jobs/{job_id}", JobDetail, "One job with all that belongs to it")
    async def show(job_id: Id, after: MaybeId = None, before: MaybeId = None) -> Shown:
        place = Place(after, before)
        await desk.figures.outlooks.refresh()
        detail, change = await store.read(
            lambda connection: (
                job_detail(connection, job_id, place),
                newest_change(connection),
            )
        )
        live = live_job_address(job_id, place, change)
        return Shown("job.html", detail, live, values={"detail": detail})

    _add_deeds(app, desk)


def _add_deeds(app: FastAPI, desk: Desk) -> None:
    store, crawling = desk.site.store, desk.site.crawling

    @twins.action(
        app, "/jobs/{job_id}/retry", None, TaskRow, "Queue a failed or cancelled job again"
    )
    async def retry_job(job_id: Id) -> Done:
        await store.write(lambda connection: retry(connection, job_id))
        return await _done(desk, job_id)

    @twins.action(app, "/jobs/{job_id}/pause", None, TaskRow, "Let an open job wait")
    async def pause(job_id: Id) -> Done:
        await crawling.command("pause", None, job_id)
        return await _done(desk, job_id)

    @twins.action(app, "/jobs/{job_id}/resume", None, TaskRow, "Let a paused job go on")
    async def resume(job_id: Id) -> Done:
        await crawling.command("resume", None, job_id)
        return await _done(desk, job_id)

    _add_priority(app, desk)


def _add_priority(app: FastAPI, desk: Desk) -> None:
    store = desk.site.store

    @twins.action(
        app,
        "/jobs/{job_id}/priority",
        PriorityWanted,
        TaskRow,
        "Let an open job come sooner or later",
    )
    async def prioritise(request: Request, job_id: Id, wanted: PriorityWanted) -> Done:
        note_detail(request, f"priority {wanted.value}")
        await store.write(lambda c: tasks.prioritise(c, job_id, wanted.value))
        return await _done(desk, job_id)


async def _done(desk: Desk, job_id: int) -> Done:
    told = await desk.site.store.read(lambda c: tasks.one(c, job_id))
    return Done(f"/jobs/{job_id}", told)
