"""The figures of the overview; sums over everything are kept a while, for all viewers together."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from labtrawl.domain.eta import Told
from labtrawl.domain.waits import NO_FORECAST
from labtrawl.store.commands import Wanted, wanted_of
from labtrawl.store.engine import Connection
from labtrawl.store.pages.overview import Now, Totals, now, totals
from labtrawl.store.pages.rates import SlowArea, limits_per_minute, slowest_areas
from labtrawl.website.figures.outlooks import Outlooks
from labtrawl.website.figures.reckoning import Reckoning
from labtrawl.website.figures.timelines import Timelines
from labtrawl.website.given.site import CrawlerView, Site

# Sums may cost a twentieth of one core at most, and are never older than this when they are cheap.
SHARE = 20
FRESH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of the data folder, in bytes; `full_at` (ms) by how it filled lately, None for never."""

    used: int
    free: int
    full_at: int | None


@dataclass(frozen=True, slots=True)
class Sums:
    """What costs a walk over many rows, and is kept a while."""

    totals: Totals
    limits: Sequence[int | None]
    """Of each account, the requests a minute that GitLab takes; None where it sets no limit."""
    slowest: Sequence[SlowArea]


def _sums(connection: Connection) -> Sums:
    return Sums(totals(connection), limits_per_minute(connection), slowest_areas(connection))


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the overview shows, at one instant."""

    totals: Totals
    now: Now
    crawlers: Sequence[CrawlerView]
    problems: Sequence[str]
    notices: Sequence[str]
    are_stopped: bool = False
    """Whether every crawler is paused or drained."""
    ends: Told = NO_FORECAST
    """When all that is open will be done."""
    budget_per_minute: int | None = None
    """How many requests all accounts together may be used for; None where nothing limits them."""
    slowest: Sequence[SlowArea] = ()
    disk: Disk | None = None

    @property
    def known(self) -> int:
        """Jobs known so far."""
        return sum(self.totals.jobs.values())

    @property
    def ended(self) -> int:
        """Jobs that do not go on by themselves any more, however they ended."""
        return self.known - self.open

    @property
    def open(self) -> int:
        """Jobs that are still to be done."""
        jobs = self.totals.jobs
        return jobs["queued"] + jobs["running"] + jobs["held"]

    @property
    def requests_per_minute(self) -> int:
        """Requests of all crawlers together."""
        return sum(crawler.requests_per_minute for crawler in self.crawlers)


def budget_of(limits: Sequence[int | None], reserved_share: float, most: int) -> int | None:
    """Return the requests a minute of all accounts together; None where one of them has no limit.

    Of GitLab's limit a share is left to people; no account is used for more than `most` (0: any).
    """
    kept = [None if limit is None else limit * (1 - reserved_share) for limit in limits]
    least = [_least(limit, most) for limit in kept]
    known = [each for each in least if each is not None]
    return round(sum(known)) if known and len(known) == len(least) else None


def _least(limit: float | None, most: int) -> float | None:
    if limit is None or not most:
        return most or limit
    return min(limit, most)


def _are_stopped(wanted: Mapping[str, Wanted]) -> bool:
    """Say whether there are crawlers, and none of them may begin anything."""
    return bool(wanted) and Wanted.RUN not in wanted.values()


class Figures:
    """Reads the overview."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.outlooks = Outlooks(site)
        self.timelines = Timelines(site)
        self.reckoning = Reckoning(site)
        self._kept: Sums | None = None
        self._due = 0.0

    async def overview(self) -> Overview:
        """Return the figures as they are now."""
        milliseconds = self._site.clock.now_ms()
        crawlers, problems = self._site.crawlers(), self._site.problems()
        happening, wanted = await self._site.store.read(
            lambda c: (now(c, milliseconds), {one.name: wanted_of(c, one.name) for one in crawlers})
        )
        shown = [replace(one, wanted=wanted[one.name]) for one in crawlers]
        notices = self._site.notices()
        stopped = _are_stopped(wanted)
        sums = await self.sums()
        return Overview(
            totals=sums.totals,
            now=happening,
            crawlers=shown,
            problems=problems,
            notices=notices,
            are_stopped=stopped,
            ends=await self.outlooks.whole(),
            budget_per_minute=self.budget_of(sums),
            slowest=sums.slowest,
            disk=await self._disk(),
        )

    def budget_of(self, sums: Sums) -> int | None:
        """Return what all accounts together may be used for; None where nothing limits one of them."""
        site = self._site
        return budget_of(sums.limits, site.reserved_share, site.most_requests_per_minute)

    async def _disk(self) -> Disk | None:
        try:
            usage = shutil.disk_usage(self._site.data_dir)
        except OSError:
            return None
        return Disk(usage.used, usage.free, await self.timelines.disk_full_at())

    async def totals(self) -> Totals:
        """Return the counts of everything, as they were a little while ago."""
        return (await self.sums()).totals

    async def sums(self) -> Sums:
        """Return the sums over everything, as they were a little while ago."""
        monotonic = self._site.clock.monotonic
        started = monotonic()
        if self._kept is None or started >= self._due:
            self._kept = await self._site.store.read(_sums)
            cost = monotonic() - started
            self._due = monotonic() + max(FRESH_SECONDS, SHARE * cost)
        return self._kept
