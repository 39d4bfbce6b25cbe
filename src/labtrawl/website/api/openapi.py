"""The OpenAPI description: each door of the API with what it takes and gives, from their own types."""

from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from labtrawl import __version__
from labtrawl.protocol import messages as wire
from labtrawl.website.access import API, AUDIENCE, PUBLIC, WEBSOCKET, Who
from labtrawl.website.answering.speaking import answer
from labtrawl.website.answering.twins import described
from labtrawl.website.api import shapes

TASK = "/api/internal2/tasks/{task_id}"
REFS = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a door is for, what it takes and what it gives; several types are alternatives."""

    summary: str
    gives: tuple[Any, ...]
    takes: tuple[Any, ...] = ()


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/api/internal/jobs/open"): Operation(
        "What a crawler could claim now; it claims nothing", (list[shapes.TaskTold],)
    ),
    ("POST", "/api/internal/jobs/progress"): Operation(
        "How far a job is (PROGRESS_UPDATE)", (wire.Ack,), (wire.ProgressUpdate,)
    ),
    ("POST", "/api/internal/refresh-token"): Operation(
        "The access token that is valid now",
        (wire.TokenRefreshResponse,),
        (wire.TokenRefreshRequest,),
    ),
    ("GET", "/api/internal2/health"): Operation(
        "Whether a crawler can work with this website", (shapes.DoorHealth,)
    ),
    ("POST", "/api/internal2/connect"): Operation(
        "A crawler registers", (wire.Registered,), (wire.Register,)
    ),
    ("POST", "/api/internal2/heartbeat"): Operation(
        "A crawler's sign of life", (shapes.Alive,), (wire.Heartbeat,)
    ),
    ("POST", "/api/internal2/budget"): Operation(
        "Requests to GitLab that a crawler may send", (wire.BudgetGranted,), (wire.RequestBudget,)
    ),
    ("GET", "/api/internal2/tasks"): Operation("Jobs, by number", (shapes.TaskList,)),
    ("POST", "/api/internal2/tasks"): Operation(
        "A crawler claims jobs, an admin adds one (201)",
        (list[wire.Task], shapes.TaskTold),
        (wire.RequestJobs, shapes.TaskWanted),
    ),
    ("GET", TASK): Operation("One job", (shapes.TaskTold,)),
    ("PUT", TASK): Operation(
        "A crawler renews its lease, an admin changes the job",
        (wire.RenewedLease, shapes.TaskTold),
        (shapes.TaskChange,),
    ),
    ("DELETE", TASK): Operation(
        "A crawler gives the job back, an admin cancels it",
        (wire.Ack, shapes.TaskTold),
        (shapes.TaskReturn,),
    ),
    ("GET", f"{TASK}/progress"): Operation("How far a job is", (shapes.ProgressTold,)),
    ("POST", f"{TASK}/progress"): Operation(
        "How far a job is, with segments (PROGRESS_UPDATE)", (wire.Ack,), (wire.ProgressUpdate,)
    ),
    ("POST", f"{TASK}/manifest"): Operation(
        "What was committed of a task's list (request_manifest)",
        (wire.Manifest,),
        (wire.RequestManifest,),
    ),
    ("POST", f"{TASK}/discovered"): Operation(
        "Jobs that a crawler discovered (JOBS_DISCOVERED)", (wire.Ack,), (wire.JobsDiscovered,)
    ),
    ("GET", "/api/admin/crawler"): Operation("The crawlers", (shapes.CrawlerStatus,)),
    ("POST", "/api/admin/crawler"): Operation(
        "What an admin wants of crawlers and jobs",
        (shapes.Commanded, shapes.CrawlerStatus),
        (shapes.CrawlerCommand,),
    ),
    ("POST", "/api/admin/ledger/refill"): Operation(
        "Read lists with a gap again", (shapes.Refilled,), (shapes.RefillWanted,)
    ),
    ("GET", "/api/admin/statistics"): Operation(
        "Figures of the communication", (shapes.StatisticsTold,)
    ),
    ("GET", "/api/admin/health"): Operation("Each thing that has to be right", (shapes.Health,)),
    ("GET", "/api/openapi.json"): Operation("This description", (dict[str, Any],)),
}
"""WebSockets have no place in OpenAPI; docs/reference/http-api.md tells of them."""


def add(app: FastAPI) -> None:
    """Add /api/openapi.json."""

    @app.get("/api/openapi.json")
    async def show() -> Response:
        return answer(description(app))


def check(app: FastAPI) -> None:
    """Fail unless each door of the API is described, and nothing else is."""
    doors = {pair for pair in AUDIENCE if pair[1].startswith(API) and pair[0] != WEBSOCKET}
    known = _operations(app).keys()
    if doors != known:
        raise LookupError(f"not described, or no doors: {sorted(doors ^ known)}")
    description(app)


def description(app: FastAPI) -> dict[str, Any]:
    """Return the description of the whole API."""
    routes = [route for route in app.routes if getattr(route, "path", "").startswith(API)]
    whole: dict[str, Any] = get_openapi(
        title="labtrawl",
        version=__version__,
        description="See docs/reference/http-api.md.",
        routes=_without_sockets(routes),
    )
    operations = _operations(app)
    schemas, components = _schemas(operations)
    for (method, path), operation in operations.items():
        place = whole["paths"][path][method.lower()]
        _describe(place, (method, path), operation, schemas)
    # The framework's own are what a query's fields refer to.
    known = whole.get("components", {}).get("schemas", {}) | components
    whole["components"] = {"schemas": known, "securitySchemes": _SECURITY}
    return whole


def _operations(app: FastAPI) -> dict[tuple[str, str], Operation]:
    """Return what every door of the app is for: those of this page, and the twins of pages."""
    twins = {
        pair: Operation(each.summary, (each.gives,), (each.takes,) if each.takes else ())
        for pair, each in described(app).items()
    }
    return OPERATIONS | twins


def _without_sockets(routes: list[BaseRoute]) -> list[BaseRoute]:
    return [route for route in routes if getattr(route, "methods", None)]


def _schemas(
    operations: dict[tuple[str, str], Operation],
) -> tuple[dict[str, Any], dict[str, Any]]:
    types: dict[str, Any] = {str(shapes.Failed): shapes.Failed}
    for operation in operations.values():
        types |= {str(each): each for each in (*operation.gives, *operation.takes)}
    found, components = msgspec.json.schema_components(types.values(), ref_template=REFS)
    return dict(zip(types, found, strict=True)), components


def _describe(
    place: dict[str, Any], pair: tuple[str, str], operation: Operation, schemas: dict[str, Any]
) -> None:
    place["summary"] = operation.summary
    place["operationId"] = f"{pair[0].lower()} {pair[1]}"
    place["security"] = _security(pair)
    place["responses"] = {
        "2XX": {"description": operation.summary, **_json(operation.gives, schemas)},
        "default": {"description": "Why it could not", **_json((shapes.Failed,), schemas)},
    }
    if operation.takes:
        body = _json(operation.takes, schemas)
        place["requestBody"] = {"required": pair[0] != "DELETE", **body}


def _json(types: tuple[Any, ...], schemas: dict[str, Any]) -> dict[str, Any]:
    found = [schemas[str(each)] for each in types]
    schema = found[0] if len(found) == 1 else {"anyOf": found}
    return {"content": {"application/json": {"schema": schema}}}


_SECURITY = {
    "session": {"type": "apiKey", "in": "cookie", "name": "labtrawl_<port>"},
    "token": {"type": "http", "scheme": "bearer"},
}


def _security(pair: tuple[str, str]) -> list[dict[str, list[str]]]:
    """The socket needs nothing but itself; else a session or a token with one of its scopes."""
    if AUDIENCE[pair] == PUBLIC:
        return []
    scopes = [who.removeprefix("token ") for who in sorted(AUDIENCE[pair]) if "token" in who]
    over_socket: list[dict[str, list[str]]] = [{}] if Who.SOCKET in AUDIENCE[pair] else []
    return [*over_socket, {"session": []}, {"token": scopes}]
