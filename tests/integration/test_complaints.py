"""What users of other collectors complained of, item by item: what we do instead is shown.

The numbers are those of the study of features and complaints, section 2, as far as they speak of
collecting. `COVERED` names the test of each item that is shown elsewhere; the others are here.

| item | complaint | shown |
| --- | --- | --- |
| 1 | a 429 ends the run, and what was read is thrown away | COVERED |
| 2 | one limit for endpoints that have different ones | COVERED |
| 3 | the body of a 429 is stored as data | COVERED |
| 4 | lists that are not counted end after a page | COVERED |
| 5 | offsets past 50,000 are refused | COVERED |
| 6 | Retry-After is ignored | COVERED |
| 7 | the account's whole quota is used up | COVERED |
| 8 | GraphQL refuses costly queries | COVERED |
| 9 | thousands of groups are scanned for a few | COVERED |
| 10 | only the newest hundred arrive | COVERED |
| 11 | a feature that is off breaks everything | COVERED |
| 12 | a 404 of a paid feature breaks everything | COVERED |
| 13 | comments and commits of closed merge requests are missing | here |
| 14 | lines added and removed are 0 | here |
| 15 | there is no way to fill gaps | COVERED |
| 16 | an older GitLab lacks a field | here |
| 17 | paths of subgroups are encoded wrongly | here |
| 18 | no checkpoint inside a list | COVERED |
| 19 | a restart fails what was running | COVERED |
| 20 | cancelling hangs, or cancels nothing | COVERED |
| 21 | failed parts cannot be run again alone | COVERED |
| 22 | a thousand scopes take days, one after the other | COVERED |
| 23 | a running task is forgotten | COVERED |
| 24 | archived and empty repositories stall everything | here |
| 35 | an own CA, a path below the host | COVERED |
| 37 | what is deleted stays | here |
| 38 | a rename makes doubles | here |
"""

import ast
from pathlib import Path
from typing import Any

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Fault, Move, Remove, build_world, running
from labtrawl.sandbox.changes import Change
from labtrawl.store import manifest, summary
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, SCHEDULE, SIZES, crawl
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import rig

COVERED: dict[int, tuple[str, ...]] = {
    1: (
        "integration/faults/test_status.py:test_wait_however_often_is_never_a_failed_try",
        "integration/faults/test_status.py:"
        "test_429_in_a_list_keeps_the_pages_before_it_and_asks_for_none_twice",
    ),
    2: ("integration/test_budget.py:test_limit_of_one_endpoint_holds_up_no_other",),
    3: (
        "integration/faults/test_status.py:test_429_is_a_wait_and_loses_nothing",
        "integration/faults/test_bodies.py:"
        "test_body_that_stays_none_is_a_gap_and_no_byte_of_it_is_kept",
    ),
    4: (
        "integration/faults/test_paging.py:test_lists_that_nobody_counts_are_read_to_their_end",
        "unit/crawler/test_lists.py:test_list_without_totals_is_proved_by_its_end",
    ),
    5: (
        "integration/faults/test_paging.py:"
        "test_list_that_refuses_pages_far_down_keeps_what_it_gave_and_says_why",
        "unit/crawler/test_lists.py:test_keyset_list_is_read_by_its_cursor",
        "unit/crawler/test_windows.py:test_long_list_is_read_in_windows_once_each",
    ),
    6: (
        "unit/gitlab/test_limits.py:test_every_try_takes_from_the_meter_and_tells_it_what_was_seen",
        "integration/faults/test_status.py:"
        "test_429_of_a_year_is_waited_for_a_day_and_nothing_is_said_to_be_complete",
        "unit/domain/test_waits.py:test_waiting_job_says_why_and_until_when",
    ),
    7: (
        "unit/dispatch/test_budget.py:"
        "test_limit_is_the_lower_of_gitlabs_less_the_reserve_and_the_own",
    ),
    8: (
        "integration/test_batched.py:test_gitlab_that_is_slow_gets_smaller_blocks",
        "unit/gitlab/test_graphql_pace.py:test_complexity_near_its_limit_bounds_the_size",
        "integration/faults/test_graphql.py:test_fault_that_passes_loses_nothing",
    ),
    9: (
        "unit/crawler/test_discovery.py:test_included_group_is_read_with_all_below_it",
        "unit/crawler/test_discovery.py:test_included_group_alone_asks_for_no_list_of_all_groups",
        "unit/crawler/test_discovery.py:test_discovery_goes_on_from_each_of_its_cursors",
    ),
    10: (
        "integration/test_cases.py:test_each_resource_is_read_as_it_is_in_each_case",
        "unit/crawler/test_lists.py:test_fewer_rows_than_the_total_of_a_still_list_have_no_reason",
    ),
    11: (
        "unit/crawler/test_discovery.py:test_feature_that_is_off_is_told_and_gets_no_job",
        "integration/test_switched.py:test_what_is_lost_for_a_time_is_explained_and_comes_back",
        "integration/test_cases.py:test_each_resource_is_read_as_it_is_in_each_case",
    ),
    12: (
        "integration/faults/test_status.py:test_failure_that_stays_is_a_gap_of_its_list_alone",
        "integration/faults/test_alone.py:test_list_that_fails_costs_itself_alone",
    ),
    15: (
        "integration/test_ledger_command.py:test_refill_opens_the_gap_and_is_written_down",
        "integration/test_ledger_command.py:"
        "test_refill_of_a_folder_of_crawl_is_done_by_its_next_run",
        "integration/website/test_pages.py:"
        "test_gaps_of_one_area_are_read_again_by_a_button_of_its_page",
        "integration/faults/test_status.py:test_gap_that_is_refilled_costs_the_requests_of_its_list",
    ),
    18: (
        "integration/test_crawl.py:"
        "test_crawler_that_stops_gives_its_jobs_back_and_the_next_goes_on",
    ),
    19: (
        "prove/test_kills.py:test_crawl_killed_at_random_points_holds_each_record_once",
        "integration/protocol/test_kills.py:test_events_of_a_website_that_is_killed_are_there_once",
    ),
    20: (
        "integration/dispatch/test_crawling.py:"
        "test_cancelling_all_ends_what_is_in_hand_and_leaves_the_queue",
        "integration/dispatch/test_crawling.py:test_what_a_message_missed_the_next_renewal_tells",
        "unit/crawler/test_engine_commands.py:test_cancelled_job_is_dropped_at_once",
        "integration/store/test_leases.py:test_report_is_judged_by_lease_then_by_id",
    ),
    21: (
        "integration/dispatch/test_visiting.py:test_failed_list_is_tried_again_as_a_whole",
        "integration/faults/test_status.py:test_gap_that_is_refilled_costs_the_requests_of_its_list",
    ),
    22: ("integration/test_crawl.py:test_two_crawlers_share_the_jobs_and_double_nothing",),
    23: ("prove/test_kills.py:test_crawl_killed_at_random_points_holds_each_record_once",),
    35: (
        "integration/test_crawl_command.py:test_crawl_of_a_gitlab_below_a_path",
        "integration/http/test_tls_and_proxy.py:test_certificate_of_the_own_authority_is_accepted",
        "integration/http/test_tls_and_proxy.py:test_proxy_tunnels_tls_and_never_sees_the_token",
        "integration/faults/test_time.py:"
        "test_change_during_a_crawl_is_found_whatever_gitlabs_clock_says",
    ),
    37: (
        "integration/faults/test_status.py:test_sweep_that_fails_buries_nothing",
        "prove/test_invariants_readings.py:"
        "test_list_that_lost_all_at_once_says_that_nobody_knows_why",
        "integration/test_switched.py:test_what_is_lost_for_a_time_is_explained_and_comes_back",
    ),
    38: (
        "integration/test_renamed_person.py:test_person_with_another_name_keeps_one_history_by_id",
    ),
}
FEW = {
    "groups": 4,
    "projects": 6,
    "issues": 20,
    "merge_requests": 8,
    "notes": 30,
    "commits": 30,
    "pipelines": 10,
    "ci_jobs": 20,
    "events": 20,
    "deployments": 10,
    "timelogs": 10,
    "links": 6,
}
HERE = {13, 14, 16, 17, 24, 37, 38}
ITEMS = {*range(1, 25), 35, 37, 38}


def test_each_item_has_a_test_that_exists(repository: Path) -> None:
    assert COVERED.keys() | HERE == ITEMS
    for item, places in COVERED.items():
        for place in places:
            file, _, name = place.partition(":")
            assert name in _tests_of(repository / "tests" / file), f"item {item}: {place}"
    here = _tests_of(Path(__file__))
    assert {int(name.split("_")[2]) for name in here if name.startswith("test_item_")} == HERE


def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def _bodies(items: dict[Any, Any], resource: str) -> list[dict[str, Any]]:
    return [body for key, body in items.items() if key[2] == resource]


async def test_item_13_closed_merge_requests_have_their_comments_and_commits(
    tmp_path: Path,
) -> None:
    names = ("merge_requests", "merge_request_discussions", "merge_request_commits")
    world = build_world(
        "small", 4, {"projects": 2, "merge_requests": 16, "notes": 60, "commits": 40, "issues": 4}
    )
    async with crawl(tmp_path, world=world, schedule=Schedule(resources=names)) as one:
        await one.site.plan(world)
        async with one.site.crawler():
            await one.site.finished(30)
        items, _ = await one.items()
        wanted = {k: b for k, b in expected_items(one.server.truth()).items() if k[2] in names}
    assert items == wanted
    states = {body["state"] for body in _bodies(items, "merge_requests")}
    closed = [
        thread
        for thread in _bodies(items, "merge_request_discussions")
        for request in _bodies(items, "merge_requests")
        if request["id"] == thread["notes"][0]["noteable_id"] and request["state"] != "opened"
    ]
    assert {"merged", "opened"} <= states
    assert closed
    assert _bodies(items, "merge_request_commits")


async def test_item_14_lines_of_commits_are_those_of_gitlab(tmp_path: Path) -> None:
    async with crawl(tmp_path, schedule=Schedule(resources=("commits",))) as one:
        await one.run()
        items, _ = await one.items()
        wanted = {k: b for k, b in expected_items(one.server.truth()).items() if k[2] == "commits"}
    assert items == wanted
    stats = [body["stats"] for body in _bodies(items, "commits")]
    assert all(one["total"] == one["additions"] + one["deletions"] for one in stats)
    assert sum(one["additions"] for one in stats) > 0


@pytest.mark.parametrize("version", ["13.12.0", "16.0.0-ee", "18.2.0"])
async def test_item_16_older_gitlab_is_read_whole(tmp_path: Path, version: str) -> None:
    async with crawl(tmp_path, version=version) as one:
        await one.run()
        await one.assert_equals_truth()


async def test_item_17_nothing_is_asked_for_by_its_path(tmp_path: Path) -> None:
    """Every request that named a group or project by path would fail."""
    world = build_world("default", 4, FEW)
    named = "|".join(group.full_path.replace("/", "(/|%2F)") for group in world.groups)
    fault = Fault(path=f"%2F|/({named})", kind="500", times=0)
    async with crawl(tmp_path, fault, world=world, schedule=Schedule()) as one:
        await one.site.plan(world)
        async with one.site.crawler():
            await one.site.finished(60)
        items, twice = await one.items()
        assert (items, twice) == (expected_items(one.server.truth()), [])
    assert any("/" in group.full_path for group in world.groups)


async def test_item_24_empty_and_archived_repositories_have_an_outcome(tmp_path: Path) -> None:
    world = build_world("default", 4, {"commits": 60, "issues": 20, "notes": 10})
    wanted = Schedule(resources=("commits",))
    async with (
        running(world) as server,
        rig(tmp_path, server.url, schedule=wanted) as site,
    ):
        await site.plan(world)
        async with site.crawler():
            await site.finished(30)
        told = server.truth()
        paths = {(c.area_kind, c.area_id): c.full_path for c in told.cells}
        expected = {
            (paths[kind, area], resource): reason
            for (kind, area, resource), reason in told.gaps().items()
            if resource in wanted.resources
        }
        gaps = await site.store.read(summary.gaps)
        jobs = (await site.store.read(summary.progress)).jobs
        rows = list(await site.store.read(manifest.segments))
        items, _ = collected_items(dataset_root(tmp_path), rows)
        wanted_items = {k: b for k, b in expected_items(told).items() if k[2] == "commits"}
    assert items == wanted_items
    assert {(gap.full_path, gap.resource): gap.reason for gap in gaps} == expected
    assert "empty_repository" in expected.values()
    archived = {project.id for project in world.projects if project.archived}
    assert archived & {key[1] for key in items}
    assert jobs.keys() <= {"completed", "failed"}


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


async def test_item_37_what_is_deleted_is_told_as_gone(tmp_path: Path) -> None:
    issue, label = ONE.issues[0], ONE.labels[0]
    async with crawl(tmp_path) as one:
        async with one.crawling():
            await one.site.finished(30)
            before = await one.now()
            one.server.change(
                Remove(what="issue", project=ONE.id, key=issue.iid),
                Remove(what="label", project=ONE.id, key=label.id),
            )
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
        after = await one.now()
        gone = {key[2:] for key in before.keys() - after.keys()}
        assert after == one.truth()
    assert {("issues", str(issue.id)), ("labels", str(label.id))} <= gone


NESTED = build_world("small", 2, SIZES | {"groups": 3, "projects": 3})
TOP, SUB, OTHER_SUB = NESTED.groups
BELOW = next(one for one in NESTED.projects if one.namespace_id == SUB.id)
MOVES: dict[str, Change] = {
    "project renamed": Move(what="project", key=BELOW.id, path="elsewhere", name="Other"),
    "project transferred": Move(what="project", key=BELOW.id, to=OTHER_SUB.id),
    "group renamed": Move(what="group", key=TOP.id, path="elsewhere", name="Other"),
    "group transferred": Move(what="group", key=SUB.id, to=OTHER_SUB.id),
}


@pytest.mark.parametrize("name", MOVES)
async def test_item_38_what_is_renamed_or_transferred_is_the_same_one(
    tmp_path: Path, name: str
) -> None:
    async with crawl(tmp_path, world=NESTED) as one:
        await one.site.plan(NESTED)
        async with one.site.crawler():
            await one.site.finished(30)
            before = await one.now()
            one.server.change(MOVES[name])
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
        after = await one.now()
        truth = one.truth()
        areas = await one.site.store.read(_areas)
    assert after.keys() == before.keys() == truth.keys()
    assert after == truth
    assert areas == {
        (cell.area_kind, cell.area_id): cell.full_path for cell in one.server.truth().cells
    }


def _areas(connection: Connection) -> dict[tuple[str, int], str]:
    rows = connection.exec_driver_sql(
        "SELECT kind, gitlab_id, full_path FROM area WHERE kind IN ('group', 'project')"
    ).all()
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
    return {(row[0], row[1]): row[2] for row in rows}
