"""The crawlers for admins: who is there, how it is, and what is wanted of them."""

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.protocol.exchange import Tier
from labtrawl.protocol.messages import PROTOCOL
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer, asked, task_number
from labtrawl.website.api.health import whole_health
from labtrawl.website.api.shapes import Commanded, CrawlerCommand, CrawlerStatus
from labtrawl.website.door.trail import note_detail


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/admin/crawler."""

    @app.get("/api/admin/crawler")
    async def show() -> Response:
        return answer(await _status(desk))

    @app.post("/api/admin/crawler")
    async def command(request: Request) -> Response:
        wanted = await asked(request, CrawlerCommand)
        if wanted.action == "status":
            return answer(await _status(desk))
        job = None if wanted.task_id is None else f"job {wanted.task_id}"
        note_detail(request, wanted.action, wanted.crawler, job)
        task_id = None if wanted.task_id is None else task_number(str(wanted.task_id))
        done = await desk.site.crawling.command(wanted.action, wanted.crawler, task_id)
        reached = Commanded(action=wanted.action, crawlers=done["crawlers"], jobs=done["jobs"])
        return answer(reached)


async def _status(desk: Desk) -> CrawlerStatus:
    crawling = desk.site.crawling
    return CrawlerStatus(
        connection=crawling.connection(),
        clients=await crawling.clients(),
        health=await whole_health(desk),
        architecture=_architecture(desk),
    )


def _architecture(desk: Desk) -> dict[str, Any]:
    """Say how website and crawlers speak with each other."""
    return {
        "communication": "direct",
        "protocol": PROTOCOL,
        "dialects": [1, 2],
        "framing": "JSON lines over a Unix socket; the same messages over HTTP and WebSocket",
        "sockets": {name: str(path) for name, path in desk.site.sockets.items()},
        "authentication": [tier.value for tier in Tier],
        "delivery": "at least once on the wire, exactly once in effect",
    }
