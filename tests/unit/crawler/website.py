"""A website of our own making and an engine in front of it: what tests of the engine begin with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from labtrawl.clock import Clock
from labtrawl.crawler.engine import Engine, Pace, Running
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.messages import Envelope, RenewLeases, RequestJobs


def task_of(task_id: str, epoch: int = 1) -> dict[str, Any]:
    return {
        "taskId": task_id,
        "command": "issues",
        "gitlabApiUrl": "u",
        "credentials": {"accessToken": f"token-{task_id}"},
        "resourceType": "project",
        "resourceId": "7",
        "fullPath": "p",
        "dataTypes": [],
        "lease": {"epoch": epoch, "expiresAt": 1},
        "segments": {"prefix": "p", "next": 1},
    }


@dataclass(slots=True)
class Website:
    """Answers what the test puts on the pile; keeps what it was asked."""

    jobs: list[object] = field(default_factory=list)
    renewals: list[object] = field(default_factory=list)
    asked: list[RequestJobs] = field(default_factory=list)
    renewed: list[RenewLeases] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    ids: int = 0
    circuit: str = "closed"
    circuit_opened: int = 0
    unsent: int = 0
    dropped: int = 0

    def make_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    async def request(self, _type: str, key: str, payload: object, _seconds: float) -> Envelope:
        await asyncio.sleep(0)
        if key == "request_jobs":
            self.asked.append(cast("RequestJobs", payload))
            return answer("jobs_available", self.jobs.pop(0) if self.jobs else [])
        self.renewed.append(cast("RenewLeases", payload))
        told = self.renewals.pop(0) if self.renewals else {"leases": []}
        return answer("leases_renewed", told(payload) if callable(told) else told)

    def send_heartbeat(self, _beat: object) -> None:
        return None

    def acknowledge(self, envelope: Envelope) -> None:
        self.acknowledged.append(str(envelope.id))

    def forget(self, task_id: str) -> None:
        self.forgotten.append(task_id)


def answer(key: str, payload: object) -> Envelope:
    if isinstance(payload, Exception):
        raise payload
    raw = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    return Envelope(origin="w", type="jobResponse", key=key, payload=msgspec.Raw(raw))


class Time:
    """A clock that moves only when it is told to; who sleeps yields."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> Clock:
        async def sleep(_seconds: float) -> None:
            await asyncio.sleep(0)

        return Clock(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: self.seconds, sleep)


@contextlib.asynccontextmanager
async def engine_of(
    website: Website,
    run_task: Callable[[Running], Any],
    time: Time | None = None,
    jobs: int = 2,
    drain_seconds: float = 5.0,
) -> AsyncIterator[Engine]:
    engine = Engine(
        cast("DirectCommunicationClient", website),
        run_task,
        Pace(
            jobs,
            lease_seconds=15,
            renew_seconds=5,
            heartbeat_seconds=5,
            drain_seconds=drain_seconds,
        ),
        (time or Time()).clock(),
        lambda: 0,
        lambda: 0,
    )
    async with asyncio.timeout(30):
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            engine.stopping.set()
            await task


async def until(wanted: Callable[[], bool]) -> None:
    while not wanted():  # noqa: ASYNC110 - the engine runs on the same loop, nothing is awaited
        await asyncio.sleep(0)


def forever(gates: dict[str, asyncio.Event]) -> Callable[[Running], Any]:
    async def run(running: Running) -> None:
        key = f"{running.task.task_id}/{running.task.lease.epoch}"
        await gates.setdefault(key, asyncio.Event()).wait()

    return run
