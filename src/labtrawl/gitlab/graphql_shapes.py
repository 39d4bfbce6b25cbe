"""From GraphQL's nodes to the bodies that REST would have sent. Pure.

What GraphQL does not know is left out; `graphql_plans` names it. Instants have whole seconds
(app/graphql/types/time_type.rb), REST's have milliseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What an item's node gives: bodies, and what is still to be asked.

    `after` is where the item's list goes on; `cut` are the ids of bodies that came incomplete and
    are not among `rows`; `unread` says that the item is to be read by REST.
    """

    rows: list[Node]
    after: str | None = None
    cut: tuple[str, ...] = ()
    unread: bool = False


UNREAD = Found([], unread=True)


def number(gid: str) -> int:
    """Return the number of a global id: the id that REST gives. ValueError for anything else."""
    return int(gid.rsplit("/", 1)[1])


def _class(gid: str) -> str:
    """Return the class that a global id names: gid://gitlab/DiffNote/7."""
    return gid.split("/")[-2]


def _nodes(connection: Node) -> list[Node]:
    """Return the nodes; what the account may not see is null among them."""
    return [node for node in connection["nodes"] if node is not None]


def _goes_on(connection: Node) -> bool:
    """Say whether there is more; TypeError for what says neither yes nor no."""
    goes_on = connection["pageInfo"]["hasNextPage"]
    if not isinstance(goes_on, bool):
        raise TypeError("hasNextPage is neither true nor false")
    return goes_on


def _after(connection: Node) -> str | None:
    """Return where a list goes on; it never ends for lack of a cursor."""
    if not _goes_on(connection):
        return None
    cursor = connection["pageInfo"]["endCursor"]
    if not isinstance(cursor, str):
        raise TypeError("a list goes on and has no cursor")
    return cursor


def user(node: Node | None) -> Node | None:
    """Return REST's small user; None for nobody."""
    if node is None:
        return None
    return {
        "id": number(node["id"]),
        "username": node["username"],
        "name": node["name"],
        "state": node["state"],
        "avatar_url": _whole_url(node["avatarUrl"], node["webUrl"]),
        "web_url": node["webUrl"],
    }


def _whole_url(path: str | None, beside: str) -> str | None:
    """An uploaded avatar is a path here and a URL in REST (app/models/concerns/avatarable.rb)."""
    if path is None or not path.startswith("/"):
        return path
    place = urlsplit(beside)
    return f"{place.scheme}://{place.netloc}{path}"


def discussions(item: Node, project_id: int) -> Found:
    """Return an item's discussions with their notes whole (doc/api/discussions.md)."""
    connection = item["discussions"]
    if connection is None:
        return UNREAD
    rows, cut = [], []
    for node in _nodes(connection):
        id_ = node["id"].rsplit("/", 1)[1]
        notes = _nodes(node["notes"])
        if _goes_on(node["notes"]) or any(map(_may_suggest, notes)):
            cut.append(id_)
        elif notes:
            # One whose notes are all hidden is none to REST (lib/api/discussions.rb).
            rows.append(_discussion(id_, node, [_note(note, item, project_id) for note in notes]))
    after = _after(connection)
    # All of them in one page cost less than two alone.
    return UNREAD if len(cut) > 1 else Found(rows, after, tuple(cut))


def _may_suggest(note: Node) -> bool:
    """Say whether a note may hold suggestions, which only REST tells.

    They are the code blocks of that name in a note on a diff (lib/gitlab/diff/suggestions_parser.rb).
    """
    return _class(note["id"]) == "DiffNote" and "suggestion" in note["body"].lower()


def _discussion(id_: str, node: Node, notes: list[Node]) -> Node:
    """A plain note stands alone: the first reply makes another class of it."""
    return {
        "id": id_,
        "individual_note": notes[0]["type"] is None,
        "resolvable": node["resolvable"],
        "resolved": node["resolved"],
        "notes": notes,
    }


def _note(node: Node, item: Node, project_id: int) -> Node:
    kind = _class(node["id"])
    note = {
        "id": number(node["id"]),
        "type": None if kind == "Note" else kind,
        "body": node["body"],
        "author": user(node["author"]),
        "created_at": node["createdAt"],
        "updated_at": node["updatedAt"],
        "system": node["system"],
        "noteable_id": number(item["id"]),
        "noteable_type": _class(item["id"]),
        "project_id": project_id,
        "resolvable": node["resolvable"],
        "confidential": bool(node["internal"]),
        "internal": bool(node["internal"]),
        "noteable_iid": int(item["iid"]),
        **_origin(node),
    }
    if node["resolvable"]:
        note["resolved"] = node["resolved"]
        note["resolved_by"] = user(node["resolvedBy"])
        note["resolved_at"] = node["resolvedAt"]
    if kind == "DiffNote" and node.get("position") is not None:
        note["position"] = _position(node["position"])
    return note


def _origin(node: Node) -> Node:
    """Whether a note was imported, where the schema knows; from where, only REST does."""
    if not isinstance(node.get("imported"), bool):
        return {}
    return {"imported": node["imported"]} | ({} if node["imported"] else {"imported_from": "none"})


def _position(node: Node) -> Node:
    refs, kind = node["diffRefs"], node["positionType"]
    position = {
        "base_sha": refs["baseSha"],
        "start_sha": refs["startSha"],
        "head_sha": refs["headSha"],
        "old_path": node["oldPath"],
        "new_path": node["newPath"],
        "position_type": kind,
    }
    if kind == "text":
        return position | {"old_line": node["oldLine"], "new_line": node["newLine"]}
    return position | {name: node[name] for name in ("width", "height", "x", "y")}


def _is_empty(connection: Node | None) -> bool:
    """Say whether a list is certainly empty: null is not, nor is a page that goes on."""
    return connection is not None and not _goes_on(connection) and connection["nodes"] == []


def has_none(name: str) -> Callable[[Node, int], Found]:
    """Make what says that an item has no row of a connection; REST reads the rows of any other."""

    def told(item: Node, _project_id: int) -> Found:
        return Found([]) if _is_empty(item[name]) else UNREAD

    return told


def widget_has_none(name: str) -> Callable[[Node, int], Found]:
    """Make the same of the widget of a work item; a type of item without it tells nothing."""

    def told(item: Node, _project_id: int) -> Found:
        having = [widget for widget in item["widgets"] or () if widget and name in widget]
        return Found([]) if having and _is_empty(having[0][name]) else UNREAD

    return told


# What an Enterprise Edition says of the merge request itself beside its approvals.
_OF_REQUEST = {"title": "title", "state": "state", "createdAt": "created_at"}
_OF_REQUEST |= {"updatedAt": "updated_at", "approvalsRequired": "approvals_required"}
_OF_REQUEST |= {"approvalsLeft": "approvals_left", "approved": "approved"}


def approvals(item: Node, project_id: int) -> Found:
    """Return the record of a merge request that nobody approved; REST has when somebody did.

    Without a rule approved means that anybody did (lib/api/entities/merge_request_approvals.rb); an
    Enterprise Edition has rules, and says whether they hold.
    """
    if not _is_empty(item["approvedBy"]):
        return UNREAD
    body: Node = {"user_has_approved": False, "approved": False, "approved_by": []}
    if "approvalsLeft" in item:
        body |= {"id": number(item["id"]), "iid": int(item["iid"]), "project_id": project_id}
        body |= {told: item[name] for name, told in _OF_REQUEST.items()}
    return Found([body])


_COMMIT = {
    "sha": "id",
    "shortId": "short_id",
    "title": "title",
    "message": "message",
    "authorName": "author_name",
    "authorEmail": "author_email",
    "authoredDate": "authored_date",
    "committerName": "committer_name",
    "committerEmail": "committer_email",
    "committedDate": "committed_date",
    "webUrl": "web_url",
}


def commits(item: Node, _project_id: int) -> Found:
    """Return the commits of a merge request; `created_at` is REST's other name of their date."""
    connection = item["commits"]
    if connection is None:
        return UNREAD
    rows = [{told: node[name] for name, told in _COMMIT.items()} for node in _nodes(connection)]
    dated = [row | {"created_at": row["committed_date"]} for row in rows]
    return Found(dated, _after(connection))


_PIPELINE = {"sha": "sha", "ref": "ref", "source": "source"}
_PIPELINE |= {"createdAt": "created_at", "updatedAt": "updated_at"}


def pipelines(item: Node, project_id: int) -> Found:
    """Return the pipelines of a merge request; some run in the project that it comes from."""
    connection = item["pipelines"]
    if connection is None:
        return UNREAD
    place = urlsplit(item["webUrl"])
    own = place.path.partition("/-/")[0]
    rows = []
    for node in _nodes(connection):
        path = node["path"] or ""
        is_own = path.partition("/-/")[0] == own
        row = {
            "id": number(node["id"]),
            "iid": int(node["iid"]),
            "project_id": project_id if is_own else item["sourceProjectId"],
            "status": node["status"].lower(),
            "web_url": f"{place.scheme}://{place.netloc}{path}" if path else None,
        }
        row |= {told: node[name] for name, told in _PIPELINE.items()}
        rows.append(row)
    return Found(rows, _after(connection))


def timelogs(node: Node, _project_id: int) -> Found:
    """Return a time log, in the words that REST has for its parts; GraphQL alone has it."""
    row = {
        "id": number(node["id"]),
        "project_id": number(node["project"]["id"]),
        "user": user(node["user"]),
        "time_spent": node["timeSpent"],
        "spent_at": node["spentAt"],
        "summary": node["summary"],
        "issue": _item(node["issue"]),
        "merge_request": _item(node["mergeRequest"]),
        "note_id": None if node["note"] is None else number(node["note"]["id"]),
    }
    return Found([row])


def _item(node: Node | None) -> Node | None:
    return None if node is None else {"id": number(node["id"]), "iid": int(node["iid"])}
