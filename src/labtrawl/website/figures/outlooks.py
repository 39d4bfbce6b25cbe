"""When things will be done and why jobs wait: one look at the crawl, kept a while for all viewers."""

import asyncio
from collections.abc import Callable, Sequence

from labtrawl import logs
from labtrawl.domain import eta
from labtrawl.domain.eta import Forecast, Told
from labtrawl.domain.waits import Around, Turn, Wait, why
from labtrawl.domain.waits import Job as WaitingJob
from labtrawl.errors import LabtrawlError
from labtrawl.store.commands import wanted_of
from labtrawl.store.engine import Connection
from labtrawl.store.pages import outlook
from labtrawl.website.figures.forecasts import PARENTS, SHARE, forecast_of
from labtrawl.website.given.site import Site

log = logs.get("website")

# A look is never younger than this.
FRESH_SECONDS = 1.0
# One that takes longer has failed.
LOOKING_SECONDS = 10.0
# One that takes longer is dear: whoever asks has what the one before found, for so long at most.
DEAR_SECONDS = 0.02
OLD_SECONDS = 10.0


class Outlooks:
    """Looks at the crawl, at most once a second."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._forecast: Forecast | None = None
        self._around = Around()
        self._due = 0.0
        self._counted = eta.Counted()
        self._since = site.clock.now_ms()
        self._is_dear = False
        self._has_looker = False
        self._asked = asyncio.Event()

    async def refresh(self) -> None:
        """Look again, where the last look is too old; one that is dear is not waited for.

        Unless nobody looked for long: then what the last look found tells nothing any more.
        """
        now = self._site.clock.monotonic()
        if self._forecast is not None and now < self._due:
            return
        if self._is_dear and self._has_looker and now < self._due + OLD_SECONDS:
            self._asked.set()
            return
        await self._look()

    async def run(self) -> None:
        """Look where a dear look is asked for, until cancelled."""
        self._has_looker = True
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._look()
            except LabtrawlError as error:
                log.error("outlook_failed", error=str(error))

    async def _look(self) -> None:
        monotonic = self._site.clock.monotonic
        started = monotonic()
        # Whoever comes while this one looks has what the last look found.
        self._due = started + LOOKING_SECONDS if self._forecast is not None else 0.0
        crawlers = [one.name for one in self._site.crawlers() if one.connected]
        self._forecast, self._around = await self._site.store.read(
            lambda connection: self._looked(connection, crawlers)
        )
        cost = monotonic() - started
        self._is_dear = cost > DEAR_SECONDS
        self._due = monotonic() + max(FRESH_SECONDS, SHARE * cost)

    def _looked(self, connection: Connection, names: Sequence[str]) -> tuple[Forecast, Around]:
        """Look, and reckon: in the thread that reads, for others wait for the loop's."""
        now = self._site.clock.now_ms()
        look = outlook.outlook(connection, PARENTS, now)
        wanted = [wanted_of(connection, name) for name in names]
        done = outlook.requests_done(connection)
        rests = eta.rests_of(self._site.quiet, look.now)
        recent = self._counted.recent(look.now, done)
        forecast = forecast_of(look, done, self._since, rests, recent, self._site.reserved_share)
        around = Around(
            now=look.now,
            crawlers=len(names),
            are_stopped=bool(wanted) and "run" not in wanted,
            budget_at=look.not_before,
            turn_of=self._turn,
        )
        return forecast, around

    def _turn(self, priority: int, job_id: int) -> Turn:
        assert self._forecast is not None
        jobs = self._forecast.ahead(priority, job_id)
        return Turn(jobs, self._forecast.begin(priority, job_id))

    async def whole(self) -> Told:
        """Say when all that is open now will be done."""
        await self.refresh()
        return self._forecast.whole() if self._forecast else Told()

    async def area(self, area_id: int) -> Told:
        """Say when the open jobs of an area will be done."""
        await self.refresh()
        part = await self._site.store.read(lambda c: outlook.part(c, area_id, PARENTS))
        return self._forecast.part(part) if self._forecast else Told()

    async def of(self, part: eta.Part) -> Told:
        """Say when these open jobs will be done."""
        await self.refresh()
        return self._forecast.part(part) if self._forecast else Told()

    async def asked(self) -> Callable[[WaitingJob], Wait | None]:
        """Return `wait_of`, as of now."""
        await self.refresh()
        return self.wait_of

    def wait_of(self, job: WaitingJob) -> Wait | None:
        """Say why a job waits, as of the last look."""
        return why(job, self._around)
