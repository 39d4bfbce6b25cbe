"""Whatever the clock does, nothing that was counted is missing in the samples, or in them twice."""

from random import Random

import pytest

from labtrawl.domain.sample import DAY_MS, HOUR_MS, MINUTE_MS, Figures, Grain
from labtrawl.store import samples
from labtrawl.store.engine import Connection, Database
from tests.integration.store.table import store

pytestmark = pytest.mark.long

BEGIN = 20_000 * DAY_MS + 12 * HOUR_MS
YEAR = 365 * DAY_MS


def _write(connection: Connection, at: int) -> None:
    samples.write(connection, at, Figures(60.0, {"requests": 1}))


def _counted(connection: Connection, grain: Grain, until: int = 2**62) -> int:
    found = samples.read(connection, grain, 0, until)
    return sum(one.figures.counts["requests"] for one in found)


def _hours(begin: int, count: float) -> list[int]:
    return [begin + number * MINUTE_MS for number in range(0, int(count * 60), 10)]


@pytest.mark.parametrize(
    ("ahead", "number"), [(YEAR, 1), (3 * HOUR_MS, 1), (30 * DAY_MS, 3), (-3 * HOUR_MS, 1)]
)
async def test_clock_that_is_set_wrong_for_a_while_loses_no_figures(
    database: Database, ahead: int, number: int
) -> None:
    """Two days in which it is wrong for an hour, each day of them at the same time."""
    wrong = [at for each in range(number) for at in _hours(BEGIN + ahead + each * HOUR_MS, 1)]
    right = _hours(BEGIN - 2 * HOUR_MS, 1.5), _hours(BEGIN + 2 * HOUR_MS, 48)
    written = [*right[0], *wrong, *right[1]]
    last = max(written) + 2 * DAY_MS

    def fill(connection: Connection) -> tuple[int, int]:
        for at in written:
            _write(connection, at)
        now = written[-1]
        before = _counted(connection, Grain.DAY, now - now % DAY_MS)
        _write(connection, last)
        return before, _counted(connection, Grain.DAY)

    async with store(database) as db:
        before, after = await db.write(fill)
    today = written[-1] - written[-1] % DAY_MS
    assert (before, after) == (sum(at < today for at in written), len(written))


@pytest.mark.parametrize("seed", range(6))
async def test_days_hold_what_was_counted_however_the_clock_leaps(
    database: Database, seed: int
) -> None:
    random, now, written = Random(seed), BEGIN, list[int]()
    for _ in range(200):
        leap = random.choice([0, 0, 0, 0, 0, HOUR_MS, DAY_MS, -HOUR_MS, -DAY_MS, -40 * MINUTE_MS])
        now += leap + random.choice([1, 10, 45]) * MINUTE_MS
        written.append(now)
    last = max(written) + 2 * DAY_MS

    def fill(connection: Connection) -> int:
        for at in (*written, last):
            _write(connection, at)
        return _counted(connection, Grain.DAY)

    async with store(database) as db:
        assert await db.write(fill) == len(written)
