"""Changes of what hangs on an issue or merge request besides its notes.

Entered by `changes_items`. None of them moves the item's ``updated_at`` unless the change says so.
"""

from typing import Any

import msgspec

from labtrawl.sandbox.changes import Edit, Remove, Unfit
from labtrawl.sandbox.changes_board import Board, Rows
from labtrawl.sandbox.changes_fields import fitted
from labtrawl.sandbox.model import (
    Award,
    IssueLink,
    LabelEvent,
    MilestoneEvent,
    RequestVersion,
    StateEvent,
    Timelog,
)

PARTS: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "award": ("awards", Award),
    "timelog": ("timelogs", Timelog),
    "link": ("links", IssueLink),
    "version": ("versions", RequestVersion),
    "label_event": ("label_events", LabelEvent),
    "state_event": ("state_events", StateEvent),
    "milestone_event": ("milestone_events", MilestoneEvent),
}
_COUNTS = {"thumbsup": "upvotes", "thumbsdown": "downvotes"}
replace = msgspec.structs.replace


def edit(board: Board, change: Edit, rows: Rows, item: Any) -> None:
    """Set fields of a part of an item of `rows`. Raises Unfit."""
    name, kind = PARTS[change.what]
    old = _part(item, name, change)
    fresh = replace(old, **fitted(kind, change.fields, board, change.project))
    parts = tuple(fresh if part.id == old.id else part for part in getattr(item, name))
    rows[change.iid] = replace(item, **{name: parts}, **_sums(change.what, item, old, fresh))


def remove(board: Board, change: Remove, rows: Rows, item: Any) -> None:
    """Take a part off an item of `rows`; a link goes on both sides. Raises Unfit."""
    name, _ = PARTS[change.what]
    old = _part(item, name, change)
    board.last_id(name)
    rows[change.iid] = replace(_without(item, name, old), **_sums(change.what, item, old, None))
    if change.what == "link":
        others = board.rows("project", old.project_id, "issues")
        other = others.get(old.issue_iid)
        if other is not None:
            others[old.issue_iid] = _without(other, name, old)


def _part(item: Any, name: str, change: Edit | Remove) -> Any:
    for part in getattr(item, name, ()):
        if part.id == change.key:
            return part
    raise Unfit(f"no {change.what} {change.key} there")


def _without(item: Any, name: str, old: Any) -> Any:
    kept = tuple(part for part in getattr(item, name) if part.id != old.id)
    return replace(item, **{name: kept})


def _sums(what: str, item: Any, old: Any, fresh: Any) -> dict[str, int]:
    """What an item shows of all its parts: the time spent on it, and two emoji."""
    if what == "timelog":
        spent = (0 if fresh is None else fresh.time_spent) - old.time_spent
        return {"total_time_spent": item.total_time_spent + spent}
    if what != "award":
        return {}
    told = {name: getattr(item, name) for name in _COUNTS.values()}
    for part, by in ((old, -1), (fresh, 1)):
        if part is not None and part.name in _COUNTS:
            told[_COUNTS[part.name]] += by
    return told
