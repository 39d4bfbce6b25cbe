"""Where the schema leads from a project or group to what is neither issue nor merge request.

Entered by `schema`.
"""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLResolveInfo

from labtrawl.sandbox.graphql import nodes_code
from labtrawl.sandbox.graphql.asking import Asking
from labtrawl.sandbox.graphql.connections import Chain, Node, connection, cut, rows_of
from labtrawl.sandbox.graphql.fields_items import sorted_by
from labtrawl.sandbox.graphql.nodes import Nodes, number_of, statistics
from labtrawl.sandbox.graphql.shelves import between, chain, kept
from labtrawl.sandbox.model import REPORTER, Group, Project

Info = GraphQLResolveInfo[Any]


def _nodes(info: Info) -> Nodes:
    found: Nodes = info.context.nodes
    return found


def _listed(info: Info, found: Chain, args: dict[str, Any], *, descending: bool) -> Any:
    page = cut(found, args.get("first"), args.get("after"), descending=descending)
    return info.context.pay(page)


def pipelines(source: Node, info: Info, **args: Any) -> Node | None:
    """A project's pipelines, the newest first."""
    ask: Asking = info.context
    home: Project = source["_item"]
    if ask.gate(home, "pipelines"):
        return None
    found = ask.shelves.items([home], "pipelines", "id", home.id)
    low, high = args.get("updatedAfter") or "", args.get("updatedBefore") or ""
    found = between(found, "updated_at", low, high)
    page = _listed(info, found, args, descending=True)
    made = [nodes_code.pipeline(_nodes(info), home, each) for _, each in rows_of(page)]
    return connection(page, made)


def environments(source: Node, info: Info, **args: Any) -> Node | None:
    """A project's environments by name; for one project in a query."""
    ask: Asking = info.context
    home: Project = source["_item"]
    ask.once("environments", "Project")
    if ask.gate(home, "environments"):
        return None
    found = chain("name", [(home.id, each) for each in home.environments])
    page = _listed(info, found, args, descending=False)
    return connection(page, [nodes_code.environment(home, each) for _, each in rows_of(page)])


def deployments(source: Node, info: Info, **args: Any) -> Node | None:
    """An environment's deployments, the newest first; for one environment in a query."""
    ask: Asking = info.context
    home = ask.shelves.access.projects[source["_project"]]
    ask.once("deployments", "Environment")
    number = source["_item"].id
    rows = [(home.id, each) for each in home.deployments if each.environment.id == number]
    page = _listed(info, chain("id", rows), args, descending=True)
    made = [nodes_code.deployment(_nodes(info), each) for _, each in rows_of(page)]
    return connection(page, made)


def releases(source: Node, info: Info, **args: Any) -> Node | None:
    """A project's releases."""
    ask: Asking = info.context
    home: Project = source["_item"]
    if ask.gate(home, "releases"):
        return None
    column, descending = sorted_by(args.get("sort"), "RELEASED_AT_DESC")
    reads_code = home.visibility == "public" or ask.viewer.level(home) >= REPORTER
    made = [
        nodes_code.release(_nodes(info), home, each, reads_code=reads_code)
        for each in home.releases
    ]
    pairs = sorted(
        (
            ((getattr(each["_item"], column), float(number)), each)
            for number, each in enumerate(made)
        ),
        key=lambda pair: pair[0],
    )
    found = Chain(column, [key for key, _ in pairs], [each for _, each in pairs])
    page = _listed(info, found, args, descending=descending)
    return connection(page, rows_of(page))


def milestones(source: Node, info: Info, **args: Any) -> Node | None:
    """A place's own milestones."""
    ask: Asking = info.context
    place: Project | Group = source["_item"]
    if isinstance(place, Project) and ask.gate(place, "milestones"):
        return None
    column, descending = sorted_by(args.get("sort"), "DUE_DATE_ASC")
    found = chain(column, [(place.id, each) for each in place.milestones])
    state = args.get("state")
    if state:
        found = kept(found, lambda pair: pair[1].state == state)
    if args.get("ids"):
        numbers = {number_of(text) for text in args["ids"]}
        found = kept(found, lambda pair: pair[1].id in numbers)
    page = _listed(info, found, args, descending=descending)
    return connection(page, [_nodes(info).milestone(each) for _, each in rows_of(page)])


def labels(source: Node, info: Info, **args: Any) -> Node | None:
    """A place's own labels by title."""
    place: Project | Group = source["_item"]
    of_project = isinstance(place, Project)
    ask: Asking = info.context
    if isinstance(place, Project) and ask.gate(place, "labels"):
        return None
    found = chain("name", [(place.id, each) for each in place.labels])
    page = _listed(info, found, args, descending=False)
    made = [_nodes(info).label(each, of_project=of_project) for _, each in rows_of(page)]
    return connection(page, made)


def descendant_groups(source: Node, info: Info, **args: Any) -> Node:
    """The groups below a group that the viewer may enter, by name."""
    ask: Asking = info.context
    access = ask.shelves.access
    here: Group = source["_item"]
    found = [
        (each.id, each)
        for each in access.groups.values()
        if each.id != here.id
        and any(place.id == here.id for place in access.lineage(each.id))
        and access.gate_group(ask.viewer, each) is None
    ]
    page = _listed(info, chain("name", found), args, descending=False)
    return connection(page, [_nodes(info).group(each) for _, each in rows_of(page)])


def parent(source: Node, info: Info) -> Node | None:
    """The group above."""
    ask: Asking = info.context
    found = ask.shelves.access.groups.get(source["_item"].parent_id)
    if found is None or ask.shelves.access.gate_group(ask.viewer, found):
        return None
    return _nodes(info).group(found)


def home_group(source: Node, info: Info) -> Node | None:
    """The group that a project is in; null for a project of a user."""
    found = info.context.shelves.access.groups.get(source["_item"].namespace_id)
    return _nodes(info).group(found) if found else None


def open_issues(source: Node, info: Info) -> int | None:
    """How many open issues the project has, of those that the viewer may read."""
    ask: Asking = info.context
    home: Project = source["_item"]
    if ask.gate(home, "issues"):
        return None
    return sum(each.state == "opened" and ask.sees(home, each) for each in home.issues)


def sizes(source: Node, info: Info) -> Node | None:
    """A project's statistics, for Reporters and above."""
    home: Project = source["_item"]
    return statistics(home) if info.context.viewer.level(home) >= REPORTER else None


def release_milestones(source: Node, info: Info, **args: Any) -> Node:
    """A release's milestones."""
    found = chain("id", [(0, each) for each in source["_item"].milestones])
    page = _listed(info, found, args, descending=False)
    return connection(page, [_nodes(info).milestone(each) for _, each in rows_of(page)])


def asset_links(source: Node, info: Info, **args: Any) -> Node:
    """A release's links."""
    keys = [("", float(index)) for index, _ in enumerate(source["_links"])]
    page = _listed(info, Chain("id", keys, source["_links"]), args, descending=False)
    return connection(page, rows_of(page))


TABLE: dict[str, dict[str, Callable[..., Any]]] = {
    "Project": {
        "pipelines": pipelines,
        "environments": environments,
        "releases": releases,
        "milestones": milestones,
        "labels": labels,
        "group": home_group,
        "openIssuesCount": open_issues,
        "statistics": sizes,
    },
    "Group": {
        "milestones": milestones,
        "labels": labels,
        "descendantGroups": descendant_groups,
        "parent": parent,
    },
    "Environment": {"deployments": deployments},
    "Release": {"milestones": release_milestones},
    "ReleaseAssets": {"links": asset_links},
}
