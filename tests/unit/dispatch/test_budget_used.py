"""The whole of a budget is used and no more: many crawlers for ten minutes, in simulated time.

Website, crawlers and a GitLab that counts in fixed periods are stepped by hand: the real budget, the
real pockets, the headers as GitLab writes them, and the pauses of the purse.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from labtrawl.crawler.pocket import Pocket
from labtrawl.crawler.purse import PAUSE_SECONDS, SHORT_PAUSE_SECONDS
from labtrawl.dispatch.budget import Budget, Wanted
from labtrawl.dispatch.pot_records import Rules, Sight, Used
from labtrawl.gitlab.limits import REST, read_limits
from labtrawl.http import Answer

KEY = (1, REST)
START = 1_700_000_013_000
STEP_MS = 20
LATENCY_MS = 50
FLIGHT_MS = 10
LIMIT = 2_000


@dataclass(slots=True)
class Counting:
    """A GitLab: fixed periods, headers on every answer, times in whole seconds."""

    limit: int = LIMIT
    period_ms: int = 60_000
    periods: Counter[int] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)
    others_a_minute: int = 0

    def count(self, now: int) -> Answer:
        period = now // self.period_ms
        self.periods[period] += 1
        self.seconds[now // 1000] += 1
        others = self.others_a_minute * (now % self.period_ms) // 60_000
        left = self.limit * self.period_ms // 60_000 - self.periods[period] - others
        headers = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(max(left, 0)),
            "ratelimit-reset": str((period + 1) * self.period_ms // 1000),
            "date": formatdate(now // 1000, usegmt=True),
        }
        return Answer(200, headers, b"", "")


@dataclass(slots=True)
class Crawler:
    """Works as fast as it may, on so many requests at once; asks as the purse does."""

    name: str
    at_once: int
    latency_ms: int = LATENCY_MS
    pocket: Pocket = field(default_factory=Pocket)
    under_way: list[tuple[int, Answer]] = field(default_factory=list)
    asked_at: int = 0
    answer: tuple[int, int, int, int] | None = None
    stalls_until: int = 0

    def step(self, now: int, gitlab: Counting, budget: Budget) -> None:
        if now < self.stalls_until:
            return
        for _, answer in [one for one in self.under_way if one[0] <= now]:
            self.pocket.hear(read_limits(answer, datetime.fromtimestamp(now / 1000, UTC)))
        self.under_way = [one for one in self.under_way if one[0] > now]
        self._take_answer(now)
        while len(self.under_way) < self.at_once and self.pocket.spend(now / 1000):
            seen = gitlab.count(now + self.latency_ms // 2)
            self.under_way.append((now + self.latency_ms, seen))
        self.pocket.waiting = self.at_once - len(self.under_way)
        self._ask(now, budget)

    def _take_answer(self, now: int) -> None:
        if self.answer is not None and self.answer[0] <= now:
            _, requests, not_before, expires_at = self.answer
            self.answer = None
            if requests:
                self.pocket.put(requests, expires_at / 1000, now / 1000)
            else:
                self.pocket.wait(not_before / 1000, expires_at / 1000, now / 1000)

    def _ask(self, now: int, budget: Budget) -> None:
        pause = SHORT_PAUSE_SECONDS if self.pocket.is_pressing(now / 1000) else PAUSE_SECONDS
        is_due = self.pocket.due_at(now / 1000) <= now / 1000
        if self.answer is None and is_due and now - self.asked_at >= pause * 1000:
            seen = self.pocket.limits
            sights = [Sight(seen.limit, seen.remaining, seen.reset_at)] if seen else []
            wanted = Wanted(KEY, self.pocket.want(now / 1000), self.pocket.total)
            pairs = [(KEY, sight) for sight in sights]
            (grant,) = budget.ask(self.name, "", [wanted], pairs, now)
            self.asked_at = now
            # Its own clock counts from when it asked.
            ends_at = grant.expires_at - 2 * FLIGHT_MS
            self.answer = (now + 2 * FLIGHT_MS, grant.requests, grant.not_before, ends_at)


def _run(
    crawlers: int | list[Crawler], rules: Rules, minutes: int, others: int = 0, stalls: bool = False
) -> tuple[Counting, float]:
    """Return GitLab's count and the requests a minute after the first of them."""
    gitlab = Counting(others_a_minute=others)
    _step(gitlab, crawlers, rules, START, minutes, stalls)
    first = (START + 60_000) // 1000
    late = sum(number for second, number in gitlab.seconds.items() if second >= first)
    return gitlab, late / (minutes - 1)


def _step(
    gitlab: Counting,
    crawlers: int | list[Crawler],
    rules: Rules,
    start: int,
    minutes: int,
    stalls: bool = False,
) -> None:
    budget, chance = Budget(rules), random.Random(1)
    fleet = (
        [Crawler(f"c{number}", 8) for number in range(crawlers)]
        if isinstance(crawlers, int)
        else crawlers
    )
    for now in range(start, start + minutes * 60_000, STEP_MS):
        for crawler in fleet:
            if stalls and chance.random() < STEP_MS / 10_000:
                crawler.stalls_until = now + 600
            crawler.step(now, gitlab, budget)


@pytest.mark.parametrize("crawlers", [1, 4, pytest.param(16, marks=pytest.mark.proof)])
@pytest.mark.parametrize(
    ("rules", "budget"),
    [
        (Rules(reserved_share=0.2), 1600),
        (Rules(reserved_share=0.0), 2000),
        (Rules(requests_per_minute=1000, reserved_share=0.2), 1000),
    ],
    ids=["reserve", "all", "own"],
)
def test_crawlers_use_all_but_a_little_of_the_budget_and_never_more_than_the_limit(
    crawlers: int, rules: Rules, budget: int
) -> None:
    gitlab, rate = _run(crawlers, rules, minutes=11 if crawlers == 16 else 4)
    assert max(gitlab.periods.values()) <= LIMIT
    assert 0.97 * budget <= rate <= 1.01 * budget


@pytest.mark.long
def test_crawlers_that_stall_now_and_then_still_use_the_budget() -> None:
    gitlab, rate = _run(16, Rules(reserved_share=0.2), minutes=6, stalls=True)
    assert max(gitlab.periods.values()) <= LIMIT
    assert rate >= 0.97 * 1600


def test_people_who_spend_more_than_their_reserve_are_never_in_the_way_of_the_limit() -> None:
    """They send 600 a minute: more than was left to them."""
    gitlab, rate = _run(4, Rules(reserved_share=0.2), minutes=6, others=600)
    assert max(gitlab.periods.values()) + 600 <= LIMIT
    assert rate >= 0.97 * (LIMIT - 600 - 400)


def test_limit_of_a_period_shorter_than_a_minute_is_kept_whenever_a_crawl_begins() -> None:
    """The limit is told for a minute: that these 20 s hold 200 only GitLab's own count tells."""
    most = []
    for begun_at in range(0, 20_000, 730):
        gitlab = Counting(limit=600, period_ms=20_000)
        crawlers = [Crawler(name, 16) for name in "ab"]
        _step(gitlab, crawlers, Rules(reserved_share=0.2), START + begun_at, minutes=1)
        most.append(max(gitlab.periods.values()))
    assert [count for count in most if count > 200] == []


@pytest.mark.parametrize(
    ("slow", "latency_ms", "fast"),
    [(12, 1000, 4), (15, 3000, 1)],
    ids=["four can use it", "one can use it"],
)
@pytest.mark.long
def test_crawlers_that_send_little_leave_the_budget_to_those_that_can_send_more(
    slow: int, latency_ms: int, fast: int
) -> None:
    """The slow ones have one list each, whose pages come one after the other."""
    fleet = [Crawler(f"slow{number}", 1, latency_ms) for number in range(slow)]
    fleet += [Crawler(f"fast{number}", 16 // fast, 500 // fast) for number in range(fast)]
    gitlab, rate = _run(fleet, Rules(reserved_share=0.2), minutes=4)
    assert max(gitlab.periods.values()) <= LIMIT
    assert 0.97 * 1600 <= rate <= 1.02 * 1600


def test_what_people_are_shown_of_a_pot_is_what_was_sent_and_what_is_left() -> None:
    budget = Budget(Rules(reserved_share=0.2))
    now = 1_700_000_000_000
    key = (7, "rest")
    sight = Sight(limit=100, remaining=90, reset_at=now + 30_000)
    budget.ask("a", "1", [Wanted(key, 10, 0)], [(key, sight)], now)
    budget.ask("a", "2", [Wanted(key, 0, 4)], [], now + 100)
    assert budget.used(7, now + 200) == {"rest": Used(100, 80, 4, 2, 90, now + 30_000, 0)}
    assert budget.used(8, now + 200) == {}
    refused = Sight(retry_after_ms=5_000, is_refused=True)
    budget.ask("a", "3", [], [(key, refused)], now + 300)
    assert budget.used(7, now + 400)["rest"].not_before == now + 5_300
    assert budget.used(7, now + 70_000)["rest"] == Used(100, 80, 0, 0, None, None, 0)
