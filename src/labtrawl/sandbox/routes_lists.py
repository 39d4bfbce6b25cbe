"""What several routes share: filters of rows and the list of projects.

Entered by the routes.
"""

from collections.abc import Callable, Sequence

from labtrawl.sandbox.call import Call
from labtrawl.sandbox.instants import normal_text
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.model import OWNER, Group, Issue, MergeRequest, Project
from labtrawl.sandbox.paging import (
    MAX_PER_PAGE,
    id_keyset_page,
    offset_page,
    refuse_keyset,
)
from labtrawl.sandbox.wire import Refused, Reply, Request

HOLES_EVERY = 5
_PROJECT_ORDERS = (
    "id",
    "name",
    "path",
    "created_at",
    "updated_at",
    "last_activity_at",
    "star_count",
    "similarity",
)


def instant_parameter(request: Request, name: str) -> str:
    """An instant parameter as rows hold it, or an empty text. Refuses (400) what is none."""
    text = request.get(name)
    try:
        return normal_text(text) if text else ""
    except ValueError:
        raise Refused(400, {"error": f"{name} is invalid"}) from None


def between(request: Request, rows: Sequence[Row], *columns: str) -> list[Row]:
    """Rows within ``<column>_after`` and ``<column>_before``, both inclusive."""
    kept = list(rows)
    for column in columns:
        stem = column.removesuffix("_at")
        after = instant_parameter(request, f"{stem}_after")
        before = instant_parameter(request, f"{stem}_before")
        if after:
            kept = [row for row in kept if getattr(row.item, column) >= after]
        if before:
            kept = [row for row in kept if getattr(row.item, column) <= before]
    return kept


def project_page(
    call: Call, kept: Callable[[Project], bool], *, keyset: bool = False, bare: bool = False
) -> Reply:
    """A page of the visible projects that `kept` keeps, filtered and ordered as asked.

    `bare`: without the caller's permissions, as in a group's list.
    """
    request = call.request
    order_by = request.choice("order_by", _PROJECT_ORDERS, "created_at")
    if request.get("updated_after") + request.get("updated_before") and order_by != "updated_at":
        raise Refused(400, {"error": "`updated_at` filter and `updated_at` sorting must be paired"})
    descending = request.choice("sort", ("asc", "desc"), "desc") == "desc"
    simple = bool(request.is_true("simple"))
    weighed = bool(request.is_true("statistics"))
    listing = call.shelf.projects(call.viewer, simple=simple, bare=bare, weighed=weighed)
    column = "created_at" if order_by in ("star_count", "similarity") else order_by
    rows = [
        row
        for row in listing.ordered(column, descending)
        if kept(row.item) and _project_matches(call, row.item)
    ]
    rows = between(request, rows, "updated_at", "last_activity_at")
    if keyset and request.get("pagination") == "keyset":
        return id_keyset_page(request, rows)
    return offset_page(request, rows)


def _project_matches(call: Call, project: Project) -> bool:
    request = call.request
    level = call.viewer.level(project)
    if request.is_true("membership") and not level:
        return False
    if request.is_true("owned") and level < OWNER:
        return False
    if level < (request.number("min_access_level") or 0):
        return False
    archived = request.is_true("archived")
    if archived is not None and archived != project.archived:
        return False
    if request.get("visibility", project.visibility) != project.visibility:
        return False
    return _within_ids(request, project) and _named(request, project)


def _within_ids(request: Request, project: Project) -> bool:
    after, before = request.number("id_after"), request.number("id_before")
    return (after is None or project.id > after) and (before is None or project.id < before)


def _named(request: Request, project: Project) -> bool:
    search = request.get("search").lower()
    where = (project.name, project.path, project.description or "")
    return not search or any(search in text.lower() for text in where)


def milestone_page(call: Call, place: Group | Project) -> Reply:
    """A page of a place's own milestones."""
    rows = between(call.request, call.shelf.milestones(place).rows, "updated_at")
    return offset_page(call.request, rows)


def thread_filter(request: Request, rows: Sequence[Row]) -> Sequence[Row]:
    """The filters that issues and merge requests share."""
    rows = between(request, rows, "updated_at", "created_at")
    iids = request.all("iids")
    if iids:
        rows = [row for row in rows if str(row.item.iid) in iids]
    wanted = request.all("labels")
    if wanted:
        rows = [row for row in rows if set(wanted) <= set(row.item.labels)]
    author = request.get("author_username")
    if author:
        rows = [row for row in rows if row.item.author.username == author]
    number = request.number("author_id")
    if number is not None:
        rows = [row for row in rows if row.item.author.id == number]
    search = request.get("search").lower()
    if search:
        rows = [r for r in rows if search in f"{r.item.title}\n{r.item.description}".lower()]
    return rows


def item_page(call: Call, rows: Sequence[Row]) -> Reply:
    """A page of what hangs on one item, by number; needs a token even in a public project."""
    call.me()
    refuse_keyset(call.request)
    return offset_page(call.request, rows)


def discussion_page(call: Call, item: Issue | MergeRequest, rows: Sequence[Row]) -> Reply:
    """A page of an item's discussions; unreadable ones leave it shorter."""
    holes = call.short_pages and item.iid % HOLES_EVERY == 0
    return item_page(call, with_holes(rows) if holes else rows)


def note_page(call: Call, found: Project, item: Issue | MergeRequest) -> Reply:
    """A page of the notes of an issue or merge request; unreadable ones leave it shorter."""
    refuse_keyset(call.request)
    order_by = call.request.choice("order_by", ("created_at", "updated_at"), "created_at")
    descending = call.request.choice("sort", ("asc", "desc"), "desc") == "desc"
    rows = call.shelf.notes(call.viewer, found, item).ordered(order_by, descending)
    holes = call.short_pages and item.iid % HOLES_EVERY == 0
    return offset_page(call.request, with_holes(rows) if holes else rows)


def with_holes(rows: Sequence[Row]) -> list[Row]:
    """The rows with a page's worth of unreadable ones after the first.

    So it is on an instance where most of a thread is internal: the first page is short, and yet
    has a next one.
    """
    hole = Row(None, None)
    return [*rows[:1], *([hole] * MAX_PER_PAGE if len(rows) > 1 else ()), *rows[1:]]
