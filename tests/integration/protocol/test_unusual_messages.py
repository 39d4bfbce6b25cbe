"""Messages that are odd and allowed, or odd and wrong: what they cost, and what they must not."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.store import leases
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import TOKEN, RawPeer, raw_peer, settled, website

SECRET = proof.secret_of(TOKEN)


def _jobs(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql("SELECT state, processed_items FROM job ORDER BY id").all()
    return [tuple(row) for row in rows]


async def _told(peer: RawPeer, *keys: str) -> tuple[str, Any]:
    envelope = await peer.hear(*keys)
    assert envelope is not None
    return envelope.key, msgspec.json.decode(envelope.payload)


@pytest.mark.parametrize("payload", [None, {}, {"requestId": "r"}, {"requestId": None}])
async def test_ancestor_gets_jobs_whatever_it_leaves_out_of_its_request(
    tmp_path: Path, payload: object
) -> None:
    async with website(tmp_path, accepts_legacy=True) as site, site.serving():
        (job_id,) = await site.plant(1)
        async with raw_peer(site.path) as peer:
            peer.send("request_jobs", payload, "jobRequest")
            key, tasks = await _told(peer, "jobs_available", "jobs_error", "ERROR")
        assert (key, [task["taskId"] for task in tasks]) == ("jobs_available", [str(job_id)])


@pytest.mark.parametrize("payload", [b'{"limit":1e999}', b'{"requestId":5}', b"7"])
async def test_request_of_an_ancestor_that_makes_no_sense_costs_only_itself(
    tmp_path: Path, payload: bytes
) -> None:
    async with website(tmp_path, accepts_legacy=True) as site, site.serving():
        await site.plant(1)
        async with raw_peer(site.path) as peer:
            # What it sent first decides that it is one of dialect 1.
            peer.send("heartbeat", {"timestamp": 1}, "heartbeat")
            peer.say(
                b'{"origin":"raw","type":"jobRequest","key":"request_jobs","payload":'
                + payload
                + b"}"
            )
            assert (await _told(peer, "jobs_error", "ERROR"))[0] == "jobs_error"
            peer.send("request_jobs", {"requestId": "r"}, "jobRequest")
            assert (await _told(peer, "jobs_available"))[0] == "jobs_available"


async def test_null_and_an_empty_numbered_object_are_what_an_ancestor_left_out(
    tmp_path: Path,
) -> None:
    async with website(tmp_path, accepts_legacy=True) as site, site.serving():
        (job_id,) = await site.plant(1)
        async with raw_peer(site.path) as peer:
            peer.send("request_jobs", {"requestId": "r"}, "jobRequest")
            await peer.hear("jobs_available")
            told = {"taskId": str(job_id), "status": "processing", "timestamp": 1}
            odd = {"processedItems": 3, "areas": {}, "message": None, "stage": None, "error": None}
            peer.send("PROGRESS_UPDATE", told | odd)
            await site.until(lambda c: _jobs(c) == [("running", 3)])


async def test_end_that_is_told_again_is_a_repeat_and_no_stranger(tmp_path: Path) -> None:
    async with website(tmp_path, accepts_legacy=True) as site, site.serving() as manager:
        (job_id,) = await site.plant(1)
        async with raw_peer(site.path) as peer:
            peer.send("request_jobs", {"requestId": "r"}, "jobRequest")
            await peer.hear("jobs_available")
            told = {"taskId": str(job_id), "status": "completed", "timestamp": 1}
            peer.send("PROGRESS_UPDATE", told)
            peer.send("PROGRESS_UPDATE", told)
            await settled(lambda: manager.board.desk.statistics.duplicates == 1)
        assert dict(manager.board.desk.statistics.refused) == {}
        assert await site.store.read(_jobs) == [("completed", 0)]


async def test_report_that_names_no_epoch_is_known_by_its_id_and_acknowledged(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving(), raw_peer(site.path) as peer:
        site.announce("crawler-1")
        (job_id,) = await site.plant(1)
        await site.claim("crawler-1", 1)
        await _register(peer, [(job_id, 1)])
        told = {"taskId": str(job_id), "status": "started", "timestamp": 1}
        for number in (1, 2):
            peer.send("PROGRESS_UPDATE", told | {"processedItems": number}, id=f"{number:026d}")
            assert await _told(peer, "ACK", "ERROR") == (
                "ACK",
                {"ids": [f"{number:026d}"], "results": {str(job_id): {"new": True}}},
            )
        assert await site.store.read(_jobs) == [("running", 2)]


async def _register(peer: RawPeer, held: list[tuple[int, int]]) -> None:
    _, challenge = await _told(peer, "challenge")
    peer.send("register", _registration(challenge["nonce"], held), "command")
    assert (await _told(peer, "registered", "rejected"))[0] == "registered"


def _registration(nonce: str, held: list[tuple[int, int]]) -> wire.Register:
    proved = proof.prove(SECRET, nonce, "own", proof.ROLE_CRAWLER, "crawler-1")
    holding = [wire.Holding(task_id=str(job), epoch=epoch) for job, epoch in held]
    return wire.Register(
        id="crawler-1", pid=os.getpid(), protocol=2, nonce="own", proof=proved, holding=holding
    )


def _checkpoint(job: leases.ClaimedJob, number: int) -> dict[str, Any]:
    return {
        "taskId": str(job.job_id),
        "epoch": job.fence,
        "status": "processing",
        "timestamp": 0,
        "processedItems": number,
        "cursor": str(number),
    }


@pytest.mark.parametrize("wrong", [{"segments": 5}, {"status": 7}])
async def test_event_of_a_wrong_shape_ends_its_job_so_that_nothing_passes_over_it(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """The acknowledgement of a later one would cover it, and the cursor would pass a hole."""
    async with website(tmp_path) as site, site.serving(), raw_peer(site.path) as peer:
        site.announce("crawler-1")
        await site.plant(1)
        (job,) = await site.claim("crawler-1", 1)
        await _register(peer, [(job.job_id, job.fence)])
        peer.send("PROGRESS_UPDATE", _checkpoint(job, 1) | wrong, id=f"{1:026d}")
        peer.send("PROGRESS_UPDATE", _checkpoint(job, 2), id=f"{2:026d}")
        codes = [(await _told(peer, "ERROR", "ACK"))[1].get("code") for _ in range(2)]
        assert codes == ["bad_message", "lease_lost"]
        assert await site.store.read(_jobs) == [("failed", 0)]


async def test_state_that_waited_for_its_turn_is_acknowledged_without_a_further_word(
    tmp_path: Path,
) -> None:
    """No sign of life comes here to take the acknowledgement along."""
    async with website(tmp_path) as site, site.serving() as manager:
        site.announce("crawler-1")
        await site.plant(1)
        (job,) = await site.claim("crawler-1", 1)
        state = _checkpoint(job, 1) | {"cursor": None}
        async with raw_peer(site.path) as first:
            await _register(first, [(job.job_id, job.fence)])
            first.send("PROGRESS_UPDATE", state, id=f"{1:026d}")
            assert (await _told(first, "ACK"))[1] == {"ids": [f"{1:026d}"]}
            async with raw_peer(site.path) as second:
                _, challenge = await _told(second, "challenge")
                register = _registration(challenge["nonce"], [(job.job_id, job.fence)])
                second.send("register", register, "command")
                # It comes before the peer is admitted: it has to wait.
                second.send("PROGRESS_UPDATE", state, id=f"{2:026d}")
                assert (await _told(second, "ACK"))[1] == {"ids": [f"{2:026d}"]}
        assert manager.board.desk.statistics.duplicates == 0


async def test_crawler_that_left_before_it_was_known_takes_nobodys_place(tmp_path: Path) -> None:
    """Its words are old: what it named as held is not what its next connection holds."""
    async with website(tmp_path) as site, site.serving() as manager:
        site.auth.announced_within_seconds = 30.0
        await site.plant(1)
        (job,) = await site.claim("crawler-1", 1)
        async with raw_peer(site.path) as older:
            _, challenge = await _told(older, "challenge")
            older.send("register", _registration(challenge["nonce"], []), "command")
        async with raw_peer(site.path) as newer:
            _, challenge = await _told(newer, "challenge")
            site.announce("crawler-1")
            held = [(job.job_id, job.fence)]
            newer.send("register", _registration(challenge["nonce"], held), "command")
            assert (await _told(newer, "registered"))[1].get("released", []) == []
        assert manager.board.desk.statistics.connects == {"crawler-1": 1}
        lease = await site.store.read(lambda c: leases.lease_of(c, job.job_id))
        assert lease == leases.Lease("crawler-1", job.fence)


async def test_long_words_of_a_peer_are_not_repeated_to_it(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        site.announce("crawler-1")
        await _register(peer, [])
        endless = "9" * 100_000
        peer.send("x" * 100_000, {})
        peer.send("PROGRESS_UPDATE", {"taskId": endless, "status": "started", "epoch": 1})
        peer.send("renew_leases", {"leases": [{"taskId": endless, "epoch": 1}]}, "jobRequest")
        for _ in range(2):
            _, error = await _told(peer, "ERROR")
            assert len(error["message"]) < 1000
        assert all(len(key) <= 64 for key in manager.board.desk.statistics.received)


async def test_ancestor_with_an_endless_name_is_refused(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving(),
        raw_peer(site.path) as peer,
    ):
        peer.say(b'{"origin":"' + b"n" * 1000 + b'","type":"heartbeat","key":"heartbeat"}')
        key, said = await _told(peer, "rejected")
    assert (key, said["reason"]) == (
        "rejected",
        "a name of 1000 characters is too long; at most 128",
    )
