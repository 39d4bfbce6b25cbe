"""When a crawl, an area or a job will be done: a range, reckoned from what was seen. Pure.

Work is counted in requests. What finished work took says what the open work will take, and how fast
it went lately says how long that is. Instants and lengths are milliseconds; nothing here reads a
clock. Jobs are claimed in the order of `store.leases.CLAIMABLE`: higher priority first, then lower id.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from labtrawl.domain.ahead import Capped, Waiting
from labtrawl.domain.learned import (
    AHEAD,
    LEAST_MS,
    LEAST_REQUESTS,
    Queued,
    Rest,
    Running,
    Seen,
    jobs_of,
    learn,
    rate_of,
)
from labtrawl.domain.quiet import Window, next_quiet

# Once so much is done, the end is promised to lie in a range whose upper end is at most so many
# times its lower one; a little less, so that rounding for people keeps the promise.
FIRM_SHARE = 0.2
WIDTH = 1.97
# Before so much is done nothing is said.
LEAST_SHARE = 0.02
# How far back a rate looks: a part of the time since the begin, within these bounds.
SHORTEST_WINDOW_MS = 60_000
LONGEST_WINDOW_MS = 30 * 60_000
LOOKED_BACK = 0.25
LEAST_COUNTED_MS = 3_000
# The same where no limit holds.
LOOKED_BACK_FREE = 0.35
LEAST_FREE_MS = 4_000
# So much of the limit in use means that the limit is what takes the time.
NEAR_LIMIT = 0.7
# So many jobs at once use all connections of a crawler (up to 8 each: crawler.work):
# one of few goes faster than one of many.
FILLING = 4
# A budget leaves a job that is alone almost all of it.
FILLING_LIMIT = 1.5
# Rounds until the share of what runs in a length of time fits that length.
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Range:
    """An end between two lengths of time from now, in ms."""

    lower: int
    upper: int


Rests = Callable[[int], int]
"""From a length of time at work (ms, from now) to its length with the times of rest in between."""

# More of them than a crawl of a year has.
MOST_RESTS = 1_000


def rests_of(windows: Sequence[Window], now: int) -> Rests:
    """Return what quiet hours make of a length of time that begins at `now`."""

    def lengthen(work: int) -> int:
        at, left = datetime.fromtimestamp(now / 1000, UTC), timedelta(milliseconds=work)
        for _ in range(MOST_RESTS):
            rest = next_quiet(windows, at)
            if rest is None or at + left <= rest.begins_at:
                break
            left -= max(rest.begins_at - at, timedelta())
            at = rest.ends_at
        return int((at + left).timestamp() * 1000) - now

    return lengthen


@dataclass(frozen=True, slots=True)
class Crawl:
    """All that is known of a crawl at an instant.

    `done` are the requests so far, `limit` the requests a minute that all accounts together may
    send (None: not known); `nested` are the resources that belong to items of another, `costly` those
    that are asked for item by item; `not_before` is the instant up to which none of them may. `known_from` is
    the end of the earliest work that `seen` holds, 0 where it holds all. `recent` are the requests a
    millisecond as they were counted lately, where somebody did (`Counted`).
    """

    now: int
    seen: Sequence[Seen]
    running: Sequence[Running]
    queued: Sequence[Queued]
    done: float = 0.0
    nested: frozenset[str] = frozenset()
    costly: frozenset[str] = frozenset()
    limit: int | None = None
    not_before: int = 0
    known_from: int = 0
    is_discovering: bool = False
    recent: float | None = None
    with_rests: Rests = int


@dataclass(frozen=True, slots=True)
class Part:
    """The open jobs of one area, each a group of its own, and the requests that it took so far."""

    running: Sequence[Running] = ()
    queued: Sequence[Queued] = ()
    done: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """What can be said of an end: a range, or in words why there is none yet."""

    range: Range | None = None
    why_none: str = ""


@dataclass(slots=True)
class Counted:
    """The requests so far at each look, and how many a millisecond that makes of late."""

    _looks: deque[tuple[int, float]] = field(default_factory=deque)
    _began_at: int | None = None

    def recent(self, now: int, done: float) -> float | None:
        """Note a look; return the rate over a part of the time since the first, None at first."""
        if self._began_at is None:
            self._began_at = now
        self._looks.append((now, done))
        span = min(max(LOOKED_BACK * (now - self._began_at), LEAST_COUNTED_MS), LONGEST_WINDOW_MS)
        while len(self._looks) > 1 and self._looks[1][0] <= now - span:
            self._looks.popleft()
        then, before = self._looks[0]
        is_enough = now - then >= LEAST_MS and done - before >= LEAST_REQUESTS
        return (done - before) / (now - then) if is_enough else None


DISCOVERING = "areas are still being discovered"
TOO_EARLY = "too little is done to tell from"
NOT_MOVING = "nothing was read lately"


class _Way:
    """One way to reckon: open work in requests or in times of jobs, and how much of it a ms does."""

    def __init__(
        self, rate: float, left_in_hand: Sequence[float], waiting: float, waiting_jobs: int
    ) -> None:
        self._rate = rate
        self._in_hand = len(left_in_hand)
        self._lefts = Capped(left_in_hand)
        self._each = waiting / max(1, waiting_jobs)
        # When all is done, were there always enough jobs to share it.
        self.all = (self._lefts.whole + waiting) / rate

    def until_claimed(self, before: float) -> float:
        """When a job begins with so much before it; of that the last are still under way then.

        What runs now gets its share meanwhile.
        """
        work = max(0.0, before - self._each * max(0, self._in_hand - 1) / 2)
        share = self._rate / max(1, self._in_hand)
        time = (work + self._lefts.whole) / self._rate
        for _ in range(ROUNDS):
            time = (work + self._lefts.at_most(share * time)) / self._rate
        return time


class Forecast:
    """Answers when what will be done, from one look at a crawl."""

    def __init__(self, crawl: Crawl) -> None:
        self._learned = learn(crawl.seen, crawl.nested, crawl.costly)
        seen = [self._learned.went_on(one, crawl.now) for one in crawl.seen]
        self._crawl = replace(crawl, seen=seen)
        self._groups = sorted(crawl.queued, key=lambda one: (-one.priority, one.first_id))
        self._works = [self._work(one) for one in self._groups]
        self._in_hand = [self._learned.rest_of(one) for one in crawl.running]
        self._left = sum(rest.requests for rest in (*self._in_hand, *self._works))
        due = [
            (group, work)
            for group, work in zip(self._groups, self._works, strict=True)
            if group.not_before <= crawl.now
        ]
        self._requests_due = Waiting((group, work.requests) for group, work in due)
        self._times_due = Waiting((group, work.ms) for group, work in due)
        self._speed, self._sent = 1.0, 0.0
        self._is_limited = self._find_limited()
        self._boost = self._find_boost()
        self._by_jobs: _Way | None = None
        self._by_requests: _Way | None = None
        self._by_limit: _Way | None = None
        self._find_ways()
        self._all = self._soonest(lambda way: way.all, lambda way: way.all)
        self._running = [self._time_of(rest, 0.0) for rest in self._in_hand]

    def _find_limited(self) -> bool:
        """Whether the budget is what takes the time: then a request costs the same whatever it is."""
        crawl = self._crawl
        if crawl.limit is None:
            return False
        rate = rate_of(crawl.seen, crawl.now, SHORTEST_WINDOW_MS, crawl.known_from)
        return rate is not None and rate >= crawl.limit / 60_000 * NEAR_LIMIT

    def _find_boost(self) -> float:
        """How much faster a job goes by itself than beside those that were seen."""
        crawl = self._crawl
        began = min((one.began_at for one in crawl.seen), default=crawl.now)
        time = sum(
            min(one.ended_at, crawl.now) - max(one.began_at, crawl.known_from) for one in crawl.seen
        )
        at_once = time / max(1, crawl.now - max(began, crawl.known_from))
        return max(1.0, at_once / (FILLING_LIMIT if self._is_limited else FILLING))

    def _time_of(self, rest: Rest, begun: float) -> float:
        """The time of what one job has to do: slowly beside others, faster when they are done."""
        beside = rest.ms / self._speed
        alone = beside / self._boost
        time = min(beside, max(self._all - begun, alone))
        # The budget is shared by what runs, and so are the connections where no limit holds.
        return math.sqrt(time * max(alone, self._shared(rest.requests))) if self._sent else time

    def _shared(self, requests: float) -> float:
        """The time of so many requests, were all that are sent shared evenly by what runs.

        A request waits for those that each job asks for ahead, so few take as long as some.
        """
        most = max(requests, AHEAD)
        shared = sum(min(rest.requests, most) for rest in self._in_hand)
        return max(requests, shared) / self._sent

    def _find_ways(self) -> None:
        """Find out how fast it went of late, in requests and, where no limit holds, in jobs."""
        limit = self._crawl.limit
        if self._is_limited:
            self._by_requests = self._way(self._find_limited_rate(), "requests")
        else:
            by_jobs, sent = self._find_free_rates()
            self._by_jobs, self._by_requests = self._way(by_jobs, "ms"), self._way(sent, "requests")
        if limit is not None:
            self._by_limit = self._way(limit / 60_000, "requests")

    def _way(self, rate: float | None, measure: str) -> _Way | None:
        """Return a way to reckon by requests or by ms; None where nothing moved."""
        if not rate:
            return None
        get = attrgetter(measure)
        jobs = sum(group.jobs for group in self._groups)
        return _Way(rate, [*map(get, self._in_hand)], sum(map(get, self._works)), jobs)

    def _find_free_rates(self) -> tuple[float, float]:
        """The rates where no limit holds: of a short crawl, a minute would be its slow begin.

        Jobs take a time each, and so many run at once; but they share the connections, too. GitLab
        is asked for more and more at once as a crawl goes on, so that both ways to reckon look back
        on slower times, and the faster is nearer.
        """
        crawl, seen = self._crawl, self._crawl.seen
        began = max(min((one.began_at for one in seen), default=crawl.now), crawl.known_from)
        lately = max(LOOKED_BACK_FREE * (crawl.now - began), LEAST_FREE_MS)
        for least in (lately, SHORTEST_WINDOW_MS, 5 * SHORTEST_WINDOW_MS, LONGEST_WINDOW_MS):
            window = int(min(least, LONGEST_WINDOW_MS))
            self._sent = rate_of(seen, crawl.now, window, crawl.known_from) or 0.0
            if self._sent:
                break
        else:
            return 0.0, 0.0
        at_once, self._speed = jobs_of(seen, crawl.now, window, crawl.known_from, self._learned)
        return at_once * self._speed, self._sent

    def _find_limited_rate(self) -> float | None:
        """The rate within a limit, over a part of the time since the begin."""
        crawl = self._crawl
        # Where little is asked for, a minute shows nothing.
        for least in (SHORTEST_WINDOW_MS, 5 * SHORTEST_WINDOW_MS, LONGEST_WINDOW_MS):
            plain = rate_of(crawl.seen, crawl.now, least, crawl.known_from)
            if plain:
                break
        else:
            return None
        window = int(min(max(LOOKED_BACK * crawl.done / plain, least), LONGEST_WINDOW_MS))
        rate = rate_of(crawl.seen, crawl.now, window, crawl.known_from)
        if rate and crawl.recent:
            # Of a long job nobody knows when it was fast: the requests of all together tell.
            self._speed, rate = crawl.recent / rate, crawl.recent
        self._sent = rate or 0.0
        return rate

    def _work(self, group: Queued) -> Rest:
        """What the jobs of a group are to do."""
        requests = self._learned.of(group)
        return Rest(requests, self._learned.time_of(group.kind).of(requests, group.jobs))

    @property
    def left(self) -> float:
        """The requests that are expected of all that is open."""
        return self._left

    def whole(self) -> Told:
        """Say when all that is open now will be done."""
        if not self._left:
            return Told(Range(0, 0))
        ends, through = [self._all, *self._running], Rest(0.0, 0.0)
        for group, work in zip(self._groups, self._works, strict=True):
            through = _both(through, work)
            units = group.largest if group.known else None
            ends.append(self._end(group, through, self._learned.requests_of(group.kind, units)))
        return self._told(max(ends), self._crawl.done, self._left)

    def part(self, part: Part) -> Told:
        """Say when the open jobs of an area will be done."""
        rests = [self._learned.rest_of(one) for one in part.running]
        works = [self._work(one) for one in part.queued]
        if not rests and not works:
            return Told(Range(0, 0))
        ends = [self._time_of(rest, 0.0) for rest in rests]
        for one, work in zip(part.queued, works, strict=True):
            through = _both(self._before(one.priority, one.first_id), work)
            ends.append(self._end(one, through, work.requests))
        left = sum(rest.requests for rest in (*rests, *works))
        return self._told(max(ends), part.done, left)

    def begin(self, priority: int, job_id: int) -> Told:
        """Say when a job that waits for its turn will begin."""
        begun = self._until_claimed(self._before(priority, job_id))
        return self._told(begun, self._crawl.done, self._left)

    def ahead(self, priority: int, job_id: int) -> int:
        """Return how many jobs are claimed before a job."""
        return round(self._requests_due.ahead(priority, job_id)[0])

    def _before(self, priority: int, job_id: int) -> Rest:
        """Return what those are to do that are claimed before a job."""
        due = (self._requests_due, self._times_due)
        return Rest(*(each.ahead(priority, job_id)[1] for each in due))

    def _end(self, group: Queued, through: Rest, own: float) -> float:
        """When all up to the end of a group is done, and a job of so many requests in it."""
        rest = Rest(own, self._learned.time_of(group.kind).of(own))
        begun = self._until_claimed(Rest(through.requests - own, through.ms - rest.ms))
        begun = max(begun, group.not_before - self._crawl.now)
        return begun + self._time_of(rest, begun)

    def _until_claimed(self, before: Rest) -> float:
        """When a job begins that so much is claimed before."""
        return self._soonest(
            lambda way: way.until_claimed(before.ms),
            lambda way: way.until_claimed(before.requests),
        )

    def _soonest(
        self, by_time: Callable[[_Way], float], by_requests: Callable[[_Way], float]
    ) -> float:
        """Reckon by jobs and by requests, and take what is sooner, yet within the limit; 0 by none."""
        found = [] if self._by_jobs is None else [by_time(self._by_jobs)]
        found += [] if self._by_requests is None else [by_requests(self._by_requests)]
        if not found:
            return 0.0
        least = 0.0 if self._by_limit is None else by_requests(self._by_limit)
        return max(min(found), least)

    def _told(self, time: float, done: float, left: float) -> Told:
        crawl = self._crawl
        if crawl.is_discovering:
            return Told(why_none=DISCOVERING)
        share = max(_share(crawl.done, self._left), _share(done, left))
        if share < LEAST_SHARE:
            return Told(why_none=TOO_EARLY)
        if self._by_requests is None:
            return Told(why_none=NOT_MOVING if share >= FIRM_SHARE else TOO_EARLY)
        spread = math.sqrt(WIDTH)
        # What rests belongs to the range as the work does, or a night would make it too wide.
        whole = crawl.with_rests(int(max(0, crawl.not_before - crawl.now) + time))
        lower = math.ceil(whole / spread)
        return Told(Range(lower, max(lower, math.floor(whole * spread))))


def _both(one: Rest, other: Rest) -> Rest:
    return Rest(one.requests + other.requests, one.ms + other.ms)


def _share(done: float, left: float) -> float:
    return done / (done + left) if done + left else 1.0
