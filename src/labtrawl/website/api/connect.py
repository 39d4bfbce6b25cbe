"""A crawler without a usable socket: it registers, gives signs of life, asks for requests."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.errors import BadMessage, Conflict
from labtrawl.protocol import proof
from labtrawl.protocol.messages import (
    PROTOCOL,
    Heartbeat,
    Register,
    Registered,
    RequestBudget,
)
from labtrawl.store import leases, tokens
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import (
    answer,
    asked,
    body_of,
    crawler_of,
    exchanged,
    read,
    task_number,
)
from labtrawl.website.api.shapes import Alive
from labtrawl.website.door.callers import NotYours, Visitor, bearer_of, visitor_of
from labtrawl.website.door.trail import note_detail


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal2/connect, /heartbeat and /budget."""

    @app.post("/api/internal2/connect")
    async def connect(request: Request) -> Response:
        register = await asked(request, Register)
        note_detail(request, register.id)
        return await _connect(desk, request, register)

    @app.post("/api/internal2/heartbeat")
    async def heartbeat(request: Request) -> Response:
        name = crawler_of(request)
        await desk.site.crawling.hear(name, await asked(request, Heartbeat))
        return answer(Alive(server_time=desk.site.clock.now_ms()))

    @app.post("/api/internal2/budget")
    async def budget(request: Request) -> Response:
        crawler_of(request)
        body = await body_of(request)
        read(body, RequestBudget)
        return await exchanged(desk, request, "jobRequest", "request_budget", body)


async def _connect(desk: Desk, request: Request, register: Register) -> Response:
    if register.type != "crawler":
        raise BadMessage(f"only a crawler registers here, not a {register.type!r}")
    await _take_name(desk, visitor_of(request), register.id)
    held = {(task_number(one.task_id), one.epoch) for one in register.holding}
    site = desk.site
    released = await site.store.write(lambda c: leases.release_unheld(c, register.id, held))
    await site.crawling.hear(register.id, Heartbeat(timestamp=site.clock.now_ms()), register)
    registered = Registered(
        client_id=site.name,
        protocol=PROTOCOL,
        heartbeat_interval_ms=int(site.heartbeat_seconds * 1000),
        server_time=site.clock.now_ms(),
        proof=_proof(request, register, site.name),
        released=[str(job_id) for job_id in released],
    )
    return answer(registered)


async def _take_name(desk: Desk, visitor: Visitor, name: str) -> None:
    """Let a credential use the name that it registers under; Conflict where it is not its own."""
    owner = visitor.owner
    if owner is not None:
        await desk.site.store.write(lambda c: tokens.take_name(c, name, owner))
    elif visitor.crawler is None:
        raise NotYours("a crawler registers with its token: send it as Authorization: Bearer …")
    elif visitor.crawler != name:
        raise Conflict(f"this token is that of {visitor.crawler!r}: register under this id")


def _proof(request: Request, register: Register, website: str) -> str:
    """Prove to the crawler that this website knows its token, as over the socket."""
    secret = proof.secret_of(bearer_of(request))
    return proof.prove(secret, register.nonce, "", proof.ROLE_WEBSITE, website)
