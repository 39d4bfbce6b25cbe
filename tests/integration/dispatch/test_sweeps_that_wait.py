"""A sweep that waits, for quiet hours or for anybody's leave, is planned once however long it waits."""

from collections.abc import AsyncIterator, Callable

import pytest

from labtrawl.store import commands, leases, quiet
from labtrawl.store.engine import Connection, Database
from tests.integration.dispatch.visits import Site
from tests.integration.store.table import store

Work = Callable[[Connection], None]
JOBS = "SELECT resource, state, mode FROM job WHERE resource = 'issues'"
PLANNED = (
    "SELECT next_at IS NOT NULL AND next_at > last_at, sweep_at IS NOT NULL AND sweep_at > last_at,"
    " runs FROM visit WHERE resource = 'issues'"
)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with store(database) as db:
        made = Site(db)
        await made.discovered("issues")
        await made.visit("issues", watermark=1)
        yield made


def _rests(connection: Connection) -> None:
    quiet.put_off(connection, "http://g", 2**41, "quiet hours until tomorrow")


def _goes_on(connection: Connection) -> None:
    quiet.let_go(connection)


def _is_paused(connection: Connection) -> None:
    commands.pause_job(connection, 2)


def _is_resumed(connection: Connection) -> None:
    commands.resume_job(connection, 2)


@pytest.mark.parametrize(
    ("stop", "go"), [(_rests, _goes_on), (_is_paused, _is_resumed)], ids=["quiet", "paused"]
)
async def test_sweep_that_waits_for_days_runs_once(site: Site, stop: Work, go: Work) -> None:
    await site.pass_time(25)
    await site.open_due()
    await site.db.write(stop)
    for _ in range(5):
        await site.pass_time(25)
        await site.open_due()
        await site.db.write(leases.make_due)
    ((_, state, mode),) = await site.ask(JOBS)
    assert (state, mode) == ("held" if stop is _is_paused else "queued", "sweep")
    await site.db.write(go)
    await site.visit("issues", watermark=2)
    assert await site.ask(JOBS) == [("issues", "completed", "sweep")]
    ((has_next, has_sweep, runs),) = await site.ask(PLANNED)
    assert (bool(has_next), bool(has_sweep), runs) == (True, True, 2)
    assert await site.open_due() == 0
