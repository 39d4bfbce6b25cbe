"""The cells of the heat map: what colour a ledger row has, and the words inside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from labtrawl.domain.area import AreaKind
from labtrawl.store.gaps import NOBODY_KNOWS
from labtrawl.store.pages.areas import AreaRow, LedgerLine
from labtrawl.store.pages.coverage import CoverageLine
from labtrawl.website.parts.render import number, percent
from labtrawl.website.parts.words import explain, in_order

# The area's own object has one column, whatever its kind.
OWN = frozenset({"group", "project"})
DETAILS = "project"
# What the colours of a list that was read to its end are called.
COMPLETE = frozenset({"level-10", "void"})
SHORT = {
    "feature_off": "off",
    "empty_repository": "no repository",
    "forbidden": "forbidden",
    "tier": "not in tier",
    "cap": "capped",
    "deleted": "deleted",
    "failed": "failed",
    "changed": "changed",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `look` is its colour, `figure` and `words` stand in it, `title` says it in full."""

    look: str
    figure: str
    words: str
    title: str
    job_id: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the heat map; a cell that does not apply is None."""

    row: AreaRow
    cells: Sequence[Cell | None]

    @property
    def complete(self) -> str:
        """How many of its lists need no look, in words; a small screen shows only the others."""
        looks = [cell.look for cell in self.cells if cell is not None]
        return f"{sum(look in COMPLETE for look in looks)} of {len(looks)} complete"


def lines_of(found: Sequence[CoverageLine]) -> tuple[list[str], list[Line]]:
    """Return the columns (resources) and the rows of a page; an instance has no lists of its own."""
    shown = [
        line for line in found if line.cells or line.row.kind in (AreaKind.GROUP, AreaKind.PROJECT)
    ]
    columns = in_order({_column(name) for line in shown for name in line.cells})
    return columns, [_line(each, columns) for each in shown]


def _column(resource: str) -> str:
    return DETAILS if resource in OWN else resource


def _line(found: CoverageLine, columns: Sequence[str]) -> Line:
    by_column = {_column(name): line for name, line in found.cells.items()}
    cells = [cell_of(by_column[name]) if name in by_column else None for name in columns]
    return Line(found.row, cells)


def cell_of(line: LedgerLine) -> Cell:
    """Choose the colour and the words of a ledger row."""
    if line.reason is not None:
        return _gap(line)
    cell = _unfinished(line) if line.completed_at is None else _complete(line)
    return _unexplained(cell) if line.is_unexplained else cell


def _unexplained(cell: Cell) -> Cell:
    why = explain(NOBODY_KNOWS).title.lower()
    words = f"{cell.words}, {why}" if cell.words else why
    look = "gap" if cell.look in COMPLETE else cell.look
    return replace(cell, look=look, words=words, title=f"{cell.title}: {why}")


def _gap(line: LedgerLine) -> Cell:
    reason = line.reason or ""
    look = "off" if reason in {"feature_off", "empty_repository", "tier"} else "gap"
    look = "failed" if reason == "failed" else look
    figure = number(line.collected) if line.collected else ""
    words = SHORT.get(reason, reason)
    title = explain(reason).title
    title = f"{title}: {line.detail}" if line.detail else title
    return Cell(look, figure, words, title, line.job_id)


def _complete(line: LedgerLine) -> Cell:
    if not line.collected and not line.expected:
        return Cell("void", "0", "empty", "Read to its end: there is nothing", line.job_id)
    if line.expected is None:
        title = f"{number(line.collected)} records, read to the end of the list"
        return Cell("level-10", number(line.collected), "", title, line.job_id)
    share = percent(line.collected, line.expected)
    title = f"{number(line.collected)} of {number(line.expected)} records"
    words = "" if share == 100 else f"{share} %"
    return Cell(f"level-{share // 10}", number(line.collected), words, title, line.job_id)


def _unfinished(line: LedgerLine) -> Cell:
    figure = number(line.collected) if line.collected else ""
    so_far = f", {number(line.collected)} records so far" if line.collected else ""
    state = line.job_state or "unplanned"
    words = {"queued": "waiting", "held": "held", "unplanned": "not planned"}.get(state, state)
    looks = {"running": "running", "failed": "failed", "queued": "waiting", "held": "waiting"}
    return Cell(
        looks.get(state, "none"), figure, words, f"{words.capitalize()}{so_far}", line.job_id
    )
