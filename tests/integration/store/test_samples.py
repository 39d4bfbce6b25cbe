"""Samples fold into hours and days, and go when they are old; days stay."""

from labtrawl.domain.sample import DAY_MS, HOUR_MS, MINUTE_MS, Figures, Grain, Sample
from labtrawl.domain.traffic import Traffic
from labtrawl.store import samples
from labtrawl.store.engine import Connection, Database
from tests.integration.store.table import store

MIDNIGHT = 20_000 * DAY_MS


def figures(requests: int) -> Figures:
    traffic = Traffic(requests, 0, 0, 10, {3: requests})
    return Figures(60.0, {"requests": requests}, {"issues": 1}, {"graphql": traffic}, {"jobs": 2.0})


def read(connection: Connection, grain: Grain) -> list[Sample]:
    return list(samples.read(connection, grain, 0, MIDNIGHT * 2))


async def test_sample_is_read_as_it_was_written_and_a_second_of_its_minute_is_added(
    database: Database,
) -> None:
    async with store(database) as db:
        await db.write(lambda c: samples.write(c, MIDNIGHT, figures(3)))
        assert await db.read(lambda c: read(c, Grain.MINUTE)) == [Sample(MIDNIGHT, figures(3))]
        await db.write(lambda c: samples.write(c, MIDNIGHT, figures(4)))
        (both,) = await db.read(lambda c: read(c, Grain.MINUTE))
        assert both.figures == Figures(
            120.0,
            {"requests": 7},
            {"issues": 2},
            {"graphql": Traffic(7, 0, 0, 20, {3: 7})},
            {"jobs": 2.0},
        )


async def test_hours_and_days_are_made_as_they_end_and_old_samples_go(database: Database) -> None:
    hours = [0, 1, 2, 30, 55, 200 * 24]

    def fill(connection: Connection) -> None:
        for hour in hours:
            samples.write(connection, MIDNIGHT + hour * HOUR_MS, figures(1))
            samples.write(connection, MIDNIGHT + hour * HOUR_MS + MINUTE_MS, figures(1))

    async with store(database) as db:
        await db.write(fill)
        last = MIDNIGHT + hours[-1] * HOUR_MS
        kept = await db.read(lambda c: {grain: read(c, grain) for grain in Grain})
        assert [one.at for one in kept[Grain.MINUTE]] == [last, last + MINUTE_MS]
        assert kept[Grain.HOUR] == []  # older than 90 days; the last has not ended
        counted = [(one.at, one.figures.counts["requests"]) for one in kept[Grain.DAY]]
        assert counted == [(MIDNIGHT, 6), (MIDNIGHT + DAY_MS, 2), (MIDNIGHT + 2 * DAY_MS, 2)]


async def test_what_has_not_ended_is_read_from_what_it_will_be_made_of(database: Database) -> None:
    begins = (0, HOUR_MS, HOUR_MS + MINUTE_MS)

    def fill(connection: Connection) -> None:
        for begin in begins:
            samples.write(connection, MIDNIGHT + begin, figures(1))

    async with store(database) as db:
        await db.write(fill)
        found = await db.read(
            lambda c: samples.read_up_to_now(c, Grain.HOUR, MIDNIGHT, MIDNIGHT + DAY_MS)
        )
        assert [one.at - MIDNIGHT for one in found] == list(begins)
        assert len(await db.read(lambda c: read(c, Grain.HOUR))) == 1
