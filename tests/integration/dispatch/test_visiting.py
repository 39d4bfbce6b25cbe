"""What happens when a list is read again: modes, watermarks, schedules, and who tells whom."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from msgspec.structs import replace

from labtrawl.dispatch import reports, visiting
from labtrawl.domain.visit import Schedule
from labtrawl.errors import Conflict
from labtrawl.protocol.messages import LedgerReport
from labtrawl.store import gaps, jobs, leases, tasks
from labtrawl.store.engine import Database
from tests.integration.dispatch.visits import HOUR, SCHEDULE, Site, group, project, wish
from tests.integration.store.table import RETRY, store

# To the nearest minute: a test takes its time.
VISIT = (
    "SELECT watermark, every_ms, next_at - last_at, (sweep_at - last_at + 30000) / 60000 * 60000,"
    " runs, unchanged, role"
)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


async def test_finished_list_is_opened_again_as_the_same_job(site: Site) -> None:
    await site.discovered("milestones")
    first = await site.claim("milestones")
    await site.commit(first, 5)
    await site.complete(first, watermark=1000, processed_items=5, requests=3)
    assert (first.mode, first.since) == ("full", None)
    assert await site.open_due() == 0
    await site.pass_time(2)
    assert await site.open_due() == 1
    assert await site.open_due() == 0
    again = await site.claim("milestones")
    assert (again.job_id, again.fence, again.mode, again.since, again.cursor) == (
        first.job_id,
        first.fence + 1,
        "changes",
        1000,
        None,
    )
    assert (again.processed_items, again.next_segment, again.attempt) == (0, 2, 1)
    await site.complete(again, watermark=900, requests=2)
    row = f"{VISIT} FROM visit WHERE resource = 'milestones'"
    assert await site.ask(row) == [(1000, 2 * HOUR, 2 * HOUR, 22 * HOUR, 2, 1, 30)]
    assert await site.ask("SELECT requests FROM job WHERE resource = 'milestones'") == [(5,)]


async def test_next_visit_keeps_the_mark_of_a_list_that_was_read_to_its_end(site: Site) -> None:
    """Only then does the mark stand for what is in the dataset, and only if nobody doubts that."""
    marked = '{"ended":true,"tag":["e","r","p"]}'

    async def opened(mode: str) -> str | None:
        again = await site.claim("labels")
        assert again.mode == mode
        await site.complete(again, cursor=marked)
        return again.cursor

    await site.discovered("labels")
    assert await opened("full") is None
    await site.pass_time(100)
    await site.open_due()
    assert await opened("sweep") == f'{{"last":{marked}}}'
    await site.db.write(lambda c: tasks.add(c, jobs.PlannedJob(2, "labels")))
    assert await opened("sweep") is None
    await site.pass_time(100)
    await site.open_due()
    failing = await site.claim("labels")
    wrong = {"status": "failed", "error": "x", "reason": "failed", "retryable": False}
    await site.report(failing, cursor=marked, **wrong)
    await site.pass_time(100)
    await site.open_due()
    assert await opened("sweep") is None


async def test_interval_follows_the_changes(site: Site) -> None:
    await site.discovered("milestones")
    told = []
    for changed in (9, 0, 0, 3, 1):
        await site.visit("milestones", changed=changed)
        told += await site.ask("SELECT every_ms FROM visit WHERE resource = 'milestones'")
        await site.pass_time(8)
        await site.open_due()
    assert [row[0] / HOUR for row in told] == [1, 2, 4, 2, 1]


async def test_watermark_does_not_pass_what_was_left_unread(site: Site) -> None:
    await site.discovered("milestones")
    await site.visit("milestones", watermark=1000)
    for reason in ("changed", "cap", "failed"):
        await site.pass_time(30)
        await site.open_due()
        await site.visit("milestones", watermark=2000, ledger=LedgerReport(reason=reason))
        marks = await site.ask("SELECT watermark FROM visit WHERE resource = 'milestones'")
        assert marks == [(1000,)]
    await site.pass_time(30)
    await site.open_due()
    await site.visit("milestones", watermark=2000, ledger=LedgerReport())
    marks = await site.ask("SELECT watermark FROM visit WHERE resource = 'milestones'")
    assert marks == [(2000,)]


async def test_watermark_of_the_far_future_is_not_believed(site: Site) -> None:
    await site.discovered("milestones")
    await site.visit("milestones", watermark=2**61)
    marks = await site.ask("SELECT watermark FROM visit WHERE resource = 'milestones'")
    assert marks == [(None,)]


async def test_sweep_is_due_by_itself_and_wins_over_a_visit_for_changes(site: Site) -> None:
    await site.discovered("milestones")
    await site.visit("milestones")
    await site.pass_time(25)
    assert await site.open_due() == 2  # the discovery too
    assert (await site.jobs())["milestones"] == ("queued", "sweep")
    one = await site.claim("milestones")
    assert one.since is None
    await site.pass_time(25)
    assert await site.open_due() == 0  # it is read: nothing is opened twice
    await site.complete(one)
    row = f"{VISIT} FROM visit WHERE resource = 'milestones'"
    assert (await site.ask(row))[0][3] == 24 * HOUR


async def _is_tried_again(site: Site) -> None:
    """The milestones have failed, and are read as a whole after a day."""
    await site.pass_time(23)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("failed", "full")
    await site.pass_time(2)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("queued", "sweep")


async def test_failed_list_is_tried_again_as_a_whole(site: Site) -> None:
    await site.discovered("milestones")
    one = await site.claim("milestones")
    await site.report(one, status="failed", reason="forbidden", error="no")
    await _is_tried_again(site)


async def test_cancelled_list_stays_cancelled(site: Site) -> None:
    from labtrawl.store import commands

    await site.discovered("milestones")
    one = await site.claim("milestones")
    await site.db.write(lambda c: commands.cancel_job(c, one.job_id))
    await site.pass_time(1000)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("cancelled", "full")


async def test_without_a_schedule_nothing_is_opened_and_with_one_all_is_due(site: Site) -> None:
    site.schedule = Schedule()
    await site.discovered("milestones")
    await site.visit("milestones", watermark=5)
    site.schedule = SCHEDULE
    assert await site.open_due() == 2
    assert set((await site.jobs()).values()) == {("queued", "changes")}


async def test_changed_parent_opens_its_nested_lists(site: Site) -> None:
    await site.discovered("issues", "issue_discussions", "milestones")
    await site.visit("issues", watermark=900, changed=10)
    await site.visit("issue_discussions", watermark=1000)
    await site.visit("milestones")
    assert (await site.jobs())["issue_discussions"][0] == "completed"
    next_at = await site.ask("SELECT next_at FROM visit WHERE resource = 'issue_discussions'")
    assert next_at == [(None,)]
    await site.pass_time(10)
    await site.open_due()
    await site.visit("issues", watermark=2000, changed=0)
    assert (await site.jobs())["issue_discussions"][0] == "completed"
    await site.pass_time(10)
    await site.open_due()
    changed = await site.claim("issues")
    await site.commit(changed, 2)
    await site.complete(changed, watermark=3000)  # the crawler's own count was lost with a crash
    assert (await site.jobs())["issue_discussions"] == ("queued", "changes")
    assert (await site.claim("issue_discussions")).since == 1000


async def test_parent_that_changes_while_its_nested_list_is_read_is_not_forgotten(
    site: Site,
) -> None:
    await site.discovered("issues", "issue_discussions")
    nested = await site.claim("issue_discussions")
    await site.visit("issues", watermark=3000, changed=1)
    assert (await site.jobs())["issue_discussions"] == ("running", "full")
    await site.complete(nested, watermark=3000)
    assert (await site.jobs())["issue_discussions"] == ("queued", "changes")
    await site.visit("issue_discussions", watermark=3001)
    assert (await site.jobs())["issue_discussions"] == ("completed", "changes")


async def test_what_a_broken_off_reading_found_changed_is_told_by_the_next(site: Site) -> None:
    from labtrawl.store import commands

    await site.discovered("issues", "issue_discussions")
    await site.visit("issue_discussions")
    one = await site.claim("issues")
    await site.commit(one, 3)
    await site.db.write(lambda c: commands.cancel_job(c, one.job_id))
    await site.db.write(lambda c: gaps.refill(c, gaps.Wanted(resource="issues")))
    await site.visit("issues", changed=0)  # what was committed before is nothing new to it
    assert (await site.jobs())["issue_discussions"] == ("queued", "changes")


async def test_watch_of_a_group_opens_what_changed_and_spares_the_rest_of_their_own(
    site: Site,
) -> None:
    await site.begin()
    found = await site.claim("discovery")
    outside = project(9, "elsewhere/p")
    await site.discover(found, group(), group(4, "lab/sub"), project(), outside)
    watches = [wish("changed_issues", 3, "group"), wish("changed_issues", 4, "group")]
    told = [replace(each, mode="changes", watermark=1) for each in watches]
    assert await site.propose(found, *told) == 0  # nothing is to be read before its first turn
    assert await site.ask(  # the group above tells of the other too
        "SELECT a.gitlab_id, j.state FROM job AS j JOIN area AS a ON a.id = j.area_id"
        " WHERE j.resource = 'changed_issues'"
    ) == [(3, "completed")]
    await site.propose(found, wish("issues"), wish("issues", 9))
    await site.visit("issues", watermark=1)
    await site.visit("issues", watermark=1)
    due = await site.ask(
        "SELECT full_path, next_at IS NULL, sweep_at IS NULL FROM visit AS v JOIN area AS a"
        " ON a.id = v.area_id WHERE resource IN ('issues', 'changed_issues') ORDER BY full_path"
    )
    assert [tuple(map(bool, row[1:])) for row in due] == [
        (False, False),  # elsewhere/p
        (False, True),  # the watch has no sweeps
        (True, False),  # lab/ocean
    ]
    await site.pass_time(1.5)
    await site.open_due()
    watch = await site.claim("changed_issues")
    assert (watch.mode, watch.since) == ("changes", 1)
    assert await site.propose(watch, wish("issues", mode="changes")) == 1
    assert await site.propose(watch, wish("issues", mode="changes")) == 0
    await site.report(watch, status="failed", reason="forbidden", error="no")
    await site.visit("issues")
    await site.visit("issues")
    on_their_own = await site.ask(
        "SELECT COUNT(*) FROM visit WHERE resource = 'issues' AND next_at IS NOT NULL"
    )
    assert on_their_own == [(2,)]


async def test_change_that_a_watch_tells_of_while_a_list_is_read_is_read_afterwards(
    site: Site,
) -> None:
    await site.discovered("issues")
    one = await site.claim("issues")
    assert await site.propose(one, wish("issues", mode="changes")) == 0
    await site.complete(one, watermark=1)
    assert (await site.jobs())["issues"] == ("queued", "changes")
    await site.visit("issues", watermark=2)
    assert (await site.jobs())["issues"] == ("completed", "changes")


async def test_list_that_a_person_asks_for_again_keeps_its_job(site: Site) -> None:
    from labtrawl.store import tasks

    await site.discovered("issues")
    one = await site.visit("issues")
    wanted = jobs.PlannedJob(2, "issues", priority=9)
    row = await site.db.write(lambda c: tasks.add(c, wanted))
    assert (row.id, row.state, row.priority) == (one.job_id, "queued", 9)
    assert (await site.jobs())["issues"] == ("queued", "sweep")
    with pytest.raises(Conflict, match="is open already"):
        await site.db.write(lambda c: tasks.add(c, wanted))


async def test_list_that_costs_a_request_for_each_item_is_swept_a_seventh_as_often(
    site: Site,
) -> None:
    await site.discovered("issue_label_events", "issue_discussions")
    for resource in ("issue_label_events", "issue_discussions"):
        await site.visit(resource, watermark=1)
    rows = await site.ask("SELECT resource, (sweep_at - last_at) / 3600000 FROM visit ORDER BY 1")
    assert [tuple(row) for row in rows if row[0].startswith("issue_")] == [
        ("issue_discussions", 24),
        ("issue_label_events", 168),
    ]


async def _kill_at_each_try(site: Site, resource: str) -> None:
    given_up = partial(visiting.given_up, schedule=SCHEDULE)
    for _ in range(RETRY.attempts * 2):
        await site.claim(resource)
        await site.db.write(lambda c: leases.rescue_holder(c, "a", RETRY, given_up))


async def test_list_that_only_kills_its_crawlers_is_tried_again_as_a_whole(site: Site) -> None:
    await site.discovered("milestones")
    await _kill_at_each_try(site, "milestones")
    await _is_tried_again(site)


async def test_discovery_that_only_kills_its_crawlers_comes_again(site: Site) -> None:
    await site.discovered()
    await site.pass_time(7)
    await site.open_due()
    await _kill_at_each_try(site, "discovery")
    assert (await site.jobs())["discovery"] == ("failed", "changes")
    await site.pass_time(7)
    await site.open_due()
    assert (await site.jobs())["discovery"] == ("queued", "changes")


async def test_list_whose_report_could_not_be_applied_is_tried_again_as_a_whole(
    site: Site,
) -> None:
    await site.discovered("milestones")
    one = await site.claim("milestones")
    lease = leases.Lease("a", one.fence)
    await site.db.write(lambda c: reports.break_off(c, one.job_id, lease, "odd", SCHEDULE))
    assert (await site.jobs())["milestones"] == ("failed", "full")
    await site.pass_time(25)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("queued", "sweep")


async def test_change_that_is_told_after_the_clock_was_set_back_is_not_forgotten(
    site: Site,
) -> None:
    await site.discovered("issues", "issue_discussions")
    nested = await site.claim("issue_discussions")
    await site.set_clock_back(1)
    await site.visit("issues", watermark=3000, changed=1)
    await site.complete(nested, watermark=3000)
    assert (await site.jobs())["issue_discussions"] == ("queued", "changes")
