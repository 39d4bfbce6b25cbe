"""What a job says to the website: the first refusal is told, and none is left unheard."""

import asyncio
import gc
from typing import Any

import pytest

from labtrawl.crawler.line import Line
from labtrawl.errors import LeaseLost
from labtrawl.protocol.messages import Record

pytestmark = pytest.mark.long


async def test_first_refusal_is_raised_when_all_events_are_answered() -> None:
    loop = asyncio.get_running_loop()
    unheard: list[object] = []
    loop.set_exception_handler(lambda _loop, told: unheard.append(told))
    answers: list[asyncio.Future[dict[str, Any]]] = []

    async def send_event(
        _key: str, _payload: Record, _group: str
    ) -> asyncio.Future[dict[str, Any]]:
        answers.append(loop.create_future())
        return answers[-1]

    line = Line("1", 1, send_event, lambda _type, _key, _payload: None, lambda: 0, lambda: None)
    for _ in range(3):
        await line.jobs([])
    answers[0].set_result({})
    answers[1].set_exception(LeaseLost("first"))
    answers[2].set_exception(LeaseLost("second"))
    with pytest.raises(LeaseLost, match="first"):
        await line.settle()
    answers.clear()
    gc.collect()
    assert unheard == []
