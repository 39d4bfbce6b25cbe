"""Where the schema leads from issues, merge requests, work items, discussions and notes.

Entered by `schema`, and by the fields of places for their items.
"""

from collections.abc import Callable, Sequence
from typing import Any

from graphql import GraphQLResolveInfo

from labtrawl.sandbox.graphql import nodes_code, nodes_items
from labtrawl.sandbox.graphql.asking import Asking
from labtrawl.sandbox.graphql.connections import Chain, Node, connection, cut, rows_of
from labtrawl.sandbox.graphql.nodes import gid
from labtrawl.sandbox.graphql.shelves import chain
from labtrawl.sandbox.model import REPORTER, Issue, Label, MergeRequest, Project, User
from labtrawl.sandbox.routes_lists import HOLES_EVERY

Info = GraphQLResolveInfo[Any]
_DISCUSSION_NOTES = 200
_PIPELINES = 500
_ACTIVITY = {"ONLY_COMMENTS": False, "ONLY_ACTIVITY": True}
_MODERN_REVIEWS = {"unreviewed", "reviewed"}


def sorted_by(sort: str | None, default: str) -> tuple[str, bool]:
    """The column and direction of an enum of orders, for example ``UPDATED_ASC``."""
    column, _, direction = (sort or default).lower().rpartition("_")
    name = column if column in ("due_date", "spent_at", "released_at") else f"{column}_at"
    return name, direction == "desc"


def item_node(ask: Asking, kind: str, home: Project, item: Any) -> Node:
    """The node of an item, as an issue, a merge request or a work item."""
    if kind == "issues":
        return nodes_items.issue(ask.nodes, home, item)
    if kind == "merge_requests":
        return nodes_items.merge_request(ask.nodes, home, item)
    return nodes_items.work_item(ask.nodes, home, item)


def _page(ask: Asking, found: Chain, args: dict[str, Any], size: int = 100) -> Node:
    page = ask.pay(cut(found, args.get("first"), args.get("after"), size=size))
    return connection(page, rows_of(page))


def _home(source: Node, info: Info) -> Project:
    home: Project = info.context.shelves.access.projects[source["_project"]]
    return home


def _internal(source: Node, info: Info) -> bool:
    """True if the viewer reads internal notes here: Reporter and above."""
    return bool(info.context.viewer.level(_home(source, info)) >= REPORTER)


# ------------------------------------------------------------ people and labels


def people(attribute: str) -> Callable[..., Node]:
    """A list of users that an item holds."""

    def users(source: Node, info: Info, **args: Any) -> Node:
        return _people(info, getattr(source["_item"], attribute), args)

    return users


def _people(info: Info, found: Sequence[User], args: dict[str, Any]) -> Node:
    ask: Asking = info.context
    keys = [("", float(index)) for index, _ in enumerate(found)]
    return _page(ask, Chain("id", keys, [ask.nodes.user(user) for user in found]), args)


def participants(source: Node, info: Info, **args: Any) -> Node:
    """Who wrote or was assigned."""
    item: Issue | MergeRequest = source["_item"]
    found = [item.author, *item.assignees, *(n.author for n in item.notes if not n.system)]
    return _people(info, list({user.id: user for user in found}.values()), args)


def approved_by(source: Node, info: Info, **args: Any) -> Node:
    """Who approved the merge request."""
    return _people(info, [approval.user for approval in source["_item"].approvals], args)


def reviewers(source: Node, info: Info, **args: Any) -> Node:
    """The reviewers, each with what came of the review."""
    ask: Asking = info.context
    item: MergeRequest = source["_item"]
    rows = [{**(ask.nodes.user(user) or {}), "_request": item} for user in item.reviewers]
    keys = [("", float(index)) for index, _ in enumerate(rows)]
    return _page(ask, Chain("id", keys, rows), args)


def interaction(source: Node, info: Info) -> Node:
    """What a reviewer did with the merge request."""
    item: MergeRequest = source["_request"]
    number = source["_item"].id
    state = next((each.state for each in item.reviews if each.user.id == number), "unreviewed")
    if not info.context.nodes.modern and state not in _MODERN_REVIEWS:
        state = "reviewed"
    approved = any(each.user.id == number for each in item.approvals)
    return {
        "approved": approved,
        "reviewState": state.upper(),
        "reviewed": state != "unreviewed",
    }


def labels(source: Node, info: Info, **args: Any) -> Node:
    """The labels of an item, by title."""
    ask: Asking = info.context
    home = _home(source, info)
    known = ask.shelves.labels(home)
    own = {label.id for label in home.labels}
    found = sorted(
        (known[name] for name in source["_item"].labels if name in known),
        key=lambda label: (label.name, label.id),
    )
    rows = [_label(ask, label, own) for label in found]
    return _page(ask, Chain("name", [(each.name, each.id) for each in found], rows), args)


def _label(ask: Asking, label: Label, own: set[int]) -> Node:
    return ask.nodes.label(label, of_project=label.id in own)


# ------------------------------------------------------------ talk


def discussions(source: Node, info: Info, **args: Any) -> Node:
    """The discussions of an item, the oldest first."""
    ask: Asking = info.context
    holes = ask.short_pages and source["_item"].iid % HOLES_EVERY == 0
    internal = _internal(source, info)
    found = nodes_items.discussions(ask.nodes, source, internal=internal, holes=holes)
    return _page(ask, found, args)


def notes(source: Node, info: Info, **args: Any) -> Node:
    """The notes of an item, the oldest first."""
    found = nodes_items.notes(info.context.nodes, source, internal=_internal(source, info))
    wanted = _ACTIVITY.get(args.get("filter") or "")
    if wanted is not None:
        marks = [
            (key, row)
            for key, row, note in zip(found.keys, found.rows, source["_item"].notes, strict=True)
            if note.system is wanted
        ]
        found = Chain(found.column, [key for key, _ in marks], [row for _, row in marks])
    return _page(info.context, found, args)


def discussion_notes(source: Node, info: Info, **args: Any) -> Node:
    """The notes of a discussion."""
    return _page(info.context, source["_notes"], args, _DISCUSSION_NOTES)


def item_awards(source: Node, info: Info, **args: Any) -> Node:
    """The awards of an item."""
    return _page(info.context, nodes_items.awards(info.context.nodes, source["_item"].awards), args)


def note_awards(source: Node, info: Info, **args: Any) -> Node:
    """The awards of a note."""
    return _page(info.context, nodes_items.awards(info.context.nodes, source["_note"].awards), args)


# ------------------------------------------------------------ times, links, moves


def item_timelogs(source: Node, info: Info, **args: Any) -> Node:
    """The times spent on an item."""
    ask: Asking = info.context
    home, item = _home(source, info), source["_item"]
    found = chain("spent_at", [(home.id, each) for each in item.timelogs])
    rows = [nodes_items.timelog(ask.nodes, home, item, each) for _, each in found.rows]
    return _page(ask, Chain(found.column, found.keys, rows), args)


def timelog_item(kind: str, made_of: type) -> Callable[..., Node | None]:
    """What a time was spent on, if it is of this kind."""

    def item(source: Node, info: Info) -> Node | None:
        if not isinstance(source["_item"], made_of):
            return None
        return item_node(info.context, kind, _home(source, info), source["_item"])

    return item


def timelog_note(source: Node, info: Info) -> Node | None:
    """The note that a time was told in."""
    ask: Asking = info.context
    number = source["_entry"].note_id
    kind = "issues" if isinstance(source["_item"], Issue) else "merge_requests"
    node = item_node(ask, kind, _home(source, info), source["_item"])
    found = nodes_items.notes(ask.nodes, node, internal=_internal(source, info))
    return next((row for row in found.rows if row and row["_note"].id == number), None)


def home_project(source: Node, info: Info) -> Node:
    """The project something is in."""
    return info.context.nodes.project(_home(source, info))  # type: ignore[no-any-return]


def moved_to(source: Node, info: Info) -> Node | None:
    """The issue that this one was moved to, if the viewer may read it."""
    ask: Asking = info.context
    number = source["_item"].moved_to_id
    found = ask.shelves.find("issues", number) if number is not None else None
    if found is None:
        return None
    home = ask.shelves.access.projects[found[0]]
    if ask.gate(home, "issues") or not ask.sees(home, found[1]):
        return None
    return item_node(ask, "issues", home, found[1])


def reference(mark: str) -> Callable[..., str]:
    """How text refers to the item: ``#1``, in full ``group/project#1``."""

    def written(source: Node, info: Info, **args: Any) -> str:
        short = f"{mark}{source['iid']}"
        return f"{_home(source, info).full_path}{short}" if args.get("full") else short

    return written


def commits(source: Node, info: Info, **args: Any) -> Node | None:
    """A merge request's commits, the newest first."""
    ask: Asking = info.context
    home = _home(source, info)
    if ask.gate(home, "commits"):
        return None
    known = ask.shelves.keep(
        ("sha", home.id), (home.commits,), lambda: {each.sha: each for each in home.commits}
    )
    found = [known[sha] for sha in source["_item"].commits if sha in known]
    rows = [nodes_code.commit(ask.nodes, home, each) for each in found]
    keys = [("", float(index)) for index, _ in enumerate(rows)]
    return _page(ask, Chain("id", keys, rows), args)


def item_pipelines(source: Node, info: Info, **args: Any) -> Node | None:
    """A merge request's pipelines, the newest first."""
    ask: Asking = info.context
    home = _home(source, info)
    if ask.gate(home, "pipelines"):
        return None
    known = _pipelines_by_id(ask, home)
    found = [known[number] for number in source["_item"].pipelines if number in known]
    rows = [nodes_code.pipeline(ask.nodes, home, each) for each in found]
    keys = [("", float(index)) for index, _ in enumerate(rows)]
    return _page(ask, Chain("id", keys, rows), args, _PIPELINES)


def head_pipeline(source: Node, info: Info) -> Node | None:
    """A merge request's last pipeline."""
    ask: Asking = info.context
    home = _home(source, info)
    numbers = source["_item"].pipelines
    if not numbers or ask.gate(home, "pipelines"):
        return None
    found = _pipelines_by_id(ask, home).get(numbers[0])
    return nodes_code.pipeline(ask.nodes, home, found) if found else None


def _pipelines_by_id(ask: Asking, home: Project) -> dict[int, Any]:
    return ask.shelves.keep(
        ("pipeline", home.id),
        (home.pipelines,),
        lambda: {each.id: each for each in home.pipelines},
    )


# ------------------------------------------------------------ widgets of work items


def widgets(source: Node, info: Info, **args: Any) -> list[Node]:
    """The widgets that this schema knows; which of them the type of the item has is not told."""
    item: Issue = source["_item"]
    known: dict[str, Node] = {
        "AWARD_EMOJI": {
            "__typename": "WorkItemWidgetAwardEmoji",
            "upvotes": item.upvotes,
            "downvotes": item.downvotes,
        },
        "NOTES": {"__typename": "WorkItemWidgetNotes"},
    }
    if info.context.nodes.modern:
        known["LINKED_ITEMS"] = {"__typename": "WorkItemWidgetLinkedItems"}
    wanted = args.get("onlyTypes") or list(known)
    handed = {key: source[key] for key in ("_item", "_project", "_path")}
    return [{**known[kind], **handed, "type": kind} for kind in wanted if kind in known]


def linked_items(source: Node, info: Info, **args: Any) -> Node:
    """The issues linked to this one; a link whose other end may not be read is left out."""
    ask: Asking = info.context
    keys, rows = [], []
    for link in sorted(source["_item"].links, key=lambda link: link.id):
        home = ask.shelves.access.projects.get(link.project_id)
        other = ask.shelves.by_iid(home, "issues").get(link.issue_iid) if home else None
        node = None
        if home and other and ask.gate(home, "issues") == 0 and ask.sees(home, other):
            node = nodes_items.work_item(ask.nodes, home, other)
        keys.append(("", float(link.id)))
        rows.append(_link(link, node) if node else None)
    return _page(ask, Chain("id", keys, rows), args)


def _link(link: Any, node: Node) -> Node:
    return {
        "linkId": gid("WorkItems::RelatedWorkItemLink", link.id),
        "linkType": link.link_type,
        "linkCreatedAt": f"{link.created_at[:19]}Z",
        "linkUpdatedAt": f"{link.updated_at[:19]}Z",
        "workItem": node,
        "workItemState": node["state"],
    }


_BOTH: dict[str, Callable[..., Any]] = {
    "assignees": people("assignees"),
    "participants": participants,
    "labels": labels,
    "discussions": discussions,
    "notes": notes,
    "timelogs": item_timelogs,
}
TABLE: dict[str, dict[str, Callable[..., Any]]] = {
    "Issue": {**_BOTH, "movedTo": moved_to, "reference": reference("#")},
    "MergeRequest": {
        **_BOTH,
        "reference": reference("!"),
        "approvedBy": approved_by,
        "reviewers": reviewers,
        "awardEmoji": item_awards,
        "commits": commits,
        "pipelines": item_pipelines,
        "headPipeline": head_pipeline,
        "project": home_project,
    },
    "MergeRequestReviewer": {"mergeRequestInteraction": interaction},
    "Discussion": {"notes": discussion_notes},
    "Note": {"awardEmoji": note_awards},
    "Timelog": {
        "issue": timelog_item("issues", Issue),
        "mergeRequest": timelog_item("merge_requests", MergeRequest),
        "note": timelog_note,
        "project": home_project,
    },
    "WorkItem": {"widgets": widgets, "project": home_project, "reference": reference("#")},
    "WorkItemWidgetAwardEmoji": {"awardEmoji": item_awards},
    "WorkItemWidgetNotes": {"discussions": discussions},
    "WorkItemWidgetLinkedItems": {"linkedItems": linked_items},
}
