"""The stream of a page: what changed of that which it shows."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from labtrawl.store.pages.jobs import JobFilter
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import JobsView, JobView, OverviewView, View
from labtrawl.store.sessions import SessionState, check_session
from labtrawl.website.asking import (
    Change,
    Ids,
    MaybeId,
    MaybeKind,
    MaybeState,
    PathPart,
    Word,
    ids_of,
)
from labtrawl.website.desk import Desk
from labtrawl.website.live import TICK_SECONDS, Viewer
from labtrawl.website.screens import message

# Shorter than the shortest idle limit that proxies are known for.
HEARTBEAT_SECONDS = 15.0
# Who signed out sees what changes for so long.
RECOGNISE_SECONDS = 1.0
ENDED = b"event: ended\ndata: signed out\n\n"


class Asked(BaseModel):
    """What is visible: a page by its name, and the rows on it."""

    view: Literal["overview", "jobs", "job"]
    since: Change = 0
    first: Literal["", "1"] = ""
    state: MaybeState = None
    resource: Word = ""
    area: PathPart = ""
    kind: MaybeKind = None
    ids: Ids = ""
    job: MaybeId = None
    after: MaybeId = None
    before: MaybeId = None

    def what(self) -> View:
        """Return it as the hub knows it."""
        if self.view == "jobs":
            wanted = JobFilter(self.state, self.resource, self.area, self.kind)
            return JobsView(wanted, ids_of(self.ids), self.first == "1")
        if self.view == "job":
            return JobView(self.job or 0, Place(self.after, self.before))
        return OverviewView()


def add(app: FastAPI, desk: Desk) -> None:
    """Add /live."""

    @app.get("/live")
    async def live(
        request: Request,
        asked: Annotated[Asked, Query()],
        last_event_id: Annotated[str, Header(max_length=18)] = "",
    ) -> StreamingResponse:
        # The newest that the browser saw, else what the page was made of.
        seen = int(last_event_id) if last_event_id.isdecimal() else 0
        viewer = Viewer(asked.what(), max(seen, asked.since))
        session = request.cookies[desk.site.cookie]
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = _stream(desk, viewer, session)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(desk: Desk, viewer: Viewer, session: str) -> AsyncIterator[bytes]:
    """Send until the viewer leaves, the session ends or the site stops."""
    clock = desk.site.clock
    checked = clock.monotonic()
    try:
        yield b": live\n\n"
        await desk.hub.join(viewer)
        while not viewer.closed:
            change, parts = await viewer.take(HEARTBEAT_SECONDS)
            if clock.monotonic() - checked >= RECOGNISE_SECONDS:
                checked = clock.monotonic()
                if not await _is_signed_in(desk, session):
                    yield ENDED
                    return
            yield message(change, parts) if parts else b": still here\n\n"
            await clock.sleep(TICK_SECONDS)
    finally:
        desk.hub.leave(viewer)


async def _is_signed_in(desk: Desk, session: str) -> bool:
    state = await desk.site.store.read(lambda connection: check_session(connection, session))
    return state is not SessionState.ENDED
