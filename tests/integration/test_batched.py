"""Lists of items by GraphQL over real sockets: the same as by REST, at a fraction of the requests."""

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labtrawl.clock import system_clock
from labtrawl.crawler import nested
from labtrawl.crawler.batched import batches, timelogs
from labtrawl.crawler.cursor import Cursor, decode_cursor
from labtrawl.crawler.reader import Reader
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.visit import Schedule
from labtrawl.errors import GitLabError
from labtrawl.gitlab.catalog import find, version_of
from labtrawl.gitlab.client import GitLab
from labtrawl.gitlab.graphql_pace import Learnt
from labtrawl.gitlab.graphql_plans import NAMES, edition_of, plan_of
from labtrawl.http import Http, Limits, Origin, open_http
from labtrawl.sandbox import Fault, Options, World, build_world, running
from labtrawl.sandbox.model import Issue, MergeRequest, Project
from labtrawl.store import manifest
from tests.rig.crawl import rig

GRAPHQL, REST = "/api/graphql", "/api/v4"
SIZES = {
    "issues": 150,
    "merge_requests": 70,
    "notes": 300,
    "commits": 300,
    "pipelines": 120,
    "ci_jobs": 240,
    "events": 200,
}
# What REST of the sandbox does not tell either.
_NOT_HERE = {"attachment", "suggestions", "line_range", "commit_id", "extended_trailers"}
# Notes of the older schema do not say whether they were imported.
_OLD = {"imported", "imported_from"}
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}(Z|\+00:00)")


@dataclass(slots=True)
class Read:
    """What a reading gave: bodies by id, rows that came twice, the last cursor, or the error."""

    rows: dict[int | str, Any] = field(default_factory=dict)
    twice: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox that is served, and what this process knows of it."""

    http: Http
    world: World
    version: str
    learnt: Learnt = field(default_factory=Learnt)

    def reader(self, name: str, project: Project, since: datetime | None = None) -> Reader:
        resource = find("project", name)
        assert resource is not None
        gitlab = GitLab(
            self.http,
            lambda: Secret(self.world.accounts[0].token),
            system_clock(),
            RetryPolicy(4, 0.001, 0.002),
            random.random,
        )
        version = version_of(self.version)
        return Reader(
            gitlab, resource, project.id, self.version, version, since, learnt=self.learnt
        )

    async def read(self, reader: Reader, cursor: Cursor | None = None) -> Read:
        return await _taken(batches(reader, cursor or Cursor()))


async def _taken(found: AsyncIterator[Any]) -> Read:
    read = Read()
    try:
        async for batch in found:
            for record in batch.records:
                read.twice += record.id in read.rows
                read.rows[record.id] = json.loads(bytes(record.body))
            read.cursor = batch.cursor
    except GitLabError as error:
        read.error = type(error).__name__
    return read


@asynccontextmanager
async def _served(world: World, **options: Any) -> AsyncIterator[Place]:
    told = Options(**options)
    async with running(world, told) as server:
        origin = Origin(server.url, address_allow=("127.0.0.1",))
        async with open_http(origin, Limits(), "labtrawl/test") as http:
            yield Place(http, world, told.version)


@pytest.fixture(scope="module")
def world() -> World:
    """All special cases of projects: private, archived, features off, roles."""
    return build_world("default", 5, SIZES)


@pytest.fixture(scope="module")
def many() -> World:
    """One project with a thousand issues that have five notes each."""
    return build_world("w2")


@pytest.fixture(scope="module")
def some() -> World:
    """A fifth of them."""
    return build_world("w2@0.2")


def _without(rest: Any, graph: Any, absent: Counter[str]) -> Any:
    """A body of REST as far as GraphQL's has it; what is left out is counted."""
    if isinstance(rest, dict) and isinstance(graph, dict):
        absent.update(rest.keys() - graph.keys())
        return {
            key: _without(value, graph[key], absent) for key, value in rest.items() if key in graph
        }
    if isinstance(rest, list) and isinstance(graph, list) and len(rest) == len(graph):
        return [_without(one, other, absent) for one, other in zip(rest, graph, strict=True)]
    if isinstance(rest, str) and _INSTANT.fullmatch(rest):
        return _INSTANT.sub(r"\1Z", rest)
    return rest


def _assert_same(rest: Any, graph: Any, absent: Counter[str]) -> None:
    """Both bodies are equal, but for what one of the two does not know."""
    assert graph.keys() <= rest.keys()
    assert _without(graph, graph, Counter()) == _without(rest, graph, absent)


@pytest.mark.parametrize(("version", "enterprise"), [("18.5.0", False), ("16.2.0-ee", True)])
@pytest.mark.parametrize("name", NAMES)
async def test_by_graphql_and_by_rest_are_the_same(
    world: World, name: str, version: str, enterprise: bool
) -> None:
    plan = plan_of(name, edition_of(version, version_of(version)))
    absent: Counter[str] = Counter()
    saved = rows = 0
    async with _served(world, version=version, enterprise=enterprise) as place:
        for project in world.projects:
            by_rest, by_graphql = place.reader(name, project), place.reader(name, project)
            expected = await _taken(nested.batches(by_rest, Cursor()))
            found = await place.read(by_graphql)
            assert (found.rows.keys(), found.error) == (expected.rows.keys(), expected.error)
            assert (found.twice, found.cursor.gone) == (0, 0)
            for id_, body in found.rows.items():
                _assert_same(expected.rows[id_], body, absent)
            rows += len(found.rows)
            saved += by_rest.gitlab.tally.requests - by_graphql.gitlab.tally.requests
        assert name not in place.learnt.refused
    assert rows > 30
    old = _OLD if version.startswith("16") and name.endswith("discussions") else set()
    lacks = set(plan.lacks) if plan else set()
    assert absent.keys() | (lacks & _NOT_HERE) == lacks | old
    # A row of a list of merge requests shows its reviewers, so REST asks for no more.
    assert saved > 0 or plan is None or name == "merge_request_reviewers"


async def test_time_logs_are_those_of_the_world(world: World) -> None:
    async with _served(world, version="18.5.0", enterprise=False) as place:
        found: set[int | str] = set()
        refused = 0
        for project in world.projects:
            read = await _taken(timelogs(place.reader("timelogs", project), Cursor()))
            refused += read.error == "NotByGraphQL"
            items: list[Issue | MergeRequest] = [*project.issues, *project.merge_requests]
            expected = {log.id for item in items for log in item.timelogs}
            if not read.error:
                assert read.rows.keys() == expected
            found |= read.rows.keys()
    assert len(found) > 1000
    assert 0 < refused < len(world.projects) / 2


@pytest.mark.parametrize("graphql", [True, False])
async def test_crawl_reads_by_graphql_unless_it_is_switched_off(
    tmp_path: Path, graphql: bool
) -> None:
    world = build_world("w2@0.02")
    async with running(world, Options()) as server, rig(tmp_path, server.url) as website:
        website.graphql = graphql
        await website.plan(world)
        async with website.crawler():
            await website.finished()
        rows = await website.store.read(manifest.segments)
    ways = {
        GRAPHQL if GRAPHQL in record.request else REST
        for row in rows
        for record in read_segment(dataset_root(tmp_path), row)
        if row.resource == "issue_discussions"
    }
    assert ways == {GRAPHQL if graphql else REST}


async def test_what_graphql_told_before_it_failed_is_not_counted_twice(tmp_path: Path) -> None:
    world = build_world("w2@0.05")
    there = {note.discussion_id for issue in world.projects[0].issues for note in issue.notes}
    fault = Fault(path=GRAPHQL, kind="403", skip=1, times=0)
    counted = "SELECT collected FROM ledger WHERE resource = 'issue_discussions'"
    only = Schedule(resources=("issue_discussions",))
    async with (
        running(world, Options(faults=(fault,))) as server,
        rig(tmp_path, server.url, schedule=only) as website,
    ):
        await website.plan(world)
        async with website.crawler():
            await website.finished()
        rows = await website.store.read(manifest.segments)
        collected = await website.store.read(lambda c: c.exec_driver_sql(counted).scalar_one())
    records = [record for row in rows for record in read_segment(dataset_root(tmp_path), row)]
    assert {GRAPHQL in record.request for record in records} == {True, False}
    assert ({record.id for record in records}, collected) == (there, len(there))


async def test_thousand_issues_with_five_notes_in_a_tenth_of_the_requests(many: World) -> None:
    async with _served(many) as place:
        reader = place.reader("issue_discussions", many.projects[0])
        read = await place.read(reader)
    assert sum(len(body["notes"]) for body in read.rows.values()) == 5000
    assert reader.gitlab.tally.requests <= 101
    assert (read.cursor.seen, read.cursor.gone, read.cursor.ended) == (1000, 0, True)


async def test_reading_that_stops_anywhere_goes_on_there(some: World) -> None:
    project = some.projects[0]
    async with _served(some) as place:
        whole = await place.read(place.reader("issue_discussions", project))
        before: set[Any] = set()
        found = batches(place.reader("issue_discussions", project), Cursor())
        async for batch in found:
            before |= {record.id for record in batch.records}
            cursor = decode_cursor(batch.cursor.encode())
            rest = await place.read(place.reader("issue_discussions", project), cursor)
            assert before | rest.rows.keys() == whole.rows.keys()
            assert not before & rest.rows.keys()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=GRAPHQL, kind="graphql_timeout", every=3, times=0),
        Fault(path=GRAPHQL, kind="graphql_timeout", field="Issue.discussions", every=2, times=0),
        Fault(path=GRAPHQL, kind="graphql_nulls", every=3, times=0),
        Fault(path=GRAPHQL, kind="graphql_cancelled", every=2, times=0),
        Fault(path=GRAPHQL, kind="graphql_no_field", field="Discussion.notes", times=0),
        Fault(path=GRAPHQL, kind="429_http", every=5, times=3, retry_after_seconds=0),
        Fault(path=GRAPHQL, kind="429_app", every=5, times=3, retry_after_seconds=0),
        Fault(path=GRAPHQL, kind="500", every=3, times=0),
        Fault(path=GRAPHQL, kind="502_html", every=3, times=0),
        Fault(path=GRAPHQL, kind="truncate", every=3, times=0),
        Fault(path=GRAPHQL, kind="html200", every=3, times=0),
        Fault(path=GRAPHQL, kind="wrong_type", every=3, times=0),
        Fault(path=GRAPHQL, kind="reset", every=3, times=0),
        Fault(path=GRAPHQL, kind="403", times=0),
        Fault(path=GRAPHQL, kind="404", times=0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.field}",
)
async def test_whatever_graphql_answers_nothing_is_lost(some: World, fault: Fault) -> None:
    project = some.projects[0]
    truth: set[int | str] = {note.discussion_id for issue in project.issues for note in issue.notes}
    async with _served(some, faults=(fault,)) as place:
        read = await place.read(place.reader("issue_discussions", project))
    assert (read.error, set(read.rows), read.cursor.ended) == ("", truth, True)


async def test_gitlab_that_is_slow_gets_smaller_blocks(many: World) -> None:
    """Each node costs so much that a block of fifty takes longer than GitLab gives."""
    project = many.projects[0]
    async with _served(many, graphql_node_ms=0.05, graphql_timeout_seconds=0.02) as place:
        reader = place.reader("issue_discussions", project)
        read = await place.read(reader)
    assert (read.error, len(read.rows)) == ("", 5000)
    assert reader.gitlab.tally.requests < 500


@pytest.mark.parametrize("version", ["18.5.0", "16.2.0-ee"])
@pytest.mark.parametrize("name", ["issue_discussions", "issue_award_emoji"])
async def test_visit_of_changes_is_the_same_by_both(world: World, name: str, version: str) -> None:
    project = max(world.projects, key=lambda one: len(one.issues))
    changed = sorted(issue.updated_at for issue in project.issues)
    since = datetime.fromisoformat(changed[len(changed) * 2 // 3]).astimezone(UTC)
    async with _served(world, version=version, enterprise="ee" in version) as place:
        by_rest = place.reader(name, project, since)
        expected = await _taken(nested.batches(by_rest, Cursor()))
        by_graphql = place.reader(name, project, since)
        found = await place.read(by_graphql)
        whole = await place.read(place.reader(name, project))
    assert found.rows.keys() == expected.rows.keys()
    assert 0 < len(found.rows) < len(whole.rows)
    assert by_graphql.gitlab.tally.requests <= by_rest.gitlab.tally.requests
