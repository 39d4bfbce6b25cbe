"""Signing in by a one-time link, and out.

Opening the link only shows a button: a program that looks at links beforehand does not use it up.
"""

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from labtrawl.store.sessions import (
    SESSION_SECONDS,
    LinkState,
    find_session,
    link_state,
    revoke,
    sign_in,
)
from labtrawl.website.asking import form_field
from labtrawl.website.callers import name_of
from labtrawl.website.desk import Desk
from labtrawl.website.trail import note_detail


def _page(desk: Desk, token: str, state: LinkState | None) -> HTMLResponse:
    is_good = state in {None, LinkState.FRESH}
    status = 200 if is_good else 410
    return desk.page("sign_in.html", token=token, state=state, status=status)


def _set_cookie(desk: Desk, response: Response, token: str) -> None:
    response.set_cookie(
        desk.site.cookie,
        token,
        max_age=SESSION_SECONDS,
        path="/",
        secure=desk.site.is_https,
        httponly=True,
        samesite="lax",
    )


def add(app: FastAPI, desk: Desk) -> None:
    """Add /sign-in and /sign-out."""
    store = desk.site.store

    @app.get("/sign-in")
    async def show(token: str = "") -> Response:
        if not token:
            return _page(desk, "", None)
        state = await store.read(lambda connection: link_state(connection, token))
        return _page(desk, token, state)

    @app.post("/sign-in")
    async def use(request: Request) -> Response:
        return await _sign_in(desk, request, await form_field(request, "token"))

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await _sign_out(desk, request.cookies[desk.site.cookie])


async def _sign_in(desk: Desk, request: Request, token: str) -> Response:
    state, session = await desk.site.store.write(lambda connection: sign_in(connection, token))
    if session is None:
        return _page(desk, "", state)
    known = await desk.site.store.read(lambda connection: find_session(connection, session))
    note_detail(request, "signed in as", name_of(known) if known else "nobody any more")
    response = RedirectResponse("/", 303)
    _set_cookie(desk, response, session)
    return response


async def _sign_out(desk: Desk, session: str) -> Response:
    site = desk.site
    await site.store.write(lambda connection: revoke(connection, session))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(
        site.cookie, path="/", secure=site.is_https, httponly=True, samesite="lax"
    )
    return response
