"""What everybody has who is signed in: their own sessions, and their account at GitLab."""

from collections.abc import Sequence

import msgspec
from fastapi import FastAPI, Request

from labtrawl import logs
from labtrawl.errors import BadMessage, Conflict, Missing
from labtrawl.store import connections, sessions
from labtrawl.store.connections import Link
from labtrawl.store.engine import Connection
from labtrawl.store.pages.sessions import SessionRow, own_sessions
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import Visitor, visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import Id

log = logs.get("website")

HERE = "/me/account"


class OwnAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, as what, where, and how the account is connected that is collected."""

    identity: str
    """INSTANCE:USER-ID; "" for who came by a link from the console."""
    username: str
    role: str
    sessions: Sequence[SessionRow]
    current: int
    """The number of the session that asks."""
    account: Link | None


class Disconnect(msgspec.Struct, frozen=True):
    """That it is meant: `sure` is yes."""

    sure: str = ""


class Disconnected(msgspec.Struct, frozen=True):
    """That the tokens are erased here, and whether GitLab confirmed that it ended them."""

    confirmed: bool


class Ended(msgspec.Struct, frozen=True):
    """How many sessions were ended."""

    sessions: int


def add(app: FastAPI, desk: Desk) -> None:
    """Add /me/account and what can be done there."""
    store = desk.site.store

    @twins.page(app, desk, HERE, OwnAccount, "Who is signed in, their sessions and their account")
    async def show(request: Request) -> Shown:
        visitor = visitor_of(request)
        told = await store.read(lambda connection: _told(connection, visitor))
        places = (
            {each.name: each for each in desk.site.entrance.places()} if desk.site.entrance else {}
        )
        place = places.get(told.account.instance_name) if told.account else None
        return Shown("own_account.html", told, values={"place": place})

    _add_ends(app, desk)
    _add_disconnect(app, desk)


def _add_ends(app: FastAPI, desk: Desk) -> None:
    """Add what ends sessions."""
    store = desk.site.store

    @twins.action(
        app, HERE + "/sessions/{session_id}/end", None, Ended, "End one of one's sessions"
    )
    async def end(request: Request, session_id: Id) -> Done:
        visitor = visitor_of(request)
        note_detail(request, "session", session_id)
        await store.write(lambda connection: _end(connection, visitor, session_id))
        return Done("/sign-in" if session_id == visitor.session_id else HERE, Ended(1))

    @twins.action(app, HERE + "/sessions/end-others", None, Ended, "End one's other sessions")
    async def end_others(request: Request) -> Done:
        visitor = visitor_of(request)
        person_id, own = visitor.person_id, visitor.session_id
        if person_id is None:
            return Done(HERE, Ended(0))
        count = await store.write(lambda connection: sessions.end_all(connection, person_id, own))
        return Done(HERE, Ended(count))


def _add_disconnect(app: FastAPI, desk: Desk) -> None:
    """Add what ends the connection with GitLab."""

    @twins.action(
        app,
        HERE + "/disconnect",
        Disconnect,
        Disconnected,
        "Erase one's tokens, here and at GitLab",
    )
    async def disconnect(request: Request, wanted: Disconnect) -> Done:
        if wanted.sure != "yes":
            raise BadMessage("nothing was done: say that you are sure (sure: yes)")
        is_confirmed = await _disconnect(desk, visitor_of(request))
        note_detail(request, "GitLab", "confirmed" if is_confirmed else "did not confirm")
        said = "disconnected" if is_confirmed else "disconnected_here"
        return Done(f"/sign-in?said={said}", Disconnected(is_confirmed))


def _told(connection: Connection, visitor: Visitor) -> OwnAccount:
    current = visitor.session_id or 0
    rows = own_sessions(connection, visitor.person_id, current)
    own = next((each for each in rows if each.id == current), None)
    account_id = visitor.account_id
    return OwnAccount(
        identity=own.identity if own else "",
        username=own.username if own else "",
        role=own.role if own else "",
        sessions=rows,
        current=current,
        account=None if account_id is None else connections.link_of(connection, account_id),
    )


def _end(connection: Connection, visitor: Visitor, session_id: int) -> None:
    """End a session; Missing for one that is not the visitor's own, or has ended."""
    is_own = session_id == visitor.session_id
    if visitor.person_id is None and not is_own:
        raise Missing(f"you have no session {session_id}")
    if not sessions.end(connection, session_id, visitor.person_id):
        raise Missing(f"you have no session {session_id}")


async def _disconnect(desk: Desk, visitor: Visitor) -> bool:
    """Erase the visitor's tokens and end all their sessions; say whether GitLab confirmed."""
    account_id, person_id = visitor.account_id, visitor.person_id
    if desk.site.entrance is None or account_id is None or person_id is None:
        raise Conflict("you have no account that is connected")
    is_confirmed = await desk.site.entrance.disconnect(account_id, desk.tell_stopped)
    if left := await desk.site.accounts.erase(account_id):
        log.warning("credential_not_erased", account=account_id, why=left)
    await desk.site.store.write(lambda connection: sessions.end_all(connection, person_id))
    return is_confirmed
