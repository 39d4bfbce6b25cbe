"""Delivery: whatever breaks in between, each event takes effect once and in the order sent."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.dispatch.session import Session
from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.store import leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import TOKEN, crawler, raw_peer, website

NO_LEASES = wire.RenewLeases(leases=[])


def _checkpoint(job: leases.ClaimedJob, number: int, **fields: Any) -> wire.ProgressUpdate:
    name = f"i1/project-7/{job.resource}/j{job.job_id}-f{job.fence}-{number:06d}.jsonl.zst"
    segment = wire.SegmentReport(name=name, length=1, sha256="0" * 64, records=2)
    told: dict[str, Any] = {
        "task_id": str(job.job_id),
        "epoch": job.fence,
        "status": "processing",
        "timestamp": 0,
        "processed_items": 2 * number,
        "cursor": f'{{"items":{2 * number}}}',
        "segments": [segment],
    }
    return wire.ProgressUpdate(**(told | fields))


def _applied(connection: Connection) -> list[tuple[Any, ...]]:
    """The committed segments of each job in the order of their commit."""
    rows = connection.exec_driver_sql(
        "SELECT job_id, GROUP_CONCAT(CAST(substr(name, -16, 6) AS INTEGER)) FROM"
        " (SELECT * FROM segment ORDER BY id) GROUP BY job_id ORDER BY job_id"
    ).all()
    return [tuple(row) for row in rows]


async def _send(
    client: DirectCommunicationClient, update: wire.ProgressUpdate
) -> asyncio.Future[dict[str, Any]]:
    return await client.send_event("PROGRESS_UPDATE", update, update.task_id)


def _holding(held: list[leases.ClaimedJob]) -> list[wire.Holding]:
    return [wire.Holding(task_id=str(job.job_id), epoch=job.fence) for job in held]


@pytest.mark.seed("S2.3", "S2.6", "S2.79")
@pytest.mark.long
async def test_five_hundred_events_of_twenty_jobs_through_ten_cuts_are_applied_once_in_order(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        await site.plant(20)
        held = await site.claim("crawler-1", 20)
        client = crawler(site.path, holding=lambda: _holding(held))

        async def work(job: leases.ClaimedJob) -> None:
            answers = [await _send(client, _checkpoint(job, n)) for n in range(1, 26)]
            await asyncio.gather(*answers)

        async def cut() -> None:
            for limit in range(30, 330, 30):
                await site.until(lambda c, limit=limit: _count(c) >= limit)  # type: ignore[misc]
                await (await _session(manager)).end("the test cuts it")

        async with client.running(), asyncio.timeout(60):
            await asyncio.gather(cut(), *(work(job) for job in held))
        assert client.reconnects >= 10
        wanted = ",".join(str(n) for n in range(1, 26))
        assert await site.store.read(_applied) == [(job.job_id, wanted) for job in held]
        assert await site.store.read(_ledger) == [(50,)] * 20


async def _session(manager: DirectCommunicationManager) -> Session:
    """The crawler's connection, as soon as it is there."""
    while not manager.sessions:  # noqa: ASYNC110 - the client reconnects on the same loop
        await asyncio.sleep(0)
    return next(iter(manager.sessions.values()))


def _count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT COUNT(*) FROM segment").scalar_one())


def _ledger(connection: Connection) -> list[tuple[Any, ...]]:
    return [tuple(r) for r in connection.exec_driver_sql("SELECT collected FROM ledger").all()]


@pytest.mark.seed("S2.6", "S2.13")
async def test_events_given_while_the_website_is_away_arrive_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site:
        site.announce("crawler-1")
        await site.plant(2)
        held = await site.claim("crawler-1", 2)
        client = crawler(site.path, holding=lambda: _holding(held))
        async with client.running():
            async with site.serving():
                await (await _send(client, _checkpoint(held[0], 1)))
            answers = [await _send(client, _checkpoint(job, n)) for n in (2, 3) for job in held]
            asked = asyncio.ensure_future(
                client.request("jobRequest", "renew_leases", NO_LEASES, 30)
            )
            async with site.serving():
                await asyncio.gather(*answers)
                assert (await asked).key == "leases_renewed"
        assert await site.store.read(_applied) == [
            (held[0].job_id, "1,2,3"),
            (held[1].job_id, "2,3"),
        ]


async def test_request_answered_too_late_is_no_answer_and_no_command(tmp_path: Path) -> None:
    commands: list[str] = []
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        client = crawler(site.path, on_command=lambda envelope: commands.append(envelope.key))
        async with client.running():
            await client.request("jobRequest", "renew_leases", NO_LEASES, 30)
            with pytest.raises(TimeoutError):
                await client.request("jobRequest", "renew_leases", NO_LEASES, 0)
            await client.request("jobRequest", "renew_leases", NO_LEASES, 30)
            assert commands == ["leases_renewed"]
            manager.send_shutdown("crawler-1", 10.0)
            await client.request("jobRequest", "renew_leases", NO_LEASES, 30)
    assert commands == ["leases_renewed", "shutdown"]


@pytest.mark.seed("S2.26")
async def test_request_for_jobs_asked_twice_under_one_id_gets_the_same_lease(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        await site.plant(3)
        async with raw_peer(site.path) as peer:
            await peer.register("crawler-1", proof.secret_of(TOKEN))
            told = []
            for number in range(2):
                peer.send(
                    "request_jobs",
                    {"requestId": "same", "limit": 2},
                    "jobRequest",
                    id=f"{number:026d}",
                )
                answer = await peer.hear("jobs_available")
                assert answer is not None
                tasks = msgspec.json.decode(answer.payload, type=list[wire.Task])
                told.append([(task.task_id, task.lease.epoch) for task in tasks])
        assert told[0] == told[1]
        assert len(told[0]) == 2


async def test_event_of_a_lost_lease_fails_and_the_rest_of_the_line_goes_on(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        await site.plant(2)
        held = await site.claim("crawler-1", 2)
        client = crawler(site.path, holding=lambda: _holding(held))
        async with client.running():
            stale = msgspec.structs.replace(_checkpoint(held[0], 1), epoch=2, segments=[])
            with pytest.raises(LeaseLost):
                await (await _send(client, stale))
            await (await _send(client, _checkpoint(held[1], 1)))
        assert await site.store.read(_applied) == [(held[1].job_id, "1")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"segments": [wire.SegmentReport(name="../x", length=1, sha256="0", records=1)]},
        {"processed_items": 2**70},
        {"status": "completed", "ledger": wire.LedgerReport(reason="because")},
        {
            "areas": [
                wire.DiscoveredArea(type="planet", name="x", gitlab_id=1, full_path="x"),
            ]
        },
    ],
    ids=["name", "number", "reason", "area"],
)
@pytest.mark.seed("S2.84")
async def test_event_that_can_never_be_applied_ends_its_job_and_nothing_after_it_is_taken(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """Else the events behind it would move the cursor past a hole, or it would come for ever."""
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        await site.plant(1)
        held = await site.claim("crawler-1", 1)
        client = crawler(site.path, holding=lambda: _holding(held))
        async with client.running():
            answers = [
                await _send(client, _checkpoint(held[0], 1)),
                await _send(client, _checkpoint(held[0], 2, **wrong)),
                await _send(client, _checkpoint(held[0], 3)),
            ]
            outcomes = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(one) for one in outcomes] == [dict, BadMessage, BadMessage]
        assert client.reconnects == 1
        assert await site.store.read(_applied) == [(held[0].job_id, "1")]
        assert await site.store.read(_ended) == [("failed", '{"items":2}', "failed")]


def _ended(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(
        "SELECT j.state, j.cursor, l.reason FROM job AS j JOIN ledger AS l ON l.job_id = j.id"
    ).all()
    return [tuple(row) for row in rows]


async def test_event_without_a_proper_id_is_refused_not_taken_for_an_old_one(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        await site.plant(1)
        (job,) = await site.claim("crawler-1", 1)
        async with raw_peer(site.path) as peer:
            challenge = asyncio.ensure_future(_register_holding(peer, job))
            assert await challenge == "registered"
            peer.send("PROGRESS_UPDATE", _checkpoint(job, 1), id="1")
            answer = await peer.hear("ERROR", "ACK")
            assert answer is not None
            assert msgspec.json.decode(answer.payload, type=wire.ErrorReport).code == "bad_message"
        assert await site.store.read(_applied) == []


async def _register_holding(peer: Any, job: leases.ClaimedJob) -> str:
    challenge = await peer.hear("challenge")
    nonce = msgspec.json.decode(challenge.payload, type=wire.Challenge).nonce
    proved = proof.prove(proof.secret_of(TOKEN), nonce, "own", proof.ROLE_CRAWLER, "crawler-1")
    register = wire.Register(
        id="crawler-1", protocol=2, nonce="own", proof=proved, holding=_holding([job])
    )
    peer.send("register", register, "command")
    answer = await peer.hear("registered", "rejected")
    return str(answer.key)


async def test_lease_that_a_crawler_no_longer_holds_is_freed_when_it_comes_back(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        await site.plant(2)
        held = await site.claim("crawler-1", 2)
        client = crawler(site.path, holding=lambda: _holding(held[:1]))
        async with client.running():
            await client.request("jobRequest", "renew_leases", NO_LEASES, 30)
            assert client.registered is not None
            assert client.registered.released == [str(held[1].job_id)]
        assert await site.store.read(_states) == ["running", "queued"]


def _states(connection: Connection) -> list[str]:
    return [r[0] for r in connection.exec_driver_sql("SELECT state FROM job ORDER BY id").all()]


@pytest.mark.seed("S2.62")
async def test_waiting_request_of_a_crawler_that_left_leases_nothing(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        async with raw_peer(site.path) as peer:
            await peer.register("crawler-1", proof.secret_of(TOKEN))
            peer.send("request_jobs", {"requestId": "r", "limit": 2}, "jobRequest", id="0" * 26)
            peer.send("renew_leases", {"leases": []}, "jobRequest", id="1" * 26)
            await peer.hear("leases_renewed")
        async with asyncio.timeout(30):
            await asyncio.gather(*manager._tasks, return_exceptions=True)
        await site.plant(2)
        assert await site.store.read(_states) == ["queued", "queued"]
        assert manager.statuses() == []


async def test_state_is_dropped_and_counted_while_nobody_is_there(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        client = crawler(site.path)
        for _ in range(3):
            client.send_heartbeat(wire.Heartbeat(timestamp=1))
        assert client.dropped == 3


@pytest.mark.seed("S2.25")
async def test_two_crawlers_beside_each_other_do_not_mix(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving():
        await site.plant(10)
        held = {}
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for name in ("crawler-1", "crawler-2"):
                site.announce(name)
                held[name] = await site.claim(name, 5)
                jobs = held[name]
                client = crawler(site.path, name, holding=lambda jobs=jobs: _holding(jobs))  # type: ignore[misc]
                clients.append((await stack.enter_async_context(client.running()), held[name]))
            answers = [
                await _send(client, _checkpoint(job, number))
                for number in (1, 2)
                for client, jobs in clients
                for job in jobs
            ]
            await asyncio.gather(*answers)
            with pytest.raises(LeaseLost):
                await (await _send(clients[0][0], _checkpoint(clients[1][1][0], 3)))
        assert {order for _, order in await site.store.read(_applied)} == {"1,2"}
