"""The rules of a visit: when a list is read again, and what is gone."""

from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.visit import SWEEP, Visit

STILL = Cursor(items=10, expected=10)
MOVED = Cursor(items=9, expected=10, changed=True)


def _gone(*readings: tuple[Cursor, set[int | str]]) -> set[int | str]:
    """Return what counts as gone after readings of one visit, each with what it missed."""
    visit = Visit(SWEEP)
    for passes, (cursor, missing) in enumerate(readings):
        is_again = visit.is_to_be_read_again(replace(cursor, passes=passes), missing)
        assert is_again == (passes + 1 < len(readings))
    return visit.gone(readings[-1][1])


def test_what_two_readings_missed_is_gone() -> None:
    assert _gone((STILL, {5, 6}), (STILL, {5})) == {5}


def test_what_any_reading_met_is_not_gone() -> None:
    """It slipped past the first and the last one; the second met it, on a list that moved."""
    assert _gone((STILL, {5, 6}), (MOVED, {6}), (MOVED, {5, 6})) == {6}
