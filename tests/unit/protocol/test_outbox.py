"""What waits for its acknowledgement: order, window, refusals."""

import asyncio
from typing import Any

import msgspec
import pytest

from labtrawl.errors import BadMessage, LeaseLost
from labtrawl.protocol.messages import Ack, Envelope
from labtrawl.protocol.outbox import Outbox


def _event(number: int) -> Envelope:
    return Envelope(origin="c", type="message", key="PROGRESS_UPDATE", id=f"{number:026d}")


async def _filled(outbox: Outbox, *tasks: str) -> list[asyncio.Future[dict[str, Any]]]:
    return [await outbox.add(_event(n), task) for n, task in enumerate(tasks)]


def _left(outbox: Outbox) -> list[int]:
    return [int(envelope.id or "") for envelope in outbox.unsent()]


async def test_acknowledgement_is_cumulative_for_its_job_only() -> None:
    outbox = Outbox()
    answers = await _filled(outbox, "1", "2", "1", "1")
    outbox.acknowledge(Ack(up_to={"1": f"{2:026d}"}, results={f"{2:026d}": {"new": 3}}))
    assert _left(outbox) == [1, 3]
    assert [answers[0].result(), answers[2].result()] == [{}, {"new": 3}]


async def test_acknowledgement_of_what_is_unknown_changes_nothing() -> None:
    outbox = Outbox()
    await _filled(outbox, "1")
    outbox.acknowledge(Ack(up_to={"9": f"{9:026d}"}, ids=["x"]))
    assert _left(outbox) == [0]


async def test_acknowledgement_twice_gives_the_room_back_once() -> None:
    outbox = Outbox(window=1)
    await _filled(outbox, "1")
    for _ in range(2):
        outbox.acknowledge(Ack(ids=[f"{0:026d}"]))
    _ = await outbox.add(_event(1), "1")
    waiting = asyncio.ensure_future(outbox.add(_event(2), "1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.seed("S2.58")
async def test_full_window_keeps_the_sender_waiting_in_order() -> None:
    outbox = Outbox(window=2)
    await _filled(outbox, "1", "1")
    waiting = [asyncio.ensure_future(outbox.add(_event(n), "1")) for n in (2, 3)]
    await asyncio.sleep(0)
    assert _left(outbox) == [0, 1]
    outbox.acknowledge(Ack(up_to={"1": f"{1:026d}"}))
    await asyncio.gather(*waiting)
    assert _left(outbox) == [2, 3]


async def test_refused_event_takes_the_later_ones_of_its_job_with_it() -> None:
    """Applied without it, they would move the cursor past a hole."""
    outbox = Outbox()
    answers = await _filled(outbox, "1", "1", "2", "1")
    outbox.refuse(f"{1:026d}", BadMessage("no"))
    assert _left(outbox) == [0, 2]
    assert [type(answers[n].exception()) for n in (1, 3)] == [BadMessage, BadMessage]
    assert not answers[0].done()


@pytest.mark.seed("S2.62", "S2.90")
async def test_forgotten_job_fails_its_answers_and_makes_room() -> None:
    outbox = Outbox(window=2)
    answers = await _filled(outbox, "1", "2")
    outbox.forget("1", LeaseLost("gone"))
    with pytest.raises(LeaseLost):
        answers[0].result()
    _ = await outbox.add(_event(3), "2")
    assert _left(outbox) == [1, 3]


async def test_event_without_an_id_takes_no_room() -> None:
    outbox = Outbox(window=1)
    with pytest.raises(ValueError, match="needs an id"):
        _ = await outbox.add(Envelope(origin="c", type="m", key="k"), "1")
    _ = await outbox.add(_event(0), "1")


async def test_answer_nobody_waits_for_any_more_is_no_fault() -> None:
    outbox = Outbox()
    (answer,) = await _filled(outbox, "1")
    answer.cancel()
    outbox.refuse(f"{0:026d}", BadMessage("no"))
    assert _left(outbox) == []


@pytest.mark.seed("S2.58")
async def test_outbox_that_is_full_of_bytes_lets_nobody_add_until_some_are_acknowledged() -> None:
    def heavy(number: int) -> Envelope:
        return msgspec.structs.replace(_event(number), payload=msgspec.Raw(b"1" * 600))

    outbox = Outbox(most_bytes=1000)
    _ = [await outbox.add(heavy(number), "1") for number in range(2)]
    waiting = [asyncio.create_task(outbox.add(heavy(number), "1")) for number in (2, 3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert _left(outbox) == [0, 1]
    outbox.acknowledge(Ack(up_to={"1": f"{1:026d}"}))
    _ = [await waiting[1]]
    assert _left(outbox) == [3]
