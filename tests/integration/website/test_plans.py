"""How the database answers the pages: by an index, never by a walk over all jobs."""

import asyncio
import dataclasses
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import HoldReason, JobState
from labtrawl.store.engine import Database, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.pages import areas, coverage, job, jobs, live, mine, outlook, overview, records
from labtrawl.store.pages import walks as walks_of
from labtrawl.store.pages.keyset import Place
from tests.integration.store import table
from tests.integration.website import world

PLACES: tuple[Place[int], ...] = (Place(), Place(after=40), Place(before=40))
IN_TREE: tuple[Place[areas.AreaKey], ...] = (
    Place(),
    Place(after=areas.AreaKey("kelp", 11)),
    Place(before=areas.AreaKey("kelp", 11)),
)


@contextmanager
def noting(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Note every statement with its arguments."""
    noted: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, arguments: Any, *_: Any) -> None:
        noted.append((statement, arguments))

    event.listen(connection, "before_cursor_execute", note)
    yield noted
    event.remove(connection, "before_cursor_execute", note)


def walks(connection: Connection, noted: list[tuple[str, Any]], table: str) -> list[str]:
    """The statements that walk over a whole table, whatever they use for it."""
    found = []
    for statement, arguments in noted:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", arguments).all()
        steps = own_steps([row[3] for row in plan])
        if any(f"SCAN {table}" in step and "LIMIT" not in statement for step in steps):
            found.append(f"{statement}\n{steps}")
        if any(f"SCAN {table}" == step.strip() for step in steps):
            found.append(f"{statement}\n{steps}")
    return found


PARTS: tuple[dict[str, Any], ...] = (
    {"resource": "issues"},
    {"area": "kelp"},
    {"kind": AreaKind.GROUP},
    {"account": 1},
    {"hold": HoldReason.DISK},
    {"error": "forbidden"},
    {"message": "403"},
)


def every_filter() -> list[walks_of.JobFilter]:
    """Each state, or any, with up to two other parts of a filter, in each order offered for it."""
    found = []
    pairs = [({}, {}), *((part, {}) for part in PARTS), *itertools.combinations(PARTS, 2)]
    for (one, other), state in itertools.product(pairs, (None, *JobState)):
        rest = walks_of.JobFilter(**(one | other))
        if walks_of.implied_state(rest) in {None, state}:
            wanted = dataclasses.replace(rest, state=state)
            orders = walks_of.offered(wanted)
            found += [dataclasses.replace(wanted, order=order) for order in orders]
    return found


def statements(walk: walks_of.Walk) -> Iterator[walks_of.Piece]:
    """Every statement that a page, at its beginning or deep in, goes along keys with."""
    asked = walks_of.ASKED_OF if walk.aside else ""
    for at, is_back in ((walk.start, False), ((5, 40), False), ((5, 40), True)):
        yield walk.keys(at, is_back, 50, asked)


def plan_of(connection: Connection, piece: walks_of.Piece) -> list[str]:
    """How the database would answer, a line each; of PostgreSQL as if there were many rows."""
    is_sqlite = connection.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    rows = connection.exec_driver_sql(f"{explain} {piece.text}", piece.arguments).all()
    return own_steps([row[3] if is_sqlite else row[0] for row in rows])


def own_steps(steps: list[str]) -> list[str]:
    """The steps without one "SCAN job" for each query within that is called so: that reads its rows."""
    for _ in range(steps.count("CO-ROUTINE job")):
        steps.remove("SCAN job")
    return steps


# How a plan says that it reads jobs, on either database.
READ = re.compile(r"\b(SCAN|SEARCH|on) job\b")


def is_search(plan: list[str]) -> bool:
    """Whether jobs come from an index alone."""
    steps = [step for step in plan if READ.search(step)]
    return bool(steps) and all("SEARCH job" in step or "Index" in step for step in steps)


def is_sort(plan: list[str]) -> bool:
    """Whether keys are put in order; those of one key, which few have, come incrementally."""
    return any("TEMP B-TREE" in step or step.strip(" ->").startswith("Sort  (") for step in plan)


def faults(connection: Connection, wanted: walks_of.JobFilter) -> dict[str, list[str]]:
    """The statements of a filter that read all jobs, or sort what is not few, with their plans."""
    walk = walks_of.walk_of(wanted, walks_of.narrow(connection, wanted))
    keys = {each.text: plan_of(connection, each) for each in statements(walk)}
    found = {text: plan for text, plan in keys.items() if is_sort(plan) and not walk.sorts}
    if wanted.order is walks_of.Order.NEWEST:
        keys |= {each.text: plan_of(connection, each) for each in [walk.count(50)]}
    return found | {text: plan for text, plan in keys.items() if not is_search(plan)}


@pytest.mark.parametrize(("few_areas", "analysed"), [(500, False), (3, True)])
async def test_list_of_jobs_in_any_order_searches_an_index_by_any_filter(
    database: Database, monkeypatch: pytest.MonkeyPatch, few_areas: int, analysed: bool
) -> None:
    monkeypatch.setattr(walks_of, "AREAS", few_areas)

    def look(connection: Connection) -> dict[str, list[str]]:
        if connection.dialect.name != "sqlite":
            # Few rows are read whole by a planner that is right to: these have to be many.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        found: dict[str, list[str]] = {}
        for wanted in every_filter():
            found |= faults(connection, wanted)
        return found

    async with table.store(database) as opened:
        await opened.write(world.build)
        if analysed:
            await opened.write(lambda c: c.exec_driver_sql("ANALYZE"))
        assert await opened.read(look) == {}


@pytest.mark.parametrize("few_areas", [500, 3])
async def test_facets_and_choices_search_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_areas: int
) -> None:
    monkeypatch.setattr(walks_of, "AREAS", few_areas)

    def look(connection: Connection) -> list[str]:
        with noting(connection) as noted:
            for wanted in every_filter()[::3]:
                jobs.list_jobs(connection, wanted, Place(), 50)
                jobs.facets(connection, wanted)
            jobs.choices(connection)
        return walks(connection, noted, "job")

    assert await planned(tmp_path, look) == []


async def test_live_update_and_detail_search_an_index(tmp_path: Path) -> None:
    def look(connection: Connection) -> list[str]:
        with noting(connection) as noted:
            for place in PLACES:
                job.job_detail(connection, 1, place)
                views = (live.JobView(1, place), live.JobsView(jobs.JobFilter(), (1, 2), True))
                live.read(connection, views, 3)
            overview.now(connection, 0)
            areas.area_detail(connection, 5)
            outlook.outlook(connection, {"issue_notes": "issues"}, 10**12)
            outlook.part(connection, 5, {"issue_notes": "issues"})
        return walks(connection, noted, "job")

    assert await planned(tmp_path, look) == []


async def test_tree_pages_search_an_index(tmp_path: Path) -> None:
    def look(connection: Connection) -> list[str]:
        with noting(connection) as noted:
            for place in IN_TREE:
                areas.list_areas(connection, areas.AreaFilter(), place)
                coverage.coverage(connection, areas.AreaFilter(), place)
        sorts = [
            statement
            for statement, arguments in noted
            if "ORDER BY replace" in statement
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", arguments)
            if "TEMP B-TREE" in row[3]
        ]
        return [*walks(connection, noted, "job"), *walks(connection, noted, "ledger"), *sorts]

    assert await planned(tmp_path, look) == []


async def test_own_pages_search_an_index(tmp_path: Path) -> None:
    key = records.ListKey(30, "issues")

    def look(connection: Connection) -> list[str]:
        with noting(connection) as noted:
            mine.my_areas(connection, 1)
            mine.my_figures(connection, 1)
            mine.my_place(connection, 1, 5)
            mine.my_sum(connection, 1)
            outlook.parts(connection, 1, {"issue_notes": "issues"})
            for reach in (
                records.Reach(1),
                records.Reach(1, 30, "issues"),
                records.Reach(None, 30),
            ):
                records.path_of(connection, reach)
                records.stored(connection, reach)
                for since, backwards in ((None, False), (key, False), (key, True)):
                    records.lists(connection, reach, since, backwards=backwards)
                list(records.walk_back(connection, reach, key, 10**6))
        tables = ("job", "ledger", "segment", "area", "area_access")
        return [each for table in tables for each in walks(connection, noted, table)]

    assert await planned(tmp_path, look) == []


async def planned(tmp_path: Path, look: Any) -> list[str]:
    path = tmp_path / "labtrawl.sqlite"
    await asyncio.to_thread(migrate, path)
    async with open_store(path) as store:
        await store.write(world.build)
        found: list[str] = await store.read(look)
        return found
