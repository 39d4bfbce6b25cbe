"""Where the schema leads from the query itself, and from places to their items.

Entered by `schema`, which hangs `TABLE` on the types. A field of a node is its dict's value; a
field here is a function of the node, the execution's info and the arguments.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from labtrawl.sandbox.graphql.asking import Asking
from labtrawl.sandbox.graphql.connections import Chain, Node, connection, cut, rows_of
from labtrawl.sandbox.graphql.fields_items import item_node, sorted_by
from labtrawl.sandbox.graphql.nodes import Nodes, number_of
from labtrawl.sandbox.graphql.shelves import between, kept, readable
from labtrawl.sandbox.model import Group, Project

Info = GraphQLResolveInfo[Any]
_MOST_PATHS = 50
_RESOURCE = {"issues": "issues", "merge_requests": "merge_requests", "work_items": "issues"}


def _nodes(info: Info) -> Nodes:
    found: Nodes = info.context.nodes
    return found


# ------------------------------------------------------------ the query


def project(_: Node, info: Info, *, fullPath: str) -> Node | None:  # noqa: N803 - GitLab's name
    """A project by its path; null if it is missing or may not be entered."""
    ask: Asking = info.context
    access = ask.shelves.access
    path = fullPath.lower()
    found = access.projects_by_path.get(path) or access.moved.get(path)
    if found is None or ask.gate(found, "project"):
        return None
    return _nodes(info).project(found)


def group(_: Node, info: Info, *, fullPath: str) -> Node | None:  # noqa: N803
    """A group by its path; null if it is missing or may not be entered."""
    ask: Asking = info.context
    found = ask.shelves.access.groups_by_path.get(fullPath.lower())
    if found is None or ask.shelves.access.gate_group(ask.viewer, found):
        return None
    return _nodes(info).group(found)


def projects(_: Node, info: Info, **args: Any) -> Node:
    """Projects that the viewer may enter, of a list of ids or paths, or the viewer's own."""
    ask: Asking = info.context
    access = ask.shelves.access
    found = list(access.projects.values())
    if args.get("ids"):
        numbers = [number_of(text) for text in args["ids"]]
        found = [access.projects[number] for number in numbers if number in access.projects]
    if args.get("fullPaths") is not None:
        if len(args["fullPaths"]) > _MOST_PATHS:
            raise GraphQLError(f"You cannot provide more than {_MOST_PATHS} full_paths")
        paths = [path.lower() for path in args["fullPaths"]]
        wanted = {access.projects_by_path[p].id for p in paths if p in access.projects_by_path}
        found = [each for each in found if each.id in wanted]
    if args.get("membership"):
        found = [each for each in found if ask.viewer.level(each)]
    return _project_page(info, found, args, ascending=args.get("sort") == "id_asc")


def _project_page(
    info: Info, found: Sequence[Project], args: dict[str, Any], *, ascending: bool = False
) -> Node:
    ask: Asking = info.context
    open_ones = {each.id: each for each in found if not ask.gate(each, "project")}
    keys = [("", float(number)) for number in sorted(open_ones)]
    rows = [open_ones[int(number)] for _, number in keys]
    page = cut(
        Chain("id", keys, rows), args.get("first"), args.get("after"), descending=not ascending
    )
    nodes = _nodes(info)
    return connection(page, [nodes.project(each) for each in rows_of(ask.pay(page))])


def current_user(_: Node, info: Info) -> Node | None:
    """The user of the token."""
    return _nodes(info).user(info.context.viewer.user)


def metadata(_: Node, info: Info) -> Node | None:
    """What this GitLab is; null for an anonymous caller."""
    ask: Asking = info.context
    if ask.viewer.user is None:
        return None
    profile = ask.profile
    return {
        "version": profile.version,
        "revision": "9d2f2ff1c0e",
        "enterprise": profile.enterprise,
    }


def query_complexity(_: Node, info: Info) -> Node:
    """What this query scores, and what it may."""
    return {"score": info.context.score, "limit": info.context.limit}


def by_id(kind: str) -> Callable[..., Node | None]:
    """The field that finds an item by its global id."""

    def find(_: Node, info: Info, *, id: str) -> Node | None:  # noqa: A002 - GitLab's name
        ask: Asking = info.context
        held = "merge_requests" if kind == "merge_requests" else "issues"
        found = ask.shelves.find(held, number_of(id))
        if found is None:
            return None
        home = ask.shelves.access.projects[found[0]]
        seen = ask.gate(home, held) == 0 and ask.sees(home, found[1])
        return item_node(ask, kind, home, found[1]) if seen else None

    return find


# ------------------------------------------------------------ lists of items


def _texts(args: dict[str, Any], column: str) -> tuple[str, str]:
    stem = {"created_at": "created", "updated_at": "updated"}[column]
    after, before = args.get(f"{stem}After"), args.get(f"{stem}Before")
    return (after or "", before or "")


def _filtered(found: Chain, args: dict[str, Any]) -> Chain:
    """The chain within the times, numbers and state that were asked for; times are inclusive."""
    for column in ("updated_at", "created_at"):
        found = between(found, column, *_texts(args, column))
    wanted = set(args.get("iids") or ()) | ({args["iid"]} if args.get("iid") else set())
    if wanted or args.get("iids") is not None:
        found = kept(found, lambda pair: str(pair[1].iid) in wanted)
    state = args.get("state")
    return found if state in (None, "all") else kept(found, lambda pair: pair[1].state == state)


def _item_page(info: Info, kind: str, places: list[Project], key: object, args: Any) -> Node:
    ask: Asking = info.context
    held = "merge_requests" if kind == "merge_requests" else "issues"
    column, descending = sorted_by(args.get("sort"), "CREATED_DESC")
    found = ask.shelves.items(places, held, column, key)
    if held == "issues":
        found = readable(ask.viewer, found, places)
    found = _filtered(found, args)
    page = ask.pay(cut(found, args.get("first"), args.get("after"), descending=descending))
    access = ask.shelves.access
    rows = [item_node(ask, kind, access.projects[home], item) for home, item in rows_of(page)]
    return connection(page, rows)


def project_items(kind: str) -> Callable[..., Node | None]:
    """A project's list of items; null = not permitted."""

    def items(source: Node, info: Info, **args: Any) -> Node | None:
        found: Project = source["_item"]
        gate = info.context.gate(found, _RESOURCE[kind])
        if gate not in (0, 200):
            return None
        return _item_page(info, kind, [] if gate else [found], (found.id, gate), args)

    return items


def project_item(kind: str) -> Callable[..., Node | None]:
    """One item of a project, by its number."""
    listed = project_items(kind)

    def item(source: Node, info: Info, **args: Any) -> Node | None:
        page = listed(source, info, **args, first=1)
        return page["nodes"][0] if page and page["nodes"] else None

    return item


def group_items(kind: str) -> Callable[..., Node]:
    """The items of a group's projects, of those that the viewer may read."""

    def items(source: Node, info: Info, **args: Any) -> Node:
        ask: Asking = info.context
        found: Group = source["_item"]
        deep = bool(args.get("includeSubgroups") or args.get("includeDescendants"))
        places = [
            place
            for place in ask.shelves.below(found, deep=deep)
            if ask.gate(place, _RESOURCE[kind]) == 0
            and (args.get("includeArchived") or not place.archived)
        ]
        return _item_page(info, kind, places, tuple(place.id for place in places), args)

    return items


def timelogs(source: Node, info: Info, **args: Any) -> Node | None:
    """The times spent in a project or a group, on items that the viewer may read."""
    ask: Asking = info.context
    place: Project | Group = source["_item"]
    places = ask.shelves.below(place, deep=True) if isinstance(place, Group) else [place]
    if isinstance(place, Project) and ask.gate(place, "timelogs") not in (0, 200):
        return None
    places = [each for each in places if ask.gate(each, "timelogs") == 0]
    column, descending = sorted_by(args.get("sort"), "SPENT_AT_ASC")
    found = ask.shelves.times(places, column, tuple(each.id for each in places))
    found = readable(ask.viewer, found, places)
    found = between(found, "spent_at", args.get("startTime") or "", args.get("endTime") or "")
    page = ask.pay(cut(found, args.get("first"), args.get("after"), descending=descending))
    return connection(page, [ask.timelog(*pair) for pair in rows_of(page)])


def group_projects(source: Node, info: Info, **args: Any) -> Node:
    """A group's projects, archived ones only if asked for (GitLab 17 and later)."""
    ask: Asking = info.context
    found = ask.shelves.below(source["_item"], deep=bool(args.get("includeSubgroups")))
    if ask.nodes.modern and not args.get("includeArchived"):
        found = [each for each in found if not each.archived]
    if args.get("ids"):
        numbers = {number_of(text) for text in args["ids"]}
        found = [each for each in found if each.id in numbers]
    return _project_page(info, found, args)


TABLE: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {
        "project": project,
        "group": group,
        "projects": projects,
        "currentUser": current_user,
        "metadata": metadata,
        "queryComplexity": query_complexity,
        "issue": by_id("issues"),
        "mergeRequest": by_id("merge_requests"),
        "workItem": by_id("work_items"),
    },
    "Project": {
        "issues": project_items("issues"),
        "issue": project_item("issues"),
        "mergeRequests": project_items("merge_requests"),
        "mergeRequest": project_item("merge_requests"),
        "workItems": project_items("work_items"),
        "timelogs": timelogs,
    },
    "Group": {
        "issues": group_items("issues"),
        "mergeRequests": group_items("merge_requests"),
        "workItems": group_items("work_items"),
        "timelogs": timelogs,
        "projects": group_projects,
    },
}
