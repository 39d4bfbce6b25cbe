"""How many lists may be looked at early: what is left of a share of the limit, and no more."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from labtrawl.domain.visit import ASSUMED_LIMIT, MINUTE_MS, Spare, Under

NOW = 1_800_000_000_000
STEPS = st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 500)), min_size=1, max_size=30)


def taken(spare: Spare, *looks: tuple[float, Under], share: float = 0.1) -> list[int]:
    """What may be opened at each look, so many seconds from the begin."""
    return [spare.take(NOW + int(at * 1000), share, under) for at, under in looks]


def test_nothing_is_given_before_time_has_passed() -> None:
    assert taken(Spare(), (0, Under(limit=600)), (30, Under(limit=600))) == [0, 30]


def test_what_is_not_used_is_saved_for_a_minute_at_most() -> None:
    assert taken(Spare(), (0, Under(limit=600)), (600, Under(limit=600))) == [0, 60]


def test_all_requests_count_whoever_they_are_for_and_a_minute_is_owed_at_most() -> None:
    one, much = Under(0, 0, 600), Under(10_000, 0, 600)
    assert taken(Spare(), (0, one), (60, Under(45, 0, 600))) == [0, 15]
    assert taken(Spare(), (0, one), (60, much), (120, much), (180, much)) == [0, 0, 0, 60]


def test_what_is_open_takes_its_part() -> None:
    looks = [(0, Under()), (60, Under(jobs=50)), (60, Under(jobs=90))]
    assert taken(Spare(), *looks) == [0, 10, 0]


def test_limit_that_nobody_told_is_assumed() -> None:
    told, untold = Under(limit=ASSUMED_LIMIT), Under()
    assert taken(Spare(), (0, told), (60, told)) == taken(Spare(), (0, untold), (60, untold))
    assert taken(Spare(), (0, Under(limit=60)), (60, Under(limit=60))) == [0, 6]


def test_without_a_share_nothing_is_given() -> None:
    assert taken(Spare(), (0, Under()), (6000, Under()), share=0.0) == [0, 0]


def test_it_is_asked_every_five_seconds() -> None:
    spare = Spare()
    assert spare.is_due(NOW)
    spare.take(NOW, 0.1, Under())
    assert [spare.is_due(NOW + ms) for ms in (0, 4_999, 5_000)] == [False, False, True]


@given(STEPS, st.floats(0, 1), st.integers(1, 5_000))
def test_whatever_is_taken_is_read_within_the_share(
    steps: list[tuple[int, int]], share: float, limit: int
) -> None:
    """Each list that is opened costs a request: from any look on, no more than the share gives."""
    spare, now, requests = Spare(), NOW, 0
    opened: list[tuple[int, int]] = []
    for passed, needed in steps:
        now, requests = now + passed, requests + needed
        may = spare.take(now, share, Under(requests, 0, limit))
        requests += may
        opened.append((now, may))
        assert may <= share * limit
    for (begin, _), (end, may) in pairwise(opened):
        assert may <= share * limit * (end - begin) / MINUTE_MS + share * limit
    begin = opened[0][0]
    most = share * limit * ((now - begin) / MINUTE_MS + 1)
    assert sum(may for _, may in opened) <= most + 1


def test_clock_that_was_set_back_takes_nothing_and_keeps_nobody_waiting() -> None:
    spare, one = Spare(), Under(limit=600)
    assert taken(spare, (0, one), (30, one), (-3600, one), (-3570, one)) == [0, 30, 30, 60]
    assert spare.is_due(NOW - 7_200_000)
