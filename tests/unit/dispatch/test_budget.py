"""The budget of an account, case by case: limits learned, refusals, other spenders, restarts."""

import pytest

from labtrawl.dispatch.budget import Budget, Rest, Wanted
from labtrawl.dispatch.curve import FORGIVEN_AFTER_MS, LONGEST_WAIT_MS
from labtrawl.dispatch.pot import MOST_PER_MINUTE, MOST_REQUESTS, Pot
from labtrawl.dispatch.pot_records import Grant, Learned, Rules, Sight

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
    assert pot.grant("a", 5_000, START).requests == 86
    assert 0.97 * 1040 <= _drain(pot, 60, start=START + 500) <= 1040


def test_nothing_left_names_the_instant_when_there_is_again() -> None:
    pot = _pot(10)
    assert pot.grant("a", 5, START).requests == 1
    late = pot.grant("a", 5, START)
    # 8 in a minute
    assert late == Grant(0, START + 7_500, START + 5_000)
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


def test_what_is_left_of_an_hour_is_not_taken_for_a_part_of_the_limit_a_minute() -> None:
    """The limit is told for 60 s, the rest for its own period (gitlab/rack_attack, `rounded_limit`)."""
    pot, reset = _pot(60), START + 3_600_000
    for minute in range(3):
        at = START + minute * 60_000
        pot.see(Sight(60, 3_500 - 48 * minute, reset), at)
        assert 45 <= _drain(pot, 60, start=at) <= 60
    pot.see(Sight(60, 14, reset), START + 180_000)
    assert _drain(pot, 60, start=START + 180_000) <= 2


def test_what_was_granted_and_not_sent_is_granted_again_when_it_lapsed() -> None:
    pot = Pot(Rules(reserved_share=0.0))
    reset = START + 60_000
    pot.see(Sight(limit=100), START)
    assert pot.grant("gone", 5, START).requests == 5
    for at in (START, START + 5_000):
        pot.see(Sight(100, 6, reset), at)
        assert pot.grant("a", 9, at).requests == (0 if at == START else 6)


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
    # how long it was ago that it was set back, nobody knows
    assert abs(_drain(pot, 30, start=end - hour) - _drain(twin, 30, start=end)) <= 1


def test_repeated_request_gets_its_answer_again_and_is_counted_once() -> None:
    budget = Budget()
    seen = [(KEY, Sight(limit=130))]
    first = budget.ask("a", "r1", [Wanted(KEY, 3)], seen, START)
    assert budget.ask("a", "r1", [Wanted(KEY, 3)], seen, START + 1_000) == first
    assert (
        sum(budget.ask("a", f"r{n}", [Wanted(KEY, 3)], [], START)[0].requests for n in (2, 3)) == 5
    )


def test_what_was_learned_is_worth_a_write_only_when_it_changed() -> None:
    budget = Budget()
    budget.ask("a", "", [Wanted(KEY, 3)], [], START)
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
    assert budget.ask("a", "", [Wanted(KEY, 3)], [], START) == [Grant(0, START + 5_000, START)]
    assert budget.pot(KEY).allowed() == 80


def test_request_counts_from_when_it_was_told_as_sent_not_from_the_end_of_its_grant() -> None:
    told, untold = Pot(Rules(reserved_share=0.0)), Pot(Rules(reserved_share=0.0))
    for pot in (told, untold):
        pot.see(Sight(limit=12), START)
        pot.spent("a", 0, START)
        for second in range(60):
            pot.grant("a", 9, START + second * 1000)
    told.spent("a", 12, START + 60_000)
    for pot in (told, untold):
        assert pot.grant("a", 9, START + 60_000).requests == 0
    told.spent("a", 12, START + 120_000)
    untold.spent("b", 0, START + 120_000)
    assert [pot.grant("a", 9, START + 120_000).requests for pot in (told, untold)] == [1, 1]


def test_word_of_a_purse_that_began_anew_or_of_another_time_is_taken_with_care() -> None:
    pot = Pot(Rules(reserved_share=0.0))
    pot.see(Sight(limit=12), START)
    # the website began anew: what was sent before is not of its own grants
    pot.spent("a", 500, START)
    assert pot.grant("a", 1, START).requests == 1
    # more than it was granted it cannot have sent; and then the crawler begins anew
    for total in (503, 0, -7):
        pot.spent("a", total, START)
    assert pot.grant("a", 9, START + 5_000).requests == 1
    # it told nothing before its first grant: what it says later tells nothing
    pot.grant("b", 1, START + 10_000)
    pot.spent("b", 1, START + 10_000)
    assert pot.grant("b", 1, START + 10_000).requests == 0


def test_lapsed_grant_is_free_again_when_its_crawler_says_that_it_never_used_it() -> None:
    pot = Pot(Rules(reserved_share=0.0, grant_ms=60_000))
    pot.see(Sight(limit=12), START)
    pot.spent("a", 0, START)
    assert pot.grant("a", 12, START).requests == 12
    for at, free in ((74_000, 0), (75_000, 12)):
        pot.spent("a", 0, START + at)
        assert pot.grant("b", 12, START + at).requests == free


def test_ends_of_one_period_that_differ_a_little_are_one_period() -> None:
    """GitLab's clock is read from whole seconds: each answer tells another end."""
    pot = _pot(100)
    reset = START + 20_000
    for remaining, late in ((22, 0), (90, 900), (21, -900), (90, 1_000)):
        pot.see(Sight(100, remaining, reset + late), START)
    assert pot.grant("a", 9, START).requests == 1


def test_refusal_without_a_time_doubles_the_wait_until_it_is_forgiven() -> None:
    pot, now, waits = _pot(), START, []
    for quiet in (0, 1_000, 0, FORGIVEN_AFTER_MS - 1, FORGIVEN_AFTER_MS):
        now += quiet
        pot.see(Sight(is_refused=True, random=0.5), now)
        # the others that were under way then are no further refusals
        pot.see(Sight(is_refused=True, random=0.5), now + 5)
        waits.append(pot.not_before - now)
        now = pot.not_before
    assert waits == [63_000, 126_000, 252_000, 504_000, 63_000]


@pytest.mark.parametrize(("random", "wait"), [(0.0, 86_400_000), (1.0, 86_400_000)])
def test_wait_without_a_time_is_never_longer_than_a_day(random: float, wait: int) -> None:
    pot, now = _pot(), START
    for _ in range(40):
        pot.see(Sight(is_refused=True, random=random), now)
        last, now = pot.not_before - now, pot.not_before
    assert last == wait


def test_own_limit_of_an_endpoint_is_learned_by_being_refused_and_holds_up_nothing_else() -> None:
    budget = Budget(Rules(100, 0.5))
    key = (7, "members_all")
    assert budget.ask("a", "", [Wanted(key, 250, 0)], [], START)[0].requests == 250
    refused = [(key, Sight(retry_after_ms=60_000))]
    wanted = [Wanted(key, 5, 200), Wanted(KEY, 5)]
    held, general = budget.ask("a", "", wanted, refused, START + 9_000)
    assert (held, general.requests) == (Grant(0, START + 69_000, START + 9_000), 5)
    pot = budget.pot(key)
    # neither the reserve nor the own rate counts a second time
    assert pot.allowed() == 180
    again = START + 200_000
    assert pot.grant("a", 1000, again).requests == 15
    pot.grant("a", 0, again + 30 * 60_000)
    assert pot.allowed() == 198


def test_refusal_of_an_endpoint_that_was_hardly_asked_teaches_no_limit() -> None:
    budget = Budget()
    pot = budget.pot((7, "search"))
    pot.grant("a", 9, START)
    pot.see(Sight(is_refused=True), START)
    assert pot.learned() == Learned(None, START + 60_000)


def test_nothing_is_granted_in_a_rest_and_no_grant_reaches_into_it() -> None:
    rest = Rest(START + 2_000, START + 9_000, "quiet hours until 18:00")
    budget = Budget(rest_of=lambda account, now: rest if account == 7 and now < 1e15 else None)
    before, late = (budget.ask("a", "", [Wanted(KEY, 3)], [], START + at)[0] for at in (0, 2_000))
    assert before == Grant(3, START, START + 2_000)
    assert late == Grant(0, START + 9_000, START + 2_000, "quiet hours until 18:00")
    assert budget.ask("a", "", [Wanted((8, "rest"), 3)], [], START + 2_000)[0].requests == 3
