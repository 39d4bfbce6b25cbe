"""The coverage: for each area and resource how much of it is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from labtrawl.store.pages.areas import (
    AreaFilter,
    AreaKey,
    AreaRow,
    LedgerLine,
    ledger_lines,
    page_of_areas,
)
from labtrawl.store.pages.keyset import Page, Place

PAGE = 40


@dataclass(frozen=True, slots=True)
class CoverageLine:
    """One area with its ledger by resource."""

    row: AreaRow
    cells: Mapping[str, LedgerLine]


def coverage(
    connection: Connection, wanted: AreaFilter, place: Place[AreaKey], size: int = PAGE
) -> Page[CoverageLine]:
    """Return one page of the heat map, in the order of the tree."""
    page = page_of_areas(connection, wanted, place, size)
    ledgers = ledger_lines(connection, [row.id for row in page.rows])
    lines: Sequence[CoverageLine] = [
        CoverageLine(row, {line.resource: line for line in ledgers[row.id]}) for row in page.rows
    ]
    return Page(lines, page.has_previous, page.has_next)
