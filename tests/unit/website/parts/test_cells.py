"""The heat map: each ledger row has a colour and says why it is pale."""

from dataclasses import replace

import pytest

from labtrawl.store.pages.areas import LedgerLine
from labtrawl.website.parts.cells import Cell, cell_of

LINE = LedgerLine("issues", None, "", 0, None, "", None, 1, 7, "queued")


@pytest.mark.parametrize(
    ("line", "cell"),
    [
        (LINE, Cell("waiting", "", "waiting", "Waiting", 7)),
        (
            replace(LINE, job_state="running", collected=40),
            Cell("running", "40", "running", "Running, 40 records so far", 7),
        ),
        (
            replace(LINE, expected=40, collected=40, completed_at=1),
            Cell("level-10", "40", "", "40 of 40 records", 7),
        ),
        (
            replace(LINE, expected=400, collected=399, completed_at=1),
            Cell("level-9", "399", "99 %", "399 of 400 records", 7),
        ),
        (
            replace(LINE, collected=1234, completed_at=1),
            Cell("level-10", "1,234", "", "1,234 records, read to the end of the list", 7),
        ),
        (
            replace(LINE, expected=0, completed_at=1),
            Cell("void", "0", "empty", "Read to its end: there is nothing", 7),
        ),
        (
            replace(LINE, reason="feature_off", completed_at=1),
            Cell("off", "", "off", "Feature is off", 7),
        ),
        (
            replace(LINE, reason="forbidden", detail="403", job_state="failed"),
            Cell("gap", "", "forbidden", "Forbidden: 403", 7),
        ),
        (
            replace(LINE, reason="failed", collected=3, job_state="failed"),
            Cell("failed", "3", "failed", "Failed", 7),
        ),
        (
            replace(LINE, job_id=None, job_state=None),
            Cell("none", "", "not planned", "Not planned", None),
        ),
        (
            replace(LINE, expected=400, collected=399, completed_at=1, is_unexplained=True),
            Cell("level-9", "399", "99 %, unexplained", "399 of 400 records: unexplained", 7),
        ),
        (
            replace(LINE, expected=40, collected=41, completed_at=1, is_unexplained=True),
            Cell("gap", "41", "unexplained", "41 of 40 records: unexplained", 7),
        ),
    ],
)
def test_cell_shows_how_much_is_there_and_why_not_more(line: LedgerLine, cell: Cell) -> None:
    assert cell_of(line) == cell
