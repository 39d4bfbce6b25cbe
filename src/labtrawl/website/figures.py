"""The figures of the overview; sums over everything are kept a while, for all viewers together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from labtrawl.domain.eta import Told
from labtrawl.domain.waits import NO_FORECAST
from labtrawl.store.commands import Wanted, wanted_of
from labtrawl.store.pages.overview import Now, Totals, now, totals
from labtrawl.website.outlooks import Outlooks
from labtrawl.website.reckoning import Reckoning
from labtrawl.website.site import CrawlerView, Site
from labtrawl.website.timelines import Timelines

# Sums may cost a twentieth of one core at most, and are never older than this when they are cheap.
SHARE = 20
FRESH_SECONDS = 0.5


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
        self._kept: Totals | None = None
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
        ends = await self.outlooks.whole()
        return Overview(await self.totals(), happening, shown, problems, notices, stopped, ends)

    async def totals(self) -> Totals:
        """Return the sums over everything, as they were a little while ago."""
        monotonic = self._site.clock.monotonic
        started = monotonic()
        if self._kept is None or started >= self._due:
            self._kept = await self._site.store.read(totals)
            cost = monotonic() - started
            self._due = monotonic() + max(FRESH_SECONDS, SHARE * cost)
        return self._kept
