"""HEAD is answered as GET is, without the body (RFC 9110, 9.3.2): uptime checkers ask so.

For the guard. It answers for pages, their twins and what tells whether all is well. What is sent
for long, streams and downloads, has no HEAD, nor has what a GET does something by.
"""

from fastapi import FastAPI
from starlette.types import Scope

from labtrawl.website.access import TWINNED, methods_of, route_of, twin_of
from labtrawl.website.door.callers import UNATTENDED

GET, HEAD = "GET", "HEAD"
PAGES = frozenset(path for method, path in TWINNED if method == GET)
ALONE = frozenset(
    {
        *("/livez", "/readyz", "/sign-in", "/static/{name:path}", "/operations/new"),
        *("/api/internal2/health", "/api/admin/health", "/api/openapi.json"),
    }
)
ANSWERED = PAGES | {twin_of(GET, path) for path in PAGES} | ALONE


def as_get(app: FastAPI, scope: Scope) -> Scope:
    """Return the request that the app gets for a HEAD that is answered; any other as it is.

    The server, which still knows of the HEAD, leaves the body out. It is a program that asks so:
    no session is kept awake by it.
    """
    if scope["type"] != "http" or scope["method"] != HEAD or not _is_answered(app, scope):
        return scope
    headers = [*scope["headers"], (UNATTENDED.encode(), b"1")]
    return {**scope, "method": GET, "headers": headers}


def _is_answered(app: FastAPI, scope: Scope) -> bool:
    route = route_of(app, {**scope, "method": GET})
    return route is not None and route[1] in ANSWERED


def methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods that a path may be asked with, HEAD among them where it is answered."""
    known = methods_of(app, scope)
    return sorted({*known, HEAD}) if _is_answered(app, scope) else known
