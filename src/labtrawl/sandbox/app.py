"""The look-alike without its sockets: requests in, GitLab's answers out.

Entered by the server alone. One instance serves one world under one address.
"""

import itertools
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from labtrawl.sandbox import routes_oauth
from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.call import Call, Profile
from labtrawl.sandbox.control import Control
from labtrawl.sandbox.faults import Fault, Mischief, spoil, streamed
from labtrawl.sandbox.gatekeeper import Gatekeeper
from labtrawl.sandbox.graphql import PATH as GRAPHQL_PATH
from labtrawl.sandbox.graphql import Door
from labtrawl.sandbox.limits import Throttle
from labtrawl.sandbox.living import LivingWorld
from labtrawl.sandbox.memo import Memo, tagged
from labtrawl.sandbox.model import World
from labtrawl.sandbox.oauth import Provider
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.routes import TABLE, Route, Router
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.tally import Tally
from labtrawl.sandbox.wire import Answer, Asked, Headers, Refused, Reply, Request

# The parts of an address: its words, its query, and the route behind it.
_Known = tuple[tuple[str, ...], tuple[tuple[str, str], ...], Route | None]

_API = "/api/v4/"
_CONTROL = "/-/sandbox/"
_ELSEWHERE = "/elsewhere"
_MOST_KNOWN = 200_000
# What differs between the tokens of one user.
_NEVER_KEPT = frozenset({"personal_access_tokens"})
_CACHE = b"max-age=0, private, must-revalidate"
_NOT_FOUND = Refused(404, {"error": "404 Not Found"}).reply
_WRONG_METHOD = Refused(405, {"error": "405 Not Allowed"}).reply


class App:
    """Serves `world`; `base` is the address of the instance, no slash at its end.

    `living` is the world as it is served, which changes.
    """

    def __init__(self, world: World, base: str, options: Options) -> None:
        self._shelf = Shelf(world, base, enterprise=options.enterprise)
        self._base = base
        self._provider = Provider(world, options.applications, options.expires_in, issuer=base)
        self._gatekeeper = Gatekeeper(self._shelf, self._provider)
        self._router = Router(TABLE)
        self._options = options
        self._mischief = Mischief(options.faults)
        self._throttle = Throttle(
            options.rate_limit_per_minute, period_seconds=options.rate_limit_period_seconds
        )
        self._tally = Tally()
        self.living = LivingWorld(self._shelf, options.now, options.script)
        if options.prepared:
            self.living.truth()
        self._control = Control(self.living, self._tally, self._mischief, self._provider)
        self._memo = Memo()
        self._known: dict[str, _Known] = {}
        self._latency_seconds = options.latency_ms / 1000
        self._profile = Profile(options.version, options.enterprise)
        self._graphql = Door(self._shelf, self._profile, options)
        self._numbers = itertools.count(1)
        parts = urlsplit(base)
        self._prefix = parts.path
        link_host = options.link_host.rstrip("/")
        self._link_root = f"{link_host}{parts.path}" if link_host else base

    def answer(self, asked: Asked) -> Answer:
        """Answer one request; nothing is waited for, what waits is told in the Answer."""
        path, _, query = asked.target.partition("?")
        if path.startswith(_API) and not path.startswith(self._prefix):
            path = _ELSEWHERE  # what lies beside a GitLab below a path
        path = path.removeprefix(self._prefix)
        if path.startswith(_CONTROL):
            name = path.removeprefix(_CONTROL)
            return Answer(self._control.answer(asked.method, name, asked.body))
        target = f"{path}?{query}" if query else path
        request, route = self._request(asked, target, path, query)
        if path == GRAPHQL_PATH and asked.method == "POST":
            return self._ask_graphql(request)
        fault = self._mischief.strike(target)
        if routes_oauth.is_ours(path):
            reply = self._sign_in(request, path, asked.body, fault)
        else:
            reply = self._finished(request, route, target, fault)
        self.living.asked(target)
        hold_seconds = self._latency_seconds
        if fault is not None and fault.kind == "delay":
            hold_seconds += fault.retry_after_seconds
        torn = fault is not None and fault.kind == "reset"
        return Answer(reply, hold_seconds, torn, streamed(fault))

    def _request(
        self, asked: Asked, target: str, path: str, query: str
    ) -> tuple[Request, Route | None]:
        """The request in parts, and its route; what an address says is found out once."""
        known = self._known.get(target)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[target] = self._taken_apart(path, query)
        segments, pairs, route = known
        url = f"{self._link_root}{path}"
        return Request(asked.method, segments, url, pairs, asked.headers, asked.body), route

    def _taken_apart(self, path: str, query: str) -> _Known:
        words = path.removeprefix(_API).rstrip("/").split("/") if path.startswith(_API) else ()
        segments = tuple(unquote(word) if "%" in word else word for word in words)
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        return segments, pairs, self._router.find(segments) if segments else None

    def _finished(
        self, request: Request, route: Route | None, target: str, fault: Fault | None
    ) -> Reply:
        reply, user = self._right_reply(request, route, target)
        if fault is not None:
            reply = spoil(fault, reply)
        reply = self._finish(request, reply)
        pattern = route.pattern if route else "unknown"
        self._tally.count(pattern, _project_number(request, pattern), reply.status, user)
        return reply

    def _ask_graphql(self, request: Request) -> Answer:
        told = self._graphql.answer(request, self._gatekeeper, self._throttle, self._mischief)
        reply = self._finish(request, told.reply)
        self._tally.count("graphql", None, reply.status, told.user)
        self.living.asked(told.target)
        return Answer(reply, told.hold_seconds, told.torn)

    def _sign_in(self, request: Request, path: str, body: bytes, fault: Fault | None) -> Reply:
        reply = routes_oauth.answer(self._provider, self._base, request, path, body, fault)
        self._tally.count(path.lstrip("/"), None, reply.status, "anonymous")
        return reply

    def _right_reply(self, request: Request, route: Route | None, target: str) -> tuple[Reply, str]:
        """The answer without planned faults, and the name of the user who asked."""
        user = "anonymous"
        headers: Headers = []
        try:
            account = self._gatekeeper.account(request)
            user = account.username if account else user
            headers, too_many = self._throttle.count(user)
            if too_many is not None:
                return too_many, user
            viewer = self._gatekeeper.viewer(account, request)
            if self._gatekeeper.revokes(account, request):
                reply = Reply(204, b"")
            else:
                reply = self._routed(request, route, viewer, target)
        except Refused as refused:
            reply = refused.reply
        if headers:
            reply = replace(reply, headers=reply.headers + headers)
        return reply, user

    def _routed(self, request: Request, route: Route | None, viewer: Viewer, target: str) -> Reply:
        """The route's answer, kept for the next one who asks the same."""
        if request.method != "GET" or route is None or request.segments[0] in _NEVER_KEPT:
            return self._route(request, route, viewer)
        key = (target, viewer.user.id if viewer.user else 0)
        stamp = self._shelf.stamp(request.segments)
        reply = self._memo.find(key, stamp)
        if reply is None:
            reply = tagged(self._route(request, route, viewer))
            self._memo.keep(key, stamp, reply)
        return reply

    def _route(self, request: Request, route: Route | None, viewer: Viewer) -> Reply:
        if route is None:
            return _NOT_FOUND
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        call = Call(request, viewer, self._shelf, self._profile, self._options.short_pages)
        return route.answer(call)

    def _finish(self, request: Request, reply: Reply) -> Reply:
        """The headers every answer has, and 304 for a known weak ETag."""
        reply = tagged(reply)
        headers = [
            *reply.headers,
            (b"x-request-id", b"01SANDBOX%017d" % next(self._numbers)),
            (b"x-gitlab-meta", b'{"correlation_id":"sandbox","version":"1"}'),
        ]
        if reply.tag:
            headers += [(b"etag", reply.tag), (b"cache-control", _CACHE), (b"vary", b"Origin")]
            if request.headers.get(b"if-none-match") == reply.tag:
                return Reply(304, b"", headers, reply.content_type)
        return Reply(reply.status, reply.body, headers, reply.content_type, reply.tag)


def _project_number(request: Request, pattern: str) -> int | None:
    named = pattern.startswith("projects/:id") and request.segments[1].isdecimal()
    return int(request.segments[1]) if named else None
