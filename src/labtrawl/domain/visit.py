"""Visits: how a list is read again, which lists are read at all, and how long until the next time.

An interval grows while nothing changes and shrinks when something does: what is busy is looked at
often, what is quiet rarely.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

NOT = "!"
# What finds the areas is no resource that one may leave out.
DISCOVERY = "discovery"
SOONEST = 4
LATEST = 8


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
    """

    every: int | None = None
    cron: Callable[[int], int] | None = None
    sweep_every: int | None = None
    discover_every: int | None = None
    most: int = 7 * 86_400_000
    resources: Sequence[str] = ("*",)

    @property
    def is_on(self) -> bool:
        """Say whether anything is read again by itself."""
        return self.every is not None or self.cron is not None

    def has(self, resource: str) -> bool:
        """Say whether a resource is collected."""
        if resource == DISCOVERY:
            return True
        first = self.resources[0] if self.resources else "*"
        chosen = first.startswith(NOT)
        for pattern in self.resources:
            if fnmatchcase(resource, pattern.removeprefix(NOT)):
                chosen = not pattern.startswith(NOT)
        return chosen

    def names(self, resource: str) -> bool:
        """Say whether a resource is asked for by its own name."""
        return self.has(resource) and resource in self.resources


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


def next_interval(every: int, most: int, before: int | None, changed: bool) -> int:
    """Return the milliseconds until the next visit; `before` is the interval until this one.

    A visit that found a change halves it, one that found nothing doubles it; it stays from a quarter
    to eight times `every`, and never gets longer than `most`.
    """
    interval = every if before is None else before // 2 if changed else before * 2
    return min(max(interval, every // SOONEST, 1), every * LATEST, most)


def next_visit(
    schedule: Schedule, pace: Pace, now: int, before: int | None, changed: bool
) -> tuple[int | None, int | None]:
    """Return the interval and the instant (ms) of the next visit; None where it has none.

    Without a schedule a list is due at once: as soon as there is one.
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
        next_interval(pace.every, schedule.most, before, changed)
        if pace.is_adaptive
        else pace.every
    )
    return interval, now + interval
