"""Changes of projects and groups themselves: settings, paths, members, and their end.

Entered by `changes_apply`.
"""

from typing import Any

import msgspec

from labtrawl.sandbox.changes import Edit, Grant, Move, Remove, Unfit
from labtrawl.sandbox.changes_board import Board
from labtrawl.sandbox.changes_fields import fitted
from labtrawl.sandbox.model import FEATURES, Group, Membership, Project

_PROJECT_FIELDS = (
    "archived",
    "default_branch",
    "description",
    "empty_repo",
    "features",
    "languages",
    "last_activity_at",
    "name",
    "topics",
    "updated_at",
    "visibility",
)
_GROUP_FIELDS = ("description", "forbidden", "visibility")
_VISIBILITIES = ("private", "internal", "public")
_LEVELS = ("disabled", "private", "enabled")
replace = msgspec.structs.replace


def edit(board: Board, change: Edit, at: str) -> int:
    """Set fields of a project or group; its id. Raises Unfit."""
    if change.what == "project":
        old = board.project(change.project)
        fields = _checked(change.fields, _PROJECT_FIELDS, "project")
        fields = fitted(Project, fields, board, old.id)
        if "features" in fields:
            fields["features"] = old.features | _features(fields["features"])
        if change.touch is not False:
            fields.setdefault("updated_at", at)
        board.set_fields("project", old.id, **fields)
        return old.id
    group = board.group(change.group)
    fields = _checked(change.fields, _GROUP_FIELDS, "group")
    board.set_fields("group", group.id, **fitted(Group, fields, board, 0))
    return group.id


def _checked(fields: dict[str, Any], known: tuple[str, ...], what: str) -> dict[str, Any]:
    for name in fields:
        if name not in known:
            raise Unfit(f"no field {name} of a {what} can be set; there are: {', '.join(known)}")
    if fields.get("visibility", "public") not in _VISIBILITIES:
        raise Unfit(f"visibility is one of: {', '.join(_VISIBILITIES)}")
    return fields


def _features(wanted: dict[str, str]) -> dict[str, str]:
    for name, level in wanted.items():
        if name not in FEATURES or level not in _LEVELS:
            raise Unfit(f"no feature {name}, or it can't be {level}; levels: {', '.join(_LEVELS)}")
    return wanted


def grant(board: Board, change: Grant, at: str) -> int:
    """Set, change or end a direct membership; the id of the place. Raises Unfit."""
    place = board.place(change.what, change.key)
    user = board.user(change.user)
    others = tuple(member for member in place.members if member.user.id != user.id)
    if not change.level:
        if len(others) == len(place.members):
            raise Unfit(f"{change.user} is no direct member of {place.full_path}")
        board.set_fields(change.what, place.id, members=others)
        return place.id
    old = next((member for member in place.members if member.user.id == user.id), None)
    fresh = (
        replace(old, access_level=change.level)
        if old
        else Membership(user=user, access_level=change.level, created_at=at)
    )
    board.set_fields(change.what, place.id, members=(*others, fresh))
    return place.id


def move(board: Board, change: Move, at: str) -> int:
    """Rename or transfer a project or group; its id. Raises Unfit."""
    if change.to:
        board.group(change.to)
    if change.what == "project":
        _move_project(board, change, at)
    else:
        _move_group(board, change)
    return change.key


def _move_project(board: Board, change: Move, at: str) -> None:
    old = board.project(change.key)
    moved = replace(
        old,
        namespace_id=change.to or old.namespace_id,
        owner=None if change.to else old.owner,
        path=change.path or old.path,
        name=change.name or old.name,
        updated_at=at,
    )
    board.projects[old.id] = moved
    relocate(board, moved)


def relocate(board: Board, project: Project) -> None:
    """Give the project the full path that its place has by now; the old one stays known."""
    group = board.groups.get(project.namespace_id)
    space = group.full_path if group else project.full_path.rpartition("/")[0]
    names = group.full_name if group else project.name_with_namespace.rpartition(" / ")[0]
    if group is None and project.owner is not None:
        space, names = project.owner.username, project.owner.name
    full_path = f"{space}/{project.path}"
    former = project.former_paths
    if full_path != project.full_path:
        if any(other.full_path == full_path for other in board.projects.values()):
            raise Unfit(f"there is a project {full_path} already")
        former = (*former, project.full_path)
    board.touched.relocated.add(project.id)
    board.set_fields(
        "project",
        project.id,
        full_path=full_path,
        former_paths=former,
        name_with_namespace=f"{names} / {project.name}",
    )


def _move_group(board: Board, change: Move) -> None:
    old = board.group(change.key)
    inside = board.groups_below(old.id)
    if change.to in inside:
        raise Unfit(f"group {change.to} lies in group {old.id}")
    board.groups[old.id] = replace(
        old,
        parent_id=change.to or old.parent_id,
        path=change.path or old.path,
        name=change.name or old.name,
    )
    by_depth = sorted(inside, key=lambda number: board.groups[number].full_path.count("/"))
    for number in by_depth:
        found = board.groups[number]
        above = board.groups.get(found.parent_id or 0)
        board.groups[number] = replace(
            found,
            full_path=f"{above.full_path}/{found.path}" if above else found.path,
            full_name=f"{above.full_name} / {found.name}" if above else found.name,
        )
    paths = [group.full_path for group in board.groups.values()]
    if len(set(paths)) < len(paths):
        raise Unfit(f"there is a group {board.groups[old.id].full_path} already")
    for number in sorted(board.below("group", old.id)):
        relocate(board, board.projects[number])


def remove(board: Board, change: Remove) -> int:
    """Delete a project, or a group with all below it; its id. Raises Unfit."""
    if change.what == "project":
        board.last_id("projects")
        board.drop("project", board.project(change.project).id)
        return change.project
    board.last_id("projects")
    number = board.group(change.group).id
    inside = board.groups_below(number)
    for project in sorted(board.below("group", number)):
        board.drop("project", project)
    for group in inside:
        board.drop("group", group)
    return number
