"""Whether everything is right: for a crawler in short, for an admin check by check with advice."""

from fastapi import FastAPI
from starlette.responses import Response

from labtrawl.protocol.messages import PROTOCOL
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import answer
from labtrawl.website.api.shapes import DoorHealth, Health, check_told
from labtrawl.website.care.looking import database_answers, health_of
from labtrawl.website.care.verdicts import State


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/health and /api/admin/health."""

    @app.get("/api/internal2/health")
    async def of_the_door() -> Response:
        database = await database_answers(desk.site)
        healthy = database and desk.site.ready()
        told = DoorHealth(
            healthy=healthy,
            database=database,
            protocol=PROTOCOL,
            server_time=desk.site.clock.now_ms(),
            heartbeat_interval_ms=int(desk.site.heartbeat_seconds * 1000),
        )
        return answer(told, 200 if healthy else 503)

    @app.get("/api/admin/health")
    async def whole() -> Response:
        return answer(await whole_health(desk))


async def whole_health(desk: Desk) -> Health:
    """Look at everything that has to be right; it is healthy where nobody must act."""
    found = await health_of(desk.site)
    checks = [check_told(each) for each in found.checks]
    return Health(healthy=found.state is not State.BAD, checks=checks)
