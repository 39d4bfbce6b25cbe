"""What was learned of limits, on both databases."""

from labtrawl.store import budgets
from labtrawl.store.engine import Database
from tests.integration.store.table import account, store


async def test_what_was_learned_is_kept_and_the_newer_replaces_it(database: Database) -> None:
    async with store(database) as db:
        first = await db.write(lambda c: account(c, 1))
        second = await db.write(lambda c: account(c, 2))
        await db.write(
            lambda c: budgets.keep(c, [(first, "rest", 600, 0), (second, "rest", None, 2**41)])
        )
        await db.write(lambda c: budgets.keep(c, [(first, "rest", 2000, 2**41)]))
        assert sorted(await db.read(budgets.load)) == [
            (first, "rest", 2000, 2**41),
            (second, "rest", None, 2**41),
        ]


async def test_account_is_of_an_instance_or_unknown(database: Database) -> None:
    async with store(database) as db:
        first = await db.write(lambda c: account(c, 1))
        found = [await db.read(lambda c, n=n: budgets.instance_of(c, n)) for n in (first, 99)]  # type: ignore[misc]
        assert found == ["http://gitlab", None]
