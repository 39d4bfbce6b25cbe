"""Where builds go and what a project is written in: environments, deployments, languages.

Entered by `routes`.
"""

from labtrawl.sandbox import shelf_builds
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.paging import offset_page, refuse_keyset
from labtrawl.sandbox.routes_lists import between
from labtrawl.sandbox.wire import Refused, Reply, Request, json_reply

_ORDERS = ("id", "iid", "created_at", "updated_at", "finished_at", "ref")
_STATUSES = ("created", "running", "success", "failed", "canceled", "skipped", "blocked")
_STATES = ("available", "stopping", "stopped")


def environments(call: Call) -> Reply:
    """``GET /projects/:id/environments``, by number."""
    found = call.project("environments")
    call.me()
    request = call.request
    refuse_keyset(request)
    rows = shelf_builds.environments(call.shelf, found).ordered("id", False)
    name, search = request.get("name"), request.get("search")
    if name and search:
        raise Refused(400, {"error": "name, search cannot be used together"})
    if name:
        rows = [row for row in rows if row.item.name == name]
    if search:
        rows = [row for row in rows if search in row.item.name]
    if request.get("states"):
        state = request.choice("states", _STATES, "")
        rows = [row for row in rows if row.item.state == state]
    return offset_page(request, rows)


def deployments(call: Call) -> Reply:
    """``GET /projects/:id/deployments``: a filter by time and the order by it go together."""
    found = call.project("deployments")
    call.me()
    request = call.request
    refuse_keyset(request)
    order_by = request.choice("order_by", _ORDERS, "id")
    descending = request.choice("sort", ("asc", "desc"), "asc") == "desc"
    _check_pairs(request, order_by)
    rows = shelf_builds.deployments(call.shelf, found).ordered(order_by, descending)
    return offset_page(request, between(request, _kept(request, rows), "updated_at", "finished_at"))


def _check_pairs(request: Request, order_by: str) -> None:
    """Raises Refused (400) as GitLab does (app/finders/deployments_finder.rb)."""
    filtered = {
        column
        for column in ("updated_at", "finished_at")
        for side in ("after", "before")
        if request.get(f"{column.removesuffix('_at')}_{side}")
    }
    if len(filtered) > 1:
        _refuse("Both `updated_at` filter and `finished_at` filter can not be specified")
    for column in ("updated_at", "finished_at"):
        if (column in filtered) != (order_by == column):
            _refuse(f"`{column}` filter and `{column}` sorting must be paired")
    if "finished_at" in filtered and request.get("status") != "success":
        _refuse("`finished_at` filter must be combined with `success` status filter.")


def _refuse(words: str) -> None:
    raise Refused(400, {"message": f"400 Bad request - {words}"})


def _kept(request: Request, rows: list[Row]) -> list[Row]:
    if request.get("status"):
        status = request.choice("status", _STATUSES, "")
        rows = [row for row in rows if row.item.status == status]
    place = request.get("environment")
    return [row for row in rows if row.item.environment.name == place] if place else rows


def languages(call: Call) -> Reply:
    """``GET /projects/:id/languages``: shares in percent; none where there is no repository."""
    found = call.project()
    denied = call.access.gate_resource(call.viewer, found, "languages")
    return json_reply({} if denied else found.languages)


TABLE = {
    "projects/:id/environments": environments,
    "projects/:id/deployments": deployments,
    "projects/:id/languages": languages,
}
