"""The guard at the door: headers on every response, a session for every page, no foreign forms."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labtrawl.store.sessions import SessionState, check_session, touch
from labtrawl.website.access import is_public
from labtrawl.website.failures import Failures, known
from labtrawl.website.site import Site

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
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
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TRUSTED_SITES = frozenset({"same-origin", "none"})

Endpoint = Callable[[Request, Receive, Send], Awaitable[None]]


def is_own_request(request: Request, base_url: str) -> bool:
    """Say whether a changing request comes from a page of ours (Fetch Metadata, else Origin)."""
    if (fetch_site := request.headers.get("sec-fetch-site")) is not None:
        return fetch_site in TRUSTED_SITES
    host = _host(request.headers.get("origin", ""))
    return bool(host) and host in {_host(base_url), request.headers.get("host")}


def _host(url: str) -> str:
    """Return host and port as they stand in an address, "" where it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


class Guard:
    """Wraps the whole app: whatever is not public needs a session; nothing slips past a route."""

    def __init__(self, app: ASGIApp, site: Site, failures: Failures) -> None:
        self._app = app
        self._site = site
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        sender = _Sender(send)
        try:
            await self._serve(request, receive, sender)
        except Exception as error:  # noqa: BLE001 - the last door: it is logged and answered
            answer = self._failures.unexpected(request, error)
            if not sender.started:
                await answer(scope, receive, sender)

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        status = await self._refusal(request)
        if status is None:
            await self._app(request.scope, receive, send)
        else:
            answer = self._failures.answer(request, known(status))
            await answer(request.scope, receive, send)

    async def _refusal(self, request: Request) -> int | None:
        """Return the status of a refusal, None for a request that may pass."""
        if not is_public(request.scope["path"]) and not await self.is_signed_in(request):
            return 401
        if request.method not in SAFE_METHODS and not is_own_request(request, self._site.base_url):
            return 403
        return None

    async def is_signed_in(self, request: Request) -> bool:
        """Say whether the request has a session that is good, and note that it is in use."""
        token = request.cookies.get(self._site.cookie)
        if not token:
            return False
        state = await self._site.store.read(lambda connection: check_session(connection, token))
        if state is SessionState.STALE:
            await self._site.store.write(lambda connection: touch(connection, token))
        return state is not SessionState.ENDED


class _Sender:
    """Adds the headers; knows whether a response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)
