"""One job over a WebSocket: its state as it changes, and the same messages as over the socket."""

import asyncio
import base64
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    RejectConnection,
    Request,
    TextMessage,
)

from labtrawl.clock import system_clock
from labtrawl.protocol.ids import MessageIds
from labtrawl.store import commands, tasks, tokens
from labtrawl.website.api import watching
from tests.integration.website.conftest import Client
from tests.integration.website.house import Crawler, house

ids = MessageIds(system_clock().now_ms, secrets.randbits)


class Socket:
    """The browser's or the crawler's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    @classmethod
    async def open(cls, client: Client, path: str, **headers: str) -> "Socket":
        socket = cls(*await client.open())
        named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        if client.cookie:
            named.append((b"Cookie", client.cookie.encode()))
        if client.bearer:
            named.append((b"Authorization", f"Bearer {client.bearer}".encode()))
        socket.send(Request(host="site", target=path, extra_headers=named))
        first = await socket.event()
        assert isinstance(first, AcceptConnection), first
        return socket

    def send(self, event: Event) -> None:
        self._writer.write(self._connection.send(event))

    def say(self, key: str, payload: object, type_: str = "message", **fields: Any) -> None:
        envelope = {"origin": "me", "type": type_, "key": key, "payload": payload, **fields}
        self.send(TextMessage(data=msgspec.json.encode(envelope).decode()))

    async def event(self) -> Event:
        async with asyncio.timeout(20):
            while not self._events:
                data = await self._reader.read(65536)
                self._connection.receive_data(data or None)
                self._events += list(self._connection.events())
        return self._events.pop(0)

    async def hear(self, *keys: str) -> dict[str, Any]:
        """The next message with one of these keys."""
        while True:
            event = await self.event()
            assert isinstance(event, TextMessage), event
            envelope: dict[str, Any] = msgspec.json.decode(event.data)
            if envelope["key"] in keys:
                return envelope

    async def closed(self) -> tuple[int, str]:
        while True:
            event = await self.event()
            if isinstance(event, CloseConnection):
                return event.code, event.reason or ""

    def leave(self) -> None:
        self._writer.close()


def path_of(job_id: int) -> str:
    return f"/api/internal2/tasks/{job_id}/websocket"


async def test_job_is_shown_whenever_it_changes(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        admin = await all_of_it.admin()
        socket = await Socket.open(admin, path_of(job_id), Origin=admin.url)
        first = await socket.hear("jobUpdate")
        await admin.write(lambda c: commands.pause_job(c, job_id))
        second = await socket.hear("jobUpdate")
        socket.leave()
        told = [(each["payload"]["taskId"], each["payload"]["state"]) for each in (first, second)]
        assert told == [("1", "queued"), ("1", "held")]
        assert (first["origin"], first["destination"][:6]) == ("copilot-study", "admin ")


async def test_crawler_reports_here_as_elsewhere(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        socket = await Socket.open(crawler.client, path_of(job_id), X_Labtrawl_Client="far-1")
        lease = {"taskId": task["taskId"], "epoch": task["lease"]["epoch"]}
        socket.say("renew_leases", {"leases": [lease]}, "jobRequest", id=ids())
        renewed = await socket.hear("leases_renewed")
        message_id = ids()
        done = {**lease, "status": "completed", "timestamp": 1}
        for _ in range(2):
            socket.say("PROGRESS_UPDATE", done, id=message_id)
        acks = [await socket.hear("ACK", "ERROR") for _ in range(2)]
        socket.leave()
        assert renewed["payload"]["leases"][0]["taskId"] == "1"
        assert [(each["key"], each["replyTo"]) for each in acks] == [("ACK", message_id)] * 2
        assert acks[0]["payload"] == {"upTo": {"1": message_id}}


@pytest.mark.parametrize(
    ("key", "payload", "words"),
    [
        ("PROGRESS_UPDATE", {"taskId": "2", "status": "completed", "timestamp": 1}, "task 1, not"),
        ("JOBS_DISCOVERED", {"taskId": "2", "jobs": []}, "task 1, not"),
        ("request_jobs", {"limit": 1}, "is not taken here"),
        ("TOKEN_REFRESH_REQUEST", {"requestId": "r", "taskId": "1"}, "is not taken here"),
        ("PROGRESS_UPDATE", [], "another shape"),
        ("PROGRESS_UPDATE", eval("[" * 40 + "]" * 40), "32 levels"),
    ],
)
async def test_message_that_does_not_belong_here_is_refused(
    tmp_path: Path, key: str, payload: object, words: str
) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id, _) = await all_of_it.site.plant(2)
        crawler = await all_of_it.crawler()
        await crawler.claim(limit=2)
        socket = await Socket.open(crawler.client, path_of(job_id), X_Labtrawl_Client="far-1")
        socket.say(key, payload, id=ids())
        refused = await socket.hear("ERROR")
        socket.leave()
        assert words in refused["payload"]["message"]


async def test_who_only_looks_says_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        reader = all_of_it.client.by(bearer=await all_of_it.client.token("read"))
        socket = await Socket.open(reader, path_of(job_id))
        socket.say("PROGRESS_UPDATE", {"taskId": "1", "status": "failed", "timestamp": 1})
        refused = await socket.hear("ERROR")
        socket.leave()
        assert "is not taken here" in refused["payload"]["message"]


async def test_garbage_costs_itself_only(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        local = all_of_it.client.over_socket()
        socket = await Socket.open(local, path_of(job_id))
        for text in ("{", "[]", base64.b64encode(os.urandom(64)).decode(), '{"type": 5}'):
            socket.send(TextMessage(data=text))
            assert (await socket.hear("ERROR"))["payload"]["code"] == "bad_message"
        socket.leave()


async def test_bytes_are_refused_with_a_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        socket = await Socket.open(all_of_it.client.over_socket(), path_of(job_id))
        socket.send(BytesMessage(data=b"{}"))
        assert await socket.closed() == (1003, "send text, not bytes")
        socket.leave()


async def test_token_that_was_revoked_says_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "RECOGNISE_SECONDS", 0.0)
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        crawler = await all_of_it.crawler()
        (task,) = await crawler.claim()
        socket = await Socket.open(crawler.client, path_of(job_id), X_Labtrawl_Client="far-1")
        await socket.hear("jobUpdate")
        prefix = crawler.client.bearer[: tokens.PREFIX_LENGTH]
        await all_of_it.client.write(lambda c: tokens.revoke(c, prefix))
        report = {"taskId": str(job_id), "status": "paused", "timestamp": 1}
        socket.say("PROGRESS_UPDATE", {**report, "epoch": task["lease"]["epoch"]}, id=ids())
        assert await socket.closed() == (4401, "signed out")
        row = await all_of_it.client.store.read(lambda c: tasks.one(c, job_id))
        socket.leave()
        assert row.state == "running"


async def test_unknown_job_closes_with_a_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        socket = await Socket.open(all_of_it.client.over_socket(), path_of(9))
        assert await socket.closed() == (4404, "there is no job 9")
        socket.leave()


async def test_site_that_stops_lets_go_of_sockets(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        (job_id,) = await all_of_it.site.plant(1)
        socket = await Socket.open(all_of_it.client.over_socket(), path_of(job_id))
        await socket.hear("jobUpdate")
        all_of_it.client.stopping.set()
        assert (await socket.closed())[0] == 1001
        socket.leave()


async def test_stranger_gets_an_answer_and_no_socket(tmp_path: Path) -> None:
    async with house(tmp_path) as all_of_it:
        stranger = Crawler(all_of_it.client, "far-1")
        with pytest.raises(AssertionError, match="status_code=401") as refused:
            await Socket.open(stranger.client, path_of(1))
        assert RejectConnection.__name__ in str(refused.value)
