"""The rules of a visit: when a list is read again, and what is gone."""

from msgspec.structs import replace

from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.visit import CHANGES, FULL, SWEEP, Visit

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


def test_list_that_nobody_counts_and_that_moved_is_judged_by_two_readings() -> None:
    """Commits that are pushed meanwhile show old ones twice: that is no loss."""
    moved = Cursor(items=9, changed=True)
    assert _gone((moved, {5, 6}), (moved, {5})) == {5}


def test_list_of_which_rows_vanished_is_read_again_and_judged_by_the_readings_behind_it() -> None:
    lost = Cursor(items=9, changed=True, lost=True)
    assert _gone((lost, {5, 6}), (STILL, {5}), (STILL, {5})) == {5}


def test_list_with_loose_ends_is_read_again_where_they_are_others() -> None:
    """The same ones again are of rows that are nowhere."""
    one, other = replace(STILL, loose=("7/a",)), replace(STILL, loose=("7/b",))
    assert _gone((one, set()), (one, set())) == set()
    assert _gone((one, set()), (other, set()), (STILL, set())) == set()
    assert not Visit(CHANGES).is_to_be_read_again(one, set())


def test_what_looks_for_nothing_that_is_gone_goes_on_where_it_was() -> None:
    begun = Cursor(query="page=2", items=100, passes=1, started_at=5, written=3)
    assert Visit(CHANGES).begin(begun) == begun


def test_what_looks_for_what_is_gone_begins_anew_with_two_readings_before_it() -> None:
    begun = Cursor(query="page=2", items=100, started_at=5, written=3)
    for mode, passes, anew in [(SWEEP, 0, 0), (SWEEP, 2, 1), (FULL, 2, 1)]:
        found = Visit(mode).begin(replace(begun, passes=passes))
        assert found == Cursor(passes=anew, written=3)
    assert Visit(FULL).begin(begun) == begun
