"""The earlier endpoints of jobs: what could be claimed, how far a job is."""

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.protocol.exchange import Tier
from labtrawl.protocol.messages import ProgressUpdate, RequestJobs
from labtrawl.store import tasks
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer, body_of, exchanged, read
from labtrawl.website.api.shapes import task_told
from labtrawl.website.door.callers import visitor_of

LEGACY_JOBS = 10
# Peers of dialect 1 claim by asking; the same one gets the same jobs until they end.
LEGACY_CLAIM = msgspec.json.encode(RequestJobs(request_id="GET jobs/open", limit=LEGACY_JOBS))


def is_unproved_peer(request: Request) -> bool:
    """Say whether a request came over the local socket without saying which crawler it is."""
    visitor = visitor_of(request)
    return visitor.tier is Tier.SOCKET and visitor.crawler is None


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal/jobs/…."""

    @app.get("/api/internal/jobs/open")
    async def open_jobs(request: Request) -> Response:
        if desk.site.accepts_legacy and is_unproved_peer(request):
            return await exchanged(desk, request, "jobRequest", "request_jobs", LEGACY_CLAIM)
        rows = await desk.site.store.read(lambda c: tasks.claimable(c, LEGACY_JOBS))
        wait_of = await desk.figures.outlooks.asked()
        return answer([task_told(row, wait_of) for row in rows])

    @app.post("/api/internal/jobs/progress")
    async def progress(request: Request) -> Response:
        body = await body_of(request)
        read(body, ProgressUpdate)
        return await exchanged(desk, request, "message", "PROGRESS_UPDATE", body)
