"""Builds the website: the app, its routes, the hub, and the guard around all of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from labtrawl.website import access
from labtrawl.website.answering.desk import Desk
from labtrawl.website.api import doors
from labtrawl.website.door.failures import Failures
from labtrawl.website.door.security import Guard
from labtrawl.website.figures.sampling import Sampler
from labtrawl.website.figures.sums import Figures
from labtrawl.website.given.site import Site
from labtrawl.website.live.hub import Hub
from labtrawl.website.operations import Operations
from labtrawl.website.pages import (
    about,
    accounts,
    areas,
    audit,
    backups,
    care,
    consent,
    coverage,
    crawlers,
    health,
    insights,
    job,
    jobs,
    live,
    logs,
    me,
    me_download,
    me_records,
    notices,
    operations,
    overview,
    own_account,
    sessions,
    settings,
    sign_in,
    statistics,
    supervisor,
)
from labtrawl.website.parts import assets
from labtrawl.website.parts.render import Renderer

PARTS = (
    sign_in,
    own_account,
    sessions,
    overview,
    jobs,
    job,
    operations,
    areas,
    me,
    me_records,
    me_download,
    consent,
    coverage,
    live,
    settings,
    supervisor,
    logs,
    crawlers,
    audit,
    statistics,
    insights,
    care,
    backups,
    notices,
    about,
    accounts,
)
"""The pages, a module each; the routes of one come before those of the next."""


class Website:
    """The website as one ASGI app; `stop_streams` lets go of the pages that stay open."""

    def __init__(self, guard: Guard, hub: Hub) -> None:
        self._guard = guard
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        await self._guard(scope, receive, send)

    def stop_streams(self) -> None:
        """End every open stream, and those that come later at once."""
        self._hub.close()


def build(site: Site) -> Website:
    """Build the website; LookupError where a route does not say who may use it."""
    shipped = assets.load()
    figures = Figures(site)
    renderer = Renderer(shipped, site.contact, site.mode, figures.outlooks.wait_of)
    desk = Desk(site, renderer, figures, Hub(site, renderer, figures))
    failures = Failures(renderer)
    app = _app(desk, failures)
    health.add(app, desk, shipped)
    for part in PARTS:
        part.add(app, desk)
    doors.add(app, desk)
    access.check(app)
    return Website(Guard(app, site, failures), desk.hub)


def _app(desk: Desk, failures: Failures) -> FastAPI:
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lambda _app: _running(desk),
        exception_handlers=failures.handlers(),
    )
    # Level 4 is nearly as small as 9 and three times as fast; streams are never packed.
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)
    return app


@contextlib.asynccontextmanager
async def _running(desk: Desk) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(desk.hub.run()),
            tasks.create_task(desk.figures.outlooks.run()),
            tasks.create_task(Operations(desk.site).run()),
        ]
        if desk.site.is_sampled:
            running.append(tasks.create_task(Sampler(desk.site, desk.figures).run()))
        yield
        desk.hub.close()
        desk.figures.reckoning.stop()
        for task in running:
            task.cancel()
