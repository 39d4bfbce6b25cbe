"""How many requests are under way at once, with a GitLab of so many workers, in simulated time."""

import heapq
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtrawl.http.pace import LEAST_LATE, START, Pace, kind_of

PATH = "/api/v4/projects/1/issues"


def _run(
    pace: Pace,
    latency: Callable[[int], float],
    requests: int,
    begins_at: float = 0.0,
    *,
    fails: bool = False,
) -> float:
    """As many at once as are allowed; return when so many requests are over.

    `latency` is told how many are under way.
    """
    now, begun = begins_at, 0
    under_way: list[tuple[float, float]] = []
    while begun < requests or under_way:
        while begun < requests and pace.may_begin():
            pace.begin()
            begun += 1
            heapq.heappush(under_way, (now + latency(pace.under_way), now))
        now, began_at = heapq.heappop(under_way)
        pace.end(PATH, began_at, now, is_trouble=fails)
    return now


def _workers(number: int, seconds: float) -> Callable[[int], float]:
    """More than there are workers wait for one."""
    return lambda under_way: seconds * max(1.0, under_way / number)


@pytest.mark.parametrize("seconds", [0.0005, 0.05, 1.0])
def test_gitlab_whose_latency_stays_the_same_gets_as_many_as_are_allowed(seconds: float) -> None:
    pace = Pace(32)
    took = _run(pace, lambda _: seconds, 2_000)
    assert int(pace.allowed) == 32
    fixed = _run(Pace(32, is_adaptive=False), lambda _: seconds, 2_000)
    assert took <= 1.1 * fixed


def test_fast_gitlab_with_one_worker_is_not_slowed() -> None:
    took, fixed = (_run(Pace(32, each), _workers(1, 0.001), 2_000) for each in (True, False))
    assert took <= 1.05 * fixed


def test_gitlab_that_comes_to_its_limit_is_not_pressed_on() -> None:
    """Eight workers of 200 ms each: 32 requests at once would each take 800 ms."""
    pace = Pace(64)
    _run(pace, _workers(8, 0.2), 1_000)
    assert 8 <= pace.allowed <= 24


def test_gitlab_that_grows_slow_gets_fewer_and_more_again_when_it_is_well() -> None:
    pace = Pace(32)
    now = _run(pace, lambda _: 0.1, 1_000)
    now = _run(pace, lambda _: 2.0, 200, now)
    slow = pace.allowed
    _run(pace, lambda _: 0.1, 2_000, now)
    assert (slow <= 8, int(pace.allowed)) == (True, 32)


def test_gitlab_that_stays_slow_is_not_read_one_by_one() -> None:
    pace = Pace(32)
    now = _run(pace, lambda _: 0.1, 1_000)
    _run(pace, lambda _: 5.0, 200, now)
    assert pace.allowed == LEAST_LATE


def test_failures_leave_one_at_a_time_and_one_round_counts_once() -> None:
    pace = Pace(32)
    now = _run(pace, lambda _: 0.05, START, fails=True)
    assert pace.allowed == START * 0.7
    _run(pace, lambda _: 0.05, 400, now, fails=True)
    assert (pace.allowed, pace.may_begin()) == (1.0, True)


def test_slow_kind_of_path_beside_a_fast_one_is_no_sign_of_trouble() -> None:
    pace, now = Pace(32), 0.0
    for _ in range(600):
        for path, seconds in (("/api/v4/projects/7", 0.02), (PATH, 1.0)):
            while pace.may_begin():
                pace.begin()
            pace.end(path, now, now + seconds, is_trouble=False)
            now += 0.01
    assert int(pace.allowed) == 32


def test_long_answers_beside_short_ones_of_one_path_are_no_sign_of_trouble() -> None:
    """Of GraphQL's blocks one holds a hundred times as much as the next, and takes longer."""
    pace, now = Pace(32), 0.0
    for number in range(600):
        length = 1_000 if number // 20 % 2 else 100_000
        while pace.may_begin():
            pace.begin()
        pace.end(
            "/api/graphql", now, now + 0.05 + length / 200_000, is_trouble=False, length=length
        )
        now += 0.01
    assert int(pace.allowed) == 32


def test_long_answers_that_come_ever_later_are_a_sign_of_trouble() -> None:
    pace, now = Pace(32), 0.0
    for seconds in (0.5, 2.0):
        for _ in range(40):
            while pace.may_begin():
                pace.begin()
            pace.end("/api/graphql", now, now + seconds, is_trouble=False, length=100_000)
            now += 0.1
    assert pace.allowed <= 16


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.booleans(), st.sampled_from(["/a", "/b", "/c"])),
        max_size=300,
    ),
    st.integers(1, 64),
)
def test_whatever_happens_between_one_and_the_most_may_be_under_way(
    answers: list[tuple[float, bool, str]], most: int
) -> None:
    pace, now = Pace(most), 0.0
    assert pace.allowed == min(START, most)
    for seconds, is_trouble, path in answers:
        while pace.may_begin():
            pace.begin()
        pace.end(path, now, now + seconds, is_trouble)
        now += seconds / 2
        assert 1 <= pace.allowed <= most
        assert pace.under_way <= most


def test_pace_that_does_not_adapt_stays() -> None:
    pace = Pace(5, is_adaptive=False)
    _run(pace, lambda _: 0.05, 100, fails=True)
    assert pace.allowed == 5


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/v4/projects/12/issues?page=3", "/api/v4/projects/*/issues"),
        ("/gitlab/api/v4/groups/a%2Fb", "/gitlab/api/v4/groups/*"),
        ("/api/v4/projects/1/repository/commits/0ab1", "/api/v4/projects/*/repository/commits/*"),
        ("/api/graphql", "/api/graphql"),
    ],
)
def test_kind_is_the_path_without_what_it_names(path: str, kind: str) -> None:
    assert kind_of(path) == kind
