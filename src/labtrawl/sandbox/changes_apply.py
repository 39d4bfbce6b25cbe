"""Changes made in a world: all of a list, or none.

Entered by the app and by tests; what is in force is the world that comes out.
"""

from dataclasses import dataclass

from labtrawl.sandbox import changes_additions, changes_items, changes_people, changes_places
from labtrawl.sandbox.changes import Add, Change, Churn, Edit, Grant, Key, Move, Remove, Unfit
from labtrawl.sandbox.changes_board import Board, Numbers, Touched
from labtrawl.sandbox.churn import churn
from labtrawl.sandbox.instants import normal_text
from labtrawl.sandbox.model import World

_PLACES = ("project", "group")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The changed world, what the changes reach, and a row for each of what was done."""

    world: World
    touched: Touched
    done: list[dict[str, object]]


def apply_changes(
    world: World, changes: tuple[Change, ...], now: str, numbers: Numbers | None = None
) -> Outcome:
    """Make the changes, in their order. `now` (an instant text) dates those without an instant.

    Raises Unfit with one sentence; nothing is changed then.
    """
    board = Board(world, numbers or Numbers(), now)
    done = []
    for index, change in enumerate(changes):
        try:
            done.append(_applied(board, change, normal_text(change.at) if change.at else now))
        except Unfit as error:
            raise Unfit(f"change {index + 1}: {error}") from None
        except ValueError as error:
            raise Unfit(f"change {index + 1}: at: {error}") from None
    return Outcome(board.world(), board.touched, done)


def _applied(board: Board, change: Change, at: str) -> dict[str, object]:
    if isinstance(change, Churn):
        return {"kind": "churn"} | churn(board, change, at)
    if isinstance(change, Move):
        return {"kind": "move", "what": change.what, "key": changes_places.move(board, change, at)}
    if isinstance(change, Grant):
        return {
            "kind": "grant",
            "what": change.what,
            "key": changes_places.grant(board, change, at),
        }
    row: dict[str, object] = {"kind": type(change).__name__.lower(), "what": change.what}
    if isinstance(change, Edit) and change.what == "user":
        return row | {"key": changes_people.edit(board, change)}
    if change.what in _PLACES:
        return row | {"key": _place(board, change, at)}
    return row | {"key": _item(board, change, at)}


def _place(board: Board, change: Edit | Add | Remove, at: str) -> Key:
    if isinstance(change, Edit):
        return changes_places.edit(board, change, at)
    if isinstance(change, Remove):
        return changes_places.remove(board, change)
    return changes_additions.add(board, change, at)


def _item(board: Board, change: Edit | Add | Remove, at: str) -> Key:
    if isinstance(change, Add):
        return changes_additions.add(board, change, at)
    if isinstance(change, Edit):
        changes_items.edit(board, change, at)
    else:
        changes_items.remove(board, change, at)
    return change.key
