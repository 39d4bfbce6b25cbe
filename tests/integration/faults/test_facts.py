"""Facts of GitLab that are easy to get wrong: each has a test, here or elsewhere.

They are those that the fact sheet marks with [!]; the file of GitLab's own that says so stands there.
"""

import ast
from pathlib import Path

import pytest

from labtrawl.crawler import by_ids
from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.gitlab.graphql_plans import IDS
from labtrawl.sandbox import Add, Edit, Remove, build_world
from labtrawl.sandbox.changes import Change
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl
from tests.rig.compare import expected_items

COVERED: dict[str, tuple[str, ...]] = {
    "above 10,000 rows there are no totals": (
        "integration/faults/test_paging.py:test_lists_that_nobody_counts_are_read_to_their_end",
    ),
    "a page with fewer rows is not the last": (
        "integration/test_crawl.py:"
        "test_crawl_with_short_pages_and_links_to_another_host_is_complete",
    ),
    "links name the host that the server believes to have": (
        "integration/faults/test_paging.py:"
        "test_next_page_on_another_host_is_read_here_and_no_token_goes_there",
    ),
    "a limit is told for a minute, what is left of it for its own period": (
        "unit/dispatch/test_budget.py:"
        "test_what_is_left_of_an_hour_is_not_taken_for_a_part_of_the_limit_a_minute",
    ),
    "GraphQL says null for what is forbidden, and gives fewer than it was asked for": (
        "unit/crawler/test_batched.py:test_list_that_is_null_is_not_empty_and_goes_to_rest",
        "unit/crawler/test_batched.py:test_gitlab_that_gives_fewer_at_once_loses_nothing",
    ),
    "lists of issues are one's own, and without archived projects, unless said": (
        "unit/gitlab/test_catalog.py:test_changes_are_asked_for_since_an_instant_in_whole_seconds",
        "integration/sandbox/test_since.py:test_group_of_my_own_issues",
        "integration/sandbox/test_since.py:test_group_leaves_archived_projects_out_unless_asked",
    ),
    "a comment moves its item's date once a minute": (
        "integration/faults/test_facts.py:"
        "test_comment_that_moves_no_date_is_found_by_the_next_visit_for_changes",
    ),
    "much moves no date at all": (
        "integration/faults/test_facts.py:test_change_that_moves_no_date_is_found_by_a_sweep",
        "integration/faults/test_facts.py:"
        "test_change_that_moves_no_date_is_found_where_ids_alone_are_swept",
    ),
    "a renewal ends the old pair at once": (
        "integration/dispatch/test_renewal.py:"
        "test_fifty_needs_of_a_renewal_at_once_are_one_request_each_time",
        "integration/dispatch/test_renewal.py:"
        "test_kill_in_a_renewal_leaves_no_account_dead_in_silence",
    ),
}
NAMES = (
    "labels",
    "milestones",
    "issues",
    "issue_discussions",
    "issue_award_emoji",
    "merge_requests",
    "merge_request_pipelines",
    "pipelines",
    "ci_jobs",
)
WORLD = build_world("default", 2, SIZES)
ONE = next(
    one
    for one in WORLD.projects
    if any(issue.notes for issue in one.issues) and one.pipelines and one.merge_requests
)
ISSUE = next(issue for issue in ONE.issues if issue.notes)


@pytest.mark.parametrize("fact", COVERED)
def test_fact_has_a_test_that_exists(repository: Path, fact: str) -> None:
    for place in COVERED[fact]:
        file, _, name = place.partition(":")
        tree = ast.parse((repository / "tests" / file).read_text())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}, place


def _truth(one: Crawl) -> dict[Key, object]:
    return {k: b for k, b in expected_items(one.server.truth()).items() if k[2] in NAMES}


def _open(connection: Connection, *, swept: bool) -> None:
    """Open what can tell its changes; with `swept` all, as a whole."""
    connection.exec_driver_sql(
        "UPDATE visit SET next_at = 1, sweep_at = ?", (1 if swept else 4_102_444_800_000,)
    )
    visiting.open_all(connection, Schedule(resources=NAMES))


async def _visit(one: Crawl, *, swept: bool) -> None:
    await one.site.store.write(lambda connection: _open(connection, swept=swept))
    await one.site.finished(30)


@pytest.mark.parametrize("graphql", [True, False])
async def test_comment_that_moves_no_date_is_found_by_the_next_visit_for_changes(
    tmp_path: Path, graphql: bool
) -> None:
    comment = Add(what="note", project=ONE.id, on="issue", iid=ISSUE.iid, fields={"body": "late"})
    async with crawl(tmp_path, world=WORLD, schedule=Schedule(resources=NAMES)) as one:
        one.site.graphql = graphql
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            one.server.change(comment)
            await _visit(one, swept=False)
            dated = _issue(one)["updated_at"]
            one.server.change(comment)
            assert _issue(one)["updated_at"] == dated
            await _visit(one, swept=False)
        assert await one.now() == _truth(one)


def _issue(one: Crawl) -> dict[str, object]:
    body = _truth(one)["project", ONE.id, "issues", str(ISSUE.id)]
    assert isinstance(body, dict)
    return body


SILENT: dict[str, Change] = {
    "deleted note": Remove(
        what="note", project=ONE.id, on="issue", iid=ISSUE.iid, key=ISSUE.notes[0].id
    ),
    "emoji": Add(
        what="award", project=ONE.id, on="issue", iid=ISSUE.iid, fields={"name": "rocket"}
    ),
    "renamed label": Edit(
        what="label", project=ONE.id, key=ONE.labels[0].id, fields={"name": "Renamed"}
    ),
    "edited milestone": Edit(
        what="milestone", project=ONE.id, key=ONE.milestones[0].id, fields={"title": "Renamed"}
    ),
    "status of a pipeline": Edit(
        what="pipeline", project=ONE.id, key=ONE.pipelines[0].id, fields={"status": "canceled"}
    ),
    "renamed user": Edit(what="user", key=ISSUE.author.username, fields={"username": "another"}),
    "status of a job": Edit(
        what="job", project=ONE.id, key=ONE.jobs[0].id, fields={"status": "canceled"}
    ),
}


@pytest.mark.parametrize("name", SILENT)
async def test_change_that_moves_no_date_is_found_by_a_sweep(tmp_path: Path, name: str) -> None:
    async with crawl(tmp_path, world=WORLD, schedule=Schedule(resources=NAMES)) as one:
        one.site.graphql = False
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            before = _truth(one)
            assert await one.now() == before
            one.server.change(SILENT[name])
            assert _truth(one) != before
            await _visit(one, swept=True)
        assert await one.now() == _truth(one)


@pytest.mark.parametrize("name", SILENT)
async def test_change_that_moves_no_date_is_found_where_ids_alone_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At once in its own list; in what else shows it by the next whole reading."""
    async with crawl(tmp_path, world=WORLD, schedule=Schedule(resources=NAMES)) as one:
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
            one.server.change(SILENT[name])
            await _visit(one, swept=True)
            assert _own(await one.now()) == _own(_truth(one))
            monkeypatch.setattr(by_ids, "WHOLE_SECONDS", 0.0)
            await _visit(one, swept=True)
        assert await one.now() == _truth(one)


def _own(items: dict[Key, object]) -> dict[Key, object]:
    """What is in no list of which ids are swept."""
    return {key: body for key, body in items.items() if key[0] != "project" or key[2] not in IDS}
