"""Groups: the list, one group, what lies below it and what belongs to it.

Entered by `routes`.
"""

from collections.abc import Callable

from labtrawl.sandbox import entities
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.listing import Row
from labtrawl.sandbox.model import OWNER, Group, Project
from labtrawl.sandbox.paging import cursor_page, offset_page, refuse_keyset
from labtrawl.sandbox.routes_lists import milestone_page, project_page
from labtrawl.sandbox.wire import Reply, json_reply

_ORDERS = ("name", "path", "id", "similarity")


def groups(call: Call) -> Reply:
    """``GET /groups``: memberships by default, everything visible with ``all_available``.

    Keyset is for anonymous callers only, by name ascending.
    """
    viewer = call.viewer
    if viewer.user is not None:
        refuse_keyset(call.request)
    everything = call.request.is_true("all_available") or viewer.user is None
    least = call.request.number("min_access_level") or 0
    if call.request.is_true("owned"):
        least = OWNER

    def kept(group: Group) -> bool:
        if least:
            return viewer.group_level(group) >= least
        return bool(viewer.group_level(group)) or (everything and group.visibility == "public")

    return _group_page(call, kept)


def _group_page(call: Call, kept: Callable[[Group], bool]) -> Reply:
    request = call.request
    order_by = request.choice("order_by", _ORDERS, "name")
    descending = request.choice("sort", ("asc", "desc"), "asc") == "desc"
    ordered = call.shelf.groups().ordered(
        "name" if order_by == "similarity" else order_by, descending
    )
    rows = [row for row in ordered if kept(row.item) and _matches(call, row)]
    if request.get("pagination") == "keyset":
        if order_by != "name" or descending:
            refuse_keyset(request)
        return cursor_page(request, order_by, rows)
    return offset_page(request, rows, limited="Group")


def _matches(call: Call, row: Row) -> bool:
    request = call.request
    group: Group = row.item
    if request.is_true("top_level_only") and group.parent_id is not None:
        return False
    search = request.get("search").lower()
    if search and search not in group.name.lower() and search not in group.path.lower():
        return False
    return request.get("visibility", group.visibility) == group.visibility


def group(call: Call) -> Reply:
    """``GET /groups/:id``; with its projects unless ``with_projects=false``."""
    found = call.group()
    if call.request.is_true("with_projects") is False:
        return Reply(200, call.shelf.group(found))
    body = entities.group_detail(call.shelf.base, found)
    mine = [
        call.shelf.project_body(call.viewer, row.item, bare=True)
        for row in call.shelf.projects(call.viewer).rows
        if row.item.namespace_id == found.id
    ]
    return json_reply(body | {"projects": mine[:100], "shared_projects": []})


def subgroups(call: Call) -> Reply:
    """``GET /groups/:id/subgroups``: one level down."""
    parent = call.group()
    refuse_keyset(call.request)
    return _group_page(call, lambda g: g.parent_id == parent.id and _visible(call, g))


def descendants(call: Call) -> Reply:
    """``GET /groups/:id/descendant_groups``: all levels down."""
    parent = call.group()
    refuse_keyset(call.request)
    return _group_page(
        call,
        lambda g: g is not parent and parent in call.access.lineage(g.id) and _visible(call, g),
    )


def _visible(call: Call, found: Group) -> bool:
    return found.visibility == "public" or bool(call.viewer.group_level(found))


def projects(call: Call) -> Reply:
    """``GET /groups/:id/projects``; no keyset here."""
    parent = call.group()
    refuse_keyset(call.request)
    deep = call.request.is_true("include_subgroups")
    lineage = call.access.lineage

    def kept(found: Project) -> bool:
        if deep:
            return parent in lineage(found.namespace_id)
        return found.namespace_id == parent.id

    return project_page(call, kept, bare=True)


def members(call: Call) -> Reply:
    """``GET /groups/:id/members``."""
    found = call.group()
    refuse_keyset(call.request)
    return offset_page(call.request, call.shelf.members(found).rows)


def all_members(call: Call) -> Reply:
    """``GET /groups/:id/members/all``."""
    found = call.group()
    refuse_keyset(call.request)
    return offset_page(call.request, call.shelf.all_members(found).rows)


def labels(call: Call) -> Reply:
    """``GET /groups/:id/labels``, those of ancestors too unless told otherwise."""
    found = call.group()
    refuse_keyset(call.request)
    ancestors = call.request.is_true("include_ancestor_groups") is not False
    only_own = call.request.is_true("only_group_labels") is True and not ancestors
    return offset_page(
        call.request, call.shelf.labels(found, ancestors=not only_own and ancestors).rows
    )


def milestones(call: Call) -> Reply:
    """``GET /groups/:id/milestones``."""
    found = call.group()
    call.me()
    refuse_keyset(call.request)
    return milestone_page(call, found)


TABLE = {
    "groups": groups,
    "groups/:id": group,
    "groups/:id/subgroups": subgroups,
    "groups/:id/descendant_groups": descendants,
    "groups/:id/projects": projects,
    "groups/:id/members": members,
    "groups/:id/members/all": all_members,
    "groups/:id/labels": labels,
    "groups/:id/milestones": milestones,
}
