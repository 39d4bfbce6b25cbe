"""A clock that leaps ends no lease early: who renews in time keeps what it has in hand."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labtrawl.clock import Clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.store import leases
from labtrawl.store.engine import Connection, Database
from tests.integration.dispatch.visits import Site
from tests.integration.store.table import RETRY, rows, store

LEASE_MS, MINUTES, DAY = 60_000, 600, 86_400


@dataclass(slots=True)
class Steady:
    """What the website measures time with beside the database's clock."""

    seconds: float = 1_000_000.0

    def clock(self) -> Clock:
        async def no_sleep(_seconds: float) -> None:
            return None

        return Clock(lambda: datetime.now(UTC), lambda: self.seconds, no_sleep)


def _leap(connection: Connection, seconds: int) -> None:
    """Let the database's clock seem to have leapt by so much: all that it wrote is so much older."""
    connection.exec_driver_sql(
        f"UPDATE job SET lease_expires_at = lease_expires_at - {seconds * 1000}"
    )


@pytest.mark.parametrize("leap", [MINUTES, DAY, -MINUTES, -DAY])
async def test_clock_that_leaps_takes_no_lease_away(
    tmp_path: Path, database: Database, leap: int
) -> None:
    async with store(database) as db:
        steady, site = Steady(), Site(db)
        care = Leasing(db, RETRY, steady.clock(), LocalDisk(), tmp_path, lambda: 1 << 40)
        await site.begin()
        one = await site.claim("discovery")
        await care.tick()
        # The steady clock did not leap along.
        await db.write(lambda c: _leap(c, leap))
        steady.seconds -= leap
        for _ in range(2):
            await care.tick()
        assert await _held(site) == [(one.job_id, one.fence)]
        await db.write(lambda c: leases.renew(c, "a", [(one.job_id, one.fence)], LEASE_MS / 1000))
        await care.tick()
        assert await _held(site) == [(one.job_id, one.fence)]


async def test_lease_that_ran_out_is_taken_away_whatever_leapt_before(
    tmp_path: Path, database: Database
) -> None:
    async with store(database) as db:
        steady, site = Steady(), Site(db)
        care = Leasing(db, RETRY, steady.clock(), LocalDisk(), tmp_path, lambda: 1 << 40)
        await site.begin()
        await site.claim("discovery")
        await care.tick()
        await db.write(lambda c: _leap(c, DAY))
        steady.seconds -= DAY
        await care.tick()
        # Then the time of the lease goes by for both clocks.
        await db.write(lambda c: _leap(c, MINUTES))
        await care.tick()
        assert await _held(site) == []


async def _held(site: Site) -> list[tuple[object, ...]]:
    return await site.db.read(
        lambda c: rows(c, "SELECT id, fence FROM job WHERE state = 'running'")
    )
