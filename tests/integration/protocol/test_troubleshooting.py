"""Troubleshooting of direct communication: each trouble is caused, and its hint found in the log."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.dispatch.auth import HINT
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.store.engine import Connection
from tests.integration.protocol.wire import TOKEN, crawler, raw_peer, settled, website

CLIENT, AUTH = "messaging.direct-client", "auth.direct-socket"
MANAGER = "backend.direct-communication-manager"
SECRET = proof.secret_of(TOKEN)
Told = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def told() -> Iterator[Told]:
    """What was logged so far under a category, as an event of this name."""
    stream = io.StringIO()
    logs.set_up(Logs(format="json"), stream)

    def events(category: str, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [each for each in lines if (each["logger"], each["event"]) == (category, event)]

    yield events
    logs.set_up()


@pytest.mark.seed("S2.71", "S2.94", "S2.96")
async def test_socket_path_where_nobody_listens_is_named_in_the_connection_log(
    tmp_path: Path, told: Told
) -> None:
    client = crawler(tmp_path / "nowhere.sock")
    async with client.running():
        await settled(lambda: bool(told(CLIENT, "connect_failed")))
        assert not client.is_connected()
    failed = told(CLIENT, "connect_failed")[0]
    assert failed["error"] == f"[Errno 2] No such file or directory: '{tmp_path}/nowhere.sock'"


@pytest.mark.seed("S2.71", "S2.72", "S2.73", "S2.96")
async def test_connection_log_tells_of_each_begin_and_end(tmp_path: Path, told: Told) -> None:
    async with website(tmp_path) as site, site.serving():
        site.announce("crawler-1")
        async with crawler(site.path).running():
            await settled(lambda: bool(told(CLIENT, "connected")))
        await settled(lambda: bool(told(MANAGER, "client_gone")))
    assert [each["website"] for each in told(CLIENT, "connected")] == ["copilot-study"]
    assert len(told(CLIENT, "disconnected")) == 1
    assert [each["client"] for each in told(AUTH, "client_authorized")] == ["crawler-1"]
    assert [each["client"] for each in told(MANAGER, "client_gone")] == ["crawler-1"]


@pytest.mark.seed("S2.20", "S2.72", "S2.97", "S2.99")
@pytest.mark.parametrize(
    ("name", "secret", "reason"),
    [
        ("crawler-7", SECRET, "not a process that this supervisor started"),
        ("crawler-1", proof.secret_of("another token"), "no valid proof"),
    ],
    ids=["name", "proof"],
)
async def test_client_that_is_not_registered_is_told_why_and_the_authentication_log_too(
    tmp_path: Path, told: Told, name: str, secret: bytes, reason: str
) -> None:
    async with website(tmp_path) as site, site.serving() as manager:
        site.auth.announced_within_seconds = 0.0
        site.announce("crawler-1")
        async with raw_peer(site.path) as peer:
            assert await peer.register(name, secret) == "rejected"
        assert manager.get_authorized_clients() == []
    refused = told(AUTH, "client_refused")
    assert [(each["level"], each["reason"], each["hint"]) for each in refused] == [
        ("warning", reason, HINT)
    ]


@pytest.mark.seed("S2.72", "S2.97")
async def test_client_that_never_registers_is_told_to(tmp_path: Path, told: Told) -> None:
    async with website(tmp_path) as site, site.serving(), raw_peer(site.path) as peer:
        peer.send("request_jobs", {"limit": 1}, "jobRequest", id="0" * 26)
        answer = await peer.hear("rejected", "jobs_available")
        assert answer is not None
        rejected = msgspec.json.decode(answer.payload, type=wire.Rejected)
        assert rejected.reason.startswith("register first, with a proof")
        await settled(lambda: bool(told(AUTH, "client_refused")))


@pytest.mark.seed("S2.73", "S2.100", "S2.102")
@pytest.mark.parametrize(
    ("sent", "code", "hint"),
    [
        (b'{"type":"message",}\n', "bad_message", "malformed"),
        (b"[1]\n", "bad_message", "not a JSON object"),
        (b'{"origin":7,"type":"message","key":"x"}\n', "bad_message", "$.origin"),
        (b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n", "too_deep", ""),
    ],
    ids=["JSON", "list", "field", "depth"],
)
async def test_message_of_another_form_is_refused_with_its_reason_and_logged(
    tmp_path: Path, told: Told, sent: bytes, code: str, hint: str
) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        site.announce("crawler-1")
        assert await peer.register("crawler-1", SECRET) == "registered"
        peer.say(sent)
        answer = await peer.hear("ERROR")
        assert answer is not None
        report = msgspec.json.decode(answer.payload, type=wire.ErrorReport)
        assert (report.code, hint in report.message) == (code, True)
        logged = [(each["reason"], hint in each["detail"]) for each in told(MANAGER, "bad_frame")]
        assert logged == [(code, True)]
        assert manager.get_authorized_clients() != []


@pytest.mark.seed("S2.73", "S2.102")
async def test_message_that_cannot_be_applied_is_logged_with_its_reason(
    tmp_path: Path, told: Told
) -> None:
    async with website(tmp_path) as site, site.serving(), raw_peer(site.path) as peer:
        site.announce("crawler-1")
        assert await peer.register("crawler-1", SECRET) == "registered"
        update = {"taskId": "7", "epoch": 1, "status": "processing", "timestamp": "now"}
        peer.send("PROGRESS_UPDATE", update, id="0" * 26)
        answer = await peer.hear("ERROR")
        assert answer is not None
        code = msgspec.json.decode(answer.payload, type=wire.ErrorReport).code
    refused = told(MANAGER, "message_refused")
    assert [(each["key"], each["reason"]) for each in refused] == [("PROGRESS_UPDATE", code)]


@pytest.mark.seed("S2.59", "S2.101")
async def test_message_sent_twice_is_acknowledged_twice_applied_once_and_counted(
    tmp_path: Path,
) -> None:
    async with website(tmp_path) as site, site.serving() as manager, raw_peer(site.path) as peer:
        site.announce("crawler-1")
        await site.plant(1)
        assert await peer.register("crawler-1", SECRET) == "registered"
        (job,) = await site.claim("crawler-1", 1)
        update = wire.ProgressUpdate(
            task_id=str(job.job_id),
            epoch=job.fence,
            status="completed",
            timestamp="2026-11-22T00:00:00Z",
            processed_items=3,
        )
        for _ in range(2):
            peer.send("PROGRESS_UPDATE", update, id="0" * 25 + "1")
            assert await peer.hear("ACK") is not None
        assert await site.store.read(_ended) == [("completed", 3)]
        assert manager.board.desk.statistics.duplicates == 1


def _ended(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql("SELECT state, processed_items FROM job").all()
    return [tuple(row) for row in rows]
