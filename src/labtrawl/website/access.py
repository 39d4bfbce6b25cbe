"""Who may use what: the one place where every route says it. What is not here is refused.

A new route without a line here stops `app.build`; a line without a route does too. What is in
`TWINNED` is there twice: as a page or a form, and below /api/v1 for programs.
"""

from enum import StrEnum

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, WebSocketRoute
from starlette.types import Scope

WEBSOCKET = "WEBSOCKET"


class Who(StrEnum):
    """As what somebody may be let in."""

    EVERYBODY = "everybody"
    SOCKET = "socket"
    ADMIN = "admin"
    OPERATOR = "operator"
    PARTICIPANT = "participant"
    TOKEN_CRAWLER = "token crawler"  # noqa: S105 - the name of a scope
    TOKEN_ADMIN = "token admin"  # noqa: S105
    TOKEN_READ = "token read"  # noqa: S105


Audience = frozenset[Who]

PUBLIC: Audience = frozenset({Who.EVERYBODY})
SIGNED_IN: Audience = frozenset({Who.ADMIN, Who.OPERATOR, Who.PARTICIPANT})
ADMINS: Audience = frozenset({Who.ADMIN})
OWNERS: Audience = frozenset({Who.PARTICIPANT})
PAGES: Audience = frozenset({Who.ADMIN, Who.OPERATOR})
COMMANDS: Audience = frozenset({Who.SOCKET, Who.ADMIN, Who.TOKEN_ADMIN})
READS: Audience = COMMANDS | {Who.TOKEN_READ}
SELVES: Audience = frozenset({Who.SOCKET, Who.TOKEN_CRAWLER})
CRAWLERS: Audience = frozenset({Who.SOCKET, Who.ADMIN, Who.TOKEN_CRAWLER})
TASKS: Audience = CRAWLERS | COMMANDS
TASK_READS: Audience = CRAWLERS | READS

API = "/api/"
VERSION = "/api/v1"

TWINNED: dict[tuple[str, str], Audience] = {
    ("GET", "/"): PAGES,
    ("GET", "/jobs"): PAGES,
    ("GET", "/jobs/{job_id}"): PAGES,
    ("POST", "/jobs/{job_id}/retry"): PAGES,
    ("POST", "/jobs/{job_id}/pause"): PAGES,
    ("POST", "/jobs/{job_id}/resume"): PAGES,
    ("POST", "/jobs/{job_id}/priority"): PAGES,
    ("GET", "/operations"): PAGES,
    ("POST", "/operations"): PAGES,
    ("GET", "/operations/{operation_id}"): PAGES,
    ("POST", "/operations/{operation_id}/stop"): PAGES,
    ("GET", "/areas"): PAGES,
    ("GET", "/areas/{area_id}"): PAGES,
    ("POST", "/areas/{area_id}/refill"): PAGES,
    ("GET", "/coverage"): PAGES,
    ("POST", "/coverage/refill"): PAGES,
    ("GET", "/statistics"): PAGES,
    ("GET", "/insights"): PAGES,
    ("GET", "/health"): PAGES,
    ("GET", "/backups"): PAGES,
    ("POST", "/backups/make"): ADMINS,
    ("GET", "/notices"): PAGES,
    ("POST", "/notices/test"): ADMINS,
    ("POST", "/notices/stop-requests/{number}"): PAGES,
    ("GET", "/about"): PUBLIC,
    ("GET", "/me/account"): SIGNED_IN,
    ("POST", "/me/account/sessions/{session_id}/end"): SIGNED_IN,
    ("POST", "/me/account/sessions/end-others"): SIGNED_IN,
    ("POST", "/me/account/disconnect"): OWNERS,
    ("GET", "/sessions"): ADMINS,
    ("POST", "/sessions/{session_id}/end"): ADMINS,
    ("GET", "/settings"): PAGES,
    ("POST", "/settings/apply"): ADMINS,
    ("POST", "/settings/{setting}"): ADMINS,
    ("GET", "/supervisor"): PAGES,
    ("POST", "/supervisor/restart"): ADMINS,
    ("GET", "/logs"): PAGES,
    ("GET", "/crawlers"): PAGES,
    ("POST", "/crawlers/order"): PAGES,
    ("GET", "/audit"): PAGES,
    ("POST", "/audit/check"): PAGES,
    ("GET", "/accounts"): PAGES,
    ("POST", "/accounts/{account_id}/verify"): ADMINS,
    ("POST", "/accounts/{account_id}/switch"): ADMINS,
    ("POST", "/accounts/{account_id}/remove"): ADMINS,
    ("GET", "/me"): SIGNED_IN,
    ("GET", "/me/areas/{area_id}"): SIGNED_IN,
    ("POST", "/me/areas/{area_id}/choice"): SIGNED_IN,
    ("GET", "/me/records"): SIGNED_IN,
    ("GET", "/me/records/{place}"): SIGNED_IN,
    ("GET", "/me/download"): SIGNED_IN,
    ("POST", "/me/download"): SIGNED_IN,
    ("GET", "/consent-text"): PUBLIC,
    ("GET", "/me/consent"): SIGNED_IN,
    ("POST", "/me/consent/agree"): SIGNED_IN,
    ("POST", "/me/consent/withdraw"): SIGNED_IN,
    ("GET", "/consents"): PAGES,
    ("POST", "/consents"): ADMINS,
    ("GET", "/areas/{area_id}/records"): PAGES,
    ("GET", "/areas/{area_id}/records/{place}"): PAGES,
}
"""Pages and actions with a JSON twin (`website/answering/twins.py`), and who may use both."""

ALONE: dict[tuple[str, str], Audience] = {
    ("GET", "/livez"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/sign-in"): PUBLIC,
    ("POST", "/sign-in"): PUBLIC,
    ("POST", "/about/stop"): PUBLIC,
    ("POST", "/sign-in/gitlab/{place}"): PUBLIC,
    ("GET", "/sign-in/gitlab/{place}/answer"): PUBLIC,
    ("POST", "/sign-in/token"): PUBLIC,
    ("GET", "/static/{name:path}"): PUBLIC,
    ("POST", "/sign-out"): SIGNED_IN,
    ("GET", "/operations/new"): PAGES,
    ("GET", "/live"): SIGNED_IN,
    ("GET", "/streams"): SIGNED_IN,
    ("GET", "/api/internal/jobs/open"): TASK_READS,
    ("POST", "/api/internal/jobs/progress"): CRAWLERS,
    ("POST", "/api/internal/refresh-token"): CRAWLERS,
    ("GET", "/api/internal2/health"): TASK_READS,
    ("POST", "/api/internal2/connect"): SELVES,
    ("POST", "/api/internal2/heartbeat"): SELVES,
    ("POST", "/api/internal2/budget"): SELVES,
    ("GET", "/api/internal2/tasks"): TASK_READS,
    ("POST", "/api/internal2/tasks"): TASKS,
    ("GET", "/api/internal2/tasks/{task_id}"): TASK_READS,
    ("PUT", "/api/internal2/tasks/{task_id}"): TASKS,
    ("DELETE", "/api/internal2/tasks/{task_id}"): TASKS,
    ("GET", "/api/internal2/tasks/{task_id}/progress"): TASK_READS,
    ("POST", "/api/internal2/tasks/{task_id}/progress"): CRAWLERS,
    ("POST", "/api/internal2/tasks/{task_id}/discovered"): CRAWLERS,
    ("POST", "/api/internal2/tasks/{task_id}/manifest"): SELVES,
    (WEBSOCKET, "/api/internal2/tasks/{task_id}/websocket"): TASK_READS,
    ("GET", "/api/admin/crawler"): READS,
    ("POST", "/api/admin/crawler"): COMMANDS,
    ("POST", "/api/admin/ledger/refill"): COMMANDS,
    ("GET", "/api/admin/statistics"): READS,
    ("GET", "/api/admin/health"): READS,
    ("GET", "/api/openapi.json"): READS,
    ("GET", "/supervisor/live"): PAGES,
    ("GET", "/logs/live"): PAGES,
    ("GET", "/logs/download"): PAGES,
    ("GET", "/crawlers/live"): PAGES,
    ("GET", "/audit/download"): PAGES,
    ("GET", "/insights/{insight}/parquet"): PAGES,
}


def twin_of(method: str, path: str) -> str:
    """Return the address of the twin of a page or an action; LookupError where it has none."""
    if (method, path) not in TWINNED:
        raise LookupError(f"{method} {path} is not in access.TWINNED")
    return VERSION + ("/overview" if path == "/" else path)


def _for_programs(method: str, audience: Audience) -> Audience:
    """Let in, beside the same people, the programs that speak for them."""
    if not audience & PAGES or audience >= SIGNED_IN:
        return audience
    reads = {Who.TOKEN_READ} if method == "GET" and Who.OPERATOR in audience else set()
    return audience | {Who.SOCKET, Who.TOKEN_ADMIN} | reads


AUDIENCE: dict[tuple[str, str], Audience] = {
    **ALONE,
    **TWINNED,
    **{
        (method, twin_of(method, path)): _for_programs(method, audience)
        for (method, path), audience in TWINNED.items()
    },
}


def declared(app: FastAPI) -> set[tuple[str, str]]:
    """Return (method, path) of every route of the app."""
    return {pair for route in app.routes for pair in _pairs(route)}


def _pairs(route: BaseRoute) -> set[tuple[str, str]]:
    path = getattr(route, "path", None)
    if path is not None and isinstance(route, WebSocketRoute):
        return {(WEBSOCKET, path)}
    methods = getattr(route, "methods", None)
    if path is None or not methods:
        raise TypeError(f"{route!r} hides its routes: add them to the app one by one")
    return {(method, path) for method in methods}


def check(app: FastAPI) -> None:
    """Fail unless each route says who may use it."""
    routes = declared(app)
    if undeclared := sorted(routes - AUDIENCE.keys()):
        raise LookupError(f"these routes do not declare who may use them: {undeclared}")
    if unused := sorted(AUDIENCE.keys() - routes):
        raise LookupError(f"these are declared and no routes: {unused}")
    if empty := sorted(pair for pair, audience in AUDIENCE.items() if not audience):
        raise LookupError(f"nobody may use these: {empty}")


def route_of(app: FastAPI, scope: Scope) -> tuple[str, str] | None:
    """Return (method, path) of the very route that will answer, None where none will."""
    for route in app.routes:
        if route.matches(scope)[0] is Match.FULL:
            method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
            return method, str(getattr(route, "path"))  # noqa: B009 - `check` saw that it is there
    return None


def methods_of(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods that a path may be asked with."""
    fitting = (route for route in app.routes if route.matches(scope)[0] is not Match.NONE)
    return sorted({method for route in fitting for method in getattr(route, "methods", None) or ()})
