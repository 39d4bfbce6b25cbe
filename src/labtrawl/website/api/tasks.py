"""Jobs as tasks: list, claim, renew, change, give back, cancel, report, discover."""

from typing import Annotated, Literal

import msgspec
from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from labtrawl.domain.job import JobState
from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.gitlab import catalog
from labtrawl.protocol import messages as wire
from labtrawl.store import tasks
from labtrawl.store.jobs import PlannedJob
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import (
    answer,
    asked,
    body_of,
    crawler_of,
    exchange,
    exchanged,
    read,
    task_number,
)
from labtrawl.website.api.progress import check_id
from labtrawl.website.api.shapes import (
    TaskChange,
    TaskList,
    TaskReturn,
    TaskWanted,
    task_told,
)
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import LARGEST

Wish = Literal["run", "pause", "cancel"]
ACTIONS: dict[Wish, str] = {"run": "resume", "pause": "pause", "cancel": "cancel"}
TASK = "/api/internal2/tasks/{task_id}"
Limit = Annotated[int, Query(ge=1, le=tasks.MOST)]
After = Annotated[int, Query(ge=0, le=LARGEST)]


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/tasks and what is below it."""
    _add_list(app, desk)
    _add_task(app, desk)


def _add_list(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/internal2/tasks")
    async def every(
        after: After = 0, limit: Limit = 100, state: JobState | None = None
    ) -> Response:
        rows = await desk.site.store.read(lambda c: tasks.after(c, after, limit, state))
        following = rows[-1].id if len(rows) == limit else None
        wait_of = await desk.figures.outlooks.asked()
        told = [task_told(row, wait_of) for row in rows]
        return answer(TaskList(tasks=told, next=following))

    @app.post("/api/internal2/tasks")
    async def claim_or_add(request: Request) -> Response:
        if visitor_of(request).may_command:
            wanted = await asked(request, TaskWanted)
            note_detail(request, f"{wanted.command} of area {wanted.area_id}")
            return await _add(desk, wanted)
        crawler_of(request)
        body = await body_of(request)
        read(body, wire.RequestJobs)
        return await exchanged(desk, request, "jobRequest", "request_jobs", body)


def _add_task(app: FastAPI, desk: Desk) -> None:
    @app.get(TASK)
    async def show(task_id: str) -> Response:
        row = await desk.site.store.read(lambda c: tasks.one(c, task_number(task_id)))
        return await _told(desk, row)

    @app.put(TASK)
    async def change(request: Request, task_id: str) -> Response:
        wanted = await asked(request, TaskChange)
        if visitor_of(request).may_command:
            return await _change(desk, request, task_number(task_id), wanted)
        return await _renew(desk, request, task_number(task_id), wanted)

    @app.delete(TASK)
    async def end(request: Request, task_id: str) -> Response:
        body = await body_of(request)
        if visitor_of(request).may_command:
            note_detail(request, "cancel")
            return await _command(desk, task_number(task_id), "cancel")
        crawler_of(request)
        back = read(body, TaskReturn)
        check_id(request, body)
        update = wire.ProgressUpdate(
            task_id=str(task_number(task_id)),
            status="paused",
            timestamp=desk.site.clock.now_ms(),
            epoch=back.epoch,
        )
        payload = msgspec.json.encode(update)
        return await exchanged(desk, request, "message", "PROGRESS_UPDATE", payload)


async def _told(desk: Desk, row: tasks.TaskRow, status: int = 200) -> Response:
    return answer(task_told(row, await desk.figures.outlooks.asked()), status)


async def _add(desk: Desk, wanted: TaskWanted) -> Response:
    store = desk.site.store
    kind = await store.read(lambda c: tasks.area_kind(c, wanted.area_id))
    if catalog.find(kind, wanted.command) is None:
        raise BadMessage(f"a {kind} has no {wanted.command!r} that could be collected")
    planned = PlannedJob(wanted.area_id, wanted.command, wanted.priority)
    return await _told(desk, await store.write(lambda c: tasks.add(c, planned)), 201)


async def _change(desk: Desk, request: Request, job_id: int, change: TaskChange) -> Response:
    if (change.priority is None) == (change.wanted is None):
        raise BadMessage('a change names either a "priority" or what is "wanted"')
    priority = change.priority
    note_detail(request, change.wanted or f"priority {priority}")
    if priority is not None:
        row = await desk.site.store.write(lambda c: tasks.prioritise(c, job_id, priority))
        return await _told(desk, row)
    assert change.wanted is not None
    return await _command(desk, job_id, ACTIONS[change.wanted])


async def _command(desk: Desk, job_id: int, action: str) -> Response:
    await desk.site.crawling.command(action, None, job_id)
    return await _told(desk, await desk.site.store.read(lambda c: tasks.one(c, job_id)))


async def _renew(desk: Desk, request: Request, job_id: int, change: TaskChange) -> Response:
    crawler_of(request)
    if change.epoch is None:
        raise BadMessage('a renewal names the "epoch" of the lease')
    lease = wire.Holding(task_id=str(job_id), epoch=change.epoch)
    payload = msgspec.json.encode(wire.RenewLeases(leases=[lease]))
    reply = await exchange(desk, request, "jobRequest", "renew_leases", payload)
    renewed = read(bytes(reply.payload), wire.LeasesRenewed).leases[0]
    if renewed.lost:
        raise LeaseLost(f"job {job_id} is no longer under lease {change.epoch}; drop it")
    return answer(renewed)
