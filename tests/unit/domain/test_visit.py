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


def test_look_that_came_early_adds_what_it_waited_and_no_more() -> None:
    early = [next_interval(100, 10**6, 200, False, elapsed) for elapsed in (0, 30, 200, 10**6, -5)]
    assert early == [200, 230, 400, 400, 200]
    assert next_interval(100, 10**6, 200, True, 30) == 100
    asked = [next_visit(Schedule(every=100), Pace(100), 1000, 200, False, at) for at in (None, 970)]
    assert asked == [(400, 1400), (230, 1230)]


@given(st.integers(60_000, 7_200_000), st.integers(1, 1_800_000))
def test_interval_settles_by_the_changes_however_often_one_looks(between: int, looks: int) -> None:
    """From once to twice the time between two changes, but for some looks, and within the bounds."""
    hour, interval, now = 3_600_000, None, 0
    looks = max(looks, between // 100)
    told: list[int] = []
    for _ in range(3000):
        now += looks
        found = now // between > (now - looks) // between
        interval = next_interval(hour, 10**9, interval, found, looks)
        told.append(interval)
    least, most = hour // SOONEST, hour * LATEST
    assert max(told[2000:]) <= max(2 * between + 2 * looks, least + between + looks)
    assert min(told[2000:]) >= min(max(least, between - 3 * looks), most)


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
