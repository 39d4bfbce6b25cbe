"""Every open session, for admins, who may end any of them."""

from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Request

from labtrawl.errors import Missing
from labtrawl.store import sessions
from labtrawl.store.pages.keyset import Page, Place
from labtrawl.store.pages.sessions import SessionRow, list_sessions
from labtrawl.website.access import VERSION
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import Id, MaybeId
from labtrawl.website.parts.reasons import LONGEST_REASON, reason_of

HERE = "/sessions"


class SessionsTold(msgspec.Struct, frozen=True):
    """A page of the open sessions, the newest first; where the next page is, if there is one."""

    rows: tuple[SessionRow, ...]
    next: str | None


class EndOf(msgspec.Struct, frozen=True):
    """Why a session is ended: it stands in the audit log."""

    because: str


class Ended(msgspec.Struct, frozen=True):
    """Which session was ended."""

    session: int


def add(app: FastAPI, desk: Desk) -> None:
    """Add /sessions."""
    store = desk.site.store

    @twins.page(app, desk, HERE, SessionsTold, "The open sessions, the newest first")
    async def show(request: Request, after: MaybeId = None, before: MaybeId = None) -> Shown:
        place = Place(after, before)
        page = await store.read(lambda connection: list_sessions(connection, place))
        previous, following = _around(page)
        told = SessionsTold(tuple(page.rows), VERSION + following if following else None)
        values = {
            "previous": previous,
            "next": following,
            "current": visitor_of(request).session_id,
            "longest_reason": LONGEST_REASON,
        }
        return Shown("sessions.html", told, values=values)

    @twins.action(app, HERE + "/{session_id}/end", EndOf, Ended, "End a session at once")
    async def end(request: Request, session_id: Id, wanted: EndOf) -> Done:
        note_detail(request, "session", session_id, reason_of(wanted.because))
        if not await store.write(lambda connection: sessions.end(connection, session_id)):
            raise Missing(f"there is no open session {session_id}")
        return Done(HERE, Ended(session_id))


def _around(page: Page[SessionRow]) -> tuple[str | None, str | None]:
    """Return the addresses of the pages before and after one."""
    if not page.rows:
        return None, None
    first, last = page.rows[0].id, page.rows[-1].id
    previous = f"{HERE}?{urlencode({'before': first})}" if page.has_previous else None
    following = f"{HERE}?{urlencode({'after': last})}" if page.has_next else None
    return previous, following
