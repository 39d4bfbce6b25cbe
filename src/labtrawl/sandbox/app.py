"""The look-alike as an ASGI application: requests in, GitLab's answers out.

Entered by the server alone. One instance serves one world under one address.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from labtrawl.sandbox import routes_oauth
from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.call import Call, Profile
from labtrawl.sandbox.faults import Fault, Mischief, decode_faults, spoil
from labtrawl.sandbox.gatekeeper import Gatekeeper
from labtrawl.sandbox.limits import Throttle
from labtrawl.sandbox.model import World
from labtrawl.sandbox.oauth import Provider, decode_rules
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.routes import TABLE, Route, Router
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.tally import Tally
from labtrawl.sandbox.wire import JSON_TYPE, Headers, Refused, Reply, Request, json_reply

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_API = "/api/v4/"
_CONTROL = "/-/sandbox/"
_CACHE = b"max-age=0, private, must-revalidate"
_NOT_FOUND = Refused(404, {"error": "404 Not Found"}).reply
_WRONG_METHOD = Refused(405, {"error": "405 Not Allowed"}).reply


class App:
    """Serves `world`; `base` is the address of the instance, no slash at its end."""

    def __init__(self, world: World, base: str, options: Options) -> None:
        self._shelf = Shelf(world, base)
        self._base = base
        self._provider = Provider(world, options.applications, options.expires_in)
        self._gatekeeper = Gatekeeper(world, self._shelf.access, self._provider)
        self._router = Router(TABLE)
        self._options = options
        self._mischief = Mischief(options.faults)
        self._throttle = Throttle(
            options.rate_limit_per_minute, period_seconds=options.rate_limit_period_seconds
        )
        self._tally = Tally()
        self._profile = Profile(options.version, options.enterprise)
        self._numbers = itertools.count(1)
        parts = urlsplit(base)
        self._prefix = parts.path
        link_host = options.link_host.rstrip("/")
        self._link_root = f"{link_host}{parts.path}" if link_host else base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the sandbox serves http alone, not {scope['type']}")
        path = scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix(self._prefix)
        if path.startswith(_CONTROL):
            body = await _read(receive)
            await _send(send, self._control(scope["method"], path.removeprefix(_CONTROL), body))
            return
        if self._options.latency_ms:
            await asyncio.sleep(self._options.latency_ms / 1000)
        request = self._request(scope, path)
        query = scope["query_string"].decode("latin-1")
        if routes_oauth.is_ours(path):
            reply, fault = self._sign_in(request, path, query, await _read(receive))
        else:
            reply, fault = self._answer(request, path, query)
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.retry_after_seconds)
        await _send(send, reply, torn=fault is not None and fault.kind == "reset")

    def _request(self, scope: Scope, path: str) -> Request:
        words = path.removeprefix(_API).rstrip("/").split("/") if path.startswith(_API) else ()
        return Request(
            method=scope["method"],
            segments=tuple(unquote(word) if "%" in word else word for word in words),
            url=f"{self._link_root}{path}",
            query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=dict(scope["headers"]),
        )

    def _answer(self, request: Request, path: str, query: str) -> tuple[Reply, Fault | None]:
        route = self._router.find(request.segments) if request.segments else None
        fault = self._mischief.strike(f"{path}?{query}" if query else path)
        reply, user = self._right_reply(request, route)
        if fault is not None:
            reply = spoil(fault, reply)
        reply = self._finish(request, reply)
        pattern = route.pattern if route else "unknown"
        self._tally.count(pattern, _project_number(request, pattern), reply.status, user)
        return reply, fault

    def _sign_in(
        self, request: Request, path: str, query: str, body: bytes
    ) -> tuple[Reply, Fault | None]:
        fault = self._mischief.strike(f"{path}?{query}" if query else path)
        reply = routes_oauth.answer(self._provider, self._base, request, path, body, fault)
        self._tally.count(path.lstrip("/"), None, reply.status, "anonymous")
        return reply, fault

    def _right_reply(self, request: Request, route: Route | None) -> tuple[Reply, str]:
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
            reply = self._route(request, route, viewer)
        except Refused as refused:
            reply = refused.reply
        return Reply(reply.status, reply.body, reply.headers + headers, reply.content_type), user

    def _route(self, request: Request, route: Route | None, viewer: Viewer) -> Reply:
        if route is None:
            return _NOT_FOUND
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        call = Call(request, viewer, self._shelf, self._profile, self._options.short_pages)
        return route.answer(call)

    def _finish(self, request: Request, reply: Reply) -> Reply:
        """The headers every answer has, and 304 for a known weak ETag."""
        number = next(self._numbers)
        headers = [
            *reply.headers,
            (b"x-request-id", f"01SANDBOX{number:017d}".encode()),
            (b"x-gitlab-meta", b'{"correlation_id":"sandbox","version":"1"}'),
        ]
        if reply.status == 200 and reply.content_type == JSON_TYPE:
            digest = hashlib.md5(reply.body, usedforsecurity=False).hexdigest()
            tag = f'W/"{digest}"'.encode()
            headers += [(b"etag", tag), (b"cache-control", _CACHE), (b"vary", b"Origin")]
            if request.headers.get(b"if-none-match") == tag:
                return Reply(304, b"", headers, reply.content_type)
        return Reply(reply.status, reply.body, headers, reply.content_type)

    def _control(self, method: str, name: str, body: bytes) -> Reply:
        if (method, name) == ("GET", "health"):
            return Reply(200, b"ok", [], b"text/plain")
        if (method, name) == ("GET", "requests"):
            return json_reply(self._tally.body())
        if (method, name) == ("DELETE", "requests"):
            self._tally.clear()
            return json_reply(self._tally.body())
        if (method, name) == ("DELETE", "faults"):
            self._mischief.clear()
            return json_reply([])
        if (method, name) == ("POST", "faults"):
            return self._arm(body)
        return self._control_sign_in(method, body) if name == "oauth" else _NOT_FOUND

    def _control_sign_in(self, method: str, body: bytes) -> Reply:
        if method == "DELETE":
            self._provider.forget_counts()
        elif method == "POST":
            try:
                self._provider.change(decode_rules(body))
            except msgspec.DecodeError as error:
                return Refused(400, {"error": str(error)}).reply
        return json_reply(self._provider.body())

    def _arm(self, body: bytes) -> Reply:
        try:
            faults = decode_faults(body)
        except msgspec.DecodeError as error:
            return Refused(400, {"error": str(error)}).reply
        self._mischief.arm(faults)
        return json_reply(faults)


def _project_number(request: Request, pattern: str) -> int | None:
    named = pattern.startswith("projects/:id") and request.segments[1].isdecimal()
    return int(request.segments[1]) if named else None


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, reply: Reply, *, torn: bool = False) -> None:
    """Send the reply; `torn` stops half-way, upon which the server drops the connection."""
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", str(len(reply.body)).encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if torn:
        half = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    await send({"type": "http.response.body", "body": reply.body})
