"""New objects in a changed world; what a change leaves out is made up from what is there.

Entered by `changes_apply` and `churn`.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from labtrawl.sandbox.changes import Add, Key, Unfit
from labtrawl.sandbox.changes_board import Board
from labtrawl.sandbox.changes_fields import fitted
from labtrawl.sandbox.changes_items import (
    give_award,
    home,
    row,
    sha_of,
    stir,
    tell_thread,
    thread,
    touch,
)
from labtrawl.sandbox.model import (
    FEATURES,
    Branch,
    Commit,
    Issue,
    Label,
    MergeRequest,
    Milestone,
    Note,
    Pipeline,
    Project,
    Push,
    Tag,
)

replace = msgspec.structs.replace


def add(board: Board, change: Add, at: str) -> Key:
    """Make an object; its key (as in `Edit`). Raises Unfit."""
    makers: dict[str, Callable[[Board, Add, str], Key]] = {
        "issue": _issue,
        "merge_request": _merge_request,
        "note": add_note,
        "award": give_award,
        "milestone": _milestone,
        "label": _label,
        "pipeline": _pipeline,
        "branch": _branch,
        "tag": _tag,
        "commit": _commit,
        "project": _project,
    }
    if change.what not in makers:
        raise Unfit(f"a {change.what} cannot be added; add a pipeline")
    return makers[change.what](board, change, at)


def _issue(board: Board, change: Add, at: str) -> int:
    project = change.project
    iid = board.next_iid(project, "issues")
    fields: dict[str, Any] = {
        "title": f"Issue {iid}",
        "description": None,
        "state": "opened",
        "author": board.main_user,
        "created_at": at,
        "updated_at": at,
    } | fitted(Issue, change.fields, board, project)
    made = Issue(id=board.next_id("issues"), iid=iid, **fields)
    board.rows("project", project, "issues")[iid] = made
    tell_thread(board, project, "issue", made, "opened", at)
    return iid


def _merge_request(board: Board, change: Add, at: str) -> int:
    project = change.project
    iid = board.next_iid(project, "merge_requests")
    fields: dict[str, Any] = {
        "title": f"Merge request {iid}",
        "description": None,
        "state": "opened",
        "author": board.main_user,
        "created_at": at,
        "updated_at": at,
        "source_branch": f"change-{iid}",
        "target_branch": board.project(project).default_branch or "main",
        "sha": sha_of(project, "merge request", iid),
        "source_project_id": project,
    } | fitted(MergeRequest, change.fields, board, project)
    made = MergeRequest(id=board.next_id("merge_requests"), iid=iid, **fields)
    board.rows("project", project, "merge_requests")[iid] = made
    tell_thread(board, project, "merge_request", made, "opened", at)
    return iid


def add_note(board: Board, change: Add, at: str) -> int:
    """A comment; with `discussion` an answer in it."""
    rows, parent = thread(board, change)
    number = board.next_id("notes")
    fields: dict[str, Any] = {
        "body": f"Note {number}",
        "author": board.main_user,
        "created_at": at,
        "updated_at": at,
        "discussion_id": change.discussion or sha_of("discussion", number),
    } | fitted(Note, change.fields, board, change.project)
    if change.discussion:
        if not any(note.discussion_id == change.discussion for note in parent.notes):
            raise Unfit(f"no discussion {change.discussion} in {change.on} {change.iid}")
        fields["type"] = "DiscussionNote"
    note = Note(id=number, **fields)
    rows[change.iid] = replace(touch(parent, at, change.touch), notes=(*parent.notes, note))
    _tell_note(board, change, parent, note, at)
    return number


def _tell_note(board: Board, change: Add, parent: Any, note: Note, at: str) -> None:
    board.tell(
        change.project,
        at,
        action_name="commented on",
        author=note.author,
        target_id=note.id,
        target_iid=note.id,
        target_type=note.type or "Note",
        target_title=parent.title,
        note=note,
        noteable_type=type(parent).__name__,
        noteable_id=getattr(parent, "id", None),
        noteable_iid=getattr(parent, "iid", None),
        confidential=getattr(parent, "confidential", False),
    )
    stir(board, change.project, at)


def _milestone(board: Board, change: Add, at: str) -> int:
    kind, place = home(change)
    iid = max((row.iid for row in board.peek(kind, place, "milestones")), default=0) + 1
    fields: dict[str, Any] = {
        "title": f"Milestone {iid}",
        "description": None,
        "state": "active",
        "created_at": at,
        "updated_at": at,
        f"{kind}_id": place,
    } | fitted(Milestone, change.fields, board, change.project)
    number = board.next_id("milestones")
    board.rows(kind, place, "milestones")[number] = Milestone(id=number, iid=iid, **fields)
    return number


def _label(board: Board, change: Add, _at: str) -> int:
    kind, place = home(change)
    number = board.next_id("labels")
    fields: dict[str, Any] = {"name": f"label-{number}", "color": "#6699cc"}
    fields |= fitted(Label, change.fields, board, change.project)
    board.rows(kind, place, "labels")[number] = Label(id=number, **fields)
    return number


def _head(board: Board, project: int, name: str) -> Commit:
    """The last commit of a branch. Raises Unfit."""
    name = name or board.project(project).default_branch or ""
    for branch in board.peek("project", project, "branches"):
        if branch.name == name:
            found: Commit = branch.commit
            return found
    raise Unfit(f"no branch {name} in project {project}")


def _pipeline(board: Board, change: Add, at: str) -> int:
    project = change.project
    number = board.next_id("pipelines")
    fields: dict[str, Any] = {
        "ref": board.project(project).default_branch or "main",
        "status": "success",
        "source": "push",
        "created_at": at,
        "updated_at": at,
        "user": board.main_user,
    } | fitted(Pipeline, change.fields, board, project)
    if "sha" not in fields:
        fields["sha"] = _head(board, project, fields["ref"]).sha
    iid = board.next_iid(project, "pipelines")
    made = Pipeline(id=number, iid=iid, **fields)
    board.rows("project", project, "pipelines")[number] = made
    return number


def _branch(board: Board, change: Add, _at: str) -> str:
    name = str(
        change.fields.get(
            "name", f"branch-{len(board.peek('project', change.project, 'branches')) + 1}"
        )
    )
    head = _head(board, change.project, str(change.key or ""))
    board.rows("project", change.project, "branches")[name] = Branch(name=name, commit=head)
    return name


def _tag(board: Board, change: Add, at: str) -> str:
    rows = board.rows("project", change.project, "tags")
    name = str(change.fields.get("name", f"tag-{len(rows) + 1}"))
    head = _head(board, change.project, str(change.key or ""))
    rows[name] = Tag(name=name, commit=head, target=head.sha, created_at=at)
    return name


def _commit(board: Board, change: Add, at: str) -> str:
    project = change.project
    name = str(change.key or board.project(project).default_branch or "")
    head = _head(board, project, name)
    rows = board.rows("project", project, "commits")
    who = board.main_user
    fields: dict[str, Any] = {
        "sha": sha_of(project, head.sha, at, len(rows)),
        "parents": (head.sha,),
        "title": "Another step",
        "message": "Another step\n",
        "author_name": who.name,
        "author_email": f"{who.username}@fjordlab.example",
        "authored_date": at,
        "committer_name": who.name,
        "committer_email": f"{who.username}@fjordlab.example",
        "committed_date": at,
    } | fitted(Commit, change.fields, board, project)
    made = rows[fields["sha"]] = Commit(**fields)
    branches = board.rows("project", project, "branches")
    branches[name] = replace(row(branches, "branch", name), commit=made)
    _tell_push(board, project, name, head, made, at)
    return made.sha


def _tell_push(
    board: Board, project: int, branch: str, before: Commit, after: Commit, at: str
) -> None:
    push = Push(
        commit_count=1,
        action="pushed",
        ref_type="branch",
        commit_from=before.sha,
        commit_to=after.sha,
        ref=branch,
        commit_title=after.title[:70],
    )
    board.tell(project, at, action_name="pushed to", author=board.main_user, push=push)
    stir(board, project, at)


def _project(board: Board, change: Add, at: str) -> int:
    group = board.group(change.group)
    number = board.next_id("projects")
    path = str(change.fields.get("path", f"project-{number}"))
    name = path.replace("-", " ").capitalize()
    fields: dict[str, Any] = {
        "path": path,
        "name": name,
        "name_with_namespace": f"{group.full_name} / {name}",
        "description": None,
        "visibility": group.visibility,
        "created_at": at,
        "updated_at": at,
        "last_activity_at": at,
        "creator": board.main_user,
        "default_branch": None,
        "empty_repo": True,
        "has_readme": False,
        "features": dict.fromkeys(FEATURES, "enabled"),
    } | fitted(Project, change.fields, board, 0)
    full_path = f"{group.full_path}/{path}"
    if full_path in {project.full_path for project in board.projects.values()}:
        raise Unfit(f"there is a project {full_path} already")
    board.projects[number] = Project(
        id=number, namespace_id=group.id, full_path=full_path, **fields
    )
    board.touched.projects.add(number)
    return number
