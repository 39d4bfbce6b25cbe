"""From GraphQL's nodes to the bodies that REST would have sent. Pure.

Left out where GraphQL does not know it: `attachment`, `commands_changes`, `imported`, `suggestions`,
`commit_id` and `position.line_range` of notes; `locked` of users; `parent_ids` and `trailers` of
commits; `created_at` of reviewers; who may approve, and when somebody did. Instants have whole
seconds (app/graphql/types/time_type.rb), REST's have milliseconds.
"""

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
        if _goes_on(node["notes"]):
            cut.append(id_)
        elif notes := _nodes(node["notes"]):
            # One whose notes are all hidden is none to REST (lib/api/discussions.rb).
            rows.append(_discussion(id_, node, [_note(note, item, project_id) for note in notes]))
    return Found(rows, _after(connection), tuple(cut))


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
    }
    if node["resolvable"]:
        note["resolved"] = node["resolved"]
        note["resolved_by"] = user(node["resolvedBy"])
        note["resolved_at"] = node["resolvedAt"]
    if kind == "DiffNote" and node.get("position") is not None:
        note["position"] = _position(node["position"])
    return note


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


# What an Enterprise Edition says of the merge request itself beside its approvals.
_OF_REQUEST = {"title": "title", "state": "state", "createdAt": "created_at"}
_OF_REQUEST |= {"updatedAt": "updated_at", "approvalsRequired": "approvals_required"}
_OF_REQUEST |= {"approvalsLeft": "approvals_left"}


def approvals(item: Node, project_id: int) -> Found:
    """Return who approved (doc/api/merge_request_approvals.md)."""
    connection = item["approvedBy"]
    if connection is None or _goes_on(connection):
        return UNREAD
    body: Node = {}
    if "approvalsLeft" in item:
        body = {"id": number(item["id"]), "iid": int(item["iid"]), "project_id": project_id}
        body |= {told: item[name] for name, told in _OF_REQUEST.items()}
    body["approved"] = item["approved"]
    body["approved_by"] = [{"user": user(node)} for node in _nodes(connection)]
    return Found([body])


def reviewers(item: Node, _project_id: int) -> Found:
    """Return the reviewers with the state of their reviews (doc/api/merge_requests.md)."""
    connection = item["reviewers"]
    if connection is None or _goes_on(connection):
        return UNREAD
    return Found([_reviewer(node) for node in _nodes(connection)])


def _reviewer(node: Node) -> Node:
    review = (node["mergeRequestInteraction"] or {}).get("reviewState")
    state = {} if review is None else {"state": review.lower()}
    return {"user": user(node), **state}


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
    rows = [
        {told: node[name] for name, told in _COMMIT.items() if name in node}
        for node in _nodes(connection)
    ]
    dated = [
        row | {"created_at": row["committed_date"]} if "committed_date" in row else row
        for row in rows
    ]
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
        row |= {told: node[name] for name, told in _PIPELINE.items() if name in node}
        rows.append(row)
    return Found(rows, _after(connection))


def emoji_of_request(item: Node, _project_id: int) -> Found:
    """Say whether there is any emoji: they have no id here, so REST reads what there is."""
    connection = item["awardEmoji"]
    is_empty = connection is not None and connection["nodes"] == []
    return Found([]) if is_empty else UNREAD


def emoji_of_issue(item: Node, project_id: int) -> Found:
    """The same of a work item; one without the widget can have none."""
    widgets = item["widgets"]
    if widgets is None:
        return UNREAD
    told = [widget for widget in widgets if widget and "awardEmoji" in widget]
    return emoji_of_request(told[0], project_id) if told else Found([])


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
