"""What changed below a group: the issues and merge requests of all its projects.

Entered by `routes`. Subgroups count; archived projects only with ``non_archived=false``
(doc/api/issues.md, doc/api/merge_requests.md).
"""

from collections.abc import Callable, Iterator, Sequence

from labtrawl.sandbox import shelf_code
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.listing import Listing, Row
from labtrawl.sandbox.model import Project
from labtrawl.sandbox.paging import offset_page, refuse_keyset
from labtrawl.sandbox.routes_code import REQUEST_ORDERS, request_filter
from labtrawl.sandbox.routes_projects import ISSUE_ORDERS, issue_filter
from labtrawl.sandbox.wire import Refused, Reply, Request

_SCOPES = ("all", "created_by_me", "assigned_to_me", "created-by-me", "assigned-to-me")
_BY_ATTRIBUTE = ("created_at", "updated_at", "merged_at", "title", "due_date", "relative_position")
_Filter = Callable[[Request, Sequence[Row]], Sequence[Row]]


def issues(call: Call) -> Reply:
    """``GET /groups/:id/issues``, those of subgroups too."""

    def rows(project: Project) -> Listing:
        return call.shelf.issues(call.viewer, project)

    return _page(call, "issues", rows, issue_filter, ISSUE_ORDERS)


def merge_requests(call: Call) -> Reply:
    """``GET /groups/:id/merge_requests``, those of subgroups too."""

    def rows(project: Project) -> Listing:
        return shelf_code.merge_requests(call.shelf, project)

    return _page(call, "merge_requests", rows, request_filter, REQUEST_ORDERS)


def _page(
    call: Call,
    resource: str,
    rows_of: Callable[[Project], Listing],
    kept: _Filter,
    orders: tuple[str, ...],
) -> Reply:
    request = call.request
    projects = list(_projects(call, resource))
    refuse_keyset(request)
    order_by = request.choice("order_by", orders, "created_at")
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    rows = [row for project in projects for row in kept(request, rows_of(project).rows)]
    if request.get("scope"):
        rows = _within_scope(call, rows)
    column = order_by if order_by in _BY_ATTRIBUTE else "created_at"
    return offset_page(request, Listing(rows).ordered(column, descending))


def _projects(call: Call, resource: str) -> Iterator[Project]:
    """The projects below the group whose `resource` the viewer may list."""
    group = call.group()
    unarchived = call.request.is_true("non_archived") is not False
    for project in call.shelf.world.projects:
        if unarchived and project.archived:
            continue
        if group not in call.access.lineage(project.namespace_id):
            continue
        if call.access.gate_resource(call.viewer, project, resource) is None:
            yield project


def _within_scope(call: Call, rows: list[Row]) -> list[Row]:
    scope = call.request.choice("scope", _SCOPES, "all").replace("-", "_")
    if scope == "all":
        return rows
    me = call.viewer.user
    if me is None:
        raise Refused(401, {"message": "401 Unauthorized"})
    if scope == "created_by_me":
        return [row for row in rows if row.item.author.id == me.id]
    return [row for row in rows if any(user.id == me.id for user in row.item.assignees)]


TABLE = {"groups/:id/issues": issues, "groups/:id/merge_requests": merge_requests}
