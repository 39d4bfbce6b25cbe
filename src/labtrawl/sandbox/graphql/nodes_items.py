"""Issues, merge requests and work items as GraphQL writes them, their discussions and awards.

Entered by the fields. Of what a viewer may not read a chain holds a hole, as GitLab's redaction
leaves one: the page is shorter, and its cursor goes on.
"""

from collections.abc import Iterable
from typing import Any

from labtrawl.sandbox.entities_code import detailed_status
from labtrawl.sandbox.graphql.connections import Chain, Node
from labtrawl.sandbox.graphql.nodes import Nodes, gid, seconds, times
from labtrawl.sandbox.model import Award, Issue, MergeRequest, Note, Project, Timelog
from labtrawl.sandbox.paging import MAX_PER_PAGE

# The emoji that worlds use; GitLab tells of each what its emoji index knows.
_EMOJI = {
    "thumbsup": "👍",
    "thumbsdown": "👎",
    "tada": "🎉",
    "heart": "❤",
    "rocket": "🚀",
    "eyes": "👀",
    "coffee": "☕",
}
# GitLab 16.2 has no word for a conflict (SDL of 16.2).
_BEFORE_17 = {"CONFLICT": "BROKEN_STATUS"}


def issue(nodes: Nodes, project: Project, item: Issue) -> Node:
    """An issue."""
    place = project.full_path
    return nodes.node("issue", item.id, item, place, lambda: _issue(nodes, project, item))


def _issue(nodes: Nodes, project: Project, item: Issue) -> Node:
    return {
        **_item(nodes, project, item, "issues"),
        **times(item),
        "id": gid("Issue", item.id),
        "state": item.state,
        "type": item.issue_type.upper(),
        "closedAt": seconds(item.closed_at),
        "confidential": item.confidential,
        "dueDate": item.due_date,
        "mergeRequestsCount": item.merge_requests_count,
        "relativePosition": item.relative_position,
        "severity": "UNKNOWN",
        "moved": item.moved_to_id is not None,
        "projectId": project.id,
        "weight": item.weight,
    }


def _item(nodes: Nodes, project: Project, item: Issue | MergeRequest, word: str) -> Node:
    """The fields that issues and merge requests share."""
    path = f"/{project.full_path}/-/{word}/{item.iid}"
    return {
        "iid": str(item.iid),
        "title": item.title,
        "description": item.description,
        "createdAt": seconds(item.created_at),
        "updatedAt": seconds(item.updated_at),
        "author": nodes.user(item.author),
        "milestone": nodes.milestone(item.milestone),
        "discussionLocked": bool(item.discussion_locked),
        "upvotes": item.upvotes,
        "downvotes": item.downvotes,
        "userNotesCount": sum(not note.system for note in item.notes),
        "userDiscussionsCount": len({n.discussion_id for n in item.notes if not n.system}),
        "subscribed": False,
        "webPath": path,
        "webUrl": f"{nodes.base}{path}",
        "_item": item,
        "_project": project.id,
        "_path": path,
    }


def merge_request(nodes: Nodes, project: Project, item: MergeRequest) -> Node:
    """A merge request."""
    place = project.full_path
    return nodes.node(
        "merge_request", item.id, item, place, lambda: _merge_request(nodes, project, item)
    )


def _merge_request(nodes: Nodes, project: Project, item: MergeRequest) -> Node:
    refs = _version_refs(item)
    return {
        **_item(nodes, project, item, "merge_requests"),
        **times(item),
        "id": gid("MergeRequest", item.id),
        "state": item.state,
        "draft": item.draft,
        "mergedAt": seconds(item.merged_at),
        "closedAt": seconds(item.closed_at),
        "preparedAt": seconds(item.created_at),
        "mergeUser": nodes.user(item.merge_user),
        "approved": bool(item.approvals),
        "approvalsRequired": 0,
        "approvalsLeft": 0,
        "sourceBranch": item.source_branch,
        "targetBranch": item.target_branch,
        "sourceProjectId": item.source_project_id,
        "targetProjectId": project.id,
        "projectId": project.id,
        "diffHeadSha": item.sha,
        "diffRefs": refs if item.sha else None,
        "mergeCommitSha": item.merge_commit_sha,
        "squash": item.squash,
        "squashOnMerge": item.squash,
        "shouldRemoveSourceBranch": None,
        "forceRemoveSourceBranch": item.force_remove_source_branch,
        "mergeWhenPipelineSucceeds": False,
        "mergeStatusEnum": item.merge_status.upper(),
        "detailedMergeStatus": _status_word(nodes, item),
        "conflicts": item.merge_status == "cannot_be_merged",
        "mergeableDiscussionsState": not any(
            note.resolvable and not note.resolved for note in item.notes
        ),
        "commitCount": len(item.commits),
    }


def _status_word(nodes: Nodes, item: MergeRequest) -> str:
    word = detailed_status(item).upper()
    return word if nodes.modern else _BEFORE_17.get(word, word)


def _version_refs(item: MergeRequest) -> Node:
    if not item.versions:
        return {"baseSha": item.sha, "headSha": item.sha, "startSha": item.sha}
    last = item.versions[-1]
    return {
        "baseSha": last.base_commit_sha,
        "headSha": last.head_commit_sha,
        "startSha": last.start_commit_sha,
    }


def work_item(nodes: Nodes, project: Project, item: Issue) -> Node:
    """An issue in its other form: the same number, another kind of id."""
    return nodes.node(
        "work_item",
        item.id,
        item,
        project.full_path,
        lambda: {
            **_item(nodes, project, item, "work_items"),
            "_path": f"/{project.full_path}/-/issues/{item.iid}",
            "id": gid("WorkItem", item.id),
            "state": "OPEN" if item.state == "opened" else "CLOSED",
            "closedAt": seconds(item.closed_at),
            "confidential": item.confidential,
            "workItemType": {
                "id": gid("WorkItems::Type", 2 if item.issue_type == "incident" else 1),
                "name": item.issue_type.capitalize(),
            },
        },
    )


def awards(nodes: Nodes, found: Iterable[Award]) -> Chain:
    """Awards in the order they were given."""
    rows = [(("", award.id), _award(nodes, award)) for award in found]
    return Chain("award", [key for key, _ in rows], [row for _, row in rows])


def _award(nodes: Nodes, award: Award) -> Node:
    emoji = _EMOJI.get(award.name, "❓")
    return {
        "name": award.name,
        "emoji": emoji,
        "unicode": emoji,
        "unicodeVersion": "6.0",
        "description": award.name.replace("_", " "),
        "user": nodes.user(award.user),
    }


def timelog(nodes: Nodes, project: Project, item: Any, entry: Timelog) -> Node:
    """A timelog of an issue or merge request."""
    return nodes.node(
        "timelog",
        entry.id,
        entry,
        project.full_path,
        lambda: {
            "id": gid("Timelog", entry.id),
            "timeSpent": entry.time_spent,
            "spentAt": seconds(entry.spent_at),
            "summary": entry.summary,
            "user": nodes.user(entry.user),
            "_entry": entry,
            "_item": item,
            "_project": project.id,
        },
    )


def notes(nodes: Nodes, source: Node, *, internal: bool) -> Chain:
    """The notes of an issue or merge request; holes for internal ones unless `internal`."""
    item: Issue | MergeRequest = source["_item"]
    found: dict[bool, Chain] = source.setdefault("_notes", {})
    if internal not in found:
        found[internal] = Chain(
            "created_at",
            [(each.created_at, each.id) for each in item.notes],
            [
                _note(nodes, source["_path"], each) if internal or not each.internal else None
                for each in item.notes
            ],
        )
    return found[internal]


def discussions(nodes: Nodes, source: Node, *, internal: bool, holes: bool) -> Chain:
    """The discussions, the oldest first; `holes`: a page's worth of unreadable ones comes second.

    So it is on an instance where most of a thread is internal (see `routes_lists.with_holes`).
    """
    found: dict[tuple[bool, bool], Chain] = source.setdefault("_discussions", {})
    if (internal, holes) not in found:
        found[internal, holes] = _discussions(nodes, source, internal, holes)
    return found[internal, holes]


def _discussions(nodes: Nodes, source: Node, internal: bool, holes: bool) -> Chain:
    threads: dict[str, list[Note]] = {}
    for note in source["_item"].notes:
        threads.setdefault(note.discussion_id or str(note.id), []).append(note)
    rows: list[tuple[tuple[str, float], Node | None]] = [
        (
            (thread[0].created_at, thread[0].id),
            _discussion(nodes, source["_path"], name, thread, internal),
        )
        for name, thread in threads.items()
    ]
    rows.sort(key=lambda row: row[0])
    if holes and len(rows) > 1:
        (at, number), _ = rows[0]
        rows[1:1] = [((at, number + part / 1000), None) for part in range(1, MAX_PER_PAGE + 1)]
    return Chain("created_at", [key for key, _ in rows], [row for _, row in rows])


def _discussion(
    nodes: Nodes, path: str, name: str, thread: list[Note], internal: bool
) -> Node | None:
    first = thread[0]
    readable = [note if internal or not note.internal else None for note in thread]
    if not any(readable):
        return None
    open_notes = [note for note in thread if note.resolvable]
    done = bool(open_notes) and all(note.resolved for note in open_notes)
    last = max(open_notes, key=lambda note: note.resolved_at or "") if done else None
    number = gid(_discussion_kind(first), name)
    node: Node = {
        "id": number,
        "replyId": number,
        "createdAt": seconds(first.created_at),
        "resolvable": bool(open_notes),
        "resolved": done,
        "resolvedAt": seconds(last.resolved_at) if last else None,
        "resolvedBy": nodes.user(last.resolved_by) if last else None,
    }
    rows = [_note(nodes, path, note) if note else None for note in readable]
    node["_notes"] = Chain("created_at", [(n.created_at, n.id) for n in thread], rows)
    for row in rows:
        if row is not None:
            row["discussion"] = node
    return node


def _discussion_kind(first: Note) -> str:
    kinds = {"DiffNote": "DiffDiscussion", "DiscussionNote": "Discussion"}
    return kinds.get(first.type or "", "IndividualNoteDiscussion")


def _note(nodes: Nodes, path: str, note: Note) -> Node:
    return nodes.node("note", note.id, note, path, lambda: _made_note(nodes, path, note))


def _made_note(nodes: Nodes, path: str, note: Note) -> Node:
    return {
        "id": gid(note.type or "Note", note.id),
        "body": note.body,
        "system": note.system,
        "internal": note.internal,
        "confidential": note.internal,
        "imported": note.imported,
        "author": nodes.user(note.author),
        "createdAt": seconds(note.created_at),
        "updatedAt": seconds(note.updated_at),
        "resolvable": note.resolvable,
        "resolved": note.resolved,
        "resolvedAt": seconds(note.resolved_at),
        "resolvedBy": nodes.user(note.resolved_by),
        "position": _position(note.position),
        "systemNoteIconName": "pencil" if note.system else None,
        "url": f"{nodes.base}{path}#note_{note.id}",
        "_note": note,
    }


def _position(position: dict[str, Any] | None) -> Node | None:
    if position is None:
        return None
    refs = {f"{name}Sha": position.get(f"{name}_sha") for name in ("base", "head", "start")}
    return {
        "diffRefs": refs,
        "filePath": position.get("new_path") or position.get("old_path"),
        "newPath": position.get("new_path"),
        "oldPath": position.get("old_path"),
        "newLine": position.get("new_line"),
        "oldLine": position.get("old_line"),
        "positionType": position.get("position_type", "text"),
        **{name: position.get(name) for name in ("height", "width", "x", "y")},
    }
