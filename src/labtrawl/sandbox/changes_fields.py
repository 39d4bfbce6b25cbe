"""Fields of a change as the model holds them: checked by name and type, people and plans looked up.

Entered by the rooms of changes.
"""

from functools import cache
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from labtrawl.sandbox.changes import Unfit
from labtrawl.sandbox.changes_board import Board
from labtrawl.sandbox.instants import normal_text
from labtrawl.sandbox.model import Milestone, User

_FIXED = frozenset(
    {
        *("id", "iid", "notes", "awards", "former_paths", "full_path", "namespace_id"),
        *("label_events", "state_events", "milestone_events", "timelogs", "links"),
        *("approvals", "reviews", "versions", "pipelines"),
    }
)


@cache
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in _FIXED}


def fitted(
    kind: type[Struct], fields: dict[str, Any], board: Board, project: int
) -> dict[str, Any]:
    """The fields as arguments of `kind`. Raises Unfit with a sentence."""
    hints = _hints(kind)
    found = {}
    for name, value in fields.items():
        if name not in hints:
            known = ", ".join(sorted(hints))
            raise Unfit(f"no field {name} of {kind.__name__} can be set; there are: {known}")
        try:
            found[name] = _value(hints[name], name, value, board, project)
        except (msgspec.ValidationError, ValueError) as error:
            raise Unfit(f"{kind.__name__}.{name}: {error}") from None
    return found


def _value(hint: Any, name: str, value: Any, board: Board, project: int) -> Any:
    if hint in (User, User | None):
        return None if value is None else board.user(value)
    if hint == tuple[User, ...]:
        return tuple(board.user(username) for username in value)
    if hint == (Milestone | None):
        return None if value is None else _milestone(board, project, value)
    if name.endswith("_at") and isinstance(value, str):
        return normal_text(value)
    return msgspec.convert(value, hint)


def _milestone(board: Board, project: int, number: int) -> Milestone:
    candidates: list[Milestone] = [*board.peek("project", project, "milestones")]
    group_id: int | None = board.project(project).namespace_id
    while group_id in board.groups:
        candidates += board.peek("group", group_id, "milestones")
        group_id = board.groups[group_id].parent_id
    for milestone in candidates:
        if milestone.id == number:
            return milestone
    raise Unfit(f"no milestone {number} in project {project} or the groups above")
