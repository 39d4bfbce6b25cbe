"""Who may use what: the one place where every route says it. What is not here is refused.

A new route without a line here stops `app.build`; a line without a route does too.
"""

from enum import StrEnum

from fastapi import FastAPI
from starlette.routing import BaseRoute


class Audience(StrEnum):
    """Who may use a route."""

    PUBLIC = "public"
    ADMIN = "admin"


AUDIENCE: dict[tuple[str, str], Audience] = {
    ("GET", "/livez"): Audience.PUBLIC,
    ("GET", "/readyz"): Audience.PUBLIC,
    ("GET", "/sign-in"): Audience.PUBLIC,
    ("POST", "/sign-in"): Audience.PUBLIC,
    ("GET", "/static/{name:path}"): Audience.PUBLIC,
    ("POST", "/sign-out"): Audience.ADMIN,
    ("GET", "/"): Audience.ADMIN,
    ("GET", "/jobs"): Audience.ADMIN,
    ("GET", "/jobs/{job_id}"): Audience.ADMIN,
    ("POST", "/jobs/{job_id}/retry"): Audience.ADMIN,
    ("GET", "/areas"): Audience.ADMIN,
    ("GET", "/areas/{area_id}"): Audience.ADMIN,
    ("GET", "/coverage"): Audience.ADMIN,
    ("GET", "/live"): Audience.ADMIN,
}

# Exactly these paths need no session, whatever the router makes of others.
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/sign-in"})
PUBLIC_FOLDER = "/static/"


def is_public(path: str) -> bool:
    """Say whether a request for this path is answered without a session."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER)


def declared(app: FastAPI) -> set[tuple[str, str]]:
    """Return (method, path) of every route of the app."""
    return {pair for route in app.routes for pair in _pairs(route)}


def _pairs(route: BaseRoute) -> set[tuple[str, str]]:
    path = getattr(route, "path", None)
    methods = getattr(route, "methods", None)
    if path is None or not methods:
        raise TypeError(f"{route!r} hides its routes: add them to the app one by one")
    return {(method, path) for method in methods}


def check(app: FastAPI) -> None:
    """Fail unless each route says who may use it, and the guard agrees with what it says."""
    routes = declared(app)
    if undeclared := sorted(routes - AUDIENCE.keys()):
        raise LookupError(f"these routes do not declare who may use them: {undeclared}")
    if unused := sorted(AUDIENCE.keys() - routes):
        raise LookupError(f"these are declared and no routes: {unused}")
    for (_, path), audience in AUDIENCE.items():
        if is_public(path) != (audience is Audience.PUBLIC):
            raise LookupError(f"{path} is declared {audience}, and the guard thinks otherwise")
