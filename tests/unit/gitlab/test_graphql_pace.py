"""How many items are asked for at once: what makes it fewer, and more again."""

from labtrawl.gitlab.graphql import Reply
from labtrawl.gitlab.graphql_pace import EVERYTHING, GOOD_ANSWERS, Learnt, Pace
from labtrawl.gitlab.graphql_plans import TIMELOGS


def _reply(score: int | None = None, limit: int | None = None) -> Reply:
    return Reply({}, score, limit, "", "")


def test_blocks_of_one_size_that_are_all_too_much_halve_it_once() -> None:
    pace = Pace(most=50, size=50)
    for _ in range(8):
        pace.refused(50)
    assert pace.size == 25
    pace.refused(1)
    assert pace.size == 1


def test_size_grows_slowly_and_never_above_the_most() -> None:
    pace = Pace(most=50, size=40)
    sizes = []
    for _ in range(3 * GOOD_ANSWERS):
        pace.took(pace.size, _reply())
        sizes.append(pace.size)
    assert sizes == [40] * 7 + [50] * 17


def test_small_block_says_nothing_of_larger_ones() -> None:
    pace = Pace(most=50, size=20)
    for _ in range(3 * GOOD_ANSWERS):
        pace.took(3, _reply())
    assert pace.size == 20


def test_complexity_near_its_limit_bounds_the_size() -> None:
    pace = Pace(most=50, size=50)
    pace.took(50, _reply(100, 250))
    assert pace.size == 50
    pace.took(50, _reply(200, 100))
    assert pace.size == 25


def test_small_block_does_not_make_the_others_small() -> None:
    """The last block of a project, and each reading of one item, have a complexity of their own."""
    pace = Pace(most=50, size=50)
    pace.took(3, _reply(48, 250))
    assert pace.size == 50


def test_what_one_gitlab_refuses_is_kept_by_name_or_for_all() -> None:
    learnt = Learnt()
    learnt.refused.add("issue_discussions")
    assert [learnt.is_refused(name) for name in ("issue_discussions", "timelogs")] == [True, False]
    learnt.refused.add(EVERYTHING)
    assert learnt.is_refused("timelogs")
    assert learnt.pace(TIMELOGS) is learnt.pace(TIMELOGS)
