"""Reading ahead: order, width, errors in their place, nothing left behind."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from labtrawl.crawler.ahead import ahead


class Counted:
    """Calls that end when they are let; how many are under way, and how many ever were."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.cancelled: list[int] = []

    async def __call__(self, number: int, gate: asyncio.Event, fails: bool = False) -> int:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.under_way -= 1
        if fails:
            raise ValueError(f"call {number}")
        return number


async def test_results_come_in_order_with_so_many_under_way() -> None:
    calls, gates = Counted(), [asyncio.Event() for _ in range(7)]
    for gate in gates:
        gate.set()
    made = [partial(calls, number, gate) for number, gate in enumerate(gates)]
    assert [one async for one in ahead(made, 3)] == list(range(7))
    assert (calls.most, calls.under_way) == (3, 0)


async def test_call_that_ends_first_waits_for_those_before_it() -> None:
    slow, quick = asyncio.Event(), asyncio.Event()
    finished: list[int] = []

    async def first() -> int:
        await slow.wait()
        finished.append(0)
        return 0

    async def second() -> int:
        finished.append(1)
        quick.set()
        return 1

    async def let_go() -> None:
        await quick.wait()
        slow.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(let_go())
        found = [one async for one in ahead([first, second], 2)]
    assert (found, finished) == ([0, 1], [1, 0])


async def test_error_comes_in_its_place_and_ends_what_is_under_way() -> None:
    calls, done, never = Counted(), asyncio.Event(), asyncio.Event()
    done.set()
    made = [partial(calls, 0, done), partial(calls, 1, done, True), partial(calls, 2, never)]
    results = ahead(made, 3)
    assert await anext(results) == 0
    with pytest.raises(ValueError, match="call 1"):
        await anext(results)
    assert (calls.cancelled, calls.under_way) == ([2], 0)


async def test_reader_that_leaves_early_leaves_nothing_under_way() -> None:
    calls, done, never = Counted(), asyncio.Event(), asyncio.Event()
    done.set()
    made = [partial(calls, 0, done), partial(calls, 1, never), partial(calls, 2, never)]
    async with aclosing(ahead(made, 2)) as results:
        async for one in results:
            assert one == 0
            break
    assert calls.under_way == 0
    assert 2 not in calls.cancelled, "a call behind the width was never begun"
