"""Lists that are looked at before they are due, and what moves with the changes of another list."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from labtrawl.config import Timetable
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.dispatch.timetable import schedule_of
from labtrawl.domain.visit import Schedule, Under
from labtrawl.gitlab import catalog
from labtrawl.store import budgets, visits
from labtrawl.store.engine import Database
from labtrawl.store.pages import outlook
from tests.integration.dispatch.visits import HOUR, SCHEDULE, Site
from tests.integration.store.table import RETRY, store
from tests.rig.clocks import Leaping

MINUTE = 1 / 60


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


async def read_once(site: Site, *names: str) -> None:
    """One project whose lists were just read."""
    await site.discovered(*names)
    for name in names:
        await site.visit(name)


async def open_early(site: Site, limit: int, schedule: Schedule = SCHEDULE) -> int:
    return await site.db.write(lambda c: visits.open_early(c, schedule, limit))


async def opened(site: Site) -> set[str]:
    """The lists that are open."""
    return {name for name, (state, _) in (await site.jobs()).items() if state == "queued"}


async def under(site: Site) -> Under:
    return await site.db.read(visits.under_way)


async def wait_for(site: Site, resource: str, minutes: float, every: int = HOUR) -> None:
    """A list was looked at so long ago, and has such an interval (ms)."""
    sets = f"last_at = last_at - {int(minutes * 60_000)}, every_ms = {every}"
    await site.db.write(
        lambda c: c.exec_driver_sql(f"UPDATE visit SET {sets} WHERE resource = '{resource}'")
    )


async def test_the_list_that_has_waited_the_longest_for_its_interval_is_first(site: Site) -> None:
    await read_once(site, "milestones", "issues", "merge_requests")
    await wait_for(site, "milestones", 5)
    await wait_for(site, "issues", 4, every=HOUR // 4)
    await wait_for(site, "merge_requests", 20, every=8 * HOUR)
    found = []
    for _ in range(4):
        before = await opened(site)
        assert await open_early(site, 1) == (1 if len(before) < 3 else 0)
        found.append(await opened(site) - before)
    assert found == [{"issues"}, {"milestones"}, {"merge_requests"}, set()]
    assert (await site.jobs())["issues"] == ("queued", "changes")
    due = "SELECT resource FROM visit WHERE next_at IS NOT NULL ORDER BY resource"
    assert await site.ask(due) == [("discovery",)]


async def test_no_more_are_opened_than_asked_for(site: Site) -> None:
    await read_once(site, "issues", "milestones", "merge_requests")
    await site.pass_time(2 * MINUTE)
    assert await open_early(site, 0) == 0
    assert await open_early(site, 2) == 2
    assert len(await opened(site)) == 2


async def test_what_was_looked_at_a_minute_ago_is_left(site: Site) -> None:
    await read_once(site, "issues", "milestones")
    await wait_for(site, "issues", 0.5)
    await wait_for(site, "milestones", 1.1)
    assert await open_early(site, 100) == 1
    assert await opened(site) == {"milestones"}


async def test_discovery_and_what_is_due_anyway_are_left(site: Site) -> None:
    await read_once(site, "issues")
    await site.pass_time(3)  # the list is due, the discovery in three hours
    assert await open_early(site, 100) == 0
    assert await opened(site) == set()
    assert await site.open_due() == 1


async def test_what_is_not_collected_or_not_seen_by_anybody_is_left(site: Site) -> None:
    await read_once(site, "issues", "milestones")
    await site.pass_time(2 * MINUTE)
    chosen = replace(SCHEDULE, resources=("*", "!issues"))
    assert await open_early(site, 100, chosen) == 1
    assert await opened(site) == {"milestones"}
    await site.db.write(lambda c: c.exec_driver_sql("DELETE FROM area_access"))
    assert await open_early(site, 100) == 0


async def test_under_way_is_all_requests_all_open_lists_and_the_limits(site: Site) -> None:
    await site.discovered("issues", "milestones", "labels")
    assert await under(site) == Under(0, 3, None)
    await site.visit("issues", requests=7)
    one = await site.claim("milestones")
    await site.report(one, status="processing", requests=5)
    await site.db.write(lambda c: budgets.keep(c, [(1, "rest", 600, 0), (1, "graphql", 9, 0)]))
    assert await under(site) == Under(12, 2, 600)


async def test_limits_of_active_accounts_add_up_where_all_are_told(site: Site) -> None:
    first, second = await site.begin(1), await site.begin(2)
    await site.db.write(lambda c: budgets.keep(c, [(first, "rest", 600, 0)]))
    assert (await under(site)).limit is None
    await site.db.write(lambda c: budgets.keep(c, [(second, "rest", 300, 0)]))
    assert (await under(site)).limit == 900
    refused = "UPDATE account SET state = 'refused' WHERE id = ?"
    await site.db.write(lambda c: c.exec_driver_sql(refused, (second,)))
    assert (await under(site)).limit == 600


@pytest.mark.parametrize(("share", "found"), [(0.0, set()), (0.1, {"issues"})])
async def test_care_looks_early_where_a_share_is_given(
    tmp_path: Path, site: Site, share: float, found: set[str]
) -> None:
    time = Leaping()
    await read_once(site, "issues")
    await site.pass_time(2 * MINUTE)
    care = Leasing(site.db, RETRY, time.website(), LocalDisk(), tmp_path, lambda: 1 << 40)
    care = replace(care, schedule=replace(SCHEDULE, share=share))
    await care.tick()
    assert await opened(site) == set()
    time.leapt_seconds += 60.0
    await care.tick()
    assert await opened(site) == found


@pytest.mark.parametrize(
    ("stage", "share"),
    [
        ("reading issue_links, 101 of 404 items", 0.25),
        ("reading issue_links, 101 items", None),
        ("reading issue_links", None),
        ("", None),
    ],
)
async def test_share_of_items_that_a_crawler_tells_is_that_of_the_forecast(
    site: Site, stage: str, share: float | None
) -> None:
    await site.discovered("issue_links")
    one = await site.claim("issue_links")
    await site.report(one, status="processing", stage=stage, processed_items=7, total_items=8)
    seen = await site.db.read(lambda c: outlook.outlook(c, {"issue_links": "issues"}, 0))
    own = [each for each in seen.running if each.kind.resource == "issue_links"]
    assert [each.share for each in own] == [share]
    areas = await site.ask("SELECT area_id FROM job WHERE resource = 'issue_links'")
    part = await site.db.read(lambda c: outlook.part(c, areas[0][0], {"issue_links": "issues"}))
    assert [each.share for each in part.running] == [share]


async def test_commits_that_came_open_the_branches(site: Site) -> None:
    await read_once(site, "commits", "branches", "tags")
    await site.pass_time(2)
    await site.open_due()
    assert "branches" not in await opened(site)
    await site.visit("commits", changed=0)
    assert await opened(site) == set()
    await site.pass_time(3)
    await site.open_due()
    await site.visit("commits", changed=1)
    assert await opened(site) == {"branches"}


def test_cron_means_its_times_alone() -> None:
    assert schedule_of(Timetable(share=0.3)).share == 0.3
    assert schedule_of(Timetable(cron="0 3 * * *", share=0.3)).share == 0.0


def test_what_moves_a_list_is_a_list_of_the_same_areas() -> None:
    moved = {one.name: one for one in catalog.RESOURCES if one.moved_by}
    assert sorted(moved) == ["branches"]
    for one in moved.values():
        by = catalog.find(one.area_kind, one.moved_by)
        assert by is not None
        assert by.changes
