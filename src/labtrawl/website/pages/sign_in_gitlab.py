"""Signing in with a GitLab: there by a form and a page that leads on, back by GitLab's redirect.

The form's own answer is no redirect: browsers hold one to `form-action`, which names this site
alone. And no GET begins anything, so a link from elsewhere cannot. State, verifier and nonce belong
to one browser and one GitLab, and end with the first answer (RFC 9700, 2.1 and 4.4; RFC 7636).
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from labtrawl import logs
from labtrawl.domain.credential import Secret
from labtrawl.errors import (
    ConfigError,
    GitLabError,
    LabtrawlError,
    Missing,
    Unauthorized,
)
from labtrawl.store import people, sessions, sign_in_attempts
from labtrawl.store.engine import Connection
from labtrawl.store.sessions import Role
from labtrawl.store.sign_in_attempts import Attempt, Wish, keys_of, new_browser
from labtrawl.website.answering.desk import Desk
from labtrawl.website.door import entering
from labtrawl.website.door.entering import Gate, own_path
from labtrawl.website.door.roles import STUDY, role_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.given.entrance import Arrival, Entrance, Place
from labtrawl.website.parts.asking import form_fields

log = logs.get("website")

HOMES = {Role.PARTICIPANT: "/me"}
LONGEST_TOKEN = 1024
# GitLab's own word for a no; others are shown as they are, cut short.
DENIED = "access_denied"

Answered = Annotated[str, Query(max_length=4096)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody is signed in, as the page says it."""

    status: int
    title: str
    message: str
    is_try: bool = True
    """Whether it counts against the address: somebody's wrong answer, not GitLab's trouble."""


class NotIn(Exception):
    """Nobody is signed in."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.title)
        self.refusal = refusal


NOT_BEGUN = Refusal(
    400,
    "This sign-in is over",
    "It was not begun in this browser, was finished already, or took longer than ten minutes."
    " Nothing was asked of GitLab.",
)
NO_OPERATOR = (
    "GitLab says that you are {identity} ({name}), and this site knows no such operator. Ask an"
    " admin to add {identity} to website.operators."
)
NO_PARTICIPANT = (
    "You are {identity} ({name}), and no operator here. To take part in the study, sign in with the"
    " other button: it lets labtrawl read for you."
)
USE_GITLAB = "You are an {role} here: sign in with GitLab. A token alone does not do for that."


def add(app: FastAPI, desk: Desk, gate: Gate) -> None:
    """Add what lies below /sign-in."""
    way = Way(desk, gate)

    @app.post("/sign-in/gitlab/{place}")
    async def leave(request: Request, place: str) -> Response:
        gate.start(request)
        fields = await form_fields(request)
        wish = Wish.OPERATE if fields.get("wish") == Wish.OPERATE else Wish.TAKE_PART
        return await way.leave(request, way.place(place), wish, own_path(fields.get("to", "")))

    @app.get("/sign-in/gitlab/{place}/answer")
    async def answer(
        request: Request,
        place: str,
        state: Answered = "",
        code: Answered = "",
        error: Answered = "",
        iss: Answered = "",
    ) -> Response:
        gate.check_tries(request)
        try:
            way.check_issuer(place, iss)
            return await way.back(request, place, state, code, error)
        except NotIn as no:
            return way.refuse(request, no.refusal)

    _add_token(app, gate, way)


def _add_token(app: FastAPI, gate: Gate, way: "Way") -> None:
    """Add the way in with a token that somebody made by hand."""

    @app.post("/sign-in/token")
    async def show_token(request: Request) -> Response:
        gate.check_tries(request)
        fields = await form_fields(request)
        try:
            return await way.with_token(request, fields.get("place", ""), fields.get("token", ""))
        except NotIn as no:
            return way.refuse(request, no.refusal)


class Way:
    """The way to a GitLab and back."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        self._desk = desk
        self._site = desk.site
        self._gate = gate

    @property
    def _entrance(self) -> Entrance:
        if self._site.entrance is None:
            raise Missing("there is no GitLab to sign in with")
        return self._site.entrance

    def place(self, name: str) -> Place:
        """Return a GitLab that one can sign in with; Missing for any other."""
        for each in self._entrance.places():
            if each.name == name and each.has_application:
                return each
        raise Missing("there is no such GitLab to sign in with")

    async def leave(self, request: Request, place: Place, wish: Wish, to: str) -> Response:
        """Answer with the page that leads to GitLab."""
        if self._site.mode != STUDY:
            wish = Wish.OPERATE
        browser = request.cookies.get(entering.entering(self._site), "") or new_browser()
        attempt = Attempt(place.name, wish, to)
        keys = await self._site.store.write(lambda c: sign_in_attempts.begin(c, attempt, browser))
        if keys is None:
            return self.refuse(request, Refusal(503, "Too many at once", "Try again in a minute."))
        address = self._entrance.address(place.name, wish, keys)
        note_detail(request, "to", place.name, "to", wish.value.replace("_", " "))
        page = self._desk.page("sign_in_leave.html", place=place, address=address)
        entering.begin(self._site, page, browser)
        return page

    def check_issuer(self, name: str, issuer: str) -> None:
        """Refuse an answer that says itself that it is of another GitLab (RFC 9207)."""
        if issuer and issuer.rstrip("/") != self.place(name).url.rstrip("/"):
            raise NotIn(NOT_BEGUN)

    async def back(
        self, request: Request, place: str, state: str, code: str, error: str
    ) -> Response:
        """Take GitLab's answer; NotIn where it lets nobody in."""
        browser = request.cookies.get(entering.entering(self._site), "")
        if not (browser and state):
            raise NotIn(NOT_BEGUN)
        attempt = await self._site.store.write(
            lambda c: sign_in_attempts.take(c, state, browser, place)
        )
        if attempt is None:
            raise NotIn(NOT_BEGUN)
        if not code or error:
            raise NotIn(_denied(error))
        keys = keys_of(state, browser)
        try:
            arrival = await self._entrance.arrive(place, attempt.wish, keys, Secret(code))
        except LabtrawlError as problem:
            raise NotIn(_problem(problem)) from problem
        role = await self._role(arrival, attempt.wish)
        return await self._enter(request, arrival, role, attempt.return_to)

    async def _role(self, arrival: Arrival, wish: Wish) -> Role:
        """Say as what somebody is let in, and keep or give back the grant; NotIn for nobody."""
        role = role_of(self._site, arrival.who.identity)
        if role is Role.PARTICIPANT and wish is Wish.TAKE_PART:
            await self._entrance.connect(arrival)
            return role
        await self._entrance.let_go(arrival)
        if role is None or role is Role.PARTICIPANT:
            words = NO_OPERATOR if role is None else NO_PARTICIPANT
            raise NotIn(Refusal(403, "Not for you", _filled(words, arrival)))
        return role

    async def with_token(self, request: Request, place: str, token: str) -> Response:
        """Let a participant in who has no other way than a token made by hand."""
        if self._site.mode != STUDY:
            raise Missing("there is no study here to take part in")
        if place not in {each.name for each in self._entrance.places()}:
            raise Missing("there is no such GitLab to take part with")
        text = token.strip()
        if not text.isascii() or not text.isprintable() or not 8 <= len(text) <= LONGEST_TOKEN:
            words = "Copy the whole token from GitLab, once more."
            raise NotIn(Refusal(422, "This is no token", words))
        try:
            arrival = await self._entrance.show_token(place, Secret(text))
        except LabtrawlError as problem:
            raise NotIn(_problem(problem)) from problem
        role = role_of(self._site, arrival.who.identity)
        if role is not Role.PARTICIPANT:
            raise NotIn(Refusal(403, "Not with a token", USE_GITLAB.format(role=role)))
        await self._entrance.connect(arrival)
        return await self._enter(request, arrival, role, "")

    async def _enter(self, request: Request, arrival: Arrival, role: Role, to: str) -> Response:
        """Begin a session of its own, whatever the browser had before, and go on."""
        before = request.cookies.get(self._site.cookie, "")

        def begin(connection: Connection) -> str:
            if before:
                sessions.revoke(connection, before)
            person_id = people.record(connection, arrival.who)
            return sessions.create_session(connection, role, person_id)

        token = await self._site.store.write(begin)
        note_detail(request, "signed in as", role.value, arrival.who.identity)
        response = RedirectResponse(_target(role, to), 303)
        entering.remember(self._site, response, token)
        entering.finish(self._site, response)
        return response

    def refuse(self, request: Request, no: Refusal) -> HTMLResponse:
        """Say why nobody is signed in, and how to go on."""
        if no.is_try:
            self._gate.failed(request)
        note_detail(request, no.title)
        return self._desk.page("sign_in_failed.html", no=no, status=no.status)


def _target(role: Role, to: str) -> str:
    """Return where somebody goes who has signed in: back, where that is a page for them."""
    home = HOMES.get(role, "/")
    is_theirs = role is not Role.PARTICIPANT or to.startswith("/me")
    return own_path(to) if own_path(to) and is_theirs else home


def _filled(words: str, arrival: Arrival) -> str:
    name = arrival.who.username or arrival.who.name or "no name"
    return words.format(identity=arrival.who.identity, name=name)


def _denied(error: str) -> Refusal:
    if error == DENIED:
        words = "You did not allow it in GitLab. Nothing was read, and nothing is kept."
        return Refusal(403, "You said no", words, is_try=False)
    word = "".join(each for each in error if each.isalnum() or each == "_")[:40] or "no code"
    words = f"GitLab did not sign you in ({word}). Try again; if it stays so, tell an admin."
    return Refusal(502, "GitLab did not sign you in", words)


def _problem(problem: LabtrawlError) -> Refusal:
    """Say what went wrong between labtrawl and GitLab; Missing and what is of the store go on."""
    log.warning("sign_in_failed", reason=problem.reason, error=str(problem))
    if isinstance(problem, Unauthorized):
        return Refusal(403, "GitLab does not confirm it", _sentence(problem))
    if isinstance(problem, ConfigError):
        words = (
            "labtrawl and GitLab do not agree about this sign-in. An admin finds more in the log."
        )
        return Refusal(502, "The sign-in is not set up well", words, is_try=False)
    if isinstance(problem, GitLabError):
        words = f"{_sentence(problem)} Try again in a minute."
        return Refusal(502, "GitLab does not answer well", words, is_try=False)
    raise problem


def _sentence(problem: LabtrawlError) -> str:
    text = str(problem)
    return f"{text[:1].upper()}{text[1:]}."
