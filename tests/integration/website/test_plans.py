"""How the database answers the pages: by an index, never by a walk over all jobs."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from labtrawl.domain.area import AreaKind
from labtrawl.domain.job import JobState
from labtrawl.store.engine import open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.pages import areas, coverage, job, jobs, live, mine, outlook, overview, records
from labtrawl.store.pages.keyset import Place
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
        steps = [row[3] for row in plan]
        if any(f"SCAN {table}" in step and "LIMIT" not in statement for step in steps):
            found.append(f"{statement}\n{steps}")
        if any(f"SCAN {table}" == step.strip() for step in steps):
            found.append(f"{statement}\n{steps}")
    return found


def every_filter() -> list[jobs.JobFilter]:
    return [
        jobs.JobFilter(*choice)
        for choice in itertools.product(
            (None, JobState.FAILED, JobState.QUEUED),
            ("", "issues"),
            ("", "kelp", "e"),
            (None, AreaKind.GROUP, AreaKind.PROJECT),
        )
    ]


@pytest.mark.parametrize("few_areas", [500, 3])
async def test_list_of_jobs_by_any_filter_searches_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_areas: int
) -> None:
    monkeypatch.setattr(jobs, "AREAS", few_areas)

    def look(connection: Connection) -> list[str]:
        with noting(connection) as noted:
            for wanted, place in itertools.product(every_filter(), PLACES):
                jobs.list_jobs(connection, wanted, place)
            for wanted in every_filter():
                jobs.facets(connection, wanted)
                jobs.first_ids(connection, wanted)
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
