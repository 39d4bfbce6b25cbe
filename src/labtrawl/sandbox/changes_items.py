"""Changes of what lies in a place: issues, merge requests, notes, labels, milestones, builds, code.

Entered by `changes_apply`. Which edits move ``updated_at`` follows GitLab 19.3 (Note, Issuable and
their services): a comment touches its parent at most once a minute, a deleted one never does.
"""

import hashlib
from typing import Any

import msgspec

from labtrawl.sandbox import changes_parts
from labtrawl.sandbox.changes import Add, Edit, Key, Remove, Unfit
from labtrawl.sandbox.changes_board import Board, Place, Rows
from labtrawl.sandbox.changes_fields import fitted
from labtrawl.sandbox.changes_parts import PARTS
from labtrawl.sandbox.instants import HOUR_MS, instant_ms
from labtrawl.sandbox.model import (
    Award,
    Branch,
    Commit,
    Deployment,
    Environment,
    Issue,
    Job,
    Label,
    MergeRequest,
    Milestone,
    Note,
    Pipeline,
    Release,
    Review,
    StateEvent,
    User,
)

LISTS = {
    "issue": "issues",
    "merge_request": "merge_requests",
    "milestone": "milestones",
    "label": "labels",
    "pipeline": "pipelines",
    "job": "jobs",
    "branch": "branches",
    "tag": "tags",
    "release": "releases",
    "environment": "environments",
    "deployment": "deployments",
    "commit": "commits",
}
TYPES: dict[str, type[msgspec.Struct]] = {
    "issue": Issue,
    "merge_request": MergeRequest,
    "milestone": Milestone,
    "label": Label,
    "pipeline": Pipeline,
    "job": Job,
    "branch": Branch,
    "release": Release,
    "environment": Environment,
    "deployment": Deployment,
}
NOTEABLE = {"issue": "Issue", "merge_request": "MergeRequest"}
_THROTTLE_MS = 60_000
replace = msgspec.structs.replace


def home(change: Edit | Add | Remove) -> tuple[Place, int]:
    """The place that a change names: its group if it names one."""
    return ("group", change.group) if change.group else ("project", change.project)


def row(rows: Rows, what: str, key: Key) -> Any:
    """The row under `key`. Raises Unfit."""
    if key not in rows:
        raise Unfit(f"no {what} {key} there")
    return rows[key]


def thread(board: Board, change: Edit | Add | Remove) -> tuple[Rows, Any]:
    """What a note or award hangs on, and its list; a commit has notes alone. Raises Unfit."""
    if change.on == "commit" and change.what != "note":
        raise Unfit(f"no {change.what} hangs on a commit")
    rows = board.rows("project", change.project, LISTS[change.on])
    return rows, row(rows, change.on, change.iid)


def edit(board: Board, change: Edit, at: str) -> None:
    """Edit an object that is no place. Raises Unfit."""
    if change.what == "note":
        _edit_note(board, change, at)
        return
    if change.what in PARTS:
        changes_parts.edit(board, change, *_touched(board, change, at))
        return
    kind, number = home(change)
    rows = board.rows(kind, number, LISTS[change.what])
    old = row(rows, change.what, change.key)
    fields = fitted(TYPES[change.what], change.fields, board, change.project)
    if hasattr(old, "updated_at") and change.touch is not False:
        fields.setdefault("updated_at", at)
    if change.what in NOTEABLE:
        fields = _state_fields(board, old, fields, at)
    if "reviewers" in fields:
        fields["reviews"] = _reviews(old, fields["reviewers"], at)
    fresh = rows[change.key] = replace(old, **fields)
    follow(board, change.what, (kind, number), old, fresh)
    if change.what in NOTEABLE:
        board.retold(NOTEABLE[change.what], fresh.id, fresh.title)
        if fresh.state != old.state:
            _tell_state(board, change.project, change.what, fresh, at)


def _reviews(old: MergeRequest, reviewers: tuple[User, ...], at: str) -> tuple[Review, ...]:
    """One row a reviewer: who was asked before keeps what came of it."""
    known = {review.user.id: review for review in old.reviews}
    return tuple(
        known.get(user.id) or Review(user=user, state="unreviewed", created_at=at)
        for user in reviewers
    )


def _state_fields(board: Board, old: Any, fields: dict[str, Any], at: str) -> dict[str, Any]:
    """What follows from another state: when, by whom, and a row of the state events."""
    state = fields.get("state", old.state)
    if state == old.state:
        return fields
    by = "merged" if state == "merged" else "closed"
    done: dict[str, Any] = {"closed_at": None, "closed_by": None}
    if state in ("closed", "merged"):
        who = "merge_user" if by == "merged" else "closed_by"
        done = {f"{by}_at": at, who: board.main_user}
    event = StateEvent(
        id=board.next_id("state_events"),
        user=board.main_user,
        created_at=at,
        state="reopened" if state == "opened" else state,
    )
    return done | {"state_events": (*old.state_events, event)} | fields


def _tell_state(board: Board, project: int, what: str, item: Any, at: str) -> None:
    action = {"merged": "accepted", "closed": "closed"}.get(item.state, "reopened")
    tell_thread(board, project, what, item, action, at)


def tell_thread(board: Board, project: int, what: str, item: Any, action: str, at: str) -> None:
    """An event of an issue or merge request in the feed."""
    board.tell(
        project,
        at,
        action_name=action,
        author=board.main_user if action != "opened" else item.author,
        target_id=item.id,
        target_iid=item.iid,
        target_type=NOTEABLE[what],
        target_title=item.title,
        confidential=getattr(item, "confidential", False),
    )
    stir(board, project, at)


def stir(board: Board, project: int, at: str) -> None:
    """An event moves ``last_activity_at``, once an hour at most (app/models/event.rb)."""
    found = board.project(project)
    if instant_ms(at) - instant_ms(found.last_activity_at) >= HOUR_MS:
        board.set_fields("project", project, last_activity_at=at, updated_at=at)


def _touched(board: Board, change: Edit | Remove, at: str) -> tuple[Rows, Any]:
    """The item that a part hangs on, as the change leaves its date, and its list."""
    rows, parent = thread(board, change)
    return rows, touch(parent, at, bool(change.touch))


def _edit_note(board: Board, change: Edit, at: str) -> None:
    rows, parent = thread(board, change)
    fields = fitted(Note, change.fields, board, change.project)
    if change.touch is not False:
        fields.setdefault("updated_at", at)
    notes = {note.id: note for note in parent.notes}
    fresh = notes[change.key] = replace(row(notes, "note", change.key), **fields)
    board.noted(fresh.id, fresh)
    touched = touch(parent, at, change.touch)
    rows[change.iid] = replace(touched, notes=tuple(notes.values()))


def touch(parent: Any, at: str, wanted: bool | None = None) -> Any:
    """The parent of a note written at `at`: ``updated_at`` moves unless it moved a minute ago.

    A commit has none.
    """
    if isinstance(parent, Commit):
        return parent
    late = instant_ms(at) - instant_ms(parent.updated_at) >= _THROTTLE_MS
    moves = late if wanted is None else wanted
    return replace(parent, updated_at=at) if moves else parent


def follow(board: Board, what: str, place: tuple[Place, int], old: Any, fresh: Any) -> None:
    """Let what shows an object show it as it is now, or (`fresh` None) no more.

    No ``updated_at`` moves: renaming a label or editing a milestone touches no issue.
    """
    if what == "environment":
        _follow_environment(board, place[1], old, fresh)
    if what not in ("label", "milestone", "pipeline"):
        return
    for number in sorted(board.below(*place)):
        if what == "pipeline":
            _follow_pipeline(board, number, old, fresh)
            continue
        if what == "milestone":
            _follow_releases(board, number, old, fresh)
        for name in ("issues", "merge_requests"):
            if any(_shows(what, item, old) for item in board.peek("project", number, name)):
                rows = board.rows("project", number, name)
                for key, item in rows.items():
                    if _shows(what, item, old):
                        rows[key] = _shown(what, item, old, fresh)


def _follow_releases(board: Board, project: int, old: Any, fresh: Any) -> None:
    for release in board.peek("project", project, "releases"):
        if any(milestone.id == old.id for milestone in release.milestones):
            shown = (fresh if found.id == old.id else found for found in release.milestones)
            rows = board.rows("project", project, "releases")
            kept = tuple(milestone for milestone in shown if milestone is not None)
            rows[release.tag_name] = replace(release, milestones=kept)


def _shows(what: str, item: Any, old: Any) -> bool:
    if what == "label":
        told = any(event.label and event.label.id == old.id for event in item.label_events)
        return old.name in item.labels or told
    told = any(event.milestone and event.milestone.id == old.id for event in item.milestone_events)
    return told or (item.milestone is not None and item.milestone.id == old.id)


def _shown(what: str, item: Any, old: Any, fresh: Any) -> Any:
    attribute = f"{what}_events"
    events = tuple(
        replace(event, **{what: fresh})
        if getattr(event, what) and getattr(event, what).id == old.id
        else event
        for event in getattr(item, attribute)
    )
    if what == "label":
        names = [fresh.name if fresh and name == old.name else name for name in item.labels]
        kept = tuple(name for name in names if fresh or name != old.name)
        return replace(item, labels=kept, label_events=events)
    worn = item.milestone is not None and item.milestone.id == old.id
    return replace(item, milestone=fresh if worn else item.milestone, milestone_events=events)


def _follow_pipeline(board: Board, project: int, old: Any, fresh: Any) -> None:
    jobs = board.rows("project", project, "jobs")
    for key, job in list(jobs.items()):
        if job.pipeline.id == old.id:
            if fresh is None:
                del jobs[key]
            else:
                jobs[key] = replace(job, pipeline=fresh)


def _follow_environment(board: Board, project: int, old: Any, fresh: Any) -> None:
    rows = board.rows("project", project, "deployments")
    for key, deployment in list(rows.items()):
        if deployment.environment.id == old.id:
            if fresh is None:
                del rows[key]
            else:
                rows[key] = replace(deployment, environment=fresh)


def remove(board: Board, change: Remove, at: str) -> None:
    """Delete an object that is no place. Raises Unfit."""
    if change.what == "note":
        _remove_note(board, change, at)
        return
    if change.what in PARTS:
        changes_parts.remove(board, change, *_touched(board, change, at))
        return
    if change.what == "commit":
        _set_back(board, change)
        return
    kind, number = home(change)
    name = LISTS[change.what]
    rows = board.rows(kind, number, name)
    old = row(rows, change.what, change.key)
    if hasattr(old, "id"):
        board.last_id(name)
    if change.what in NOTEABLE:
        board.last_iid(number, name)
        board.last_id("notes")
        board.retold(NOTEABLE[change.what], old.id, None)
    del rows[change.key]
    follow(board, change.what, (kind, number), old, None)


def _set_back(board: Board, change: Remove) -> None:
    """A push by force: branches that end with the commit end with the one before it. Raises Unfit."""
    rows = board.rows("project", change.project, "commits")
    old: Commit = row(rows, "commit", change.key)
    if any(old.sha in one.parents for one in rows.values()) or not old.parents:
        raise Unfit(f"commit {old.sha} is the first one, or others come after it")
    branches = board.rows("project", change.project, "branches")
    for name, branch in branches.items():
        if branch.commit.sha == old.sha:
            branches[name] = replace(branch, commit=rows[old.parents[0]])
    del rows[old.sha]


def _remove_note(board: Board, change: Remove, at: str) -> None:
    rows, parent = thread(board, change)
    board.last_id("notes")
    row({note.id: note for note in parent.notes}, "note", change.key)
    board.noted(int(change.key), None)
    kept = tuple(note for note in parent.notes if note.id != change.key)
    rows[change.iid] = replace(touch(parent, at, bool(change.touch)), notes=kept)


def give_award(board: Board, change: Add, at: str) -> int:
    """An emoji on an issue or merge request: its counts move, its ``updated_at`` doesn't."""
    rows, parent = thread(board, change)
    user = board.user(change.fields.get("user", board.main_user.username))
    name = str(change.fields.get("name", "thumbsup"))
    number = board.next_id("awards")
    award = Award(id=number, name=name, user=user, created_at=at, updated_at=at)
    rows[change.iid] = replace(
        touch(parent, at, bool(change.touch)),
        awards=(*parent.awards, award),
        upvotes=parent.upvotes + (name == "thumbsup"),
        downvotes=parent.downvotes + (name == "thumbsdown"),
    )
    return number


def sha_of(*parts: object) -> str:
    """40 hexadecimal digits made from the parts."""
    return hashlib.sha1("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
