"""The crawler's line over HTTP when things go wrong on the way; the website here is the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from labtrawl.clock import Clock, system_clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import PeerGone
from labtrawl.http import Answer, Http
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.by_http import FallBack
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.link import Link
from labtrawl.protocol.meeting import Dialler, DialSocket, Introduction
from labtrawl.store import leases
from tests.integration.doors import adapters
from tests.integration.doors.whole import CHANCE, TOKEN, whole
from tests.integration.protocol.wire import settled

NEVER = 3600.0


@dataclass
class Door:
    """Answers what the test wants; keeps what it was asked."""

    answers: Callable[[str, bytes], Any]
    asked: list[str] = field(default_factory=list)

    async def request(
        self, _method: str, path: str, _headers: dict[str, str], body: bytes
    ) -> Answer:
        self.asked.append(path)
        status, told = self.answers(path, body)
        if asyncio.iscoroutine(told):
            told = await told
        return Answer(status, {}, msgspec.json.encode(told), path)


def _registered(body: bytes) -> wire.Registered:
    register = msgspec.json.decode(body, type=wire.Register)
    secret = proof.secret_of(TOKEN)
    made = proof.prove(secret, register.nonce, "", proof.ROLE_WEBSITE, "copilot-study")
    return wire.Registered(
        client_id="copilot-study",
        protocol=2,
        heartbeat_interval_ms=5000,
        server_time=0,
        proof=made,
    )


class NoSocket(DialSocket):
    """Speaks as a website would, and takes nobody in: another user's crawler sees it so."""

    async def meet(self, link: Link, words: Introduction) -> wire.Registered:
        raise PeerGone("not taken in")

    async def connect(self, link: Link) -> None:
        challenge = wire.Challenge(nonce="n")
        link.message_received(
            wire.Envelope(
                origin="w",
                type="command",
                key="challenge",
                payload=msgspec.Raw(msgspec.json.encode(challenge)),
            )
        )


def _clock(sleep: Callable[[float], Awaitable[None]]) -> Clock:
    return Clock(system_clock().now, system_clock().monotonic, sleep)


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


def _client(meeting: FallBack) -> DirectCommunicationClient:
    """A crawler's end that waits for nothing between its tries."""
    dialler = Dialler("crawler-1", TOKEN, 7, "here", "0", 8, list)
    return DirectCommunicationClient(meeting, dialler, _clock(_at_once), CHANCE, lambda _: None)


def _meeting(door: Door, clock: Clock, told: Callable[[bool], None]) -> FallBack:
    by_socket = NoSocket(Path("api.sock"))
    return FallBack(by_socket, cast("Http", door), Secret(TOKEN), clock, told)


async def test_child_that_is_faster_than_its_supervisors_word_is_taken_in_soon() -> None:
    """The first answers are 401; the circuit stays closed, and no pause of 30 s follows."""
    refusals, slept = iter([401, 401, 401]), list[float]()

    def answers(_path: str, body: bytes) -> tuple[int, object]:
        status = next(refusals, 200)
        return status, {} if status == 401 else _registered(body)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0 if seconds < 1 else NEVER)

    told: list[bool] = []
    clock = _clock(sleep)
    client = _client(_meeting(Door(answers), clock, told.append))
    async with client.running():
        await settled(client.is_connected)
        assert (client.circuit_opened, told, slept[:3]) == (0, [True], [0.5, 0.5, 0.5])


async def test_token_that_stays_unknown_is_not_asked_about_for_ever() -> None:
    door = Door(lambda _path, _body: (401, {}))
    client = _client(_meeting(door, _clock(_at_once), lambda _: None))
    async with client.running():
        await settled(lambda: client.circuit_opened > 0)
    assert len(door.asked) == 7


async def test_socket_that_speaks_but_takes_nobody_in_is_tried_ever_less_often() -> None:
    """Each try ends a line that works, and cuts off what is under way."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    told: list[bool] = []
    clock = _clock(sleep)
    door = Door(lambda _path, body: (200, _registered(body)))
    client = _client(_meeting(door, clock, told.append))
    async with client.running():
        await settled(lambda: len(told) == 9)
    assert slept[:8] == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


async def test_website_that_answers_nothing_gets_no_more_than_it_can_have_under_way() -> None:
    """A state that cannot go out is dropped and counted: the next one says more."""
    waits = asyncio.Event()

    def answers(path: str, body: bytes) -> tuple[int, object]:
        return 200, _registered(body) if path.endswith("connect") else waits.wait()

    door = Door(answers)
    client = _client(_meeting(door, system_clock(), lambda _: None))
    state = wire.ProgressUpdate(task_id="1", epoch=1, status="processing", timestamp=0)
    async with client.running():
        await settled(client.is_connected)
        for _ in range(1000):
            client.send_state("progressUpdate", "PROGRESS_UPDATE", state)
        for _ in range(100):
            client.send_heartbeat(wire.Heartbeat(timestamp=0))
    assert client.dropped >= 1000


@pytest.mark.seed("S2.68")
async def test_crawler_by_http_is_shown_with_all_that_it_said_of_itself(tmp_path: Path) -> None:
    async with whole(tmp_path) as site, site.falling_back(NEVER) as meeting:
        site.announce()
        site.remove_socket()
        client = site.crawler(meeting)
        async with client.running():
            await settled(client.is_connected)
            (shown,) = site.manager.statuses()
        said = shown.client
        assert (said.name, said.hostname, said.version, said.protocol) == (
            "crawler-1",
            "here",
            "0",
            2,
        )
        assert said.pid > 0


async def test_report_of_a_wrong_shape_ends_its_job_by_http_too(tmp_path: Path) -> None:
    """Else the acknowledgement of the next one would cover it, and the cursor would pass a hole."""
    async with whole(tmp_path) as site:
        site.announce()
        (job_id,) = await site.plant(1)
        await site.store.write(lambda c: leases.claim(c, "crawler-1", "r", 1, 60.0))
        door = adapters.Http(site.url, TOKEN)
        path = f"/api/internal2/tasks/{job_id}/progress"
        told = {"taskId": str(job_id), "epoch": 1, "status": "processing", "timestamp": 0}
        wrong = await door.ask("POST", path, told | {"segments": 5, "cursor": "1"}, f"{1:026d}")
        later = await door.ask("POST", path, told | {"cursor": "2"}, f"{2:026d}")
        assert [(status, said["error"]["code"]) for status, said in (wrong, later)] == [
            (422, "bad_message"),
            (409, "lease_lost"),
        ]
        state = await site.store.read(
            lambda c: c.exec_driver_sql("SELECT state, cursor FROM job").one()
        )
        assert tuple(state) == ("failed", None)
