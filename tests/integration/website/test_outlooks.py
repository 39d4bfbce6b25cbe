"""How often one looks at the whole crawl, and who waits for it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labtrawl.clock import Clock, system_clock
from labtrawl.domain.job import JobState
from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.pages import jobs
from labtrawl.store.pages.keyset import Place
from labtrawl.website.figures.forecasts import SHARE
from labtrawl.website.figures.outlooks import FRESH_SECONDS, OLD_SECONDS, Outlooks
from tests.integration.protocol.wire import settled
from tests.integration.website import world
from tests.integration.website.running import Surroundings, site_of

WAITING = jobs.JobFilter(state=JobState.QUEUED)
LOOK_SECONDS = 1.0


@dataclass
class Hours:
    """A monotonic clock that a test moves, and that a look moves by what it takes."""

    at: float = 1000.0
    look_seconds: float = 0.0

    def read(self) -> float:
        self.at += self.look_seconds
        return self.at


@dataclass
class Watched:
    """The looks at a crawl with one job that waits, and what is around it."""

    outlooks: Outlooks
    around: Surroundings
    hours: Hours
    job: jobs.JobRow

    def reason(self) -> str | None:
        """Why the job waits, as of the last look."""
        wait = self.outlooks.wait_of(self.job)
        return wait.reason if wait else None


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    async with open_store(path) as store:
        await store.write(world.build)
        await store.write(lambda c: c.exec_driver_sql("UPDATE job SET run_after = NULL"))
        page = await store.read(lambda c: jobs.list_jobs(c, WAITING, Place(), 1))
        around, hours = Surroundings(), Hours()
        clock = Clock(system_clock().now, hours.read, asyncio.sleep)
        site = dataclasses.replace(site_of(store, around), clock=clock)
        yield Watched(Outlooks(site), around, hours, page.rows[0])


async def look_and_lose_the_crawlers(watched: Watched) -> None:
    """Look once; then all crawlers go, which the next look finds."""
    await watched.outlooks.refresh()
    assert watched.reason() == "queue"
    watched.around.crawlers = ()


async def test_cheap_look_is_waited_for_once_the_last_is_too_old(watched: Watched) -> None:
    await look_and_lose_the_crawlers(watched)
    await watched.outlooks.refresh()
    assert watched.reason() == "queue"
    watched.hours.at += FRESH_SECONDS
    await watched.outlooks.refresh()
    assert watched.reason() == "no_crawler"


async def test_dear_look_is_made_beside_and_nobody_waits_for_it(watched: Watched) -> None:
    watched.hours.look_seconds = LOOK_SECONDS
    looking = asyncio.create_task(watched.outlooks.run())
    await look_and_lose_the_crawlers(watched)
    watched.hours.at += SHARE * LOOK_SECONDS
    await watched.outlooks.refresh()
    assert watched.reason() == "queue"
    await settled(lambda: watched.reason() == "no_crawler")
    looking.cancel()


async def test_dear_look_is_waited_for_where_nobody_looked_for_long(watched: Watched) -> None:
    watched.hours.look_seconds = LOOK_SECONDS
    looking = asyncio.create_task(watched.outlooks.run())
    await look_and_lose_the_crawlers(watched)
    watched.hours.at += SHARE * LOOK_SECONDS + OLD_SECONDS
    await watched.outlooks.refresh()
    assert watched.reason() == "no_crawler"
    looking.cancel()
