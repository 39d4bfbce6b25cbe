"""A website that is started again and again grants no more for it than GitLab lets through."""

import pytest

from labtrawl.dispatch.budget import Budget, Wanted
from labtrawl.dispatch.pot_records import Learned, Rules
from labtrawl.gitlab.limits import REST

LIMIT, SECOND, MINUTE = 600, 1000, 60_000
KEY = (1, REST)


def _run(seconds_between: int, reserved_share: float) -> list[int]:
    """Let two crawlers take all that they get for three minutes; return when each was granted."""
    granted: list[int] = []
    spent = {"a": 0, "b": 0}
    budget = Budget(Rules(reserved_share=reserved_share))
    budget.restore({KEY: Learned(LIMIT)})
    for now in range(SECOND, 3 * MINUTE, SECOND // 2):
        if now % (seconds_between * SECOND) == 0:
            budget = Budget(Rules(reserved_share=reserved_share))
            budget.restore({KEY: Learned(LIMIT)})
        for name, total in spent.items():
            wanted = [Wanted(KEY, 100, total)]
            (grant,) = budget.ask(name, f"{name}{now}", wanted, [], now)
            spent[name] += grant.requests
            granted += [now] * grant.requests
    return granted


@pytest.mark.parametrize("seconds_between", [1, 2, 5, 20])
@pytest.mark.parametrize("reserved_share", [0.0, 0.2])
def test_restarts_within_a_period_give_no_minute_more_than_its_limit(
    seconds_between: int, reserved_share: float
) -> None:
    granted = _run(seconds_between, reserved_share)
    most = max(sum(begin <= at < begin + MINUTE for at in granted) for begin in set(granted))
    assert most <= LIMIT


def test_restart_costs_no_more_of_the_budget_than_what_goes_out_at_once() -> None:
    rules = Rules(reserved_share=0.2)
    at_once = LIMIT * 0.8 * rules.grant_ms / MINUTE
    assert len(_run(60, 0.2)) >= 3 * LIMIT * 0.8 - 3 * at_once - LIMIT * 0.8 / 60


def test_restart_without_a_known_limit_holds_nobody_up() -> None:
    budget = Budget()
    budget.restore({KEY: Learned(None, 0)})
    (grant,) = budget.ask("a", "1", [Wanted(KEY, 500)], [], SECOND)
    assert (grant.requests, grant.not_before) == (500, SECOND)
