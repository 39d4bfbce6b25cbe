"""Lists with a gap that nobody can explain, on both databases: every count and page has them."""

from labtrawl.store import care, gaps, ledger
from labtrawl.store.engine import Connection, Database
from labtrawl.store.pages import overview
from labtrawl.store.pages.areas import AreaFilter, list_areas
from labtrawl.store.pages.coverage import coverage
from labtrawl.store.pages.keyset import Place
from labtrawl.store.pages.mine import my_figures, my_place
from tests.integration.store.table import account, area, job, store


def plan(connection: Connection) -> tuple[int, int]:
    """An account's project with a list for each case; return both."""
    account_id = account(connection, 1)
    area_id = area(connection, 7, {account_id: 30})
    for resource in ("issues", "labels", "commits", "events"):
        job(connection, area_id, resource)
    ledger.open_row(connection, area_id, "tags", None)
    states = (
        "expected = 3, collected = 2, completed_at = 1 WHERE resource = 'issues'",
        "expected = 3, collected = 3, completed_at = 1 WHERE resource = 'labels'",
        "reason = 'forbidden' WHERE resource = 'commits'",
    )
    for each in states:
        connection.exec_driver_sql(f"UPDATE ledger SET {each}")
    return account_id, area_id


async def test_unexplained_list_is_in_every_count_and_line(database: Database) -> None:
    async with store(database) as opened:
        account_id, area_id = await opened.write(plan)
        reasons = {"unexplained": 2, "forbidden": 1}
        assert await opened.read(gaps.by_reason) == reasons
        assert (await opened.read(lambda c: care.week(c, 0))).gaps == reasons
        whole = await opened.read(overview.totals)
        assert (whole.gaps, whole.unexplained) == (3, 2)
        found = await opened.read(lambda c: list_areas(c, AreaFilter("lab"), Place()))
        assert [(each.gaps, each.unexplained) for each in found.rows] == [(3, 2)]
        (line,) = (await opened.read(lambda c: coverage(c, AreaFilter("lab"), Place()))).rows
        marked = {name: cell.is_unexplained for name, cell in line.cells.items()}
        expected = {"commits": False, "events": False, "issues": True, "labels": False}
        assert marked == expected | {"tags": True}
        figures = await opened.read(lambda c: my_figures(c, account_id))
        assert {number: dict(each.gaps) for number, each in figures.items()} == {area_id: reasons}
        place = await opened.read(lambda c: my_place(c, account_id, area_id))
        assert {each.resource: each.is_unexplained for each in place.lines} == marked
