"""Sweeps by ids find what sweeps by whole lists find, with a fraction of the requests."""

import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.graphql_plans import IDS
from labtrawl.sandbox import Add, Edit, Fault, Remove, build_world
from labtrawl.sandbox.changes import Change
from labtrawl.store import visits
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import Crawl, Key, crawl
from tests.rig.compare import expected_items

NAMES = ("project", *IDS)
SCHEDULE = Schedule(resources=NAMES)
SIZES = {"projects": 3, "issues": 40, "merge_requests": 20, "pipelines": 24, "notes": 20}
WORLD = build_world("small", 6, SIZES)
LATE = "2026-11-21T10:00:00Z"


def _sweep_all(connection: Connection) -> None:
    """Let the sweeps of all lists be due, and nothing else."""
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = NULL")
    visits.open_due(connection, SCHEDULE, 1000)


def _changes() -> list[Change]:
    """What may happen to the lists, each thing once; what is late has a date long before."""
    found: list[Change] = []
    for project in WORLD.projects:
        issue, request = project.issues[-1], project.merge_requests[-1]
        said = {"title": "late"}
        found += [
            Add(what="issue", project=project.id, fields=said),
            Add(what="issue", project=project.id, fields={"title": "dated"}, at=LATE),
            Edit(what="issue", project=project.id, key=issue.iid, fields=said),
            Remove(what="issue", project=project.id, key=project.issues[0].iid),
            Add(what="merge_request", project=project.id, fields=said),
            Edit(what="merge_request", project=project.id, key=request.iid, fields=said),
            Remove(what="merge_request", project=project.id, key=project.merge_requests[0].iid),
            Remove(what="pipeline", project=project.id, key=project.pipelines[0].id),
        ]
    return found


CHANGES = _changes()


def _truth(one: Crawl) -> dict[Key, object]:
    return {k: b for k, b in expected_items(one.server.truth()).items() if k[2] in NAMES}


async def _swept(
    folder: Path, *rounds: list[Change], graphql: bool, faults: tuple[Fault, ...] = ()
) -> tuple[dict[Key, object], dict[Key, object], list[Counter[str]]]:
    """Crawl, then change and sweep in turn: what is known, what is true, what each sweep asked."""
    asked = []
    async with crawl(folder, *faults, world=WORLD, schedule=SCHEDULE) as one:
        one.site.graphql = graphql
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            for changes in rounds:
                one.server.change(*changes)
                await one.control("DELETE", "requests")
                await one.site.store.write(_sweep_all)
                await one.site.finished(30)
                asked.append(await one.asked())
        return await one.now(), _truth(one), asked


def _lists(asked: Counter[str]) -> int:
    """The requests for lists of projects, whole or by ids."""
    return sum(
        n for name, n in asked.items() if name == "graphql" or name.startswith("projects/:id/")
    )


async def test_sweep_of_lists_that_did_not_change_asks_for_their_ids_alone(tmp_path: Path) -> None:
    _, _, whole = await _swept(tmp_path / "whole", [], graphql=False)
    found, truth, by_ids = await _swept(tmp_path / "ids", [], graphql=True)
    lists = len(WORLD.projects) * len(IDS)
    assert found == truth
    assert _lists(whole[0]) >= lists
    assert [name for name in by_ids[0] if name.startswith("projects/:id/")] == []
    # Fewer where they wait for one another (tests/unit/gitlab/test_graphql_ids.py).
    assert by_ids[0]["graphql"] <= lists


async def test_sweep_reads_no_list_but_the_changed_one_and_finds_what_is_gone(
    tmp_path: Path,
) -> None:
    project = WORLD.projects[0]
    gone = Remove(what="issue", project=project.id, key=project.issues[0].iid)
    found, truth, asked = await _swept(tmp_path, [gone], graphql=True)
    assert found == truth
    # What one reading misses a second one has to miss too.
    assert {n: c for n, c in asked[0].items() if n.startswith("projects/:id/")} == {
        "projects/:id/issues": 2
    }


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, len(CHANGES) - 1), max_size=5, unique=True),
    st.lists(st.integers(0, len(CHANGES) - 1), max_size=3, unique=True),
)
def test_sweeps_by_ids_end_where_sweeps_of_whole_lists_do(
    first: list[int], then: list[int]
) -> None:
    rounds = [[CHANGES[at] for at in first], [CHANGES[at] for at in then if at not in first]]
    with TemporaryDirectory() as folder:
        known = [
            asyncio.run(_swept(Path(folder) / str(graphql), *rounds, graphql=graphql))[:2]
            for graphql in (True, False)
        ]
    assert [sorted(found) for found, _ in known] == [sorted(truth) for _, truth in known]
    assert [found for found, _ in known] == [truth for _, truth in known]


@pytest.mark.parametrize("kind", ["graphql_timeout", "graphql_cancelled", "500"])
async def test_sweep_whose_ids_fail_reads_whole_lists_and_buries_nothing(
    tmp_path: Path, kind: Any
) -> None:
    fault = Fault(path="operationName=ids", kind=kind, field="Project.issues", times=0)
    found, truth, asked = await _swept(tmp_path, [], graphql=True, faults=(fault,))
    assert found == truth
    assert asked[0]["projects/:id/issues"] >= len(WORLD.projects)


async def test_lists_that_ids_show_as_null_are_read_whole_and_nothing_is_buried(
    tmp_path: Path,
) -> None:
    fault = Fault(path="operationName=ids", kind="graphql_nulls", field="Project.issues", times=0)
    found, truth, _ = await _swept(tmp_path, [], graphql=True, faults=(fault,))
    assert found == truth
