"""Writes down what happens, a row a minute: what the crawlers tell, the jobs, the disk, the socket.

Looked at every ten seconds, in memory; the database is asked and written once a minute.
"""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from labtrawl import logs
from labtrawl.domain.sample import MINUTE_MS, Figures, fold
from labtrawl.domain.traffic import NO_TRAFFIC, Spent, Traffic, credible
from labtrawl.store import samples
from labtrawl.website.figures.sums import Figures as Overviews
from labtrawl.website.given.site import Site

log = logs.get("website")

LOOK_SECONDS = 10.0


class Watch:
    """What was seen since the last row. Pure: looks come in, figures go out."""

    def __init__(self) -> None:
        self._before: Mapping[tuple[str, int | None], Spent] = {}
        self._parts: list[Figures] = []

    def look(self, crawlers: Sequence[Spent], seconds: float) -> None:
        """Take in what the crawlers tell, `seconds` after the last look."""
        crawlers = [credible(one) for one in crawlers]
        counts = {"requests": 0, "retries": 0}
        endpoints: dict[str, Traffic] = {}
        for one in crawlers:
            spent = _since(one, self._before.get((one.crawler, one.pid)), seconds)
            counts["retries"] += spent.retries
            for name, traffic in spent.endpoints.items():
                endpoints[name] = endpoints.get(name, NO_TRAFFIC).plus(traffic)
            if not one.endpoints:
                counts["requests"] += round(one.requests_per_minute * seconds / 60)
        counts["requests"] += sum(traffic.requests for traffic in endpoints.values())
        self._before = {(one.crawler, one.pid): one for one in crawlers}
        means = {
            "crawlers": float(len(crawlers)),
            "active_jobs": float(sum(one.active_jobs for one in crawlers)),
            "job_places": float(sum(one.job_places for one in crawlers)),
            "unsent": float(sum(one.unsent for one in crawlers)),
        }
        self._parts.append(Figures(seconds, counts, {}, endpoints, means))

    def take(self) -> Figures:
        """Return what was seen since this was asked last."""
        parts, self._parts = self._parts, []
        return fold(parts)

    def put_back(self, taken: Figures) -> None:
        """Keep what was taken and could not be written."""
        self._parts.insert(0, taken)


def _since(now: Spent, before: Spent | None, seconds: float) -> Spent:
    """Return what a crawler spent since the last look.

    Of one that was not looked at before only what it can have spent meanwhile is known: all, where it
    has just begun, else nothing.
    """
    if before is None:
        is_young = now.uptime_seconds <= seconds
        return now if is_young else Spent(now.crawler, now.pid, now.uptime_seconds)
    endpoints = {
        name: grown
        for name, traffic in now.endpoints.items()
        if (grown := traffic.since(before.endpoints.get(name, NO_TRAFFIC))).requests
    }
    retries = max(now.retries - before.retries, 0)
    return Spent(now.crawler, now.pid, now.uptime_seconds, retries=retries, endpoints=endpoints)


# Of the communication, by what the samples call it: where `Crawling.statistics` has it.
SOCKET = {
    "received": ("messages", "received"),
    "sent": ("messages", "sent"),
    "reconnects": ("reconnects", "total"),
    "duplicates": ("dedup", "duplicates"),
    "cooldowns": ("cooldown", "begun"),
    "merged": ("queues", "merged"),
}


def socket_counts(told: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of the communication since the start of the website."""
    found = {name: told.get(part, {}).get(key, 0) for name, (part, key) in SOCKET.items()}
    return {name: count if isinstance(count, int) else 0 for name, count in found.items()}


class Sampler:
    """Writes the samples while it runs."""

    def __init__(self, site: Site, overviews: Overviews) -> None:
        self._site = site
        self._overviews = overviews
        self._watch = Watch()
        self._counted: dict[str, int] = {}
        self._records: dict[str, int] = {}

    async def run(self) -> None:
        """Look and write until cancelled; what could not be written is part of the next row."""
        clock = self._site.clock
        self._watch.look(self._site.spent(), 0.0)
        looked_at = clock.monotonic()
        minute = _minute(clock.now_ms())
        while True:
            await clock.sleep(LOOK_SECONDS - clock.now_ms() / 1000 % LOOK_SECONDS)
            monotonic = clock.monotonic()
            self._watch.look(self._site.spent(), monotonic - looked_at)
            looked_at = monotonic
            if (now := _minute(clock.now_ms())) != minute:
                await self._write(minute)
                minute = now

    async def _write(self, at: int) -> None:
        watched = self._watch.take()
        before = dict(self._counted), dict(self._records)
        try:
            figures = await self._complete(watched)
            await self._site.store.write(lambda c: samples.write(c, at, figures))
        except Exception as error:
            # Whatever it is: the website goes on without a sample.
            self._watch.put_back(watched)
            self._counted, self._records = before
            log.error("sample_not_written", exc_info=error)

    async def _complete(self, watched: Figures) -> Figures:
        """Add what is looked at once a minute."""
        site = self._site
        told = await site.crawling.statistics()
        sums = await self._overviews.sums()
        budget = self._overviews.budget_of(sums)
        disk = shutil.disk_usage(site.data_dir)
        waiting = told.get("queues", {}).get("waiting", {})
        means = {"waiting": float(sum(waiting.values()))}
        if budget is not None:
            means["budget"] = float(budget)
        return Figures(
            watched.seconds,
            {**watched.counts, **self._grown(self._counted, socket_counts(told))},
            self._grown(self._records, told.get("records", {})),
            watched.endpoints,
            {**watched.means, **means},
            {
                **{f"jobs_{state}": count for state, count in sums.totals.jobs.items()},
                "disk_used": disk.used,
                "disk_free": disk.free,
            },
        )

    def _grown(self, before: dict[str, int], now: Mapping[str, int]) -> dict[str, int]:
        """Return by how much counts grew, where they did."""
        grown = {name: count - before.get(name, 0) for name, count in now.items()}
        before.update(now)
        return {name: count for name, count in grown.items() if count > 0}


def _minute(milliseconds: int) -> int:
    return milliseconds - milliseconds % MINUTE_MS
