"""A crawler whose socket cannot be used works by HTTP: same ids, same leases, nothing lost."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from labtrawl.dispatch.crawling import Crawling
from labtrawl.errors import LeaseLost
from labtrawl.protocol import messages as wire
from labtrawl.protocol.client import DirectCommunicationClient
from tests.integration.doors.whole import Whole, whole
from tests.integration.protocol.wire import settled

NEVER = 3600.0


async def _claim(client: DirectCommunicationClient, limit: int) -> list[wire.Task]:
    wanted = wire.RequestJobs(limit=limit, request_id=client.make_id())
    answer = await client.request("jobRequest", "request_jobs", wanted, 30)
    return msgspec.json.decode(answer.payload, type=list[wire.Task])


async def _checkpoint(
    client: DirectCommunicationClient, task: wire.Task, number: int, status: str = "processing"
) -> "asyncio.Future[dict[str, object]]":
    segment = wire.SegmentReport(
        name=f"{task.segments.prefix}{number:06d}.jsonl.zst", length=1, sha256="0", records=2
    )
    update = wire.ProgressUpdate(
        task_id=task.task_id,
        status=status,
        timestamp=number,
        epoch=task.lease.epoch,
        processed_items=2 * number,
        cursor=str(number),
        segments=[segment],
    )
    return await client.send_event("PROGRESS_UPDATE", update, task.task_id)


async def _records(site: Whole) -> int:
    return await site.store.read(
        lambda c: int(c.exec_driver_sql("SELECT SUM(records) FROM segment").scalar_one() or 0)
    )


@pytest.mark.seed("S2.78", "S2.79", "S2.12")
async def test_crawler_without_a_socket_works_by_http_and_goes_back_to_it(tmp_path: Path) -> None:
    held: list[wire.Task] = []

    def holding() -> list[wire.Holding]:
        return [wire.Holding(task_id=one.task_id, epoch=one.lease.epoch) for one in held]

    async with whole(tmp_path) as site, site.falling_back(probe_seconds=0.01) as meeting:
        site.announce()
        await site.plant(2)
        hidden = site.api.with_suffix(".hidden")
        site.api.rename(hidden)
        client = site.crawler(meeting, holding)
        async with client.running():
            held += await _claim(client, 2)
            for number in (1, 2):
                await (await _checkpoint(client, held[0], number))
            (shown,) = await Crawling(site.manager, "listen", "api.sock").clients()
            assert (shown["name"], shown["transport"], site.told) == ("crawler-1", "http", [True])
            hidden.rename(site.api)
            await settled(lambda: site.manager.is_connected() and client.is_connected())
            answers = [await _checkpoint(client, held[0], 3)]
            answers.append(await _checkpoint(client, held[1], 1))
            await asyncio.gather(*answers)
        assert site.told == [True, False]
        states = await site.store.read(
            lambda c: c.exec_driver_sql("SELECT state, fence, cursor FROM job ORDER BY id").all()
        )
    # The leases went over from one door to the other: nobody claimed anything again.
    assert [tuple(row) for row in states] == [("running", 1, "3"), ("running", 1, "1")]


async def test_events_given_while_nothing_can_be_reached_arrive_by_http_in_order(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path) as site, site.falling_back(NEVER) as meeting:
        site.announce()
        await site.plant(1)
        held: list[wire.Holding] = []
        client = site.crawler(meeting, lambda: held)
        async with client.running():
            (task,) = await _claim(client, 1)
            held.append(wire.Holding(task_id=task.task_id, epoch=task.lease.epoch))
            site.remove_socket()
            for session in list(site.manager.sessions.values()):
                session.close("the socket is gone")
            answers = [await _checkpoint(client, task, number) for number in range(1, 21)]
            await asyncio.gather(*answers)
        assert await _records(site) == 40
        assert site.told == [False, True]


async def test_stale_lease_is_refused_by_http_as_by_socket(tmp_path: Path) -> None:
    async with whole(tmp_path) as site, site.falling_back(NEVER) as meeting:
        site.announce()
        await site.plant(1)
        site.remove_socket()
        client = site.crawler(meeting)
        async with client.running():
            (task,) = await _claim(client, 1)
            update = wire.ProgressUpdate(
                task_id=task.task_id, status="completed", timestamp=1, epoch=7
            )
            with pytest.raises(LeaseLost):
                await (await client.send_event("PROGRESS_UPDATE", update, task.task_id))
            renewed = await client.request(
                "jobRequest",
                "renew_leases",
                wire.RenewLeases(leases=[wire.Holding(task_id=task.task_id, epoch=1)]),
                30,
            )
        (lease,) = msgspec.json.decode(renewed.payload, type=wire.LeasesRenewed).leases
        assert (lease.task_id, lease.lost, lease.wanted) == (task.task_id, False, "run")


async def test_wrong_token_is_refused_and_nothing_is_taken_from_it(tmp_path: Path) -> None:
    async with whole(tmp_path) as site, site.falling_back(NEVER) as meeting:
        await site.plant(1)
        site.remove_socket()
        client = site.crawler(meeting)  # no supervisor announced it
        async with client.running():
            await settled(lambda: client.circuit_opened > 0)
            assert not client.is_connected()
        assert site.told == []
