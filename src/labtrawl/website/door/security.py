"""The guard at the door: who calls, whether the route is for them, headers on every response."""

from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labtrawl.errors import LabtrawlError
from labtrawl.protocol.exchange import Tier
from labtrawl.website.access import AUDIENCE, PUBLIC, WEBSOCKET, Who, route_of
from labtrawl.website.door import head
from labtrawl.website.door.callers import CALLER, Reception, Visitor
from labtrawl.website.door.failures import Failure, Failures, known
from labtrawl.website.door.trail import SAFE_METHODS, Asked, Trail
from labtrawl.website.given.site import Site
from labtrawl.website.live.shared import DOOR
from labtrawl.website.parts.render import ROLES

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
TRUSTED_SITES = frozenset({"same-origin", "none"})
# RFC 7234, 5.5: 299 is a warning that lasts.
WARNING = '299 labtrawl "An API token is the least secure way in; prefer the socket, or a session."'

NOT_FOR_YOU = "This is not for {who}. Ask an admin if you need it."
FOR_OPERATORS = "This is for those who run labtrawl. Yours is all below “My areas”."
HOME = "/"
OWN_HOME = "/me"


def is_own_request(request: HTTPConnection, base_url: str) -> bool:
    """Say whether a changing request comes from a page of ours (Fetch Metadata, else Origin)."""
    if (fetch_site := request.headers.get("sec-fetch-site")) is not None:
        return fetch_site in TRUSTED_SITES
    return is_own_origin(request, base_url)


def is_own_origin(request: HTTPConnection, base_url: str) -> bool:
    """Say whether the page that asks is one of ours; without an Origin it is not."""
    host = _host(request.headers.get("origin", ""))
    return bool(host) and host in {_host(base_url), request.headers.get("host")}


def _host(url: str) -> str:
    """Return host and port as they stand in an address, "" where it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


class Guard:
    """Wraps the whole app: each route lets in those that `access` names, nobody slips past it."""

    def __init__(self, app: FastAPI, site: Site, failures: Failures) -> None:
        self._app = app
        self._site = site
        self._failures = failures
        self._reception = Reception(site)
        self._trail = Trail(site)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = Asked(HTTPConnection(head.as_get(self._app, scope)))
        sender = _Sender(send, asked, self._trail)
        try:
            await self._serve(asked, receive, sender)
        except Unwritten as error:
            await self._break_off(asked, receive, sender, error.why, is_audited=False)
        except Exception as error:  # noqa: BLE001 - the last door: it is logged and answered
            await self._break_off(asked, receive, sender, error)

    async def _break_off(
        self,
        asked: Asked,
        receive: Receive,
        sender: "_Sender",
        error: Exception,
        is_audited: bool = True,
    ) -> None:
        answer = self._failures.of(asked.request, error)
        if sender.started:
            return
        # The log itself may be what broke: nobody is told that a thing was done.
        sender.is_audited = is_audited
        try:
            await _send_answer(asked, answer, receive, sender)
        except Unwritten:
            sender.is_audited = False
            await _send_answer(asked, answer, receive, sender)

    async def _serve(self, asked: Asked, receive: Receive, send: "_Sender") -> None:
        asked.route = route_of(self._app, asked.request.scope)
        asked.visitor = await self._reception.recognise(asked.request)
        asked.request.scope[CALLER] = asked.visitor
        asked.request.scope[DOOR] = self
        ROLES.set(asked.visitor.roles)
        refusal = self._refusal(asked)
        if refusal is None:
            await self._app(asked.request.scope, receive, send)
        elif Who.PARTICIPANT in asked.visitor.roles and asked.route == ("GET", HOME):
            await _send_answer(asked, RedirectResponse(OWN_HOME, 303), receive, send)
        else:
            answer = self._failures.answer(asked.request, refusal)
            await _send_answer(asked, answer, receive, send)

    def _refusal(self, asked: Asked) -> Failure | None:
        """Return why a request is refused, None for one that may pass."""
        audience = AUDIENCE.get(asked.route) if asked.route else None
        visitor = asked.visitor
        is_public = audience == PUBLIC
        if not is_public and visitor.tier is None:
            return known(401)
        if audience is not None and not is_public and not audience & visitor.roles:
            return _not_for(visitor)
        if audience is None and Who.PARTICIPANT in visitor.roles:
            return _not_for(visitor)
        if (is_public or visitor.has_session) and not self._is_from_here(asked):
            return known(403)
        return None

    def _is_from_here(self, asked: Asked) -> bool:
        """Say whether a browser was not sent here by somebody else's page."""
        if asked.method == WEBSOCKET:
            return is_own_origin(asked.request, self._site.base_url)
        safe = asked.method in SAFE_METHODS
        return safe or is_own_request(asked.request, self._site.base_url)


def _not_for(visitor: Visitor) -> Failure:
    if Who.PARTICIPANT in visitor.roles:
        return Failure(403, "not_allowed", "Not for participants", FOR_OPERATORS)
    who = " and ".join(sorted(_called(role) for role in visitor.roles)) or "this token"
    return Failure(403, "not_allowed", "Not for you", NOT_FOR_YOU.format(who=who))


def _called(who: Who) -> str:
    kind, _, scope = who.partition(" ")
    return f"a token of the scope {scope}" if scope else f"the role {kind}"


async def _send_answer(asked: Asked, answer: ASGIApp, receive: Receive, send: "_Sender") -> None:
    """Answer a request; a WebSocket that is not let in gets the same as an HTTP response."""
    scope = asked.request.scope
    if scope["type"] == "websocket" and not send.started:
        await answer({**scope, "type": "http", "method": "GET"}, receive, send.as_denial)
    else:
        await answer(scope, receive, send)


class Unwritten(Exception):
    """The audit log could not be written; no handler of the framework's takes it for an answer."""

    def __init__(self, why: LabtrawlError) -> None:
        super().__init__(str(why))
        self.why = why


class _Sender:
    """Adds the headers, writes the audit log before the answer; knows whether one has begun."""

    def __init__(self, send: Send, asked: Asked, trail: Trail) -> None:
        self._send = send
        self._asked = asked
        self._trail = trail
        self.started = False
        self.is_audited = True

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self._add_headers(message)
            await self._begin(str(message["status"]))
        elif kind == "websocket.accept":
            await self._begin("101")
        await self._send(message)

    async def _begin(self, outcome: str) -> None:
        if self.is_audited:
            try:
                await self._trail.note(self._asked, outcome)
            except LabtrawlError as error:
                raise Unwritten(error) from error
        self.started = True

    async def as_denial(self, message: Message) -> None:
        """Send a part of an HTTP response to who asked for a WebSocket (ASGI's denial response)."""
        await self({**message, "type": f"websocket.{message['type']}"})

    def _add_headers(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if self._asked.visitor.tier is Tier.TOKEN:
            headers["Warning"] = WARNING
