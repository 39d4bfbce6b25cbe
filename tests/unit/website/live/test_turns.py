"""Pages that ask for themselves again share a quarter of a core, each as often as that allows."""

import pytest

from labtrawl.website.live.turns import PAGE_SECONDS, PAGES_A_SECOND, Turns


def told(viewers: int, seconds: int) -> list[list[float]]:
    """When each of so many viewers was told, where something is committed every tenth of a second."""
    turns = Turns()
    found: list[list[float]] = [[] for _ in range(viewers)]
    for tick in range(10 * seconds):
        for viewer in turns.take(tick / 10, range(viewers)):
            found[viewer].append(tick / 10)
    return found


def test_few_viewers_are_told_every_two_seconds() -> None:
    assert told(5, 10) == [[0.0, 2.0, 4.0, 6.0, 8.0]] * 5


@pytest.mark.parametrize("viewers", [13, 100, pytest.param(300, marks=pytest.mark.long)])
def test_many_viewers_share_the_pages_that_can_be_made(viewers: int) -> None:
    seconds = 3 * viewers
    found = told(viewers, seconds)
    assert sum(map(len, found)) <= PAGES_A_SECOND * (seconds + PAGE_SECONDS)
    # Nobody is told twice before somebody else is told once.
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert min(map(len, found)) >= 2


def test_nobody_is_told_twice_within_two_seconds() -> None:
    turns = Turns()
    assert [turns.take(at, ["a"]) for at in (0.0, 1.9, 2.0, 3.9, 4.0)] == [
        ["a"],
        [],
        ["a"],
        [],
        ["a"],
    ]


def test_who_comes_back_is_told_at_once() -> None:
    turns = Turns()
    turns.take(0.0, ["a"])
    turns.forget("a")
    assert turns.take(0.1, ["a"]) == ["a"]
