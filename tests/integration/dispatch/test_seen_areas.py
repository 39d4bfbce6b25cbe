"""Areas that come, go and show more: what a repeated discovery does to their lists."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_job

from labtrawl.dispatch import planner, visiting
from labtrawl.store import accounts, leases, summary, visits
from labtrawl.store.engine import Connection, Database
from tests.integration.dispatch.visits import SCHEDULE, Site, group, project, wish
from tests.integration.store.table import RETRY, store


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


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
    await site.discovered("milestones")
    await site.pass_time(7)
    await site.open_due()
    again = await site.claim("discovery")
    await site.db.write(
        lambda c: c.exec_driver_sql("UPDATE area_access SET seen_at = seen_at - 60000")
    )
    await site.report(again, status="failed", reason="unavailable", error="500")
    assert await site.ask("SELECT COUNT(*) FROM area_access") == [(2,)]


async def test_higher_role_reads_again_and_a_lower_one_does_not(site: Site) -> None:
    await site.discovered("milestones", "issues")
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


async def test_higher_role_is_told_nothing_that_a_list_could_be_asked_about(site: Site) -> None:
    """It may see more of what did not change: the list is sent whole."""
    marked = '{"ended":true,"tag":["0","ids","as_is"]}'
    cursor = "SELECT cursor FROM job WHERE resource = 'issues'"
    await site.discovered("issues")
    await site.visit("issues", cursor=marked)
    await site.db.write(lambda c: visits.sweep_now(c, 2, "issues"))
    assert await site.ask(cursor) == [(f'{{"last":{marked}}}',)]
    await site.visit("issues", cursor=marked)
    await site.pass_time(7)
    await site.open_due()
    again = await site.claim("discovery")
    await site.visit("issues", cursor=marked)
    await site.discover(again, project(role=40))
    assert (await site.jobs())["issues"] == ("queued", "sweep")
    assert await site.ask(cursor) == [(None,)]


async def test_role_that_rises_while_a_list_is_read_has_it_sent_whole(site: Site) -> None:
    await site.discovered("issues")
    reading = await site.claim("issues")
    await site.pass_time(7)
    await site.open_due()
    await site.discover(await site.claim("discovery"), project(role=40))
    await site.complete(reading, cursor='{"ended":true,"tag":["0","ids","as_is"]}')
    assert (await site.jobs())["issues"] == ("queued", "sweep")
    assert await site.ask("SELECT cursor FROM job WHERE resource = 'issues'") == [(None,)]


async def test_what_a_lower_role_misses_counts_as_forbidden(site: Site) -> None:
    """A guest sees no confidential issues: they are not gone."""
    await site.discovered("issues")
    assert (await site.visit("issues")).missing == "gone"  # with the role 30
    await site.pass_time(7)
    await site.open_due()
    await site.discover(await site.claim("discovery"), project(role=10))
    await site.visit("issues")  # for changes: it does not tell what is gone
    await site.db.write(lambda c: visits.sweep_now(c, 2, "issues"))
    assert (await site.visit("issues")).missing == "forbidden"
    await site.db.write(lambda c: visits.sweep_now(c, 2, "issues"))
    assert (await site.visit("issues")).missing == "gone"


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


async def _waiting(site: Site) -> list[tuple[str, str, str | None]]:
    asked = "SELECT resource, state, hold_reason FROM job WHERE state <> 'completed' ORDER BY id"
    return [(row[0], row[1], row[2]) for row in await site.ask(asked)]


async def test_what_comes_back_from_its_lease_in_an_area_that_was_lost_waits(site: Site) -> None:
    """Nobody could claim it: a crawl would wait for it for ever."""
    await site.discovered("labels", "milestones", "issues")
    one, two, _ = [await site.claim(each) for each in ("labels", "milestones", "issues")]
    await site.see_anew()
    failed = {"status": "failed", "reason": "unavailable", "retryable": True, "error": "500"}
    await site.report(one, **failed)
    await site.report(two, status="paused")
    await site.db.write(lambda c: leases.rescue_holder(c, "a", RETRY))
    lists = ("labels", "milestones", "issues")
    assert await _waiting(site) == [(each, "held", "unseen") for each in lists]
    assert (await site.db.read(summary.progress)).finished


async def test_list_of_an_area_that_was_lost_waits_when_it_is_opened_again(site: Site) -> None:
    await site.discovered("labels", "issues")
    await site.visit("labels")
    await site.visit("issues")
    await site.see_anew()
    await site.pass_time(30)

    def begin(connection: Connection) -> None:
        """Do as a crawl does at its start."""
        told = accounts.VerifiedAccount("main", "http://g", "17.0.0", 1, "u1", (), "t")
        planner.plan_account(connection, told)
        visiting.open_all(connection, SCHEDULE)

    await site.db.write(begin)
    lists = [("labels", "held", "unseen"), ("issues", "held", "unseen")]
    assert await _waiting(site) == [("discovery", "queued", None), *lists]
    await site.see_anew()
    assert (await site.db.read(summary.progress)).finished
    await site.see_anew(project())
    assert await _waiting(site) == [("labels", "queued", None), ("issues", "queued", None)]


async def test_change_told_of_a_list_that_nobody_sees_waits(site: Site) -> None:
    await site.discovered("labels", "issues")
    await site.visit("labels")
    other = await site.claim("issues")
    await site.see_anew()
    await site.propose(other, wish("labels", mode="changes"))
    assert ("labels", "held", "unseen") in await _waiting(site)


async def test_discovery_lets_go_on_what_waited_for_another_account(site: Site) -> None:
    await site.discovered("milestones")
    await site.begin(user=2)
    found, one = await site.claim("discovery"), await site.claim("milestones")
    await site.report(one, status="failed", reason="credential", error="401")
    assert ("milestones", "held", "credential") in await _waiting(site)
    await site.discover(found, project())
    await site.complete(found)
    assert await _waiting(site) == [("milestones", "queued", None)]
    assert (await site.claim("milestones")).account_id != one.account_id


async def test_what_is_seen_below_a_group_that_was_lost_is_due_by_itself(site: Site) -> None:
    """The list of the group above told of its changes: now nobody reads that any more."""
    due = "SELECT next_at IS NOT NULL FROM visit WHERE resource = 'issues'"
    watches = (
        "SELECT a.full_path FROM job AS j JOIN area AS a ON a.id = j.area_id"
        " WHERE j.resource = 'changed_issues' ORDER BY j.id"
    )
    below = group(4, "lab/sub"), project(7, "lab/sub/ocean")
    watch = [
        replace_job(wish("changed_issues", number, "group"), mode="changes", watermark=1)
        for number in (3, 4)
    ]
    await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, group(), *below)
    await site.propose(found, *watch, wish("issues"))
    await site.complete(found)
    await site.visit("issues", watermark=1)
    assert (await site.ask(watches), bool((await site.ask(due))[0][0])) == ([("lab",)], False)
    await site.see_anew(*below)
    assert bool((await site.ask(due))[0][0])
    assert await site.open_due() == 1
    await site.propose(await site.visit("issues", watermark=2), watch[1])
    assert await site.ask(watches) == [("lab",), ("lab/sub",)]
    await site.db.write(lambda c: visits.tell(c, 4, "issues"))
    await site.visit("issues", watermark=3)
    assert not (await site.ask(due))[0][0]  # the group that is seen tells of it


async def test_discovery_during_which_the_clock_is_set_back_loses_nothing(site: Site) -> None:
    await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, project())
    await site.set_clock_back(1)
    await site.discover(found, project(8, "lab/lake"))
    await site.complete(found)
    unseen = "SELECT full_path FROM area WHERE unseen_at IS NOT NULL"
    assert await site.ask(unseen) == []
