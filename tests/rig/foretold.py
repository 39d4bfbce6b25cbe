"""A real crawl at a limit of requests, and what was foretold of its ends on the way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labtrawl.cli.crawl_place import Target
from labtrawl.cli.crawl_run import Embedded, Plan
from labtrawl.clock import system_clock
from labtrawl.domain.credential import Secret
from labtrawl.domain.eta import Counted, Part, Told
from labtrawl.sandbox import Options, World
from labtrawl.store import summary
from labtrawl.store.engine import Connection
from labtrawl.store.pages import outlook
from labtrawl.website.figures.forecasts import PARENTS, forecast_of
from tests.rig.served import served

WHOLE = 0
LOOK_SECONDS = 0.5
# What ends sooner is over before anybody read of it.
LEAST_LEFT_MS = 1_000
OPEN = "SELECT DISTINCT area_id FROM job WHERE state IN ('queued', 'running', 'held')"
DONE = "SELECT area_id, SUM(requests) FROM job GROUP BY area_id"
ENDS = "SELECT area_id, MAX(finished_at) FROM job GROUP BY area_id"


@dataclass(frozen=True, slots=True)
class Look:
    """What was told at an instant (ms) of an area (`WHOLE`: of all), with its requests until then."""

    at: int
    area: int
    done: int
    told: Told


@dataclass
class Foretold:
    """All looks at a crawl, and how each of its areas ended: instant (ms) and requests."""

    looks: list[Look] = field(default_factory=list)
    ends: Mapping[int, int] = field(default_factory=dict)
    totals: Mapping[int, int] = field(default_factory=dict)

    def later(self, share: float) -> list[Look]:
        """The looks at what was done by such a share, and went on for a while."""
        return [
            one
            for one in self.looks
            if one.done >= share * self.totals[one.area]
            and self.ends[one.area] - one.at >= LEAST_LEFT_MS
        ]

    def first(self, share: float) -> list[Look]:
        """The first such look at each."""
        found: dict[int, Look] = {}
        for one in self.later(share):
            found.setdefault(one.area, one)
        return list(found.values())

    def is_inside(self, one: Look) -> bool:
        """Say whether the true end lies in the range that was told."""
        told, left = one.told.range, self.ends[one.area] - one.at
        return told is not None and told.lower <= left <= told.upper


def rows(connection: Connection, what: str) -> dict[int, int]:
    """Return the rows as a mapping, with their sum or latest under WHOLE."""
    found = {row[0]: row[1] or 0 for row in connection.exec_driver_sql(what).all()}
    return found | {WHOLE: max(found.values()) if "MAX" in what else sum(found.values())}


def look(
    connection: Connection, now: int
) -> tuple[outlook.Outlook, dict[int, int], dict[int, Part]]:
    """Look at the crawl as the website does, and at each open area."""
    areas = [row[0] for row in connection.exec_driver_sql(OPEN).all()]
    parts = {area: outlook.part(connection, area, PARENTS) for area in areas}
    return outlook.outlook(connection, PARENTS, now), rows(connection, DONE), parts


async def foretell(world: World, limit: int, out: Path, path: str = "") -> Foretold:
    """Crawl a world, or one project of it, at a limit of requests a minute.

    The instant of a look is taken where it is read: a busy loop may come to that much later.
    """
    found, counted, clock = Foretold(), Counted(), system_clock()
    with served(world, Options(rate_limit_per_minute=limit)) as up:
        account = world.accounts[0]
        target = Target(up.url, up.url, path, "19.3.0-ee", account.user_id, account.username)
        plan = Plan(target, Secret(up.token), out)
        since = clock.now_ms()
        async with Embedded(plan, clock, asyncio.Event()).running() as store:
            while not (await store.read(summary.progress)).finished:
                seen, done, parts = await store.read(lambda c: look(c, clock.now_ms()))
                now = seen.now
                recent = counted.recent(now, done[WHOLE])
                forecast = forecast_of(seen, done[WHOLE], since, recent=recent)
                found.looks.append(Look(now, WHOLE, done[WHOLE], forecast.whole()))
                found.looks += [
                    Look(now, area, done[area], forecast.part(part)) for area, part in parts.items()
                ]
                await asyncio.sleep(LOOK_SECONDS)
            found.ends = await store.read(lambda c: rows(c, ENDS))
            found.totals = await store.read(lambda c: rows(c, DONE))
    return found
