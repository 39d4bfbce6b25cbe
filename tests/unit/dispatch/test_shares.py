"""The level up to which too little fills the shares of all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.dispatch.shares import level_of


@pytest.mark.parametrize(
    ("shares", "free", "level"),
    [
        ([(0, 10), (0, 10)], 10, 5.0),
        ([(4, 10), (0, 10)], 10, 7.0),
        ([(9, 10), (0, 10)], 6, 6.0),
        ([(0, 2), (0, 10)], 10, 8.0),
        ([(0, 2), (0, 3)], 10, 3.0),
        ([(5, 0), (1, 2)], 1, 2.0),
        ([], 10, 0.0),
    ],
)
def test_level_is_the_same_for_all_who_want_more(
    shares: list[tuple[int, int]], free: int, level: float
) -> None:
    assert level_of(shares, free) == level


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=20),
    st.integers(0, 2000),
)
def test_level_gives_out_all_that_is_free_or_all_that_is_wanted(
    shares: list[tuple[int, int]], free: int
) -> None:
    level = level_of(shares, free)
    given = sum(min(lack, max(0.0, level - had)) for had, lack in shares)
    assert given == pytest.approx(min(free, sum(lack for _, lack in shares)))
