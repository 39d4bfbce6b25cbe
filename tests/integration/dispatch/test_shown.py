"""States that wait in memory: the newest is written, a stale one never, and nothing is kept for ever."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.telling import take_state
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller
from labtrawl.store import leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import RETRY, Website, website

CRAWLER = Caller("crawler-1")


def _state(job: leases.ClaimedJob, number: int, **fields: Any) -> wire.Envelope:
    told = {"taskId": str(job.job_id), "epoch": job.fence, "status": "processing", "timestamp": 1}
    raw = msgspec.Raw(msgspec.json.encode(told | {"processedItems": number} | fields))
    return wire.Envelope(
        origin="crawler-1",
        type="message",
        key="PROGRESS_UPDATE",
        payload=raw,
        id=f"01J00000000000000000{number:06d}",
    )


async def _confirmed(site: Website, manager: DirectCommunicationManager) -> leases.ClaimedJob:
    """A job in hand, of which the database took a word already."""
    await site.plant(1)
    (job,) = await site.claim("crawler-1", 1)
    assert take_state(manager.board.desk, CRAWLER, _state(job, 1)) is None
    await handle(manager.board.desk, CRAWLER, _state(job, 1))
    return job


def _items(connection: Connection) -> list[int]:
    return list(connection.exec_driver_sql("SELECT processed_items FROM job").scalars().all())


@pytest.mark.seed("S2.58", "S2.59")
async def test_newest_of_many_states_is_written_at_the_latest_when_the_website_stops(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _confirmed(site, manager)
            desk = manager.board.desk
            told = [take_state(desk, CRAWLER, _state(job, number)) for number in range(2, 502)]
            assert None not in told
            assert take_state(desk, CRAWLER, _state(job, 2)) is not None
            assert desk.statistics.duplicates == 1
        assert await site.store.read(_items) == [501]


async def test_state_of_a_lease_that_ended_meanwhile_changes_nothing(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _confirmed(site, manager)
            await site.store.write(lambda c: leases.rescue_holder(c, "crawler-1", RETRY))
            take_state(manager.board.desk, CRAWLER, _state(job, 7))
        assert await site.store.read(_items) == [1]


@pytest.mark.parametrize(
    "fields", [{"epoch": 9}, {"status": "completed"}, {"cursor": "c"}, {"taskId": "none"}]
)
async def test_what_is_no_state_of_this_lease_goes_to_the_database(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        job = await _confirmed(site, manager)
        desk = manager.board.desk
        assert take_state(desk, CRAWLER, _state(job, 3, **fields)) is None
        assert take_state(desk, Caller("crawler-2"), _state(job, 3)) is None


async def test_finished_jobs_are_forgotten(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        job = await _confirmed(site, manager)
        shown = manager.board.desk.shown
        shown._leases[job.job_id].believed_until = 0.0
        shown._leases[99] = shown._leases[job.job_id]
        shown._changed.set()
        async with asyncio.timeout(30):
            while shown._leases:  # noqa: ASYNC110 - a dictionary tells nobody
                await asyncio.sleep(0)
