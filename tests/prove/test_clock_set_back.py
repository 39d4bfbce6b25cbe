"""A clock that was wrong, and is set back, puts nothing off for as long as it was wrong."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import pytest

from labtrawl.clock import Clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch import grants
from labtrawl.dispatch.budget import Budget
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.pot_records import Learned
from labtrawl.domain.visit import Schedule
from labtrawl.store import budgets, care, leases, quiet
from labtrawl.store.engine import Connection, Database, Store
from tests.integration.dispatch.visits import HOUR, SCHEDULE, Site
from tests.integration.store.table import RETRY, store

pytestmark = pytest.mark.prove

T = TypeVar("T")

YEAR = 365 * 24


@dataclass(slots=True)
class Steady:
    """What the website measures time with beside the database's clock."""

    seconds: float = 1e9

    def clock(self) -> Clock:
        async def no_sleep(_seconds: float) -> None:
            return None

        return Clock(lambda: datetime.now(UTC), lambda: self.seconds, no_sleep)


@dataclass(slots=True)
class Watched:
    """A site, and the care of it."""

    site: Site
    care: Leasing
    steady: Steady

    async def set_clock_back(self, hours: float) -> None:
        """Let all that was written down be so much later, as it seems to a clock that was set back."""
        visit = ("next_at", "sweep_at", "last_at")
        job = ("lease_expires_at", "run_after", "started_at")

        def shift(connection: Connection) -> None:
            for table, names in (("visit", visit), ("job", job)):
                told = ", ".join(f"{name} = {name} + {int(hours * HOUR)}" for name in names)
                connection.exec_driver_sql(f"UPDATE {table} SET {told}")

        await self.site.db.write(shift)
        self.steady.seconds += hours * 3600
        await self.care.tick()

    async def ahead(self, what: str) -> list[float | None]:
        """Return by how many hours instants of ours lie ahead."""
        now = await self.site.db.read(care.now_ms)
        found = await self.site.ask(what)
        return [None if at is None else round((at - now) / HOUR, 1) for (at,) in found]


@pytest.fixture
async def watched(database: Database, tmp_path: Path) -> AsyncIterator[Watched]:
    async with store(database) as db:
        steady = Steady()
        made = Leasing(db, RETRY, steady.clock(), LocalDisk(), tmp_path, lambda: 1 << 40)
        one = Watched(Site(db), replace(made, schedule=SCHEDULE), steady)
        await one.site.discovered("issues", "milestones")
        await one.care.tick()
        yield one


@dataclass(slots=True)
class Slow:
    """A database that takes six minutes to tell its time, beside something else."""

    watched: Watched

    async def read(self, work: Callable[[Connection], T]) -> T:
        answer = await self.watched.site.db.read(work)
        if isinstance(answer, tuple):
            self.watched.steady.seconds += 360
        return answer

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.watched.site.db.write(work)


DUE = "SELECT next_at FROM visit WHERE resource = 'issues'"
SWEEP = "SELECT sweep_at FROM visit WHERE resource = 'issues'"


@pytest.mark.parametrize("hours", [1, 24, YEAR])
async def test_list_is_read_again_when_it_would_have_been(watched: Watched, hours: float) -> None:
    await watched.site.visit("issues", watermark=1)
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([1.0], [24.0])
    await watched.set_clock_back(hours)
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([1.0], [24.0])
    await watched.care.tick()
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([1.0], [24.0])


async def test_list_that_was_read_by_the_right_clock_keeps_its_time(watched: Watched) -> None:
    """Only the host's clock was wrong for a moment, and nothing was read in it."""
    await watched.site.visit("issues", watermark=1)
    await watched.site.pass_time(0.5)
    watched.steady.seconds -= YEAR * 3600.0
    await watched.care.tick()
    watched.steady.seconds += YEAR * 3600.0
    await watched.care.tick()
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([0.5], [23.5])


async def test_answer_that_takes_long_is_no_clock_that_was_set_back(watched: Watched) -> None:
    await watched.site.visit("issues", watermark=1)
    await replace(watched.care, store=cast("Store", Slow(watched))).tick()
    assert watched.steady.seconds == Steady().seconds + 360
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([1.0], [24.0])


async def test_list_that_failed_is_tried_again_when_it_would_have_been(watched: Watched) -> None:
    one = await watched.site.claim("issues")
    await watched.site.report(one, status="failed", reason="forbidden", error="403")
    await watched.set_clock_back(YEAR)
    assert await watched.ahead(SWEEP) == [24.0]


async def test_cron_goes_by_the_clock_as_it_is_now(watched: Watched) -> None:
    cron = Schedule(cron=lambda now: now + 2 * HOUR, sweep_every=24 * HOUR)
    watched.site.schedule = cron
    watched.care = replace(watched.care, schedule=cron)
    await watched.site.visit("issues", watermark=1)
    await watched.set_clock_back(YEAR)
    assert (await watched.ahead(DUE), await watched.ahead(SWEEP)) == ([2.0], [24.0])


async def test_job_that_waits_is_tried_when_it_would_have_been(watched: Watched) -> None:
    one = await watched.site.claim("issues")
    limited = {"reason": "rate_limited", "retryable": True, "retry_after_seconds": 3600.0}
    await watched.site.report(one, status="failed", error="429", **limited)
    await watched.site.db.write(
        lambda c: quiet.put_off(c, "http://g", 2**41, "quiet hours until tomorrow")
    )
    await watched.set_clock_back(24)
    after = "SELECT run_after FROM job WHERE resource IN ('issues', 'milestones') ORDER BY resource"
    assert await watched.ahead(after) == [1.0, None]


async def test_lease_of_a_crawler_that_never_comes_back_ends(watched: Watched) -> None:
    """And of one that comes back it does not end for that."""
    one = await watched.site.claim("issues")
    await watched.set_clock_back(YEAR)
    expires = "SELECT lease_expires_at FROM job WHERE state = 'running'"
    assert await watched.ahead(expires) == [1.0]
    await watched.site.db.write(lambda c: leases.renew(c, "a", [(one.job_id, one.fence)], 60))
    await watched.care.tick()
    assert await watched.ahead(expires) == [0.0]


async def test_wait_that_no_gitlab_asks_for_is_forgotten_at_a_start(watched: Watched) -> None:
    db = watched.site.db
    now = await db.read(care.now_ms)
    far, near = now + YEAR * HOUR, now + HOUR
    await db.write(lambda c: budgets.keep(c, [(1, "rest", 600, far), (1, "graphql", None, near)]))
    budget = Budget()
    await grants.restore(budget, db)
    pots = {class_: budget.pot((1, class_)) for class_ in ("rest", "graphql")}
    assert {class_: Learned(one.limit, one.not_before) for class_, one in pots.items()} == {
        "rest": Learned(600, 0),
        "graphql": Learned(None, near),
    }
