"""The budget of an account, case by case: limits learned, refusals, other spenders, restarts."""

import pytest

from labtrawl.dispatch.budget import (
    LONGEST_WAIT_MS,
    MOST_PER_MINUTE,
    MOST_REQUESTS,
    Budget,
    Grant,
    Learned,
    Pot,
    Rules,
    Sight,
)

START = 1_700_000_000_000
KEY = (7, "rest")


def _pot(limit: int | None = None, own: int = 0) -> Pot:
    pot = Pot(Rules(own, 0.2, 5_000))
    pot.see(Sight(limit=limit), START)
    return pot


def _drain(pot: Pot, seconds: int, holder: str = "a", start: int = START) -> int:
    """What a crawler gets that asks twice a second for all there is."""
    steps = range(start, start + seconds * 1000, 500)
    return sum(pot.grant(holder, 5_000, now).requests for now in steps)


def test_without_a_known_limit_everything_asked_for_is_granted_at_once() -> None:
    pot = _pot()
    assert [pot.grant("a", number, START) for number in (40, 0, 9_000)] == [
        Grant(40, START, START + 5_000),
        Grant(0, START, START + 5_000),
        Grant(9_000, START, START + 5_000),
    ]


@pytest.mark.parametrize(("wanted", "granted"), [(-1, 0), (10**30, MOST_REQUESTS)])
def test_wants_that_cannot_be_meant_are_cut_to_size(wanted: int, granted: int) -> None:
    assert _pot().grant("a", wanted, START).requests == granted


@pytest.mark.parametrize(
    ("limit", "own", "allowed"),
    [
        (None, 0, None),
        (100, 0, 80),
        (1, 0, 1),
        (None, 50, 50),
        (100, 50, 50),
        (100, 500, 80),
        (-5, 0, None),
        (0, 0, None),
        (10**40, 0, MOST_PER_MINUTE * 4 // 5),
    ],
)
def test_limit_is_the_lower_of_gitlabs_less_the_reserve_and_the_own(
    limit: int | None, own: int, allowed: int | None
) -> None:
    assert _pot(limit, own).allowed() == allowed


def test_limit_is_given_out_evenly_and_almost_to_its_end() -> None:
    pot = _pot(1300)
    assert pot.grant("a", 5_000, START).requests == 80
    assert 0.9 * 1040 <= _drain(pot, 60, start=START + 500) <= 1040


def test_nothing_left_names_the_instant_when_there_is_again() -> None:
    pot = _pot(10)
    assert pot.grant("a", 5, START).requests == 1
    late = pot.grant("a", 5, START)
    # 8 in 65 s: one every 8.125 s
    assert late == Grant(0, START + 8_125, START + 5_000)
    assert pot.grant("a", 5, late.not_before).requests == 1


def test_refusal_holds_all_crawlers_up_and_ends_what_they_have() -> None:
    pot = _pot()
    pot.see(Sight(retry_after_ms=30_000), START)
    until = START + 30_000
    assert pot.grant("b", 5, START + 10) == Grant(0, until, START + 10)
    assert pot.grant("b", 5, until) == Grant(5, until, until + 5_000)


@pytest.mark.parametrize(("told", "wait"), [(-1, 0), (10**15, LONGEST_WAIT_MS)])
def test_refusal_for_a_time_that_cannot_be_is_cut_to_size(told: int, wait: int) -> None:
    pot = _pot()
    pot.see(Sight(retry_after_ms=told), START)
    assert pot.learned() == Learned(None, START + wait if wait else 0)


def test_gitlabs_own_count_holds_back_what_others_spent() -> None:
    pot = _pot(100)
    reset = START + 20_000
    pot.see(Sight(100, 23, reset), START)
    # 23 left, 20 of the limit reserved
    assert pot.grant("a", 9, START).requests == 3
    assert pot.grant("a", 9, START) == Grant(0, START + 1_000, START + 5_000)
    pot.see(Sight(100, 20, reset), START)
    assert pot.grant("a", 9, START) == Grant(0, START + 1_000, START + 5_000)
    assert pot.grant("a", 2, reset).requests == 2


def test_period_that_is_spent_for_long_says_so() -> None:
    pot = _pot(100)
    reset = START + 1_800_000
    pot.see(Sight(100, 20, reset), START)
    assert pot.grant("a", 9, START) == Grant(0, reset, START + 5_000)


def test_what_was_granted_and_not_sent_is_granted_again_when_it_lapsed() -> None:
    pot = _pot(100)
    reset = START + 60_000
    assert pot.grant("gone", 5, START).requests == 5
    for at in (START, START + 5_000):
        pot.see(Sight(100, 23, reset), at)
        assert pot.grant("a", 9, at).requests == (0 if at == START else 3)


def test_reserve_fits_a_period_that_is_shorter_than_a_minute() -> None:
    pot = _pot(600)
    for second in range(0, 30, 5):
        at = START + second * 1000
        pot.see(Sight(600, 50, at + 5_000), at)
        given = pot.grant("a", 600, at).requests
        # of 50 in 5 s; until a second period was seen, the reserve of a whole minute is kept
        assert given == (0 if second == 0 else min(given, 40))
    assert 30 <= given <= 40


def test_older_count_of_the_same_period_changes_nothing() -> None:
    pot = _pot(100)
    reset = START + 20_000
    for remaining in (22, 90, 22):
        pot.see(Sight(100, remaining, reset), START)
    pot.see(Sight(100, 90, reset - 10_000), START)
    assert pot.grant("a", 9, START).requests == 2


def test_count_for_a_period_that_cannot_be_is_ignored_or_cut_to_size() -> None:
    past, far = _pot(100), _pot(100)
    past.see(Sight(100, 0, START - 1), START)
    far.see(Sight(100, -3, 10**30), START)
    assert past.grant("a", 2, START).requests == 2
    far.see(Sight(100, 0, 10**30), START)
    assert far.grant("a", 2, START) == Grant(0, START + LONGEST_WAIT_MS, START + 5_000)


def test_peer_that_asks_for_no_grants_is_charged_its_whole_rate() -> None:
    pot = _pot(1000)
    pot.charge("task-1", 300, START)
    pot.charge("task-1", 300, START + 10_000)
    pot.charge("task-2", 100, START + 10_000)
    assert pot.allowed() == 400
    pot.grant("a", 1, START + 70_000)
    assert pot.allowed() == 800


def test_rate_for_such_a_peer_is_a_fair_share() -> None:
    budget = Budget()
    assert budget.limit_of(7, "rest", START) == 0
    budget.pot(KEY).see(Sight(limit=1000), START)
    assert budget.limit_of(7, "rest", START) == 800
    budget.pot(KEY).grant("a", 1, START)
    assert budget.limit_of(7, "rest", START) == 400
    budget.charge(7, "rest", "task-1", 400, START)
    assert budget.pot(KEY).allowed() == 400


def test_clock_that_is_set_back_neither_frees_nor_blocks() -> None:
    hour = 3_600_000
    pot, twin = _pot(100), _pot(100)
    pot.see(Sight(retry_after_ms=2_000), START)
    twin.see(Sight(retry_after_ms=2_000), START)
    _drain(pot, 30)
    _drain(twin, 30)
    end = START + 30_000
    assert _drain(pot, 30, start=end - hour) == _drain(twin, 30, start=end)


def test_repeated_request_gets_its_answer_again_and_is_counted_once() -> None:
    budget = Budget()
    seen = [(KEY, Sight(limit=130))]
    first = budget.ask("a", "r1", [(KEY, 3)], seen, START)
    assert budget.ask("a", "r1", [(KEY, 3)], seen, START + 1_000) == first
    assert sum(budget.ask("a", f"r{n}", [(KEY, 3)], [], START)[0].requests for n in (2, 3)) == 5


def test_what_was_learned_is_worth_a_write_only_when_it_changed() -> None:
    budget = Budget()
    budget.ask("a", "", [(KEY, 3)], [], START)
    assert budget.changes() == {}
    budget.ask("a", "", [], [(KEY, Sight(limit=100))], START)
    told = {KEY: Learned(100, 0)}
    assert budget.changes() == told
    budget.keep(told)
    budget.ask("a", "", [], [(KEY, Sight(limit=100, retry_after_ms=900))], START)
    assert budget.changes() == {}
    budget.ask("a", "", [], [(KEY, Sight(retry_after_ms=5_000))], START)
    assert budget.changes() == {KEY: Learned(100, START + 5_000)}


def test_restarted_website_goes_on_with_what_it_knew() -> None:
    budget = Budget()
    budget.restore({KEY: Learned(100, START + 5_000)})
    assert budget.changes() == {}
    assert budget.ask("a", "", [(KEY, 3)], [], START) == [Grant(0, START + 5_000, START)]
    assert budget.pot(KEY).allowed() == 80
