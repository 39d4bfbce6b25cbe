"""The streams: what changed of that which a page shows, and one stream for all pages of a browser."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import JobView, OverviewView, PageView, View
from labtrawl.website.access import PAGES
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.picking import AskedFilter, Size
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.live.hub import TICK_SECONDS, Viewer
from labtrawl.website.live.screens import ListView, message
from labtrawl.website.live.shared import Shared, Watch, watched
from labtrawl.website.parts.asking import (
    Change,
    Ids,
    MaybeId,
    ids_of,
)

# Shorter than the shortest idle limit that proxies are known for.
HEARTBEAT_SECONDS = 15.0
ENDED = b"event: ended\ndata: signed out\n\n"
# As many pages as people have open; each costs as much as one with a stream of its own.
MOST_PAGES = 100


class Asked(AskedFilter):
    """What is visible: a page by its name, and the rows on it."""

    view: Literal["overview", "jobs", "job", "page"]
    since: Change = 0
    first: Literal["", "1"] = ""
    ids: Ids = ""
    job: MaybeId = None
    size: Size = 50
    after: MaybeId = None
    before: MaybeId = None

    def what(self) -> View:
        """Return it as the hub knows it."""
        if self.view == "jobs":
            return ListView(self.filter(), ids_of(self.ids), self.first == "1", self.size)
        if self.view == "job":
            return JobView(self.job or 0, Place(self.after, self.before))
        return OverviewView() if self.view == "overview" else PageView()


def add(app: FastAPI, desk: Desk) -> None:
    """Add /live, the stream of one page, and /streams, those of all pages of a browser in one."""

    @app.get("/live")
    async def live(
        request: Request,
        asked: Annotated[Asked, Query()],
        last_event_id: Annotated[str, Header(max_length=18)] = "",
    ) -> StreamingResponse:
        # A participant learns that something was committed, not what.
        if asked.view != "page" and not PAGES & visitor_of(request).roles:
            raise HTTPException(403)
        # The newest that the browser saw, else what the page was made of.
        seen = int(last_event_id) if last_event_id.isdecimal() else 0
        session = request.cookies[desk.site.cookie]
        viewer = Viewer(asked.what(), max(seen, asked.since), session)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(desk, viewer), media_type="text/event-stream", headers=headers
        )

    @app.get("/streams")
    async def streams(
        request: Request,
        watch: Annotated[list[Watch], Query(min_length=1, max_length=MOST_PAGES)],
    ) -> Shared:
        return Shared(request, [watched(each) for each in watch])


async def _stream(desk: Desk, viewer: Viewer) -> AsyncIterator[bytes]:
    """Send until the viewer leaves, the session ends or the site stops."""
    try:
        yield b": live\n\n"
        desk.hub.join(viewer)
        while not viewer.closed:
            change, parts = await viewer.take(HEARTBEAT_SECONDS)
            if not viewer.closed:
                yield message(change, parts) if parts else b": still here\n\n"
                await desk.site.clock.sleep(TICK_SECONDS)
        if viewer.is_signed_out:
            yield ENDED
    finally:
        desk.hub.leave(viewer)
