"""What one crawler may have waiting and under way, by number and by size."""

import asyncio

import msgspec

from labtrawl.dispatch.queues import Inbox, Queues
from labtrawl.dispatch.statistics import Statistics
from labtrawl.protocol.messages import Envelope

MIB = 1 << 20


def _envelope(size: int, task_id: int = 1) -> Envelope:
    text = msgspec.json.encode({"taskId": str(task_id), "status": "started", "message": "x" * size})
    return Envelope(origin="c", type="message", key="PROGRESS_UPDATE", payload=msgspec.Raw(text))


def test_inbox_of_few_large_messages_is_full_and_low_again_at_half() -> None:
    inbox, large = Inbox(), _envelope(16 * MIB)
    seen = []
    for _ in range(4):
        inbox.put_nowait(large)
        seen.append((inbox.is_full, inbox.is_low))
    for _ in range(3):
        inbox.get_nowait()
        seen.append((inbox.is_full, inbox.is_low))
    assert seen == [
        (False, True),
        (False, False),
        (False, False),
        (True, False),
        (False, False),
        (False, False),
        (False, True),
    ]


def test_inbox_of_many_small_messages_is_full_by_their_number() -> None:
    inbox, small = Inbox(), _envelope(0)
    for _ in range(999):
        inbox.put_nowait(small)
    assert not inbox.is_full
    inbox.put_nowait(None)
    assert (inbox.is_full, inbox.qsize()) == (True, 1000)


async def test_few_large_reports_leave_no_room_until_they_are_done() -> None:
    queues, gate = Queues(Statistics()), asyncio.Event()

    async def handle(_envelope: Envelope) -> None:
        await gate.wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number in range(4):
            assert queues.has_room
            queues.add(_envelope(16 * MIB, number), handle, group)
        assert not queues.has_room
        room = asyncio.create_task(queues.room())
        gate.set()
        await room
        assert queues.has_room
