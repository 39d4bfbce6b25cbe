"""What an admin wants of crawlers and jobs: written down first, told at once, and done."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.dispatch.crawling import Crawling
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.dispatch.handlers import handle
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.errors import BadMessage, Conflict, Missing
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.exchange import Caller
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import (
    TOKEN,
    RawPeer,
    Website,
    raw_peer,
    settled,
    website,
)

SECRET = proof.secret_of(TOKEN)
BEAT = {"timestamp": 5, "activeJobs": 2, "systemStatus": "processing", "breakerOpened": 3}


def _crawling(manager: DirectCommunicationManager) -> Crawling:
    return Crawling(manager, "listen", "api.sock")


def _jobs(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql("SELECT state, hold_reason, wanted FROM job ORDER BY id")
    return [tuple(row) for row in rows.all()]


async def _crawler(site: Website, peer: RawPeer, name: str = "crawler-1") -> None:
    site.announce(name)
    assert await peer.register(name, SECRET) == "registered"


async def _told(peer: RawPeer, *keys: str) -> tuple[str, Any]:
    envelope = await peer.hear(*keys)
    assert envelope is not None
    return envelope.key, msgspec.json.decode(envelope.payload)


@pytest.mark.seed("S1.21", "S1.30")
@pytest.mark.parametrize(
    ("action", "left"),
    [("pause", ("running", None, "pause")), ("cancel", ("cancelled", None, "run"))],
)
async def test_command_about_a_job_reaches_who_has_it_in_hand(
    tmp_path: Path, action: str, left: tuple[str, str | None, str]
) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        await _crawler(site, peer)
        (job_id,) = await site.plant(1)
        await site.claim("crawler-1", 1)
        done = await _crawling(manager).command(action, None, job_id)
        assert done == {"crawlers": ["crawler-1"], "jobs": 1}
        assert await _told(peer, action) == (action, {"taskId": str(job_id)})
        assert await site.store.read(_jobs) == [left]


async def test_what_a_message_missed_the_next_renewal_tells(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        paused, cancelled = await site.plant(2)
        held = await site.claim("crawler-1", 2)
        for action, job_id in (("pause", paused), ("cancel", cancelled)):
            assert await _crawling(manager).command(action, None, job_id) == {
                "crawlers": [],
                "jobs": 1,
            }
        leases = [{"taskId": str(one.job_id), "epoch": one.fence} for one in held]
        renewed = await _renew(manager, leases)
        assert [(one.task_id, one.wanted, one.lost) for one in renewed] == [
            (str(paused), "pause", False),
            (str(cancelled), "cancel", True),
        ]


async def _renew(
    manager: DirectCommunicationManager, leases: list[dict[str, Any]]
) -> list[wire.RenewedLease]:
    envelope = wire.Envelope(
        origin="crawler-1",
        type="jobRequest",
        key="renew_leases",
        payload=msgspec.Raw(msgspec.json.encode({"leases": leases})),
    )
    reply = await handle(manager.board.desk, Caller("crawler-1"), envelope)
    assert reply is not None
    return msgspec.json.decode(reply.payload, type=wire.LeasesRenewed).leases


@pytest.mark.seed("S1.21", "S1.30", "S2.103")
@pytest.mark.parametrize("action", ["pause", "drain"])
async def test_crawler_that_is_paused_or_drained_gets_no_jobs_and_the_other_does(
    tmp_path: Path, action: str
) -> None:
    async with (
        website(tmp_path) as site,
        site.serving() as manager,
        raw_peer(site.path) as first,
        raw_peer(site.path) as second,
    ):
        await _crawler(site, first, "crawler-1")
        await _crawler(site, second, "crawler-2")
        crawling = _crawling(manager)
        assert await crawling.command(action, "crawler-1") == {"crawlers": ["crawler-1"], "jobs": 0}
        assert await _told(first, action) == (action, {})
        await site.plant(2)
        assert await _asked(first) == 0
        assert await _asked(second) == 2
        wanted = {one["name"]: one["wanted"] for one in await crawling.clients()}
        assert wanted == {"crawler-1": action, "crawler-2": "run"}


async def _asked(peer: RawPeer) -> int:
    peer.send("request_jobs", {"limit": 5, "requestId": "r"}, "jobRequest", id="2" * 26)
    return len((await _told(peer, "jobs_available"))[1])


@pytest.mark.seed("S1.30", "S2.61")
async def test_resumed_crawlers_get_what_waited_at_once(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        await _crawler(site, peer)
        crawling = _crawling(manager)
        await crawling.command("pause")
        await site.plant(1)
        peer.send("request_jobs", {"limit": 5, "requestId": "r"}, "jobRequest", id="2" * 26)
        await crawling.command("resume")
        assert len((await _told(peer, "jobs_available"))[1]) == 1


async def test_cancelling_all_ends_what_is_in_hand_and_leaves_the_queue(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        await _crawler(site, peer)
        await site.plant(3)
        await site.claim("crawler-1", 2)
        done = await _crawling(manager).command("cancel")
        assert done == {"crawlers": ["crawler-1"], "jobs": 2}
        assert [row[0] for row in await site.store.read(_jobs)] == ["cancelled"] * 2 + ["queued"]


@pytest.mark.seed("S2.11", "S2.91")
async def test_heartbeat_shutdown_and_new_credentials_are_told(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        await _crawler(site, peer)
        crawling = _crawling(manager)
        sent = {"crawlers": ["crawler-1"], "jobs": 0}
        assert await crawling.command("heartbeat") == sent
        assert (await _told(peer, "heartbeat"))[0] == "heartbeat"
        assert await crawling.command("shutdown", "crawler-1") == sent
        assert await _told(peer, "shutdown") == ("shutdown", {"graceSeconds": 10.0})
        assert manager.send_credentials_updated(7) == ["crawler-1"]
        assert await _told(peer, "CREDENTIALS_UPDATED") == (
            "CREDENTIALS_UPDATED",
            {"accountId": "7"},
        )


async def test_command_that_cannot_be_done_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        crawling = _crawling(manager)
        with pytest.raises(BadMessage, match="is no action; there are: heartbeat, ping, pause"):
            await crawling.command("explode")
        with pytest.raises(Missing, match="no crawler x is connected"):
            await crawling.command("heartbeat", "x")
        with pytest.raises(Missing, match="no crawler x ever came"):
            await crawling.command("pause", "x")
        with pytest.raises(Missing, match="there is no job 9"):
            await crawling.command("cancel", None, 9)
        with pytest.raises(BadMessage, match="a job cannot be told to drain"):
            await crawling.command("drain", None, 9)
        (job_id,) = await site.plant(1)
        with pytest.raises(Conflict, match="is queued and not paused"):
            await crawling.command("resume", None, job_id)


@pytest.mark.seed("S2.38", "S2.67", "S2.68", "S2.41")
async def test_clients_are_told_with_what_they_said_of_themselves(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        crawling = _crawling(manager)
        assert crawling.connection() == {
            "connected": False,
            "role": "listen",
            "path": "api.sock",
            "since": None,
        }
        await _crawler(site, peer)
        peer.send("heartbeat", BEAT, "heartbeat")
        await settled(lambda: manager.statuses()[0].heartbeat.timestamp > 0)
        (client,) = await crawling.clients()
        told = {key: client[key] for key in ("name", "status", "activeJobs", "transport", "wanted")}
        assert told == {
            "name": "crawler-1",
            "status": "processing",
            "activeJobs": 2,
            "transport": "socket",
            "wanted": "run",
        }
        assert crawling.connection()["connected"] is True


@pytest.mark.seed("S2.39", "S2.74", "S2.107")
async def test_each_figure_of_the_statistics_moves(tmp_path: Path) -> None:
    async with website(tmp_path, accepts_legacy=True) as site, site.serving() as manager:
        crawling = _crawling(manager)
        before = await crawling.statistics()
        for _ in range(2):
            async with raw_peer(site.path) as peer:
                await _crawler(site, peer)
                peer.send("heartbeat", BEAT, "heartbeat")
                peer.say(b"garbage}\n")
                assert await peer.hear("ERROR") is not None
        async with raw_peer(site.path) as peer:
            await _as_before(site, peer)
            # The second of two equal reports is behind the first.
            await settled(lambda: manager.board.desk.statistics.duplicates > 0)
            during = await crawling.statistics()
        # No report committed a segment, and nobody was too fast.
        still = [key for key, value in before.items() if during[key] == value]
        assert still == ["records", "cooldown"]
        assert during["reconnects"] == {
            "total": 1,
            "byClient": {"crawler-1": 2, "dialect-1:raw": 1},
        }
        assert during["dedup"] == {"duplicates": 1, "remembered": 1}
        assert during["messages"]["ignored"] == {"unknown_key": 1, "other_destination": 1}
        assert during["messages"]["refused"] == {"bad_message": 2}


async def _as_before(site: Website, peer: RawPeer) -> None:
    """Speak as the ancestors' crawlers do, everything that is counted."""
    (job_id,) = await site.plant(1)
    peer.send("request_jobs", {"requestId": "a"}, "jobRequest")
    await peer.hear("jobs_available")
    for _ in range(2):
        told = {"taskId": str(job_id), "status": "started", "timestamp": 1}
        peer.send("PROGRESS_UPDATE", told)
    peer.send("statusUpdate", {})
    peer.send("heartbeat", BEAT, "heartbeat", destination="nobody")
    peer.send("request_jobs", {"requestId": "b"}, "jobRequest")
    await peer.hear("jobs_available")
    await settled(lambda: site.store.changes.commits > 0)


@pytest.mark.seed("S2.27", "S2.52")
async def test_flooding_peer_is_slowed_and_closed_and_its_neighbour_is_not(tmp_path: Path) -> None:
    limits = FloodLimits(messages_per_second=20.0, cooldown_seconds=0.01, cooldowns=1)
    async with (
        website(tmp_path, flood=limits) as site,
        site.serving() as manager,
        raw_peer(site.path) as flooder,
        raw_peer(site.path) as neighbour,
    ):
        await _crawler(site, flooder, "crawler-1")
        await _crawler(site, neighbour, "crawler-2")
        for _ in range(200):
            flooder.send("heartbeat", BEAT, "heartbeat")
        assert await _told(flooder, "ERROR") == (
            "ERROR",
            {"code": "flood", "message": "too many messages in a second, again and again"},
        )
        assert await flooder.hear("anything") is None
        neighbour.send("renew_leases", {"leases": []}, "jobRequest", id="3" * 26)
        assert await neighbour.hear("leases_renewed") is not None
        cooldown = (await _crawling(manager).statistics())["cooldown"]
        assert (cooldown["begun"], cooldown["disconnected"]) == (1, 1)


async def test_cancelling_what_an_unknown_crawler_has_is_refused(tmp_path: Path) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        with pytest.raises(Missing, match="no crawler x ever came"):
            await _crawling(manager).command("cancel", "x")
