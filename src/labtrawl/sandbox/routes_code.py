"""Merge requests and what follows from code: commits, branches, tags, builds, releases, events.

Entered by `routes`.
"""

from collections.abc import Sequence

from labtrawl.sandbox import shelf_code
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.entities_activity import pipeline_detail
from labtrawl.sandbox.instants import instant_ms, instant_text
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.model import Pipeline, Project
from labtrawl.sandbox.paging import id_cursor_page, offset_page, refuse_keyset, token_page
from labtrawl.sandbox.routes_lists import (
    between,
    instant_parameter,
    note_page,
    thread_filter,
    with_holes,
)
from labtrawl.sandbox.wire import Refused, Reply, Request, json_reply

REQUEST_ORDERS = (
    "created_at",
    "updated_at",
    "merged_at",
    "title",
    "priority",
    "label_priority",
    "milestone_due",
    "popularity",
)
_REQUEST_STATES = ("opened", "closed", "locked", "merged", "all")
_PIPELINE_ORDERS = ("id", "status", "ref", "updated_at", "user_id")
_BY_ATTRIBUTE = ("id", "created_at", "updated_at", "merged_at", "title", "status", "ref")
_DAY_MS = 86_400_000


def merge_requests(call: Call) -> Reply:
    """``GET /projects/:id/merge_requests``; no keyset here."""
    found = call.project("merge_requests")
    request = call.request
    refuse_keyset(request)
    order_by = request.choice("order_by", REQUEST_ORDERS, "created_at")
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    column = order_by if order_by in _BY_ATTRIBUTE else "created_at"
    rows = shelf_code.merge_requests(call.shelf, found).ordered(column, descending)
    return offset_page(request, request_filter(request, rows))


def request_filter(request: Request, rows: Sequence[Row]) -> Sequence[Row]:
    """The filters of lists of merge requests."""
    if not request.query:
        return rows
    state = request.choice("state", _REQUEST_STATES, "all")
    if state != "all":
        rows = [row for row in rows if row.item.state == state]
    for name in ("source_branch", "target_branch"):
        wanted = request.get(name)
        if wanted:
            rows = [row for row in rows if getattr(row.item, name) == wanted]
    return thread_filter(request, rows)


def one_request(call: Call) -> tuple[Project, Row]:
    """The project and the merge request that the path names. Refuses (404) an unknown one."""
    found = call.project("merge_requests")
    row = shelf_code.merge_requests(call.shelf, found).by_iid(call.place_number(3))
    if row is None:
        raise Refused(404, {"message": "404 Not found"})
    return found, row


def merge_request(call: Call) -> Reply:
    """``GET /projects/:id/merge_requests/:iid``."""
    found, row = one_request(call)
    return json_reply(shelf_code.merge_request_detail(call.shelf, call.viewer, found, row.item))


def merge_request_notes(call: Call) -> Reply:
    """``GET /projects/:id/merge_requests/:iid/notes``; needs a token."""
    found, row = one_request(call)
    call.me()
    return note_page(call, found, row.item)


def commits(call: Call) -> Reply:
    """``GET /projects/:id/repository/commits``: never a total, full pages claim a next one."""
    found = call.project("commits")
    request = call.request
    stats = bool(request.is_true("with_stats"))
    rows: Sequence[Row] = shelf_code.commits(call.shelf, found, stats=stats).rows
    if not request.is_true("all"):
        ref = request.get("ref_name") or found.default_branch or ""
        rows = shelf_code.commits_from(call.shelf, found, ref, stats=stats)
    since, until = instant_parameter(request, "since"), instant_parameter(request, "until")
    if since:
        rows = [row for row in rows if row.item.committed_date >= since]
    if until:
        rows = [row for row in rows if row.item.committed_date <= until]
    return offset_page(request, rows, totals=False)


def commit(call: Call) -> Reply:
    """``GET /projects/:id/repository/commits/:sha``, by a full or shortened sha."""
    found = call.project("commits")
    sha = call.word(4)
    for item in found.commits:
        if len(sha) >= 7 and item.sha.startswith(sha):
            return json_reply(shelf_code.commit_detail(call.shelf, found, item))
    raise Refused(404, {"message": "404 Commit Not Found"})


def branches(call: Call) -> Reply:
    """``GET /projects/:id/repository/branches``."""
    found = call.project("branches")
    refuse_keyset(call.request)
    rows: Sequence[Row] = shelf_code.branches(call.shelf, call.viewer, found).rows
    return offset_page(call.request, _named(call.request, rows))


def tags(call: Call) -> Reply:
    """``GET /projects/:id/repository/tags``, by numbered pages or keyset."""
    found = call.project("tags")
    rows = _named(call.request, shelf_code.tags(call.shelf, found).rows)
    if call.request.get("pagination") == "keyset":
        return token_page(call.request, rows)
    return offset_page(call.request, rows)


def _named(request: Request, rows: Sequence[Row]) -> Sequence[Row]:
    search = request.get("search").lower()
    return [row for row in rows if search in row.item.name.lower()] if search else rows


def pipelines(call: Call) -> Reply:
    """``GET /projects/:id/pipelines``; no keyset here."""
    found = call.project("pipelines")
    request = call.request
    refuse_keyset(request)
    order_by = request.choice("order_by", _PIPELINE_ORDERS, "id")
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    column = order_by if order_by in _BY_ATTRIBUTE else "id"
    rows: Sequence[Row] = shelf_code.pipelines(call.shelf, found).ordered(column, descending)
    for name in ("status", "ref", "sha", "source"):
        wanted = request.get(name)
        if wanted:
            rows = [row for row in rows if getattr(row.item, name) == wanted]
    return offset_page(request, between(request, rows, "updated_at", "created_at"))


def _one_pipeline(call: Call) -> tuple[Project, Pipeline]:
    found = call.project("pipelines")
    number = call.place_number(3)
    for item in found.pipelines:
        if item.id == number:
            return found, item
    raise Refused(404, {"message": "404 Not found"})


def pipeline(call: Call) -> Reply:
    """``GET /projects/:id/pipelines/:pipeline_id``."""
    found, item = _one_pipeline(call)
    return json_reply(pipeline_detail(call.shelf.people, found, item))


def pipeline_jobs(call: Call) -> Reply:
    """``GET /projects/:id/pipelines/:pipeline_id/jobs``, the last try of each unless asked."""
    found, item = _one_pipeline(call)
    retried = call.request.is_true("include_retried")
    rows = [
        row
        for row in shelf_code.jobs(call.shelf, found).ordered("id", True)
        if row.item.pipeline.id == item.id and (retried or not row.item.retried)
    ]
    return offset_page(call.request, rows)


def jobs(call: Call) -> Reply:
    """``GET /projects/:id/jobs``: never a total; keyset by id, descending only."""
    found = call.project("ci_jobs")
    request = call.request
    rows: Sequence[Row] = shelf_code.jobs(call.shelf, found).ordered("id", True)
    scopes = request.all("scope")
    if scopes:
        rows = [row for row in rows if row.item.status in scopes]
    if request.get("pagination") == "keyset":
        return id_cursor_page(request, rows)
    return offset_page(request, rows, totals=False)


def releases(call: Call) -> Reply:
    """``GET /projects/:id/releases``."""
    found = call.project("releases")
    refuse_keyset(call.request)
    rows = shelf_code.releases(call.shelf, call.viewer, found).rows
    if call.request.choice("sort", ("asc", "desc"), "desc") == "asc":
        rows = rows[::-1]
    return offset_page(call.request, rows)


def events(call: Call) -> Reply:
    """``GET /projects/:id/events``; rows the caller may not see leave pages shorter."""
    found = call.project("events")
    request = call.request
    refuse_keyset(request)
    rows: Sequence[Row] = shelf_code.events(call.shelf, call.viewer, found)
    if request.choice("sort", ("asc", "desc"), "desc") == "asc":
        rows = rows[::-1]
    after, before = instant_parameter(request, "after"), instant_parameter(request, "before")
    if after:
        first = instant_text(instant_ms(after) // _DAY_MS * _DAY_MS + _DAY_MS)
        rows = [row for row in rows if row.item.created_at >= first]
    if before:
        rows = [row for row in rows if row.item.created_at < before]
    return offset_page(request, with_holes(rows) if call.short_pages else rows)


TABLE = {
    "projects/:id/merge_requests": merge_requests,
    "projects/:id/merge_requests/:iid": merge_request,
    "projects/:id/merge_requests/:iid/notes": merge_request_notes,
    "projects/:id/repository/commits": commits,
    "projects/:id/repository/commits/:sha": commit,
    "projects/:id/repository/branches": branches,
    "projects/:id/repository/tags": tags,
    "projects/:id/pipelines": pipelines,
    "projects/:id/pipelines/:pipeline_id": pipeline,
    "projects/:id/pipelines/:pipeline_id/jobs": pipeline_jobs,
    "projects/:id/jobs": jobs,
    "projects/:id/releases": releases,
    "projects/:id/events": events,
}
