"""How far a task is, what its crawler tells of it, and what it holds already."""

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.errors import BadMessage
from labtrawl.protocol.messages import RequestManifest
from labtrawl.store import tasks
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import (
    answer,
    body_of,
    crawler_of,
    exchanged,
    read,
    task_number,
)
from labtrawl.website.api.shapes import progress_told

TASK = "/api/internal2/tasks/{task_id}"


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/tasks/{task_id}/progress, /discovered and /manifest."""

    @app.get(f"{TASK}/progress")
    async def show(task_id: str) -> Response:
        row = await desk.site.store.read(lambda c: tasks.one(c, task_number(task_id)))
        return answer(progress_told(row))

    @app.post(f"{TASK}/progress")
    async def report(request: Request, task_id: str) -> Response:
        body = await body_of(request)
        _check_task(body, task_id)
        check_id(request, body)
        return await exchanged(desk, request, "message", "PROGRESS_UPDATE", body)

    @app.post(f"{TASK}/discovered")
    async def discovered(request: Request, task_id: str) -> Response:
        body = await body_of(request)
        _check_task(body, task_id)
        check_id(request, body)
        return await exchanged(desk, request, "message", "JOBS_DISCOVERED", body)

    @app.post(f"{TASK}/manifest")
    async def manifest(request: Request, task_id: str) -> Response:
        crawler_of(request)
        body = await body_of(request)
        read(body, RequestManifest)
        _check_task(body, task_id)
        return await exchanged(desk, request, "jobRequest", "request_manifest", body)


def check_id(request: Request, body: bytes) -> None:
    """Refuse a report under an epoch without an id, before it costs its job."""
    if read(body, dict[str, Any]).get("epoch") and not request.headers.get("idempotency-key"):
        raise BadMessage("a report under an epoch needs a ULID in the header Idempotency-Key")


def _check_task(body: bytes, task_id: str) -> None:
    """What else is wrong is the handlers' matter: a report that cannot be applied ends its job."""
    told = read(body, dict[str, Any]).get("taskId")
    if told != task_id:
        raise BadMessage(f"the address names task {task_id} and the body task {told}")
