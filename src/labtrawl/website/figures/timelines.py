"""Reads the samples of a span for all viewers together: they change once a minute."""

from labtrawl.domain.fullness import full_at
from labtrawl.domain.sample import HOUR_MS, MINUTE_MS, Grain
from labtrawl.store import samples
from labtrawl.store.engine import Connection
from labtrawl.website.figures.charts import SCALES, OverTime, Span, begin_of, over_time
from labtrawl.website.given.site import Site

# What the forecast of the disk looks back on.
FILLING_MS = 6 * HOUR_MS


class Timelines:
    """Figures over time, kept until there can be newer ones."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kept: dict[Span, OverTime] = {}
        self._filling: tuple[int, int | None] = (0, None)

    async def over(self, span: Span) -> OverTime:
        """Return what happened in the span that ends with the newest whole minute."""
        now = self._now()
        kept = self._kept.get(span)
        if kept is None or kept.until != now:
            # Added up in the thread that reads: a day has some thousand rows.
            kept = await self._site.store.read(lambda c: _read(c, span, now))
            self._kept[span] = kept
        return kept

    async def disk_full_at(self) -> int | None:
        """Return when the disk will be full (ms), by the last hours; None where that is not to see."""
        now = self._now()
        if self._filling[0] != now:
            since = now - FILLING_MS
            found = await self._site.store.read(lambda c: samples.read(c, Grain.MINUTE, since, now))
            free = [
                (one.at, one.figures.last["disk_free"])
                for one in found
                if "disk_free" in one.figures.last
            ]
            self._filling = (now, full_at(free))
        return self._filling[1]

    def _now(self) -> int:
        now = self._site.clock.now_ms()
        return now - now % MINUTE_MS


def _read(connection: Connection, span: Span, now: int) -> OverTime:
    begin = begin_of(span, now)
    found = samples.read_up_to_now(connection, SCALES[span].grain, begin, now)
    return over_time(found, span, now)
