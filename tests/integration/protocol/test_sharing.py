"""Several crawlers on one queue: each job once, fair shares, and what a silent one held goes on."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from labtrawl.clock import system_clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dispatch.leasing import Leasing
from labtrawl.protocol import messages as wire
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.store import leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import RETRY, Website, crawler, website

NAMES = ("crawler-1", "crawler-2")
AT_ONCE = 8


async def _ask(client: DirectCommunicationClient) -> list[wire.Task]:
    asked = wire.RequestJobs(request_id=client.make_id(), limit=AT_ONCE)
    answer = await client.request("jobRequest", "request_jobs", asked, 30)
    return msgspec.json.decode(answer.payload, type=list[wire.Task])


async def _work(client: DirectCommunicationClient, done: list[str]) -> None:
    """Take jobs and end each of them, until there are none."""
    while tasks := await _ask(client):
        answers = [
            await client.send_event("PROGRESS_UPDATE", _completed(task), task.task_id)
            for task in tasks
        ]
        await asyncio.gather(*answers)
        done += [task.task_id for task in tasks]


def _completed(task: wire.Task) -> wire.ProgressUpdate:
    return wire.ProgressUpdate(
        task_id=task.task_id, epoch=task.lease.epoch, status="completed", timestamp=0
    )


def _ended(connection: Connection) -> list[tuple[str, int, int]]:
    rows = connection.exec_driver_sql("SELECT state, fence, COUNT(*) FROM job GROUP BY 1, 2").all()
    return [(row[0], row[1], row[2]) for row in rows]


async def share(data_dir: Path, count: int) -> Counter[str]:
    """Let two crawlers do so many jobs; return how many each did."""
    async with website(data_dir) as site, site.serving():
        await site.plant(count)
        done: dict[str, list[str]] = {name: [] for name in NAMES}
        clients = [crawler(site.path, name) for name in NAMES]
        for name in NAMES:
            site.announce(name)
        async with clients[0].running(), clients[1].running(), asyncio.timeout(300):
            await asyncio.gather(
                *(_work(client, done[name]) for client, name in zip(clients, NAMES, strict=True))
            )
        assert sorted(itertools.chain(*done.values()), key=int) == [
            str(number) for number in range(1, count + 1)
        ]
        assert await site.store.read(_ended) == [("completed", 1, count)]
        return Counter({name: len(each) for name, each in done.items()})


def _is_fair(shares: Counter[str]) -> bool:
    """Whether each has its half, give or take 20 %."""
    half = shares.total() / len(NAMES)
    return all(abs(shares[name] - half) <= 0.2 * half for name in NAMES)


async def test_two_crawlers_do_each_job_once_in_fair_shares(tmp_path: Path) -> None:
    assert _is_fair(await share(tmp_path, 200))


@pytest.mark.proof
@pytest.mark.timeout(400)
async def test_two_crawlers_do_two_thousand_jobs_once_in_fair_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = await share(tmp_path, 2000)
    with capsys.disabled():
        print(f"\n  2,000 jobs, each once: {dict(shares)}")
    assert _is_fair(shares)


async def _until_it_runs_again(site: Website, data_dir: Path, lease_seconds: float) -> float:
    """A crawler leases a job and is never heard of again; how long until another has it?"""
    await site.plant(1)
    (lost,) = await site.store.write(lambda c: leases.claim(c, NAMES[0], "lost", 1, lease_seconds))
    began = time.monotonic()
    care = Leasing(site.store, RETRY, system_clock(), LocalDisk(), data_dir, lambda: 1 << 40)
    site.announce(NAMES[1])
    client = crawler(site.path, NAMES[1])
    caring = asyncio.create_task(care.run())
    try:
        async with client.running():
            while not (tasks := await _ask(client)):
                pass
        taken = time.monotonic() - began
    finally:
        caring.cancel()
    assert [(one.task_id, one.lease.epoch) for one in tasks] == [(str(lost.job_id), lost.fence + 1)]
    return taken


async def test_job_of_a_crawler_that_was_cut_off_goes_to_another(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving():
        assert await _until_it_runs_again(site, tmp_path, 0.2) >= 0.2


@pytest.mark.proof
async def test_job_of_a_crawler_that_was_cut_off_runs_again_within_sixteen_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lease of the default settings, 15 s."""
    async with website(tmp_path) as site, site.serving():
        taken = await _until_it_runs_again(site, tmp_path, 15.0)
    with capsys.disabled():
        print(f"\n  a cut-off crawler's job runs again after {taken:.1f} s")
    assert taken <= 16.0
