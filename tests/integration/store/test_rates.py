"""What may be asked of GitLab, and where the time goes: exact, and found by an index."""

from labtrawl.store import budgets
from labtrawl.store.engine import Connection, Database
from labtrawl.store.pages.rates import SlowArea, limits_per_minute, slowest_areas
from tests.integration.store import table

SECOND = 1000


def worked(connection: Connection, job_id: int, change: int, began: int, ended: int) -> None:
    connection.exec_driver_sql(
        "UPDATE job SET started_at = ?, finished_at = ?, requests = 7, earlier_requests = 2,"
        " change = ? WHERE id = ?",
        (began, ended, change, job_id),
    )


async def test_areas_are_ranked_by_the_time_that_their_jobs_took(database: Database) -> None:
    def fill(connection: Connection) -> None:
        account = table.account(connection, 1)
        for number, seconds in ((1, 5), (2, 20), (3, 0)):
            area = table.area(connection, number, {account: 30})
            for resource in ("issues", "labels"):
                job = table.job(connection, area, resource)
                worked(connection, job, job, 10 * SECOND, (10 + seconds) * SECOND)

    async with table.store(database) as db:
        await db.write(fill)
        found = await db.read(slowest_areas)
        assert found == [
            SlowArea(2, "project", "lab/p2", "p2", 2, 40 * SECOND, 10),
            SlowArea(1, "project", "lab/p1", "p1", 2, 10 * SECOND, 10),
        ]


async def test_limits_are_those_of_each_account_that_is_used(database: Database) -> None:
    def limits(connection: Connection, *accounts: int) -> None:
        budgets.keep(connection, [(account, "rest", 600, 0) for account in accounts])

    async with table.store(database) as db:
        first = await db.write(lambda c: table.account(c, 1))
        assert await db.read(limits_per_minute) == [None]
        await db.write(lambda c: limits(c, first))
        assert await db.read(limits_per_minute) == [600]
        second = await db.write(lambda c: table.account(c, 2))
        assert await db.read(limits_per_minute) == [600, None]
        await db.write(lambda c: limits(c, second))
        assert await db.read(limits_per_minute) == [600, 600]
