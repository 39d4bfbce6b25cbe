"""State is taken in memory and written now and then; nothing that is not under its lease is shown."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.errors import LeaseLost
from labtrawl.protocol import messages as wire
from labtrawl.protocol.exchange import Caller
from labtrawl.store import jobs, leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import Website, website

CALLER = Caller("crawler-1")


def _state(job: leases.ClaimedJob, number: int, **fields: object) -> wire.Envelope:
    told = {"taskId": str(job.job_id), "epoch": job.fence, "status": "processing", "timestamp": 0}
    payload = told | {"processedItems": number, "stage": f"page {number}"} | fields
    return wire.Envelope(
        origin="crawler-1",
        type="progressUpdate",
        key="PROGRESS_UPDATE",
        id=f"{number:026d}",
        payload=msgspec.Raw(msgspec.json.encode(payload)),
    )


async def _send(manager: DirectCommunicationManager, envelope: wire.Envelope) -> list[str]:
    """Deliver as any door would; return the ids that were acknowledged."""
    reply = await handle(manager.board.desk, CALLER, envelope)
    assert reply is not None
    assert reply.ack is not None
    return list(reply.ack.ids)


def _shows(items: int, stage: str) -> Callable[[Connection], bool]:
    def look(connection: Connection) -> bool:
        row = connection.exec_driver_sql("SELECT processed_items, stage FROM job").one()
        return tuple(row) == (items, stage)

    return look


async def _claimed(site: Website) -> leases.ClaimedJob:
    await site.plant(1)
    (job,) = await site.claim("crawler-1", 1)
    return job


async def test_many_states_are_one_write_of_the_newest(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        job = await _claimed(site)
        assert await _send(manager, _state(job, 1)) == [f"{1:026d}"]
        commits = site.store.changes.commits
        for number in range(2, 101):
            assert await _send(manager, _state(job, number)) == [f"{number:026d}"]
        assert site.store.changes.commits == commits
        await site.until(_shows(100, "page 100"))
        assert manager.board.desk.statistics.merged == 98


async def test_first_state_of_a_job_that_was_just_handed_out_needs_no_look(tmp_path: Path) -> None:
    """The database gave the lease; whoever has another one is asked about."""
    async with website(tmp_path) as site, site.serving() as manager:
        await site.plant(1)
        desk = manager.board.desk
        asked = wire.Envelope(
            origin="crawler-1",
            type="jobRequest",
            key="request_jobs",
            id="r",
            payload=msgspec.Raw(b'{"requestId":"r1","limit":1}'),
        )
        reply = await handle(desk, CALLER, asked)
        assert reply is not None
        (task,) = msgspec.json.decode(msgspec.json.encode(reply.payload))
        commits, told = site.store.changes.commits, {"taskId": task["taskId"]}
        first = _state_of(told | {"epoch": task["lease"]["epoch"]})
        assert await _send(manager, first) == [first.id]
        assert site.store.changes.commits == commits
        await site.until(_shows(1, "page 1"))
        with pytest.raises(LeaseLost):
            await handle(desk, Caller("crawler-2"), first)
        with pytest.raises(LeaseLost):
            await _send(manager, _state_of(told | {"epoch": task["lease"]["epoch"] + 1}))


def _state_of(told: dict[str, object]) -> wire.Envelope:
    shown = {"status": "processing", "timestamp": 0, "processedItems": 1, "stage": "page 1"}
    payload = msgspec.Raw(msgspec.json.encode(told | shown))
    return wire.Envelope(
        origin="crawler-1",
        type="progressUpdate",
        key="PROGRESS_UPDATE",
        id=f"{1:026d}",
        payload=payload,
    )


async def test_state_that_comes_again_or_late_changes_nothing(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _claimed(site)
            for number in (1, 5, 5, 3):
                assert await _send(manager, _state(job, number)) == [f"{number:026d}"]
            assert manager.board.desk.statistics.duplicates == 2
        assert await site.store.read(_shows(5, "page 5"))


async def test_state_is_written_before_the_website_stops(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _claimed(site)
            for number in (1, 2):
                await _send(manager, _state(job, number))
        assert await site.store.read(_shows(2, "page 2"))


async def test_state_of_a_lease_that_ended_meanwhile_is_not_shown_and_the_next_one_refused(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _claimed(site)
            await _send(manager, _state(job, 1))
            await site.store.write(lambda c: leases.give_back(c, job.job_id))
            await _send(manager, _state(job, 2))  # believed, and found out when it is written
        async with site.serving() as manager:
            with pytest.raises(LeaseLost):
                await _send(manager, _state(job, 3))
        assert await site.store.read(_shows(1, "page 1"))


@pytest.mark.parametrize("fields", [{"epoch": 7}, {"epoch": 2}], ids=["to come", "of nobody"])
async def test_state_of_another_lease_is_never_believed(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        job = await _claimed(site)
        await _send(manager, _state(job, 1))
        with pytest.raises(LeaseLost):
            await _send(manager, _state(job, 2, **fields))
        with pytest.raises(LeaseLost):
            await handle(manager.board.desk, Caller("crawler-2"), _state(job, 3))


async def test_state_that_the_database_cannot_hold_costs_only_itself(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        async with site.serving() as manager:
            job = await _claimed(site)
            await _send(manager, _state(job, 1))
            await _send(manager, _state(job, 2, processedItems=2**63))
        assert await site.store.read(_shows(1, "page 1"))


async def test_nothing_is_kept_of_jobs_that_tell_of_themselves_now_and_then(tmp_path: Path) -> None:
    """Each asks the database, none leaves anything behind: there are as many as a website ever had."""
    async with website(tmp_path) as site, site.serving() as manager:
        shown = manager.board.desk.shown
        for number in range(1, 101):
            shown.confirm(number, jobs.Origin("crawler-1", f"{number:026d}", 1), number * 10.0)
        assert len(shown._leases) == 1


async def test_records_are_counted_as_they_are_committed_and_a_repeat_is_not(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        job = await _claimed(site)
        name = f"i1/project-7/issues/j{job.job_id}-f{job.fence}-000001.jsonl.zst"
        segment = {"name": name, "length": 1, "sha256": "0", "records": 12}
        event = _state(job, 1, segments=[segment], cursor="c")
        for _ in range(2):
            await handle(manager.board.desk, CALLER, event)
        assert manager.board.desk.statistics.shown()["records"] == {"issues": 12}
