"""Lists that a project switches off after they were collected, and on again: what the ledger says."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.protocol.messages import DiscoveredArea, LedgerReport
from labtrawl.store.engine import Database
from labtrawl.store.leases import ClaimedJob
from tests.integration.dispatch.visits import Site, project
from tests.integration.store.table import store

OFF = {"issues_access_level": "disabled"}
ON = {"issues_access_level": "enabled"}
NOTHING = LedgerReport(expected=0, expected_by="x-total")
LEDGER = "SELECT reason, completed_at IS NULL FROM ledger WHERE resource = 'issues'"


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """Issues were collected, and switched off since."""
    async with store(database) as db:
        one = Site(db)
        await one.discovered("issues")
        await one.visit("issues", processed_items=5, ledger=LedgerReport(expected=5))
        await one.see_anew(_project(OFF))
        await one.pass_time(30)
        await one.open_due()
        yield one


def _project(features: dict[str, str]) -> DiscoveredArea:
    return replace(project(), features=features)


async def _told(site: Site) -> tuple[str | None, bool]:
    ((reason, is_open),) = await site.ask(LEDGER)
    return reason, bool(is_open)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ({"status": "completed", "ledger": NOTHING}, "feature_off"),
        ({"status": "failed", "reason": "forbidden", "error": "403"}, "feature_off"),
        ({"status": "failed", "reason": "empty_repository", "error": "404"}, "feature_off"),
        ({"status": "failed", "reason": "failed", "error": "500"}, "failed"),
        ({"status": "completed", "processed_items": 2, "ledger": LedgerReport()}, None),
    ],
)
async def test_reading_of_what_is_switched_off_explains_nothing_by_itself(
    site: Site, report: dict[str, Any], reason: str | None
) -> None:
    assert await _told(site) == ("feature_off", False)
    await site.report(await site.claim("issues"), **report)
    assert await _told(site) == (reason, False)


async def test_list_that_is_switched_on_again_is_to_be_read_whole(site: Site) -> None:
    await site.visit("issues", ledger=NOTHING)
    found = await _discovery(site)
    await site.discover(found, _project({}))  # an account that is told no levels
    assert await _told(site) == ("feature_off", False)
    await site.discover(found, _project(ON))
    assert await _told(site) == (None, True)
    assert (await site.jobs())["issues"] == ("queued", "sweep")
    await site.visit("issues", ledger=NOTHING)
    assert await _told(site) == (None, False)


async def test_list_that_is_read_while_it_is_switched_on_is_read_whole_afterwards(
    site: Site,
) -> None:
    reading = await site.claim("issues")
    await site.discover(await _discovery(site), _project(ON))
    await site.complete(reading, ledger=NOTHING)
    await site.open_due()
    assert (await site.jobs())["issues"] == ("queued", "sweep")


async def _discovery(site: Site) -> ClaimedJob:
    await site.pass_time(7)
    await site.db.write(
        lambda c: c.exec_driver_sql("UPDATE visit SET next_at = NULL WHERE resource = 'issues'")
    )
    await site.open_due()
    return await site.claim("discovery")
