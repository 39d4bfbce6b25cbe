"""Changes of people: who has another name has it wherever they are shown.

Entered by `changes_apply`. No ``updated_at`` moves, and texts that mention somebody stay as they are.
"""

from typing import Any

import msgspec

from labtrawl.sandbox.changes import Edit, Unfit
from labtrawl.sandbox.changes_board import Board
from labtrawl.sandbox.changes_fields import fitted
from labtrawl.sandbox.changes_places import relocate
from labtrawl.sandbox.model import User

replace = msgspec.structs.replace


def edit(board: Board, change: Edit) -> int:
    """Set fields of a user, named by username; the user's id. Raises Unfit."""
    old = board.user(change.key)
    fields: dict[str, Any] = fitted(User, change.fields, board, 0)
    fresh = replace(old, **fields)
    if fresh.username != old.username and fresh.username in board.users:
        raise Unfit(f"there is a user {fresh.username} already")
    board.set_user(fresh)
    if fresh.username != old.username:
        for project in list(board.projects.values()):
            if project.owner is not None and project.owner.id == fresh.id:
                relocate(board, replace(project, owner=fresh))
    return fresh.id
