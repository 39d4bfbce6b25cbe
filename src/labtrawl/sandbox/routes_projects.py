"""Projects: the list, one project, and its members, labels, milestones, issues and notes.

Entered by `routes`.
"""

from collections.abc import Sequence

from labtrawl.sandbox.call import Call
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.model import Issue, Project
from labtrawl.sandbox.paging import cursor_page, offset_page, refuse_keyset
from labtrawl.sandbox.routes_lists import milestone_page, note_page, project_page, thread_filter
from labtrawl.sandbox.wire import Refused, Reply, Request, json_reply

_ISSUE_KEYSET = (
    "id",
    "title",
    "created_at",
    "updated_at",
    "due_date",
    "relative_position",
    "weight",
)
ISSUE_ORDERS = (
    *_ISSUE_KEYSET,
    "priority",
    "label_priority",
    "milestone_due",
    "popularity",
)


def projects(call: Call) -> Reply:
    """``GET /projects``: everything visible, unless ``membership`` or ``owned`` narrow it."""
    return project_page(call, lambda _: True, keyset=True)


def project(call: Call) -> Reply:
    """``GET /projects/:id``; `statistics` are for Reporters and above."""
    found = call.project()
    weighed = bool(call.request.is_true("statistics"))
    return json_reply(call.shelf.project_body(call.viewer, found, weighed=weighed))


def user_projects(call: Call) -> Reply:
    """``GET /users/:id/projects``: the visible projects of a user's own namespace."""
    number = call.place_number(1)
    if number not in call.access.users:
        raise Refused(404, {"message": "404 User Not Found"})
    return project_page(
        call, lambda found: found.owner is not None and found.owner.id == number, keyset=True
    )


def members(call: Call) -> Reply:
    """``GET /projects/:id/members``."""
    found = call.project("members")
    refuse_keyset(call.request)
    return offset_page(call.request, call.shelf.members(found).rows)


def all_members(call: Call) -> Reply:
    """``GET /projects/:id/members/all``."""
    found = call.project("inherited_members")
    refuse_keyset(call.request)
    return offset_page(call.request, call.shelf.all_members(found).rows)


def labels(call: Call) -> Reply:
    """``GET /projects/:id/labels``, those of the groups above too unless told otherwise."""
    found = call.project("labels")
    refuse_keyset(call.request)
    ancestors = call.request.is_true("include_ancestor_groups") is not False
    return offset_page(call.request, call.shelf.labels(found, ancestors=ancestors).rows)


def milestones(call: Call) -> Reply:
    """``GET /projects/:id/milestones``; needs a token even where the project is public."""
    found = call.project("milestones")
    call.me()
    refuse_keyset(call.request)
    return milestone_page(call, found)


def issues(call: Call) -> Reply:
    """``GET /projects/:id/issues``, by numbered pages or keyset (since GitLab 18.3)."""
    found = call.project("issues")
    request = call.request
    if not call.profile.at_least(18, 3):
        refuse_keyset(request)
    order_by = request.choice("order_by", ISSUE_ORDERS, "created_at")
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    column = order_by if order_by in _ISSUE_KEYSET else "created_at"
    rows = issue_filter(request, call.shelf.issues(call.viewer, found).ordered(column, descending))
    if request.get("pagination") == "keyset" and order_by in _ISSUE_KEYSET:
        return cursor_page(request, order_by, rows)
    return offset_page(request, rows)


def issue_filter(request: Request, rows: Sequence[Row]) -> Sequence[Row]:
    """The filters of issue lists."""
    if not request.query:
        return rows
    state = request.choice("state", ("opened", "closed", "all"), "all")
    if state != "all":
        rows = [row for row in rows if row.item.state == state]
    confidential = request.is_true("confidential")
    if confidential is not None:
        rows = [row for row in rows if row.item.confidential == confidential]
    return thread_filter(request, rows)


def one_issue(call: Call) -> tuple[Project, Row]:
    """The project and the issue that the path names. Refuses (404) one the viewer may not see."""
    found = call.project()
    if call.access.gate_resource(call.viewer, found, "issues"):
        raise Refused(404, {"message": "404 Issue Not Found"})
    row = call.shelf.issues(call.viewer, found).by_iid(call.place_number(3))
    if row is None:
        raise Refused(404, {"message": "404 Issue Not Found"})
    return found, row


def issue(call: Call) -> Reply:
    """``GET /projects/:id/issues/:iid``."""
    _, row = one_issue(call)
    return Reply(200, row.body or b"")


def issue_notes(call: Call) -> Reply:
    """``GET /projects/:id/issues/:iid/notes``; needs a token."""
    found, row = one_issue(call)
    call.me()
    item: Issue = row.item
    return note_page(call, found, item)


def issue_statistics(call: Call) -> Reply:
    """``GET /projects/:id/issues_statistics``."""
    found = call.project("issues")
    rows = issue_filter(call.request, call.shelf.issues(call.viewer, found).rows)
    opened = sum(row.item.state == "opened" for row in rows)
    counts = {"all": len(rows), "closed": len(rows) - opened, "opened": opened}
    return json_reply({"statistics": {"counts": counts}})


TABLE = {
    "projects": projects,
    "projects/:id": project,
    "users/:id/projects": user_projects,
    "projects/:id/members": members,
    "projects/:id/members/all": all_members,
    "projects/:id/labels": labels,
    "projects/:id/milestones": milestones,
    "projects/:id/issues": issues,
    "projects/:id/issues/:iid": issue,
    "projects/:id/issues/:iid/notes": issue_notes,
    "projects/:id/issues_statistics": issue_statistics,
}
