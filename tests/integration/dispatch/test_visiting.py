"""What happens when a list is read again: modes, watermarks, schedules, and who tells whom."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from labtrawl.domain.visit import Schedule
from labtrawl.errors import BadMessage
from labtrawl.protocol.messages import LedgerReport, LedgerWindow
from labtrawl.store import gaps
from labtrawl.store.engine import Database
from tests.integration.dispatch.visits import HOUR, SCHEDULE, Site, group, project, wish
from tests.integration.store.table import store

# To the nearest minute: a test takes its time.
VISIT = (
    "SELECT watermark, every_ms, next_at - last_at, (sweep_at - last_at + 30000) / 60000 * 60000,"
    " runs, unchanged, role"
)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


async def _discovered(site: Site, *resources: str) -> None:
    """An account that found one project, with these jobs of it."""
    await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, project())
    await site.propose(found, *(wish(name) for name in resources))
    await site.complete(found, ledger=LedgerReport(expected_by="end of list"))


async def test_finished_list_is_opened_again_as_the_same_job(site: Site) -> None:
    await _discovered(site, "milestones")
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


async def test_interval_follows_the_changes(site: Site) -> None:
    await _discovered(site, "milestones")
    told = []
    for changed in (9, 0, 0, 3, 1):
        await site.visit("milestones", changed=changed)
        told += await site.ask("SELECT every_ms FROM visit WHERE resource = 'milestones'")
        await site.pass_time(8)
        await site.open_due()
    assert [row[0] / HOUR for row in told] == [1, 2, 4, 2, 1]


async def test_watermark_does_not_pass_what_was_left_unread(site: Site) -> None:
    await _discovered(site, "milestones")
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
    await _discovered(site, "milestones")
    await site.visit("milestones", watermark=2**61)
    marks = await site.ask("SELECT watermark FROM visit WHERE resource = 'milestones'")
    assert marks == [(None,)]


async def test_sweep_is_due_by_itself_and_wins_over_a_visit_for_changes(site: Site) -> None:
    await _discovered(site, "milestones")
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


async def test_failed_list_is_tried_again_as_a_whole(site: Site) -> None:
    await _discovered(site, "milestones")
    one = await site.claim("milestones")
    await site.report(one, status="failed", reason="forbidden", error="no")
    await site.pass_time(23)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("failed", "full")
    await site.pass_time(2)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("queued", "sweep")


async def test_cancelled_list_stays_cancelled(site: Site) -> None:
    from labtrawl.store import commands

    await _discovered(site, "milestones")
    one = await site.claim("milestones")
    await site.db.write(lambda c: commands.cancel_job(c, one.job_id))
    await site.pass_time(1000)
    await site.open_due()
    assert (await site.jobs())["milestones"] == ("cancelled", "full")


async def test_without_a_schedule_nothing_is_opened_and_with_one_all_is_due(site: Site) -> None:
    site.schedule = Schedule()
    await _discovered(site, "milestones")
    await site.visit("milestones", watermark=5)
    site.schedule = SCHEDULE
    assert await site.open_due() == 2
    assert set((await site.jobs()).values()) == {("queued", "changes")}


async def test_changed_parent_opens_its_nested_lists(site: Site) -> None:
    await _discovered(site, "issues", "issue_discussions", "milestones")
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
    await _discovered(site, "issues", "issue_discussions")
    nested = await site.claim("issue_discussions")
    await site.visit("issues", watermark=3000, changed=1)
    assert (await site.jobs())["issue_discussions"] == ("running", "full")
    await site.complete(nested, watermark=3000)
    assert (await site.jobs())["issue_discussions"] == ("queued", "changes")
    await site.visit("issue_discussions", watermark=3001)
    assert (await site.jobs())["issue_discussions"] == ("completed", "changes")


async def test_what_a_broken_off_reading_found_changed_is_told_by_the_next(site: Site) -> None:
    from labtrawl.store import commands

    await _discovered(site, "issues", "issue_discussions")
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
    assert await site.propose(found, *watches) == 1  # the group above tells of the other too
    await site.propose(found, wish("issues"), wish("issues", 9))
    await site.visit("changed_issues", watermark=1)
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
    await _discovered(site, "issues")
    one = await site.claim("issues")
    assert await site.propose(one, wish("issues", mode="changes")) == 0
    await site.complete(one, watermark=1)
    assert (await site.jobs())["issues"] == ("queued", "changes")
    await site.visit("issues", watermark=2)
    assert (await site.jobs())["issues"] == ("completed", "changes")


async def test_discovery_comes_again_and_ends_what_it_does_not_find(site: Site) -> None:
    await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, project(), project(8, "lab/gone"))
    await site.propose(found, *(wish("milestones", number) for number in (7, 8)))
    await site.complete(found)
    await site.visit("milestones")
    await site.pass_time(7)
    assert await site.open_due() >= 1
    again = await site.claim("discovery")
    await site.db.write(
        lambda c: c.exec_driver_sql("UPDATE area_access SET seen_at = seen_at - 60000")
    )
    await site.discover(again, project(7, "lab/renamed"))
    assert await site.ask("SELECT COUNT(*) FROM area_access") == [(3,)]  # nothing before the end
    await site.complete(again)
    seen = "SELECT full_path, unseen_at IS NULL FROM area WHERE kind = 'project' ORDER BY id"
    assert [(row[0], bool(row[1])) for row in await site.ask(seen)] == [
        ("lab/renamed", True),
        ("lab/gone", False),
    ]
    held = "SELECT state, hold_reason FROM job WHERE resource = 'milestones' ORDER BY id"
    assert (await site.ask(held))[1] == ("held", "unseen")
    lost = (
        "SELECT DISTINCT l.reason FROM ledger AS l JOIN area AS a ON a.id = l.area_id"
        " WHERE a.gitlab_id = 8"
    )
    assert await site.ask(lost) == [("forbidden",)]
    paths = "SELECT p.full_path FROM area_path AS p JOIN area AS a ON a.id = p.area_id"
    assert await site.ask(f"{paths} WHERE a.gitlab_id = 7 ORDER BY 1") == [
        ("lab/ocean",),
        ("lab/renamed",),
    ]
    await site.pass_time(7)
    await site.open_due()
    back = await site.claim("discovery")
    await site.discover(back, project(), project(8, "lab/gone"))
    assert await site.ask(lost) == [(None,)]
    assert (await site.ask(held))[1] == ("queued", None)


async def test_discovery_that_fails_ends_nothing(site: Site) -> None:
    await _discovered(site, "milestones")
    await site.pass_time(7)
    await site.open_due()
    again = await site.claim("discovery")
    await site.db.write(
        lambda c: c.exec_driver_sql("UPDATE area_access SET seen_at = seen_at - 60000")
    )
    await site.report(again, status="failed", reason="unavailable", error="500")
    assert await site.ask("SELECT COUNT(*) FROM area_access") == [(2,)]


async def test_higher_role_reads_again_and_a_lower_one_does_not(site: Site) -> None:
    await _discovered(site, "milestones", "issues")
    await site.visit("milestones")
    reading = await site.claim("issues")  # with the role 30
    await site.pass_time(7)
    await site.open_due()
    again = await site.claim("discovery")
    await site.discover(again, project(role=20))
    await site.discover(again, project(role=30))
    assert (await site.jobs())["milestones"][1] in ("full", "changes")
    await site.discover(again, project(role=40))
    assert (await site.jobs())["milestones"] in (("queued", "sweep"), ("queued", "changes"))
    await site.complete(reading)
    assert (await site.jobs())["issues"] == ("queued", "sweep")
    await site.visit("issues")
    assert (await site.jobs())["issues"] == ("completed", "sweep")
    role = "SELECT role FROM visit WHERE resource = 'issues'"
    assert await site.ask(role) == [(40,)]


async def test_collected_counts_what_is_there(site: Site) -> None:
    await _discovered(site, "milestones")
    row = "SELECT expected, collected, reason FROM ledger WHERE resource = 'milestones'"
    one = await site.claim("milestones")
    await site.commit(one, 5)
    await site.complete(one, ledger=LedgerReport(expected=6))
    assert await site.ask(row) == [(6, 5, None)]
    await site.pass_time(2)
    await site.open_due()
    changes = await site.claim("milestones")
    await site.commit(changes, 4, added=2, removed=1)
    await site.complete(changes)
    assert await site.ask(row) == [(7, 6, None)]  # the gap of the full reading is still one
    await site.pass_time(30)
    await site.open_due()
    sweep = await site.claim("milestones")
    await site.commit(sweep, 1, added=1)
    await site.complete(sweep, ledger=LedgerReport(expected=7))
    assert await site.ask(row) == [(7, 7, None)]


@pytest.mark.parametrize(
    "counts", [{"added": 2}, {"added": -1}, {"removed": 2}, {"added": 1, "removed": 1}]
)
async def test_counts_that_cannot_be_are_refused(site: Site, counts: dict[str, int]) -> None:
    await _discovered(site, "milestones")
    one = await site.claim("milestones")
    with pytest.raises(BadMessage, match="do not fit"):
        await site.commit(one, 1, **counts)
    assert await site.ask("SELECT COUNT(*) FROM segment") == [(0,)]


async def test_visit_for_changes_explains_no_gap_away(site: Site) -> None:
    await _discovered(site, "milestones")
    row = "SELECT reason, detail FROM ledger WHERE resource = 'milestones'"
    for reason, after in (("cap", "cap"), ("forbidden", None)):
        await site.visit("milestones", ledger=LedgerReport(reason=reason, detail="so"))
        assert await site.ask(row) == [(reason, "so")]
        await site.pass_time(5)
        await site.open_due()
        assert (await site.visit("milestones")).mode == "changes"
        assert (await site.ask(row))[0][0] == after
        await site.pass_time(30)
        await site.open_due()


async def test_windows_are_those_of_the_last_reading_that_had_any(site: Site) -> None:
    await _discovered(site, "milestones")
    first = [LedgerWindow(since="a", until="b", expected=2, collected=2), LedgerWindow(since="b")]
    await site.visit("milestones", ledger=LedgerReport(windows=first))
    asked = "SELECT since, until, expected, collected FROM ledger_window ORDER BY since"
    assert await site.ask(asked) == [("a", "b", 2, 2), ("b", "", None, 0)]
    await site.pass_time(2)
    await site.open_due()
    await site.visit("milestones", ledger=LedgerReport())
    assert len(await site.ask(asked)) == 2
    await site.pass_time(5)
    await site.open_due()
    await site.visit(
        "milestones", ledger=LedgerReport(windows=[LedgerWindow(since="c", until="d")])
    )
    assert await site.ask(asked) == [("c", "d", None, 0)]


async def test_refill_opens_what_can_be_filled(site: Site) -> None:
    names = ("milestones", "issues", "labels", "events", "releases")
    await _discovered(site, *names)
    await site.visit("milestones", ledger=LedgerReport(expected=3))
    await site.visit("issues", ledger=LedgerReport(reason="changed"))
    await site.visit("labels", ledger=LedgerReport(reason="feature_off"))
    await site.visit("events", ledger=LedgerReport(expected=0))
    failed = await site.claim("releases")
    await site.report(failed, status="failed", reason="unavailable", error="500")
    wanted = gaps.Wanted("lab", "")
    found = await site.db.read(lambda c: gaps.rows(c, wanted, gaps_only=True))
    told = {row.resource: (row.reason, row.is_unexplained) for row in found}
    assert {name: told.get(name) for name in names} == {
        "milestones": (None, True),
        "issues": ("changed", False),
        "labels": ("feature_off", False),
        "events": None,
        "releases": ("failed", False),
    }
    assert await site.db.write(lambda c: gaps.refill(c, gaps.Wanted("other", ""))) == 0
    assert await site.db.write(lambda c: gaps.refill(c, gaps.Wanted("lab", "releases"))) == 1
    planned = len(told) - len(names) + 1  # nobody ever proposed the others
    assert await site.db.write(lambda c: gaps.refill(c, wanted)) == 2 + planned
    assert await site.db.write(lambda c: gaps.refill(c, wanted)) == 0
    states = await site.jobs()
    assert {name: states[name] for name in names} == {
        "milestones": ("queued", "sweep"),
        "issues": ("queued", "sweep"),
        "labels": ("completed", "full"),
        "events": ("completed", "full"),
        "releases": ("queued", "sweep"),
    }


async def test_only_chosen_resources_are_planned(site: Site) -> None:
    site.schedule = replace(SCHEDULE, resources=("*", "!issue*"))
    await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, project())
    wishes = [wish(name) for name in ("milestones", "issues", "commit_discussions")]
    assert await site.propose(found, *wishes) == 1
    names = {row[0] for row in await site.ask("SELECT resource FROM ledger")}
    assert "milestones" in names
    assert not {name for name in names if name.startswith("issue")}
    assert "commit_discussions" not in names
    site.schedule = replace(SCHEDULE, resources=("*", "commit_discussions"))
    assert await site.propose(found, *wishes) == 2
