"""What the website wants of a crawler: pause, resume, cancel, a hint at new credentials."""

import asyncio
from typing import cast

import msgspec
import pytest

from labtrawl.clock import Clock
from labtrawl.crawler.engine import Running
from labtrawl.protocol.messages import Envelope, RenewLeases
from tests.unit.crawler.website import Time, Website, engine_of, forever, task_of, until


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
        Website([[task_of("1"), task_of("2")]]),
        {"1/1": asyncio.Event(), "2/1": asyncio.Event()},
    )
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: len(engine.running) == 2)
        engine.command(_command(*command))
        told = [name for name, running in engine.running.items() if running.paused]
        assert (told, website.acknowledged) == (paused, [f"{command[0]}-{command[1]}"])
        for gate in gates.values():
            gate.set()


@pytest.mark.seed("S1.21")
async def test_cancelled_job_is_dropped_at_once() -> None:
    website = Website([[task_of("1"), task_of("2")]])
    gates = {"1/1": asyncio.Event(), "2/1": asyncio.Event()}
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: len(engine.running) == 2)
        engine.command(_command("cancel", "1"))
        await until(lambda: list(engine.running) == ["2"])
        gates["2/1"].set()


async def test_renewal_that_tells_of_a_pause_does_what_a_lost_command_would_have() -> None:
    def told(asked: RenewLeases) -> object:
        leases = [
            {"taskId": one.task_id, "expiresAt": 9, "wanted": "pause"} for one in asked.leases
        ]
        return {"leases": leases}

    website, gates = Website([[task_of("1")]], [told]), {"1/1": asyncio.Event()}
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: any(one.paused for one in engine.running.values()))
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
    website, gates = Website([[task_of("1")]], [renewed]), {"1/1": asyncio.Event()}
    async with engine_of(website, forever(gates), time) as engine:
        await until(lambda: len(engine.running) == 1)
        engine.command(_command("CREDENTIALS_UPDATED"))
        await until(lambda: engine.running["1"].token.reveal() == "newer")
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
    time, website, gates = Time(), Mute([[task_of("1")]]), dict[str, asyncio.Event]()
    async with engine_of(website, forever(gates), time):
        await until(lambda: len(website.renewed) == 1)
        time.seconds = 12.5
        await until(lambda: website.forgotten == ["1"])


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
    website = Website([[task_of("1")]], [TimeoutError()])
    async with engine_of(website, forever(gates), time, jobs=1):
        await until(lambda: len(website.renewed) > 2)
        assert slept.count(0.5) == 1
        gates["1/1"].set()


async def test_messages_of_the_older_lease_are_forgotten_before_the_newer_run_begins() -> None:
    """The website refuses them; that must not be taken for a refusal of the newer lease."""
    website, begun = Website([[task_of("1", 1)], [task_of("1", 2)]]), list[tuple[int, list[str]]]()

    async def run(running: Running) -> None:
        begun.append((running.task.lease.epoch, list(website.forgotten)))
        if running.task.lease.epoch == 1:
            await asyncio.Event().wait()

    async with engine_of(website, run):
        await until(lambda: len(begun) == 2)
    assert begun == [(1, []), (2, ["1"])]
