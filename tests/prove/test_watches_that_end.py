"""A list that waits to be told of changes is read by itself as soon as nobody is left to tell."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from labtrawl.clock import system_clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.domain.visit import Mode
from labtrawl.gitlab import catalog
from labtrawl.store import accounts, areas, choices, commands, connections, jobs, watches
from labtrawl.store.engine import Connection, Database
from tests.integration.dispatch.visits import Site, group, project, wish
from tests.integration.store.table import RETRY, store
from tests.rig import consenting

pytestmark = pytest.mark.prove

WATCH = msgspec.structs.replace(wish("changed_issues", 3, "group"), mode="changes", watermark=1)
WAITING = (
    "SELECT a.full_path FROM visit AS v JOIN area AS a ON a.id = v.area_id"
    " WHERE v.resource = 'issues' AND v.next_at IS NULL ORDER BY a.full_path"
)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        yield Site(db)


async def _watched(site: Site) -> int:
    """Read the issues of a project below a group that is watched; return the account."""
    account_id = await site.begin()
    found = await site.claim("discovery")
    await site.discover(found, group(), project())
    await site.propose(found, WATCH, wish("issues"))
    await site.complete(found)
    await site.visit("issues", watermark=1)
    assert await site.ask(WAITING) == [("lab/ocean",)]
    return account_id


async def _also_seen(site: Site) -> int:
    """Let another account see the project, and nothing else; return it."""
    other = await site.begin(user=2)
    await site.complete(await site.claim("discovery"))
    await site.db.write(lambda c: areas.grant(c, _project(c), other, 20))
    return other


def _project(connection: Connection) -> int:
    found: int = connection.exec_driver_sql(
        "SELECT id FROM area WHERE kind = 'project'"
    ).scalar_one()
    return found


def _care(site: Site, tmp_path: Path) -> Leasing:
    care = Leasing(site.db, RETRY, system_clock(), LocalDisk(), tmp_path, lambda: 1 << 40)
    return replace(care, schedule=site.schedule)


def _refused(connection: Connection, account_id: int) -> None:
    accounts.refuse(connection, account_id)
    jobs.hold_unseen(connection)


def _disabled(connection: Connection, account_id: int) -> None:
    accounts.switch(connection, account_id, is_on=False)
    jobs.hold_unseen(connection)


def _disconnected(connection: Connection, account_id: int) -> None:
    connections.disconnect(connection, account_id)


def _cancelled(connection: Connection, _account_id: int) -> None:
    (job_id,) = connection.exec_driver_sql(
        "SELECT id FROM job WHERE resource = 'changed_issues'"
    ).one()
    connection.exec_driver_sql("UPDATE job SET state = 'queued' WHERE id = ?", (job_id,))
    commands.cancel_job(connection, job_id)


@pytest.mark.parametrize("end", [_refused, _disabled, _disconnected, _cancelled])
async def test_list_below_a_group_that_nobody_may_read_any_more_is_due_by_itself(
    site: Site, tmp_path: Path, end: Callable[[Connection, int], None]
) -> None:
    account_id = await _watched(site)
    await _also_seen(site)
    await site.db.write(lambda c: end(c, account_id))
    await _care(site, tmp_path).sweep()
    assert await site.ask(WAITING) == []
    assert await site.open_due() == 1
    await site.visit("issues", watermark=2)
    # From now on it has a time of its own.
    assert await site.ask(WAITING) == []


async def test_list_below_a_group_that_is_watched_goes_on_to_wait(
    site: Site, tmp_path: Path
) -> None:
    """Another account may read the group; what failed waits for its sweep, and for nothing else."""
    account_id = await _watched(site)
    other = await _also_seen(site)
    await site.db.write(lambda c: areas.grant(c, 2, other, 20))
    await site.db.write(lambda c: _refused(c, account_id))
    await _care(site, tmp_path).sweep()
    assert await site.ask(WAITING) == [("lab/ocean",)]
    await site.db.write(lambda c: jobs.reopen(c, _project(c), "issues", Mode.SWEEP))
    await site.report(await site.claim("issues"), status="failed", reason="forbidden", error="no")
    await site.db.write(lambda c: _refused(c, other))
    await _care(site, tmp_path).sweep()
    assert await site.ask(WAITING) == [("lab/ocean",)]


async def test_list_that_another_participant_lets_read_is_due_when_its_group_is_left_out(
    site: Site,
) -> None:
    await site.db.write(consenting.begin)
    first, second = await site.begin(), await site.begin(user=2)
    for account_id, found in ((first, (group(), project())), (second, (project(),))):
        await site.db.write(lambda c, one=account_id: consenting.agree(c, one))  # type: ignore[misc]
        discovery = await site.claim("discovery")
        await site.discover(discovery, *found)
        await site.propose(discovery, WATCH, wish("issues"))
        await site.complete(discovery)
    await site.visit("issues", watermark=1)
    assert await site.ask(WAITING) == [("lab/ocean",)]
    ((lab,),) = await site.ask("SELECT id FROM area WHERE kind = 'group'")
    await site.db.write(lambda c: choices.choose(c, first, lab, wanted=False))
    assert await site.ask("SELECT full_path FROM area WHERE unseen_at IS NOT NULL") == [("lab",)]
    assert await site.ask(WAITING) == []
    assert await site.open_due() == 1


def test_watches_of_the_store_are_those_of_the_catalog() -> None:
    assert {one.name: one.watches for one in catalog.RESOURCES if one.watches} == watches.WATCHED
