"""A fresh access token for a job; never a refresh token."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from labtrawl.protocol.exchange import Tier
from labtrawl.protocol.messages import TokenRefreshRequest
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.speaking import body_of, crawler_of, exchanged, read
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail


def add(app: FastAPI, desk: Desk) -> None:
    """Add /api/internal/refresh-token."""

    @app.post("/api/internal/refresh-token")
    async def refresh(request: Request) -> Response:
        if visitor_of(request).tier is not Tier.SESSION:
            # What hands out tokens needs the client's proof, over the socket too.
            crawler_of(request)
        body = await body_of(request)
        wanted = read(body, TokenRefreshRequest)
        whose = f"job {wanted.task_id}" if wanted.task_id else f"account {wanted.account_id}"
        note_detail(request, f"token of {whose}")
        return await exchanged(desk, request, "message", "TOKEN_REFRESH_REQUEST", body)
