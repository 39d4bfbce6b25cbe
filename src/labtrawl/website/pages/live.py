"""The stream of a browser: what changed of that which its pages show."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from labtrawl.store.pages.jobs import JobFilter
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.live import JobsView, JobView, OverviewView, PageView, View
from labtrawl.store.sessions import SessionState, check_session
from labtrawl.website.access import PAGES
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
from labtrawl.website.callers import Visitor, visitor_of
from labtrawl.website.desk import Desk
from labtrawl.website.live import TICK_SECONDS, Viewer, Watch
from labtrawl.website.screens import ended, message

# Shorter than the shortest idle limit that proxies are known for.
HEARTBEAT_SECONDS = 15.0
# Who signed out sees what changes for so long.
RECOGNISE_SECONDS = 1.0
# As many pages as people have open; each costs as much as one with a stream of its own.
MOST_WATCHES = 100

# KEY.QUERY: a page of a stream that many share, by a key of the browser's choice.
Key = Annotated[str, Field(max_length=16_000, pattern=r"^[0-9]{1,9}\.")]


class Asked(BaseModel):
    """What is visible: a page by its name, and the rows on it."""

    view: Literal["overview", "jobs", "job", "page"]
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
        return OverviewView() if self.view == "overview" else PageView()


def is_for(visitor: Visitor, view: View) -> bool:
    """Say whether somebody may watch that: a participant learns only that something changed."""
    return view == PageView() or bool(PAGES & visitor.roles)


def add(app: FastAPI, desk: Desk) -> None:
    """Add /live: one page by `view`, or several by `watch`, each KEY.QUERY."""

    @app.get("/live")
    async def live(
        request: Request,
        watch: Annotated[list[Key], Query(max_length=MOST_WATCHES)] = [],  # noqa: B006 - FastAPI copies it
        last_event_id: Annotated[str, Header(max_length=18)] = "",
    ) -> StreamingResponse:
        # The newest that the browser saw, else what the page was made of.
        seen = int(last_event_id) if last_event_id.isdecimal() else 0
        wanted = dict(each.split(".", 1) for each in watch) or {"": request.url.query}
        found = {key: _watch(key, query, seen) for key, query in wanted.items()}
        if not watch and found[""] is None:
            raise HTTPException(422)
        visitor = visitor_of(request)
        allowed = [each for each in found.values() if each and is_for(visitor, each.view)]
        if not allowed:
            raise HTTPException(403)
        refused = sorted(found.keys() - {each.key for each in allowed})
        session = request.cookies[desk.site.cookie]
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = _stream(desk, Viewer(allowed), refused, session)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _watch(key: str, query: str, seen: int) -> Watch | None:
    """Read what one page shows; None where it is no page of ours."""
    try:
        asked = Asked.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValueError:
        return None
    return Watch(asked.what(), max(seen, asked.since), key)


async def _stream(
    desk: Desk, viewer: Viewer, refused: Sequence[str], session: str
) -> AsyncIterator[bytes]:
    """Send until the viewer leaves, the session ends or the site stops."""
    clock = desk.site.clock
    checked = clock.monotonic()
    try:
        yield ended(refused) if refused else b": live\n\n"
        await desk.hub.join(viewer)
        while not viewer.closed:
            change, parts = await viewer.take(HEARTBEAT_SECONDS)
            if clock.monotonic() - checked >= RECOGNISE_SECONDS:
                checked = clock.monotonic()
                if not await _is_signed_in(desk, session):
                    yield ended([watch.key for watch in viewer.watches])
                    return
            yield message(change, parts) if parts else b": still here\n\n"
            await clock.sleep(TICK_SECONDS)
    finally:
        desk.hub.leave(viewer)


async def _is_signed_in(desk: Desk, session: str) -> bool:
    state = await desk.site.store.read(lambda connection: check_session(connection, session))
    return state is not SessionState.ENDED
