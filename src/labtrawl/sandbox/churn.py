"""Churn: a share of a world changed at once, the same objects for the same seed.

Entered by `changes_apply`; for benchmarks of freshness and of worlds that grow.
"""

import random
from typing import Any

import msgspec

from labtrawl.sandbox import changes_additions, changes_items
from labtrawl.sandbox.changes import Add, Churn, Edit, Item, Remove
from labtrawl.sandbox.changes_board import Board

_ITEMS: dict[str, Item] = {
    "issues": "issue",
    "merge_requests": "merge_request",
    "notes": "note",
    "pipelines": "pipeline",
    "milestones": "milestone",
}
_THREADS: tuple[tuple[str, Any], ...] = (
    ("issues", "issue"),
    ("merge_requests", "merge_request"),
)
# Kind, project, key; for a note also its parent's kind and iid.
_Spot = tuple[str, int, int, Any, int]


def churn(board: Board, change: Churn, at: str) -> dict[str, object]:
    """Change the share; how many of each were edited, added and removed."""
    spots = [spot for kind in change.kinds for spot in _spots(board, kind)]
    chance = random.Random(f"{change.seed}/churn")
    count = min(round(len(spots) * change.share), len(spots))
    chosen = chance.sample(spots, count)
    added = round(count * change.added)
    removed = min(round(count * change.removed), count - added)
    # Edits first, so that none meets an object that is gone; a gone issue takes its notes along.
    for index, spot in enumerate(chosen[added + removed :]):
        _edit(board, spot, change.seed, index, at)
    for spot in chosen[:added]:
        _add(board, spot, at)
    gone = _notes_first(chosen[added : added + removed])
    for spot in gone:
        _remove(board, spot, at)
    return {"edited": count - added - removed, "added": added, "removed": len(gone)}


def _spots(board: Board, kind: str) -> list[_Spot]:
    if kind != "notes":
        by = "iid" if kind in ("issues", "merge_requests") else "id"
        return [
            (kind, project, getattr(row, by), "issue", 0)
            for project in board.projects
            for row in board.peek("project", project, kind)
        ]
    return [
        ("notes", project, note.id, on, parent.iid)
        for project in board.projects
        for name, on in _THREADS
        for parent in board.peek("project", project, name)
        for note in parent.notes
        if not note.system
    ]


def _notes_first(spots: list[_Spot]) -> list[_Spot]:
    return sorted(spots, key=lambda spot: spot[0] != "notes")


def _edit(board: Board, spot: _Spot, seed: int, index: int, at: str) -> None:
    kind, project, key, on, iid = spot
    what = _ITEMS[kind]
    rows = board.rows("project", project, kind) if kind != "notes" else {}
    old = rows.get(key)
    fields: dict[str, Any] = {"title": f"{_plain(old)} (edit {seed}.{index})"}
    if what == "note":
        fields = {"body": f"Said otherwise, {seed}.{index}"}
    elif what == "pipeline":
        fields = {"status": "failed" if old and old.status == "success" else "success"}
    edit = Edit(what=what, project=project, key=key, on=on, iid=iid, fields=fields)
    changes_items.edit(board, edit, at)


def _plain(old: Any) -> str:
    return str(getattr(old, "title", "")).partition(" (edit ")[0]


def _add(board: Board, spot: _Spot, at: str) -> None:
    kind, project, key, on, iid = spot
    fields = {}
    if kind == "pipelines":
        alike = board.rows("project", project, kind)[key]
        fields = {"ref": alike.ref, "sha": alike.sha}
    made = Add(what=_ITEMS[kind], project=project, on=on, iid=iid, fields=fields)
    number = changes_additions.add(board, made, at)
    if kind in ("issues", "merge_requests"):
        # As long as its neighbour, so that a grown world weighs what it should.
        rows = board.rows("project", project, kind)
        alike = rows[key]
        rows[number] = msgspec.structs.replace(
            rows[number], description=alike.description, labels=alike.labels
        )


def _remove(board: Board, spot: _Spot, at: str) -> None:
    kind, project, key, on, iid = spot
    gone = Remove(what=_ITEMS[kind], project=project, key=key, on=on, iid=iid)
    changes_items.remove(board, gone, at)
