"""What a crawler holds of one account's budget. Pure: instants are its own monotonic seconds."""

import math
from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter

from labtrawl.gitlab.limits import Limits

# Before the first answer was seen, nobody knows a limit: little is asked for.
FIRST_REQUESTS = 16
MOST_REQUESTS = 10_000
# How long what is asked for should last, at the pace of now; asked again at the half of it.
STOCK_SECONDS = 1.5
SHORTEST_SECONDS = 0.05
# The website may know better by then: settings change, and it can be started anew.
TRUST_SECONDS = 10.0


@dataclass(slots=True)
class Pocket:
    """Granted requests of one account in one class of endpoints, the oldest spent first."""

    waiting: int = 0
    frozen_until: float = 0.0
    ask_after: float = 0.0
    limits: Limits | None = None
    is_refusal_untold: bool = False
    # Whether GitLab said for how long.
    is_wait_known: bool = False
    # Why nothing was granted, in the website's words.
    why: str = ""
    # Requests sent in all.
    total: int = 0
    _stock: deque[tuple[float, int]] = field(default_factory=deque)
    _is_heard: bool = False
    _waits_since: float = 0.0
    _is_short: bool = False
    _spent: int = 0
    _asked_at: float = 0.0
    _wanted: int = 0
    _pace: float = 0.0

    def may_spend(self, now: float) -> bool:
        """Say whether there is the right to one request, which has not lapsed."""
        is_frozen = self.is_refusal_untold or now < self.frozen_until
        return not is_frozen and self.in_hand(now) > 0

    def spend(self, now: float) -> bool:
        """Take the right to one request, where there is one."""
        if not self.may_spend(now):
            return False
        ends_at, requests = self._stock.popleft()
        if requests > 1:
            self._stock.appendleft((ends_at, requests - 1))
        self._spent += 1
        self.total += 1
        return True

    def in_hand(self, now: float) -> int:
        """Return how many requests may be sent; lapsed grants are gone for good."""
        while self._stock and self._stock[0][0] <= now:
            self._stock.popleft()
        return sum(requests for _, requests in self._stock)

    def put(self, requests: int, ends_at: float, now: float) -> None:
        """Take in a grant."""
        self._is_short = requests < self._wanted
        self.why = ""
        # What was granted before the website heard of a refusal is void.
        if requests > 0 and ends_at > now and not self.is_refusal_untold:
            self._stock.append((ends_at, requests))
            # An answer that took longer may end sooner than the one before it.
            self._stock = deque(sorted(self._stock, key=itemgetter(0)))

    def wait(self, until: float, ends_at: float, now: float, why: str = "") -> None:
        """Ask no more before `until`; what is in hand ends at `ends_at` at the latest."""
        self._is_short = True
        self._waits_since = now
        self.why = why
        self.ask_after = until
        self._stock = deque((min(ends_at, ends), requests) for ends, requests in self._stock)

    def freeze(self, until: float) -> None:
        """GitLab refuses: what is in hand is void, and nothing is sent before `until`."""
        self._stock.clear()
        self.frozen_until = max(self.frozen_until, until)

    def stop(self) -> None:
        """GitLab refuses and does not say for how long: the website does, when it has heard."""
        self._stock.clear()
        if not self.is_refusal_untold:
            self.is_refusal_untold, self.is_wait_known = True, False

    def hear(self, limits: Limits | None) -> None:
        """Learn from the headers of an answer, or that they tell no limit."""
        self._is_heard = True
        if limits is not None:
            self.limits = _newer(self.limits, limits)

    def ready_at(self, now: float) -> float:
        """Return before when it is of no use to wait, as far as the website said so lately."""
        is_fresh = now < self._waits_since + TRUST_SECONDS
        return max(self.frozen_until, self.ask_after if is_fresh else min(self.ask_after, now))

    def due_at(self, now: float) -> float:
        """Return when there is something to ask or to tell; infinite for never."""
        if self.is_refusal_untold:
            return now
        wants = self.is_low(now) or self.waiting > self.in_hand(now)
        return max(now, self.ready_at(now)) if wants else math.inf

    def is_used(self) -> bool:
        """Say whether any was spent since it was asked for last."""
        return self._spent > 0

    def is_low(self, now: float) -> bool:
        """Say whether half of what should be in hand is gone."""
        return self._spent > 0 and self.in_hand(now) < self._aim(now) / 2

    def is_pressing(self, now: float) -> bool:
        """Say whether somebody waits, for nothing but the next answer."""
        return self.is_refusal_untold or (
            self.waiting > 0 and not self._is_short and not self.in_hand(now)
        )

    def want(self, now: float) -> int:
        """Return how many requests to ask for now, and remember that they were."""
        wanted = max(self._aim(now) + self.waiting - self.in_hand(now), 0)
        self._wanted = 0 if now < self.ready_at(now) else min(wanted, MOST_REQUESTS)
        self._pace = max(self._recent_pace(now), self._pace / 2)
        self._spent, self._asked_at = 0, now
        return self._wanted

    def _aim(self, now: float) -> int:
        """What should be in hand, to work on while the next answer is under way."""
        if not self._is_heard:
            return FIRST_REQUESTS
        pace = max(self._recent_pace(now), self._pace)
        # Where there is a limit, what lies here unused is kept from others.
        least = FIRST_REQUESTS if self.limits is None else 1
        return max(least, math.ceil(pace * STOCK_SECONDS))

    def _recent_pace(self, now: float) -> float:
        """Requests a second since they were last asked for."""
        return self._spent / max(now - self._asked_at, SHORTEST_SECONDS)


def _newer(known: Limits | None, seen: Limits) -> Limits:
    """Of two counts of one period the lower is the newer: answers overtake each other."""
    if known is None or known.reset_at is None or seen.reset_at is None:
        return seen
    if seen.period != known.period:
        return seen if seen.reset_at > known.reset_at else known
    rest = [one.remaining for one in (known, seen) if one.remaining is not None]
    reset_at = min(known.reset_at, seen.reset_at)
    return Limits(seen.limit, min(rest, default=None), reset_at, seen.period)
