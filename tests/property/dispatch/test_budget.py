"""Whatever crawlers ask and see, in any order, the budget of an account keeps its promises."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from labtrawl.dispatch.budget import Budget, Wanted
from labtrawl.dispatch.curve import LONGEST_WAIT_MS
from labtrawl.dispatch.pot import WINDOW_MS, Pot
from labtrawl.dispatch.pot_records import Grant, Rules, Sight

KEY = (1, "rest")
START = 1_700_000_000_000
HOLDERS = st.sampled_from(["a", "b", "c"])


class OneAccount(RuleBasedStateMachine):
    """Three crawlers ask, send at any moment that a grant allows, and tell what they saw."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.number = 0
        self.held: list[tuple[str, Grant, int]] = []
        self.sent: list[int] = []
        self.charged: dict[str, tuple[int, int]] = {}
        self.refused_until = 0
        self.totals = {"a": 0, "b": 0, "c": 0}
        self.begun_at = 0

    @initialize(
        limit=st.integers(1, 300),
        share=st.sampled_from([0.0, 0.2, 0.5]),
        own=st.integers(0, 500),
        tells=st.booleans(),
    )
    def begin(self, limit: int, share: float, own: int, tells: bool) -> None:
        self.budget = Budget(Rules(own, share, 5_000))
        self.limit = limit
        self.share = share
        told = max(1, limit - math.ceil(limit * share))
        self.allowed = min(told, own) if own else told
        self.most = min(limit, own) if own else limit
        self.begun_at = self.now
        for holder in self.totals if tells else ():
            self.tell(holder)
        self.see({"limit": limit})

    def see(self, words: dict[str, Any]) -> None:
        self.budget.ask("a", "", [], [(KEY, Sight(**words))], self.now)

    @rule(milliseconds=st.integers(1, 90_000))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(milliseconds=st.integers(1, 700))
    def wait_little(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(holder=HOLDERS, wanted=st.integers(-5, 5_000))
    def ask(self, holder: str, wanted: int) -> None:
        self.number += 1
        request = f"r{self.number}"
        want = [Wanted(KEY, wanted)]
        (grant,) = self.budget.ask(holder, request, want, [], self.now)
        assert self.budget.ask(holder, request, want, [], self.now) == [grant]
        assert 0 <= grant.requests <= max(wanted, 0)
        if self.now < self.refused_until:
            assert grant == Grant(0, self.refused_until, self.now)
        elif grant.requests:
            assert grant.not_before == self.now < grant.expires_at
            self.held.append((holder, grant, grant.requests))
        assert self.now <= grant.not_before <= self.now + LONGEST_WAIT_MS

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 10**6), share=st.floats(0, 1))
    def send(self, pick: int, share: float) -> None:
        """Spend a part of some grant now, unless it lapsed."""
        holder, grant, left = self.held.pop(pick % len(self.held))
        if self.now >= grant.expires_at:
            return
        spent = math.ceil(left * share)
        self.sent += [self.now] * spent
        self.totals[holder] += spent
        self.held.append((holder, grant, left - spent))

    @rule(holder=HOLDERS)
    def tell(self, holder: str) -> None:
        """Say how many were sent in all."""
        self.budget.ask(holder, "", [Wanted(KEY, 0, self.totals[holder])], [], self.now)

    @rule(
        holder=HOLDERS,
        steps=st.integers(1, 140),
        pause=st.sampled_from([500, 900, 2_000]),
        is_late=st.booleans(),
        tells=st.booleans(),
    )
    def drive(self, holder: str, steps: int, pause: int, is_late: bool, tells: bool) -> None:
        """Want everything, again and again; send it at once, or at the last moment."""
        for _ in range(steps):
            self.now += pause
            self.ask(holder, 5_000)
            last = self.now + pause if is_late else math.inf
            due = [one for one in self.held if one[1].expires_at <= last]
            self.held = [one for one in self.held if one[1].expires_at > last]
            for name, one, number in due:
                if self.now < one.expires_at:
                    self.sent += [self.now] * number
                    self.totals[name] += number
            if tells:
                self.tell(holder)
            self.no_minute_holds_more_than_the_limit()

    @rule(remaining=st.integers(-10, 10**30), reset=st.integers(-10_000, 10**30))
    def count(self, remaining: int, reset: int) -> None:
        self.see({"limit": self.limit, "remaining": remaining, "reset_at": self.now + reset})

    @rule(seconds=st.integers(-5, 100))
    def refuse(self, seconds: int) -> None:
        self.see({"retry_after_ms": seconds * 1000})
        self.refused_until = max(self.refused_until, self.now + max(seconds, 0) * 1000)
        self.held.clear()

    @rule(limit=st.sampled_from([-1, 0]))
    def see_nonsense(self, limit: int) -> None:
        self.see({"limit": limit})

    @invariant()
    def no_minute_holds_more_than_the_limit(self) -> None:
        recent = [at for at in self.sent if at > self.now - WINDOW_MS]
        assert len(recent) <= getattr(self, "most", 0)

    @invariant()
    def in_the_long_run_the_reserve_is_left(self) -> None:
        """But for what may go out at once: as much as grows back in the life of a grant."""
        minutes = (self.now - self.begun_at) / WINDOW_MS
        burst = max(1.0, getattr(self, "allowed", 0) * 5_000 / WINDOW_MS)
        assert len(self.sent) <= burst + minutes * getattr(self, "allowed", 0) + 0.001


TestOneAccount = OneAccount.TestCase


@given(
    limit=st.integers(60, 3000),
    pauses=st.lists(st.tuples(st.integers(300, 900), st.integers(300, 900)), min_size=1),
)
def test_two_crawlers_that_want_more_than_there_is_share_within_a_fifth(
    limit: int, pauses: list[tuple[int, int]]
) -> None:
    """However often each of them asks, and although one came first."""
    pot = Pot(Rules(0, 0.0, 5_000))
    pot.see(Sight(limit=limit), START)
    due = {"a": START, "b": START + 5_000}
    got = {"a": 0, "b": 0}
    number = 0
    while (now := min(due.values())) < START + 185_000:
        name = min(due, key=lambda one: due[one])
        requests = pot.grant(name, 5_000, now).requests
        if now >= START + 5_000:
            got[name] += requests
        due[name] += pauses[number % len(pauses)]["ab".index(name)]
        number += 1
    assert min(got.values()) > 0
    assert max(got.values()) <= 1.2 * min(got.values()) + 1
    # and little is left lying, although none of them tells what it sent
    assert sum(got.values()) >= 0.85 * 3 * limit * WINDOW_MS / (WINDOW_MS + 5_000)
