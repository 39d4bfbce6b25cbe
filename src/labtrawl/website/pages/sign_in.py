"""Signing in: the page that says how, by a one-time link, and out.

Opening the link only shows a button: a program that looks at links beforehand does not use it up.
"""

from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field
from starlette.responses import Response

from labtrawl.store.sessions import LinkState, find_session, link_state, revoke, sign_in
from labtrawl.website.answering.desk import Desk
from labtrawl.website.door.callers import name_of
from labtrawl.website.door.entering import Gate, forget, own_path, remember
from labtrawl.website.door.trail import note_detail
from labtrawl.website.pages import sign_in_gitlab
from labtrawl.website.parts.asking import form_field

ReturnTo = Annotated[str, Field(max_length=2000)]
Said = Annotated[str, Field(max_length=32)]


def _page(
    desk: Desk, token: str, state: LinkState | None, to: str = "", said: str = ""
) -> HTMLResponse:
    is_good = state in {None, LinkState.FRESH}
    entrance = desk.site.entrance
    return desk.page(
        "sign_in.html",
        status=200 if is_good else 410,
        token=token,
        state=state,
        to=own_path(to),
        said=said,
        places=entrance.places() if entrance else (),
        mode=desk.site.mode,
    )


def add(app: FastAPI, desk: Desk) -> None:
    """Add /sign-in, what lies below it, and /sign-out."""
    store, gate = desk.site.store, Gate(desk.site.clock)

    @app.get("/sign-in")
    async def show(token: str = "", to: ReturnTo = "", said: Said = "") -> Response:
        if not token:
            return _page(desk, "", None, to, said)
        state = await store.read(lambda connection: link_state(connection, token))
        return _page(desk, token, state)

    @app.post("/sign-in")
    async def use(request: Request) -> Response:
        gate.check_tries(request)
        return await _sign_in(desk, gate, request, await form_field(request, "token"))

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await _sign_out(desk, request.cookies[desk.site.cookie])

    sign_in_gitlab.add(app, desk, gate)


async def _sign_in(desk: Desk, gate: Gate, request: Request, token: str) -> Response:
    before = request.cookies.get(desk.site.cookie, "")
    state, session = await desk.site.store.write(lambda connection: sign_in(connection, token))
    if session is None:
        gate.failed(request)
        return _page(desk, "", state)
    known = await desk.site.store.read(lambda connection: find_session(connection, session))
    if before:
        await desk.site.store.write(lambda connection: revoke(connection, before))
    note_detail(request, "signed in as", name_of(known) if known else "nobody any more")
    response = RedirectResponse("/", 303)
    remember(desk.site, response, session)
    return response


async def _sign_out(desk: Desk, session: str) -> Response:
    await desk.site.store.write(lambda connection: revoke(connection, session))
    response = RedirectResponse("/sign-in", 303)
    forget(desk.site, response)
    return response
