"""Peers of the ancestors: no proof, no ids, no epochs; what they recorded is replayed to us."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.dispatch.budget import Wanted
from labtrawl.dispatch.pot_records import Sight
from labtrawl.dispatch.session import Rhythm
from labtrawl.protocol import messages as wire
from labtrawl.protocol.codec import Decoder
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import RawPeer, Website, raw_peer, website

REQUEST = {"requestId": "rq-1"}


def recorded(truth: Path | None, side: str) -> list[str]:
    """What one side of the recorded conversation sent, a read each."""
    if truth is None:
        pytest.skip("the recorded conversation lies beside GITLAB_TRUTH, which is absent")
    lines = (truth.parent / "dialect-1" / "transcript.ndjson").read_text().splitlines()
    reads = [json.loads(line) for line in lines]
    return [str(read["bytes"]) for read in reads if read["from"] == side]


@contextlib.asynccontextmanager
async def _dialled(site: Website) -> AsyncIterator[RawPeer]:
    """A crawler that listens as the ancestors' did, called by our website."""
    with tempfile.TemporaryDirectory(prefix="labtrawl-") as folder:
        path = Path(folder) / "crawler.sock"
        called: asyncio.Queue[RawPeer] = asyncio.Queue()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.put_nowait(RawPeer(reader, writer))

        server = await asyncio.start_unix_server(take, str(path))
        async with site.serving() as manager:
            dialling = asyncio.create_task(manager.dial(path))
            try:
                peer = await called.get()
                yield peer
                peer.close()
            finally:
                dialling.cancel()
                server.close()


def _jobs(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(
        "SELECT state, processed_items, total_items, lease_holder FROM job ORDER BY id"
    ).all()
    return [tuple(row) for row in rows]


@pytest.mark.seed("S2.21", "S2.75", "S2.76", "S2.9", "S2.10", "S2.51", "S2.57", "S2.60")
async def test_recorded_crawler_is_served_by_the_website_that_dials_it(
    tmp_path: Path, gitlab_truth: Path | None
) -> None:
    reads = recorded(gitlab_truth, "crawler")
    async with website(tmp_path, accepts_legacy=True) as site:
        (job_id,) = await site.plant(1)
        async with _dialled(site) as peer:

            def say(read: str) -> None:
                ours = read.replace("01JTASK", str(job_id)).replace('"acc"', '"1"')
                peer.say(ours.encode())

            say(reads[0])
            say(reads[1])
            tasks = await peer.hear("jobs_available")
            for read in reads[2:4]:
                say(read)
            token = await peer.hear("TOKEN_REFRESH_RESPONSE")
            await site.until(lambda c: _jobs(c)[0][1] > 0)
            shown = await site.store.read(_jobs)
            for read in reads[4:]:
                say(read)
            await site.until(lambda c: _jobs(c)[0][0] == "completed")
        assert tasks is not None
        assert token is not None
        assert shown == [("running", 10, 200, "dialect-1:external-crawler")]
        assert (tasks.id, tasks.reply_to, tasks.destination) == (None, None, "external-crawler")
        (task,) = msgspec.json.decode(tasks.payload)
        assert (task["taskId"], task["command"], task["credentials"]) == (
            str(job_id),
            "r0",
            {"accessToken": "token", "tokenType": "bearer"},
        )
        (theirs,) = _fields(recorded(gitlab_truth, "web")[0])
        assert theirs - set(_paths(task)) == set()
        answered = msgspec.json.decode(token.payload)
        assert (answered["requestId"], "refreshToken" in answered) == ("tr-1", False)
        known = await site.store.read(_ledger)
        assert known == [("elsewhere", 200, 0)]
        areas = await site.store.read(
            lambda c: c.exec_driver_sql("SELECT full_path FROM area ORDER BY id").scalars().all()
        )
        assert areas == ["g/p"]  # the project 7 was known under another path: it was renamed


def _fields(read: str) -> list[set[str]]:
    """The fields of each task in what the ancestors' website answered, those inside others too."""
    (answer, *_) = Decoder().feed(read.encode())
    assert isinstance(answer, wire.Envelope)
    return [set(_paths(task)) for task in msgspec.json.decode(answer.payload)]


def _paths(value: Any, before: str = "") -> list[str]:
    if not isinstance(value, dict):
        return []
    return [
        path
        for key, inner in value.items()
        for path in (f"{before}{key}", *_paths(inner, f"{before}{key}."))
    ]


def _ledger(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(
        "SELECT reason, expected, collected FROM ledger WHERE resource = 'r0'"
    ).all()
    return [tuple(row) for row in rows]


@pytest.mark.seed("S2.3", "S2.51", "S2.59")
async def test_equal_reports_of_a_peer_without_ids_have_one_effect(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving() as manager,
        raw_peer(site.path) as peer,
    ):
        (job_id,) = await site.plant(1)
        peer.send("request_jobs", REQUEST, "jobRequest")
        assert await peer.hear("jobs_available") is not None
        told = {"taskId": str(job_id), "status": "processing", "timestamp": 1, "processedItems": 5}
        for _ in range(3):
            peer.send("PROGRESS_UPDATE", told, "progressUpdate")
        peer.send("request_jobs", {"requestId": "rq-2"}, "jobRequest")
        again = await peer.hear("jobs_available")
        assert again is not None
        # The same client gets the same jobs until they end.
        assert [one["taskId"] for one in msgspec.json.decode(again.payload)] == [str(job_id)]
        peer.send("PROGRESS_UPDATE", told | {"status": "completed", "timestamp": 2})
        await site.until(lambda c: _jobs(c)[0][0] == "completed")
        assert manager.board.desk.statistics.duplicates + manager.board.desk.statistics.merged == 2


async def test_numbered_objects_are_read_as_lists(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving(),
        raw_peer(site.path) as peer,
    ):
        (job_id,) = await site.plant(1)
        peer.send("request_jobs", REQUEST, "jobRequest")
        assert await peer.hear("jobs_available") is not None
        areas = {
            str(number): {
                "type": "project",
                "name": "p",
                "gitlabId": 50 + number,
                "fullPath": f"g/{number}",
            }
            for number in range(3)
        }
        told = {"taskId": str(job_id), "status": "new_areas_discovered", "timestamp": 1}
        peer.send("PROGRESS_UPDATE", told | {"areas": areas})
        await site.until(lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM area").scalar_one() == 4)


async def test_peer_of_dialect_1_is_refused_where_the_setting_does_not_allow_it(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        peer.send("request_jobs", REQUEST, "jobRequest")
        answer = await peer.hear("rejected", "jobs_available")
        assert answer is not None
        assert answer.key == "rejected"
        assert manager.board.desk.statistics.rejected == {
            "register first, with a proof (socket.legacy_peers is off)": 1
        }


async def test_legacy_peer_cannot_touch_the_job_of_another(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving(),
        raw_peer(site.path) as peer,
    ):
        (job_id,) = await site.plant(1)
        await site.claim("crawler-1", 1)
        told = {"taskId": str(job_id), "status": "completed", "timestamp": 1}
        peer.send("PROGRESS_UPDATE", told)
        error = await peer.hear("ERROR")
        assert error is not None
        assert msgspec.json.decode(error.payload, type=wire.ErrorReport).code == "lease_lost"
        assert [row[0] for row in await site.store.read(_jobs)] == ["running"]


async def test_message_to_somebody_else_is_ignored_and_counted(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving() as manager,
        raw_peer(site.path) as peer,
    ):
        await site.plant(1)
        peer.send("request_jobs", REQUEST, "jobRequest", destination="another-website")
        peer.send("request_jobs", REQUEST, "jobRequest", destination="web-server")
        assert await peer.hear("jobs_available") is not None
        assert manager.board.desk.statistics.ignored == {"other_destination": 1}


async def test_silent_listening_crawler_is_not_taken_for_ours(tmp_path: Path) -> None:
    """One that never asks who calls, on a website that wants proofs, is left again."""
    rhythm = Rhythm(60.0, 60.0, register_seconds=0.0)
    async with website(tmp_path, rhythm=rhythm) as site, _dialled(site) as peer:
        assert await peer.hear("anything") is None


async def test_peer_that_asks_for_no_budget_is_charged_all_of_its_share(tmp_path: Path) -> None:
    async with (
        website(tmp_path, accepts_legacy=True) as site,
        site.serving() as manager,
        raw_peer(site.path) as peer,
    ):
        await site.plant(1)
        budget, now = manager.board.desk.budget, site.clock.now_ms()
        budget.ask("crawler-1", "r", [], [((1, "rest"), Sight(limit=100))], now)
        peer.send("request_jobs", REQUEST, "jobRequest")
        answer = await peer.hear("jobs_available")
        assert answer is not None
        (task,) = msgspec.json.decode(answer.payload)
        assert task["rateLimits"] == {"maxRequestsPerMinute": 80}
        (grant,) = budget.ask("crawler-1", "s", [Wanted((1, "rest"), 10)], [], site.clock.now_ms())
        assert grant.requests == 0
