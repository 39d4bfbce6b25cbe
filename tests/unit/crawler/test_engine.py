"""The engine with a website of our own making: claims, renewals, drops, drains, broken jobs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from labtrawl.clock import Clock
from labtrawl.crawler.engine import Engine, Pace, Running
from labtrawl.errors import BadMessage, LeaseLost, StoreError
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.messages import Envelope, RenewLeases, RequestJobs


def _task(task_id: str, epoch: int = 1) -> dict[str, Any]:
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
            return _answer("jobs_available", self.jobs.pop(0) if self.jobs else [])
        self.renewed.append(cast("RenewLeases", payload))
        told = self.renewals.pop(0) if self.renewals else {"leases": []}
        return _answer("leases_renewed", told(payload) if callable(told) else told)

    def send_heartbeat(self, _beat: object) -> None:
        return None

    def acknowledge(self, envelope: Envelope) -> None:
        self.acknowledged.append(str(envelope.id))

    def forget(self, task_id: str) -> None:
        self.forgotten.append(task_id)


def _answer(key: str, payload: object) -> Envelope:
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
async def _engine(
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


async def _until(wanted: Callable[[], bool]) -> None:
    while not wanted():  # noqa: ASYNC110 - the engine runs on the same loop, nothing is awaited
        await asyncio.sleep(0)


async def test_jobs_are_run_up_to_the_room_there_is() -> None:
    website, gate, started = Website([[_task("1"), _task("2")]]), asyncio.Event(), list[str]()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)
        await gate.wait()

    async with _engine(website, run) as engine:
        await _until(lambda: len(started) == 2)
        asked = len(website.asked)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(website.asked) == asked
        assert [one.task_id for one in engine.holding()] == ["1", "2"]
        gate.set()
        await _until(lambda: not engine.running)
        await _until(lambda: len(website.asked) > asked)
        assert website.asked[-1].limit == 2


async def test_job_that_breaks_ends_neither_the_engine_nor_its_neighbours() -> None:
    website, finished = Website([[_task("1"), _task("2"), _task("3")]]), list[str]()

    async def run(running: Running) -> None:
        if running.task.task_id == "1":
            raise RuntimeError("a fault of ours")
        if running.task.task_id == "2":
            raise LeaseLost("taken")
        finished.append(running.task.task_id)

    async with _engine(website, run, jobs=3) as engine:
        await _until(lambda: len(website.forgotten) == 3)
        assert (finished, engine.running) == (["3"], {})


async def test_claim_that_was_not_answered_is_asked_again_under_its_id() -> None:
    """Under another id the jobs of the first would stay leased to nobody."""
    failures: list[object] = [
        TimeoutError(),
        StoreError("x"),
        BadMessage("x"),
        b'{"not": "a list"}',
    ]
    website, started = Website([*failures, [_task("1")]]), list[str]()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)

    async with _engine(website, run):
        await _until(lambda: started == ["1"] and len(website.asked) > 5)
    ids = [one.request_id for one in website.asked]
    assert ids[:5] == ["id-1"] * 5
    assert ids[5] != "id-1"


def _forever(gates: dict[str, asyncio.Event]) -> Callable[[Running], Any]:
    async def run(running: Running) -> None:
        key = f"{running.task.task_id}/{running.task.lease.epoch}"
        await gates.setdefault(key, asyncio.Event()).wait()

    return run


async def test_renewal_brings_the_newest_token_and_drops_what_is_lost() -> None:
    told = {
        "leases": [
            {"taskId": "1", "expiresAt": 9, "accessToken": "newer"},
            {"taskId": "2", "lost": True},
            {"taskId": "99", "lost": True},
        ]
    }
    gates: dict[str, asyncio.Event] = {}
    website = Website([[_task("1"), _task("2")]], [told])
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: "2" in website.forgotten)
        assert engine.running["1"].token.reveal() == "newer"
        gates["1/1"].set()


async def test_job_is_stopped_when_it_could_not_be_renewed_in_time() -> None:
    gates: dict[str, asyncio.Event] = {}
    time = Time()
    website = Website([[_task("1")]], [StoreError("down"), TimeoutError(), b"[]"] * 50)
    async with _engine(website, _forever(gates), time):
        await _until(lambda: len(website.renewed) > 3)
        assert website.forgotten == []
        time.seconds = 12.5
        await _until(lambda: website.forgotten == ["1"])


async def test_job_that_comes_back_under_a_newer_lease_replaces_its_older_run() -> None:
    gates: dict[str, asyncio.Event] = {}
    website = Website([[_task("1", 1)], [_task("1", 2)]])
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: "1/2" in gates)
        assert [(one.task_id, one.epoch) for one in engine.holding()] == [("1", 2)]
        gates["1/2"].set()
        await _until(lambda: not engine.running)


async def test_answer_about_an_older_lease_does_not_touch_the_newer_one() -> None:
    website = Website()
    gates: dict[str, asyncio.Event] = {}

    def lost_while_it_came_back(asked: RenewLeases) -> object:
        engine.running["1"].task = msgspec.convert(_task("1", 2), type(engine.running["1"].task))
        return {"leases": [{"taskId": one.task_id, "lost": True} for one in asked.leases]}

    website.jobs.append([_task("1", 1)])
    website.renewals.append(lost_while_it_came_back)
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: len(website.renewed) > 2)
        assert not engine.running["1"].dropped
        gates["1/1"].set()


async def test_same_lease_given_twice_is_run_once() -> None:
    started = list[str]()
    gate = asyncio.Event()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)
        await gate.wait()

    website = Website([[_task("1")], [_task("1")], [_task("1")]])
    async with _engine(website, run):
        await _until(lambda: len(website.asked) > 3)
        assert started == ["1"]
        gate.set()


async def test_stopping_engine_asks_for_nothing_more_and_waits_for_its_jobs() -> None:
    gates: dict[str, asyncio.Event] = {}
    website = Website([[_task("1")]])
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: "1/1" in gates)
        engine.command(Envelope(origin="w", type="message", key="shutdown"))
        await asyncio.sleep(0)
        asked = len(website.asked)
        for _ in range(50):
            await asyncio.sleep(0)
        assert (len(website.asked) - asked <= 1, list(engine.running)) == (True, ["1"])
        gates["1/1"].set()
    assert engine.running == {}


async def test_stop_cuts_off_a_job_that_waits_for_a_gitlab_that_is_away() -> None:
    website, ended = Website([[_task("1")]]), list[str]()

    async def run(_running: Running) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut off")

    async with _engine(website, run, drain_seconds=0.0) as engine:
        await _until(lambda: bool(engine.running))
    assert (ended, engine.running, website.forgotten) == (["cut off"], {}, ["1"])


def _command(key: str, task_id: str | None = None) -> Envelope:
    payload = {} if task_id is None else {"taskId": task_id}
    raw = msgspec.Raw(msgspec.json.encode(payload))
    return Envelope(origin="w", type="command", key=key, payload=raw, id=f"{key}-{task_id}")


@pytest.mark.seed("S1.21", "S1.30")
@pytest.mark.parametrize(
    ("command", "paused"),
    [(("pause", "1"), ["1"]), (("pause", None), ["1", "2"]), (("resume", None), [])],
)
async def test_paused_job_is_asked_to_come_to_an_end_and_its_neighbour_is_not(
    command: tuple[str, str | None], paused: list[str]
) -> None:
    website, gates = (
        Website([[_task("1"), _task("2")]]),
        {"1/1": asyncio.Event(), "2/1": asyncio.Event()},
    )
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: len(engine.running) == 2)
        engine.command(_command(*command))
        told = [name for name, running in engine.running.items() if running.paused]
        assert (told, website.acknowledged) == (paused, [f"{command[0]}-{command[1]}"])
        for gate in gates.values():
            gate.set()


@pytest.mark.seed("S1.21")
async def test_cancelled_job_is_dropped_at_once() -> None:
    website = Website([[_task("1"), _task("2")]])
    gates = {"1/1": asyncio.Event(), "2/1": asyncio.Event()}
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: len(engine.running) == 2)
        engine.command(_command("cancel", "1"))
        await _until(lambda: list(engine.running) == ["2"])
        gates["2/1"].set()


async def test_renewal_that_tells_of_a_pause_does_what_a_lost_command_would_have() -> None:
    def told(asked: RenewLeases) -> object:
        leases = [
            {"taskId": one.task_id, "expiresAt": 9, "wanted": "pause"} for one in asked.leases
        ]
        return {"leases": leases}

    website, gates = Website([[_task("1")]], [told]), {"1/1": asyncio.Event()}
    async with _engine(website, _forever(gates)) as engine:
        await _until(lambda: any(one.paused for one in engine.running.values()))
        gates["1/1"].set()


@pytest.mark.seed("S1.18")
async def test_hint_at_new_credentials_brings_the_renewal_forward() -> None:
    """The clock stands still: without the hint no lease would be renewed."""
    time = Time()

    async def never(_seconds: float) -> None:
        await asyncio.Event().wait()

    clock = Clock(time.clock().now, time.clock().monotonic, never)
    time.clock = lambda: clock  # type: ignore[method-assign]
    renewed = {"leases": [{"taskId": "1", "expiresAt": 9, "accessToken": "newer"}]}
    website, gates = Website([[_task("1")]], [renewed]), {"1/1": asyncio.Event()}
    async with _engine(website, _forever(gates), time) as engine:
        await _until(lambda: len(engine.running) == 1)
        engine.command(_command("CREDENTIALS_UPDATED"))
        await _until(lambda: engine.running["1"].token.reveal() == "newer")
        gates["1/1"].set()


class Mute(Website):
    """Never answers a renewal."""

    async def request(self, _type: str, key: str, payload: object, _seconds: float) -> Envelope:
        if key == "renew_leases":
            self.renewed.append(cast("RenewLeases", payload))
            await asyncio.Event().wait()
        return await Website.request(self, _type, key, payload, _seconds)


async def test_job_is_stopped_in_time_while_its_renewal_still_waits_for_an_answer() -> None:
    """The lease ends after 15 s; a renewal that is asked for at 10 s and waits 5 s is too late."""
    time, website, gates = Time(), Mute([[_task("1")]]), dict[str, asyncio.Event]()
    async with _engine(website, _forever(gates), time):
        await _until(lambda: len(website.renewed) == 1)
        time.seconds = 12.5
        await _until(lambda: website.forgotten == ["1"])


async def test_renewal_that_failed_is_tried_again_soon() -> None:
    """After a whole turn more the lease would have ended before the answer."""
    time, slept = Time(), list[float]()
    quick = time.clock()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    clock = Clock(quick.now, quick.monotonic, sleep)
    time.clock = lambda: clock  # type: ignore[method-assign]
    gates: dict[str, asyncio.Event] = {}
    website = Website([[_task("1")]], [TimeoutError()])
    async with _engine(website, _forever(gates), time, jobs=1):
        await _until(lambda: len(website.renewed) > 2)
        assert slept.count(0.5) == 1
        gates["1/1"].set()


async def test_messages_of_the_older_lease_are_forgotten_before_the_newer_run_begins() -> None:
    """The website refuses them; that must not be taken for a refusal of the newer lease."""
    website, begun = Website([[_task("1", 1)], [_task("1", 2)]]), list[tuple[int, list[str]]]()

    async def run(running: Running) -> None:
        begun.append((running.task.lease.epoch, list(website.forgotten)))
        if running.task.lease.epoch == 1:
            await asyncio.Event().wait()

    async with _engine(website, run):
        await _until(lambda: len(begun) == 2)
    assert begun == [(1, []), (2, ["1"])]
