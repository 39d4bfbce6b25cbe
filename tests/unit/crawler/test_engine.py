"""The engine with a website of our own making: claims, renewals, drops, drains, broken jobs."""

import asyncio

import msgspec

from labtrawl.crawler.engine import Running
from labtrawl.errors import BadMessage, LeaseLost, StoreError
from labtrawl.protocol.messages import Envelope, RenewLeases
from tests.unit.crawler.website import Time, Website, engine_of, forever, task_of, until


async def test_jobs_are_run_up_to_the_room_there_is() -> None:
    website, gate, started = Website([[task_of("1"), task_of("2")]]), asyncio.Event(), list[str]()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)
        await gate.wait()

    async with engine_of(website, run) as engine:
        await until(lambda: len(started) == 2)
        asked = len(website.asked)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(website.asked) == asked
        assert [one.task_id for one in engine.holding()] == ["1", "2"]
        gate.set()
        await until(lambda: not engine.running)
        await until(lambda: len(website.asked) > asked)
        assert website.asked[-1].limit == 2


async def test_job_that_breaks_ends_neither_the_engine_nor_its_neighbours() -> None:
    website, finished = Website([[task_of("1"), task_of("2"), task_of("3")]]), list[str]()

    async def run(running: Running) -> None:
        if running.task.task_id == "1":
            raise RuntimeError("a fault of ours")
        if running.task.task_id == "2":
            raise LeaseLost("taken")
        finished.append(running.task.task_id)

    async with engine_of(website, run, jobs=3) as engine:
        await until(lambda: len(website.forgotten) == 3)
        assert (finished, engine.running) == (["3"], {})


async def test_claim_that_was_not_answered_is_asked_again_under_its_id() -> None:
    """Under another id the jobs of the first would stay leased to nobody."""
    failures: list[object] = [
        TimeoutError(),
        StoreError("x"),
        BadMessage("x"),
        b'{"not": "a list"}',
    ]
    website, started = Website([*failures, [task_of("1")]]), list[str]()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)

    async with engine_of(website, run):
        await until(lambda: started == ["1"] and len(website.asked) > 5)
    ids = [one.request_id for one in website.asked]
    assert ids[:5] == ["id-1"] * 5
    assert ids[5] != "id-1"


async def test_renewal_brings_the_newest_token_and_drops_what_is_lost() -> None:
    told = {
        "leases": [
            {"taskId": "1", "expiresAt": 9, "accessToken": "newer"},
            {"taskId": "2", "lost": True},
            {"taskId": "99", "lost": True},
        ]
    }
    gates: dict[str, asyncio.Event] = {}
    website = Website([[task_of("1"), task_of("2")]], [told])
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: "2" in website.forgotten)
        assert engine.running["1"].token.reveal() == "newer"
        gates["1/1"].set()


async def test_job_is_stopped_when_it_could_not_be_renewed_in_time() -> None:
    gates: dict[str, asyncio.Event] = {}
    time = Time()
    website = Website([[task_of("1")]], [StoreError("down"), TimeoutError(), b"[]"] * 50)
    async with engine_of(website, forever(gates), time):
        await until(lambda: len(website.renewed) > 3)
        assert website.forgotten == []
        time.seconds = 12.5
        await until(lambda: website.forgotten == ["1"])


async def test_job_that_comes_back_under_a_newer_lease_replaces_its_older_run() -> None:
    gates: dict[str, asyncio.Event] = {}
    website = Website([[task_of("1", 1)], [task_of("1", 2)]])
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: "1/2" in gates)
        assert [(one.task_id, one.epoch) for one in engine.holding()] == [("1", 2)]
        gates["1/2"].set()
        await until(lambda: not engine.running)


async def test_answer_about_an_older_lease_does_not_touch_the_newer_one() -> None:
    website = Website()
    gates: dict[str, asyncio.Event] = {}

    def lost_while_it_came_back(asked: RenewLeases) -> object:
        engine.running["1"].task = msgspec.convert(task_of("1", 2), type(engine.running["1"].task))
        return {"leases": [{"taskId": one.task_id, "lost": True} for one in asked.leases]}

    website.jobs.append([task_of("1", 1)])
    website.renewals.append(lost_while_it_came_back)
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: len(website.renewed) > 2)
        assert not engine.running["1"].dropped
        gates["1/1"].set()


async def test_same_lease_given_twice_is_run_once() -> None:
    started = list[str]()
    gate = asyncio.Event()

    async def run(running: Running) -> None:
        started.append(running.task.task_id)
        await gate.wait()

    website = Website([[task_of("1")], [task_of("1")], [task_of("1")]])
    async with engine_of(website, run):
        await until(lambda: len(website.asked) > 3)
        assert started == ["1"]
        gate.set()


async def test_stopping_engine_asks_for_nothing_more_and_waits_for_its_jobs() -> None:
    gates: dict[str, asyncio.Event] = {}
    website = Website([[task_of("1")]])
    async with engine_of(website, forever(gates)) as engine:
        await until(lambda: "1/1" in gates)
        engine.command(Envelope(origin="w", type="message", key="shutdown"))
        await asyncio.sleep(0)
        asked = len(website.asked)
        for _ in range(50):
            await asyncio.sleep(0)
        assert (len(website.asked) - asked <= 1, list(engine.running)) == (True, ["1"])
        gates["1/1"].set()
    assert engine.running == {}


async def test_stop_cuts_off_a_job_that_waits_for_a_gitlab_that_is_away() -> None:
    website, ended = Website([[task_of("1")]]), list[str]()

    async def run(_running: Running) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut off")

    async with engine_of(website, run, drain_seconds=0.0) as engine:
        await until(lambda: bool(engine.running))
    assert (ended, engine.running, website.forgotten) == (["cut off"], {}, ["1"])
