"""Invariants of messages: applied once, in their lease, durable before they are acknowledged."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from labtrawl.dataset.disk import LocalDisk
from labtrawl.errors import LeaseLost
from labtrawl.protocol.messages import DiscoveredJob, JobsDiscovered, ProgressUpdate, SegmentReport
from labtrawl.store import jobs, leases
from labtrawl.store.engine import Connection, database_path, open_store
from tests.prove.sim import RETRY, Sim, sim

pytestmark = pytest.mark.prove


def _checkpoint(claimed: leases.ClaimedJob, number: int) -> ProgressUpdate:
    name = f"i1/project-7/issues/j{claimed.job_id}-f{claimed.fence}-{number:06d}.jsonl.zst"
    return ProgressUpdate(
        task_id=str(claimed.job_id),
        epoch=claimed.fence,
        status="processing",
        timestamp=0,
        cursor='{"query":"page=2"}',
        segments=[SegmentReport(name=name, length=10, sha256="0" * 64, records=5)],
    )


@pytest.mark.seed("S2.3", "S2.51", "S2.59")
async def test_message_sent_again_is_applied_once(tmp_path: Path) -> None:
    async with sim(tmp_path) as world:
        disk = LocalDisk()
        await world.run(await world.claim("crawler-1"), disk).run()
        after = await world.everything()
        for envelope in [*world.sent, *reversed(world.sent)]:
            await world.deliver("crawler-1", envelope)
        assert await world.everything() == after
        assert len(world.sent) > 3


@pytest.mark.seed("S2.51")
async def test_message_sent_again_after_a_restart_of_the_website_is_applied_once(
    tmp_path: Path,
) -> None:
    """The record of a message is in the transaction of its effect, not in a process's memory."""
    async with sim(tmp_path) as world:
        claimed = await world.claim("crawler-1")
        await world.send("crawler-1", "PROGRESS_UPDATE", _checkpoint(claimed, 1))
        after = await world.everything()
        sent = list(world.sent)
    async with open_store(database_path(tmp_path)) as store:
        restarted = replace(world, store=store, desk=replace(world.desk, store=store))
        await restarted.deliver("crawler-1", sent[0])
        assert await restarted.everything() == after


async def test_message_of_an_older_lease_changes_nothing(tmp_path: Path) -> None:
    """10 late writes of a crawler that was thought dead: none is accepted, by the same name too."""
    async with sim(tmp_path) as world:
        old = await world.claim("crawler-1")
        new = await world.claim("crawler-1")
        assert new.fence > old.fence
        before = await world.everything()
        for number in range(10):
            with pytest.raises(LeaseLost):
                await world.send("crawler-1", "PROGRESS_UPDATE", _checkpoint(old, number))
        assert await world.everything() == before
        await world.send("crawler-1", "PROGRESS_UPDATE", _checkpoint(new, 1))
        assert await world.everything() != before


async def test_message_of_another_holder_changes_nothing(tmp_path: Path) -> None:
    async with sim(tmp_path) as world:
        claimed = await world.claim("crawler-1")
        before = await world.everything()
        with pytest.raises(LeaseLost):
            await world.send("crawler-2", "PROGRESS_UPDATE", _checkpoint(claimed, 1))
        assert await world.everything() == before


async def test_lease_that_ran_out_is_taken_over_and_its_holder_refused(tmp_path: Path) -> None:
    async with sim(tmp_path) as world:
        old = (await world.store.write(lambda c: leases.claim(c, "crawler-1", "a", 1, -1.0)))[0]
        assert await world.store.write(lambda c: leases.rescue_expired(c, RETRY)) == 1
        new = (await world.store.write(lambda c: leases.claim(c, "crawler-2", "b", 1, 60)))[0]
        assert (new.job_id, new.fence) == (old.job_id, old.fence + 1)
        renewed = await world.store.write(
            lambda c: leases.renew(c, "crawler-1", [(old.job_id, old.fence)], 60)
        )
        assert [one.lost for one in renewed] == [True]
        with pytest.raises(LeaseLost):
            await world.send("crawler-1", "PROGRESS_UPDATE", _checkpoint(old, 1))


async def test_acknowledgement_follows_the_commit(tmp_path: Path) -> None:
    """While the writer is kept from committing there is no answer; after it, effect and answer."""
    async with sim(tmp_path) as world:
        claimed = await world.claim("crawler-1")
        gate = threading.Event()
        blocker = asyncio.ensure_future(world.store.write(lambda _c: gate.wait(30)))
        answer = asyncio.ensure_future(
            world.send("crawler-1", "PROGRESS_UPDATE", _checkpoint(claimed, 1))
        )
        # A read goes round the writer: everything that could run without it has run by then.
        for _ in range(20):
            await world.store.read(lambda c: c.exec_driver_sql("SELECT 1").scalar_one())
        assert not answer.done()
        assert await _segments(world) == 0
        gate.set()
        await blocker
        await answer
        assert await _segments(world) == 1


async def _segments(world: Sim) -> int:
    return int(
        await world.store.read(
            lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM segment").scalar_one()
        )
    )


async def test_failed_transaction_leaves_neither_data_nor_cursor(tmp_path: Path) -> None:
    """A segment and the cursor behind it are one transaction: the second of them fails here."""
    async with sim(tmp_path) as world:
        claimed = await world.claim("crawler-1")
        before = await world.everything()
        update = _checkpoint(claimed, 1)
        twice = msgspec.structs.replace(update, segments=update.segments * 2)
        with pytest.raises(Exception, match=r"UNIQUE constraint failed: segment\.name"):
            await world.send("crawler-1", "PROGRESS_UPDATE", twice)
        assert await world.everything() == before


async def test_area_and_resource_have_one_open_job_however_often_it_is_proposed(
    tmp_path: Path,
) -> None:
    async with sim(tmp_path) as world:
        claimed = await world.claim("crawler-1")
        proposal = JobsDiscovered(
            task_id=str(claimed.job_id),
            epoch=claimed.fence,
            jobs=[
                DiscoveredJob(command=name, full_path="lab/ocean", gitlab_id=7)
                for name in ("labels", "issues", "labels", "milestones")
            ],
        )
        first = await world.send("crawler-1", "JOBS_DISCOVERED", proposal)
        again = await world.send("crawler-1", "JOBS_DISCOVERED", proposal)
        assert [
            sum(one["new"] for one in a.get("results", {}).values()) for a in (first, again)
        ] == [2, 0]

        def enqueue_all(connection: Connection) -> list[int | None]:
            return [jobs.enqueue(connection, jobs.PlannedJob(1, "issues")) for _ in range(3)]

        assert await world.store.write(enqueue_all) == [None, None, None]


@pytest.mark.seed("S1.28", "S2.103")
async def test_claims_beside_each_other_never_share_a_job(tmp_path: Path) -> None:
    async with sim(tmp_path) as world:

        def more(connection: Connection) -> None:
            for resource in range(40):
                jobs.enqueue(connection, jobs.PlannedJob(1, f"r{resource}"))

        await world.store.write(more)
        claims = await asyncio.gather(
            *(
                world.store.write(lambda c, n=n: leases.claim(c, f"crawler-{n}", "x", 5, 60))  # type: ignore[misc]
                for n in range(10)
            )
        )
        ids = [job.job_id for claimed in claims for job in claimed]
        assert len(ids) == len(set(ids)) == 41
