"""Visits: how a list is read again, which lists are read at all, and how long until the next time.

An interval grows while nothing changes and shrinks when something does: what is busy is looked at
often, what is quiet rarely.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache

NOT = "!"
# What finds the areas is no resource that one may leave out.
DISCOVERY = "discovery"
SOONEST = 4
LATEST = 8
# What was looked at is not looked at again before its time for so long.
LOOK_MS = 60_000
# Where GitLab tells no limit a share is one of so many requests a minute.
ASSUMED_LIMIT = 600
MINUTE_MS = 60_000


class Mode(StrEnum):
    """How a visit reads: all, what changed since the last, or all again to find what is gone."""

    FULL = "full"
    CHANGES = "changes"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When lists are read again, in milliseconds; all off by default.

    `every` is the interval of a list of which nothing is known yet; `cron` (an instant to the next
    one) replaces it. `most` is the longest interval, whatever is quiet.
    `resources` are name patterns in order, the last that matches decides; one with `!` leaves out.
    `share` is the part of GitLab's limit that following may use: while it is not used up, lists are
    looked at before they are due.
    """

    every: int | None = None
    cron: Callable[[int], int] | None = None
    sweep_every: int | None = None
    discover_every: int | None = None
    most: int = 7 * 86_400_000
    resources: Sequence[str] = ("*",)
    share: float = 0.0

    @property
    def is_on(self) -> bool:
        """Say whether anything is read again by itself."""
        return self.every is not None or self.cron is not None

    def has(self, resource: str) -> bool:
        """Say whether a resource is collected."""
        return resource == DISCOVERY or _is_chosen(tuple(self.resources), resource)

    def names(self, resource: str) -> bool:
        """Say whether a resource is asked for by its own name."""
        return self.has(resource) and resource in self.resources


@lru_cache(maxsize=1024)
def _is_chosen(patterns: tuple[str, ...], resource: str) -> bool:
    """Judge as `Schedule.has`; each area that is found asks the same of each resource."""
    first = patterns[0] if patterns else "*"
    chosen = first.startswith(NOT)
    for pattern in patterns:
        if fnmatchcase(resource, pattern.removeprefix(NOT)):
            chosen = not pattern.startswith(NOT)
    return chosen


@dataclass(frozen=True, slots=True)
class Pace:
    """How a list is scheduled: by an interval that follows its changes, or one that stays.

    A driven one has none: something else tells when it changed. `sweep_factor` says how many times
    longer than others it waits for a sweep.
    """

    every: int | None = None
    is_adaptive: bool = True
    is_driven: bool = False
    sweep_factor: int = 1


def next_interval(
    every: int, most: int, before: int | None, changed: bool, elapsed: int | None = None
) -> int:
    """Return the milliseconds until the next visit; `before` is the interval until this one.

    A visit that found a change halves it, one that found nothing doubles it; where it came early,
    `elapsed` ms after the last, it adds as much as it waited. So it settles at twice the time
    between two changes, however often one looks. It stays from a quarter to eight times `every`,
    and never gets longer than `most`.
    """
    interval = every
    if before is not None:
        waited = before if elapsed is None else min(max(elapsed, 0), before)
        interval = before // 2 if changed else before + waited
    return min(max(interval, every // SOONEST, 1), every * LATEST, most)


def next_visit(
    schedule: Schedule,
    pace: Pace,
    now: int,
    before: int | None,
    changed: bool,
    last_at: int | None = None,
) -> tuple[int | None, int | None]:
    """Return the interval and the instant (ms) of the next visit; None where it has none.

    `last_at` is when the last one ended. Without a schedule a list is due at once: as soon as there
    is one.
    """
    if pace.is_driven:
        return None, None
    if not schedule.is_on or (pace.every is None and schedule.cron is None):
        return before, now
    if pace.is_adaptive and schedule.cron is not None:
        return None, schedule.cron(now)
    if pace.every is None:
        return None, None
    interval = (
        next_interval(pace.every, schedule.most, before, changed, last_at and now - last_at)
        if pace.is_adaptive
        else pace.every
    )
    return interval, now + interval


@dataclass(frozen=True, slots=True)
class Under:
    """What is under way: all requests so far, open jobs, and the limit a minute (None: not told)."""

    requests: int = 0
    jobs: int = 0
    limit: int | None = None


@dataclass(slots=True)
class Spare:
    """How many lists may be looked at before they are due: what is left of a share of the limit.

    What following needs in any case (what is due, what changed) comes first, so the rest gets what
    that leaves. A minute's worth is the most that is saved up, and the most that is owed.
    """

    _left: float = 0.0
    _at: int | None = None
    _requests: int = 0

    def is_due(self, now: int) -> bool:
        """Say whether it is time to ask again; a look at all lists is not free.

        It is, too, where the clock was set back: else nothing was asked until it caught up.
        """
        return self._at is None or not 0 <= now - self._at < MINUTE_MS // 12

    def take(self, now: int, share: float, under: Under) -> int:
        """Return how many lists may be opened at the instant `now` (ms)."""
        rate = share * (under.limit or ASSUMED_LIMIT)
        if self._at is not None:
            earned = rate * max(0, now - self._at) / MINUTE_MS
            self._left += earned - (under.requests - self._requests)
            self._left = min(max(self._left, -rate), rate)
        self._at, self._requests = now, under.requests
        # What is open will cost a request each, at least.
        return max(0, int(self._left) - under.jobs)
