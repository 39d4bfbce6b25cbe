"""What finished work says of the work that is left: requests, their time, the rate. Pure.

Instants and lengths are milliseconds; nothing here reads a clock. `eta` reckons ends from it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# A rate needs so much to stand on: requests, and milliseconds.
LEAST_REQUESTS = 20
LEAST_MS = 1_000
# What is assumed of a kind until it was seen: requests for each unit beyond the first request, and
# how many units' worth of evidence that assumption weighs. A list's page holds 100; what belongs to
# items is asked for in blocks of them, or, where that is costly, for each of them.
LIST, NESTED, COSTLY = (0.01, 100.0), (0.025, 10.0), (0.9, 10.0)
# As many jobs' worth of evidence weighs what the other kinds took.
BORROWED_JOBS = 2.0
BORROWED_TIMES = 4.0
# A job whose times are borrowed is taken to have one request, or so many.
SHORT, LONG = 1.0, 30.0
# What took more than was expected of it is taken to need a part of that again.
STILL_LEFT = 0.2
# What others took weighs so much, against the share of a job that its own requests have read.
OWN_WORD = 0.1
# Requests of one job that may be under way (crawler.work): they are counted, what they read is not.
AHEAD = 8
# An item's own list is hardly ever longer than a page; some are, so a little more is believed.
MOST_AN_ITEM = 1.1
CHANGES = "changes"


class Kind(NamedTuple):
    """A resource, and how it is read."""

    resource: str
    mode: str = "full"


class Seen(NamedTuple):
    """A job that was at work lately, with its requests between two instants.

    `units` are the rows of a list, or the items that each have one; None where nobody knows yet.
    What runs ends where it was heard of last: of its requests since nobody knows.
    """

    kind: Kind
    requests: float
    units: int | None
    began_at: int
    ended_at: int
    is_done: bool = True
    share: float | None = None


class Queued(NamedTuple):
    """Jobs of one kind that wait with one priority, whose ids are in `first_id` … `last_id`.

    Of `known` of them the `units` are known, `largest` of one. `not_before` is an instant that they
    wait for.
    """

    kind: Kind
    priority: int
    first_id: int
    last_id: int
    jobs: int = 1
    known: int = 0
    units: int = 0
    largest: int = 0
    not_before: int = 0


class Running(NamedTuple):
    """A job in somebody's hands: its requests so far, and the share of its units that they read.

    Without a share nobody knows how far it is.
    """

    kind: Kind
    requests: int = 0
    units: int | None = None
    share: float | None = None


class Rest(NamedTuple):
    """What a job still has to do: requests, and the milliseconds that they take."""

    requests: float
    ms: float


class Time(NamedTuple):
    """What a job takes: milliseconds to begin and to end, whatever it reads, and for each request."""

    first: float
    each: float

    def of(self, requests: float, jobs: int = 1) -> float:
        """The time of so many requests of jobs, one after the other."""
        return self.first * jobs + self.each * requests


# What is assumed until a job was seen.
ASSUMED = Time(200.0, 20.0)

Pool = tuple[bool, bool, bool]
"""Kinds that are alike."""


@dataclass(slots=True)
class _Times:
    """A line through the times of jobs over their requests, by least squares.

    A job weighs the less the more requests it has, for its time varies as much more.
    """

    jobs: float = 0.0
    inverse: float = 0.0
    requests: float = 0.0
    ms: float = 0.0
    ms_each: float = 0.0

    def add(self, requests: float, ms: float, weight: float = 1.0) -> None:
        self.jobs += weight
        self.inverse += weight / requests
        self.requests += weight * requests
        self.ms += weight * ms
        self.ms_each += weight * ms / requests

    def fitted(self, borrowed: Time) -> Time:
        """Return the line, drawn a little to the one that others have."""
        both = replace(self)
        for requests in (SHORT, LONG):
            both.add(requests, borrowed.of(requests), BORROWED_TIMES / 2)
        return both.line()

    def line(self) -> Time:
        """Return the line; it takes jobs of at least two lengths."""
        spread = self.inverse * self.requests - self.jobs**2
        first = (self.ms_each * self.requests - self.ms * self.jobs) / spread
        each = (self.inverse * self.ms - self.jobs * self.ms_each) / spread
        if first <= 0:
            return Time(0.0, self.ms / self.requests)
        return Time(first, each) if each > 0 else Time(self.ms / self.jobs, 0.0)


@dataclass(slots=True)
class _Sum:
    jobs: int = 0
    requests: float = 0.0
    units: float = 0.0
    beyond: float = 0.0

    def add(self, one: Seen) -> None:
        # What runs still counts for the mean of those without a size: else only the short are seen.
        self.requests += one.requests
        self.jobs += one.is_done
        share = 1.0 if one.is_done else one.share
        if one.units is not None and share:
            self.units += one.units * share
            self.beyond += max(0, one.requests - 1 - (0 if one.is_done else AHEAD))


@dataclass(frozen=True, slots=True)
class Learned:
    """What finished work says of the work that is left."""

    nested: frozenset[str]
    costly: frozenset[str] = frozenset()
    _kinds: Mapping[Kind, _Sum] = field(default_factory=dict)
    _pools: Mapping[Pool, _Sum] = field(default_factory=dict)
    _times: Mapping[Kind | Pool | None, _Times] = field(default_factory=dict)
    _fitted: dict[Kind, Time] = field(default_factory=dict)

    def pool(self, kind: Kind) -> Pool:
        """Return what a kind is like: whether items have it, one request each, or only changes."""
        return kind.resource in self.nested, kind.resource in self.costly, kind.mode == CHANGES

    def requests_of(self, kind: Kind, units: float | None) -> float:
        """Expect so many requests of a whole job; at least one."""
        if units is None:
            return self._mean(kind)
        return 1.0 + self._per_unit(kind) * units

    def of(self, group: Queued) -> float:
        """Expect so many requests of jobs that wait."""
        unknown = max(0, group.jobs - group.known) * self.requests_of(group.kind, None)
        return group.known + self._per_unit(group.kind) * group.units + unknown

    def left_of(self, job: Running) -> float:
        """Expect so many more requests of a job that runs."""
        whole = self.requests_of(job.kind, job.units)
        if job.share:
            share = min(job.share, 1.0)
            read = max(0, job.requests - AHEAD)
            whole = (read + whole * OWN_WORD) / (share + OWN_WORD)
            return max(0.0, 1.0 - share) * min(whole, self._most(job))
        # What took long already, and nobody knows its size, is rather one of the long.
        is_known = job.units is not None
        return max(whole - job.requests, whole * STILL_LEFT if is_known else job.requests)

    def _most(self, job: Running) -> float:
        if job.units is None or job.kind.resource not in self.nested:
            return math.inf
        return max(1.0 + MOST_AN_ITEM * job.units, job.requests)

    def time_of(self, kind: Kind) -> Time:
        """Expect a job of a kind to take so long, waits included: as those like it did, and all."""
        if kind not in self._fitted:
            found = ASSUMED
            for one in (None, self.pool(kind), kind):
                if one in self._times:
                    found = self._times[one].fitted(found)
            self._fitted[kind] = found
        return self._fitted[kind]

    def rest_of(self, job: Running) -> Rest:
        """Expect so much more of a job that runs."""
        left = self.left_of(job)
        return Rest(left, self.time_of(job.kind).of(left, jobs=0 if job.requests else 1))

    def went_on(self, one: Seen, now: int) -> Seen:
        """Take what runs to have gone on until now as before, but to no more than its whole."""
        since = float(now - one.ended_at)
        if one.is_done or since <= 0:
            return one
        first, each = self.time_of(one.kind)
        if one.requests:
            each = (one.ended_at - one.began_at) / one.requests
        else:
            since = max(0.0, since - first)
        left = max(0.0, self.requests_of(one.kind, one.units) - one.requests)
        more = min(left, since / each) if each > 0 else left
        return one._replace(requests=one.requests + more, ended_at=now)

    def _per_unit(self, kind: Kind) -> float:
        first, weight = NESTED if kind.resource in self.nested else LIST
        if kind.resource in self.costly:
            first, weight = COSTLY
        for one in (self._pools.get(self.pool(kind)), self._kinds.get(kind)):
            if one is not None:
                first = (one.beyond + first * weight) / (one.units + weight)
        return min(first, MOST_AN_ITEM)

    def _mean(self, kind: Kind) -> float:
        pool = self._pools.get(self.pool(kind), _Sum())
        other = (pool.requests + 1.0) / (pool.jobs + 1.0)
        own = self._kinds.get(kind, _Sum())
        return max(1.0, (own.requests + other * BORROWED_JOBS) / (own.jobs + BORROWED_JOBS))


def learn(
    seen: Iterable[Seen], nested: frozenset[str], costly: frozenset[str] = frozenset()
) -> Learned:
    """Learn from what was at work; `nested` are the resources that belong to items of another.

    `costly` are those of them that are asked for item by item.
    """
    kinds: dict[Kind, _Sum] = {}
    pools: dict[Pool, _Sum] = {}
    times: dict[Kind | Pool | None, _Times] = {}
    learned = Learned(nested, costly, kinds, pools, times)
    for one in seen:
        pool = learned.pool(one.kind)
        kinds.setdefault(one.kind, _Sum()).add(one)
        pools.setdefault(pool, _Sum()).add(one)
        if one.requests:
            for each in (None, pool, one.kind):
                took = max(1, one.ended_at - one.began_at)
                times.setdefault(each, _Times()).add(one.requests, took)
    return learned


def rate_of(seen: Sequence[Seen], now: int, window: int, known_from: int = 0) -> float | None:
    """Return the requests a millisecond of the last `window`; None where that stands on nothing.

    A job's requests are spread evenly over its time. Of what ended before `known_from` nothing is
    known.
    """
    began = _begin_of(seen, now, window, known_from)
    requests = sum(one.requests * share for one, _, share in _lately(seen, now, began, known_from))
    is_enough = now - began >= LEAST_MS and requests >= LEAST_REQUESTS
    return requests / (now - began) if is_enough else None


def jobs_of(
    seen: Sequence[Seen], now: int, window: int, known_from: int, learned: Learned
) -> tuple[float, float]:
    """Return how many jobs there were at once in the last `window`, and how fast they went.

    That is against what was learned of their times: 2.0 is twice as fast.
    """
    began = _begin_of(seen, now, window, known_from)
    spent = expected = 0.0
    for one, ms, share in _lately(seen, now, began, known_from):
        spent += ms
        expected += learned.time_of(one.kind).of(one.requests) * share
    return spent / max(1, now - began), expected / spent if spent and expected else 1.0


def _begin_of(seen: Sequence[Seen], now: int, window: int, known_from: int) -> int:
    return max(now - window, known_from, min((one.began_at for one in seen), default=now))


def _lately(
    seen: Iterable[Seen], now: int, began: int, known_from: int
) -> Iterator[tuple[Seen, int, float]]:
    """The time of each job since `began`, and the share of its whole time that this is."""
    for one in seen:
        # What runs was begun or taken over since: its requests are no older.
        first = one.began_at if one.is_done else max(one.began_at, known_from)
        length = max(1, min(one.ended_at, now) - first)
        within = min(length, max(0, min(one.ended_at, now) - began))
        yield one, within, within / length
