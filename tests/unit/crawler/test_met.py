"""What a reading met, packed into a cursor."""

import random

import pytest

from labtrawl.crawler.cursor import Cursor, decode_cursor
from labtrawl.crawler.met import MOST_LETTERS, Recalled, packed, unpacked

pytestmark = pytest.mark.long

KNOWN: set[int | str] = {*range(1, 300), *(f"7/{number}" for number in range(50))}


@pytest.mark.parametrize("seed", range(8))
def test_what_was_met_comes_back_through_the_text_of_a_cursor(seed: int) -> None:
    chance = random.Random(seed)
    some = [{each for each in sorted(KNOWN, key=str) if chance.random() < 0.5} for _ in range(2)]
    suspects = some[1] if seed % 2 else None
    told = packed(KNOWN, some[0] | {"7/unknown"}, suspects, "3")
    told = decode_cursor(Cursor(met=told).encode()).met
    assert told is not None
    assert told.by == "3"
    assert unpacked(told, set(KNOWN)) == Recalled(some[0], suspects)


@pytest.mark.parametrize("known", [KNOWN - {7}, KNOWN | {1000}, KNOWN - {7} | {"7"}, set()])
def test_what_was_met_of_other_objects_tells_nothing(known: set[int | str]) -> None:
    told = packed(KNOWN, {1}, None, "")
    assert told is not None
    assert unpacked(told, known) is None


def test_list_without_objects_has_a_mark_of_its_own() -> None:
    told = packed(set(), set(), set(), "")
    assert told is not None
    assert (bool(told.known), unpacked(told, set())) == (True, Recalled(set(), set()))


def test_list_that_is_read_in_order_takes_little_and_one_that_takes_much_is_read_anew() -> None:
    many: set[int | str] = set(range(1_000_000))
    told = packed(many, set(range(400_000)), None, "")
    assert told is not None
    assert len(told.met) < 1000
    chance = random.Random(1)
    mixed: set[int | str] = {each for each in many if chance.random() < 0.5}
    assert packed(many, mixed, None, "") is None
    assert MOST_LETTERS < 1 << 16
