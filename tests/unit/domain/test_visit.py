"""When a list is read again, and which lists are read at all."""

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.domain.visit import LATEST, SOONEST, Pace, Schedule, next_interval, next_visit

EVERY = st.integers(4, 10**9)
BEFORE = st.none() | st.integers(1, 10**12)


@given(EVERY, EVERY, BEFORE, st.booleans())
def test_interval_stays_within_its_bounds(
    every: int, most: int, before: int | None, changed: bool
) -> None:
    interval = next_interval(every, most, before, changed)
    assert min(every // SOONEST, most) <= interval <= min(every * LATEST, most)


@given(EVERY, st.lists(st.booleans(), max_size=40))
def test_what_is_busy_is_read_no_later_than_what_is_quiet(every: int, seen: list[bool]) -> None:
    busy = quiet = between = None
    for changed in seen:
        busy = next_interval(every, 10**12, busy, True)
        quiet = next_interval(every, 10**12, quiet, False)
        between = next_interval(every, 10**12, between, changed)
        assert busy <= between <= quiet


def test_interval_halves_with_a_change_and_doubles_without() -> None:
    hour = 3600
    steps = [True, True, True, True, False, False]
    told, before = [], None
    for changed in steps:
        before = next_interval(hour, 10**9, before, changed)
        told.append(before)
    assert told == [3600, 1800, 900, 900, 1800, 3600]
    before = None
    quiet = [before := next_interval(hour, 5 * hour, before, False) for _ in range(5)]
    assert quiet == [3600, 7200, 14400, 18000, 18000]


def test_next_visit_goes_by_the_pace() -> None:
    schedule = Schedule(every=100, most=10**6)
    timed = Schedule(cron=lambda now: now + 7)
    assert next_visit(schedule, Pace(100), 1000, None, True) == (100, 1100)
    assert next_visit(schedule, Pace(100), 1000, 100, False) == (200, 1200)
    assert next_visit(schedule, Pace(30, is_adaptive=False), 1000, 999, False) == (30, 1030)
    assert next_visit(schedule, Pace(100, is_driven=True), 1000, 100, True) == (None, None)
    assert next_visit(timed, Pace(None), 1000, None, True) == (None, 1007)
    assert next_visit(timed, Pace(30, is_adaptive=False), 1000, None, True) == (30, 1030)
    assert next_visit(Schedule(), Pace(None), 1000, 50, True) == (50, 1000)


def test_last_pattern_that_matches_decides() -> None:
    def chosen(*patterns: str) -> list[str]:
        names = ("issues", "issue_links", "commits")
        return [name for name in names if Schedule(resources=patterns).has(name)]

    assert chosen("*") == ["issues", "issue_links", "commits"]
    assert chosen("*", "!issue*") == ["commits"]
    assert chosen("*", "!issue*", "issues") == ["issues", "commits"]
    assert chosen("!commits") == ["issues", "issue_links"]
    assert chosen("issues") == ["issues"]
    assert Schedule(resources=("issues",)).has("discovery")


def test_name_is_more_than_a_pattern() -> None:
    assert not Schedule(resources=("*",)).names("commit_discussions")
    assert Schedule(resources=("*", "commit_discussions")).names("commit_discussions")
    assert not Schedule(resources=("commit_discussions", "!*")).names("commit_discussions")
