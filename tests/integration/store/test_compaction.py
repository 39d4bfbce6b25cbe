"""Small segments become one under the rule of every commit: file first, then one transaction."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labtrawl.clock import Clock, system_clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.reader import read_lines, read_segment
from labtrawl.dispatch.leasing import COMPACT_SECONDS, TICK_SECONDS, Leasing
from labtrawl.domain.visit import Mode
from labtrawl.errors import CorruptSegment
from labtrawl.store import compaction, jobs, manifest
from labtrawl.store.engine import Database, Store
from tests.integration.dataset.samples import gated, written
from tests.integration.store.table import RETRY, claim, job, planned, rows, store

pytestmark = pytest.mark.long


@dataclass(slots=True)
class Place:
    """A list with segments on a real disk, and the care of the website."""

    db: Store
    root: Path
    care: Leasing
    job_id: int

    async def fill(self, *ids: int, body: bytes | None = None, resource: str = "r0") -> None:
        """Claim the job, commit one segment an id, complete it."""
        await self.db.write(lambda c: jobs.reopen(c, 1, resource, Mode.CHANGES))
        (one,) = await self.db.write(lambda c: claim(c, "a", f"c{ids}", resource=resource))
        place = SegmentPrefix(1, "project", 7, resource, one.job_id, one.fence)
        made = [
            written(self.root, [gated(number, body=body)], place=place, number=order)
            for order, number in enumerate(ids, 1)
        ]
        closed = [manifest.ClosedSegment(s.name, s.length, s.sha256, s.records) for s in made]
        await self.db.write(lambda c: manifest.commit(c, one.job_id, one.fence, closed))
        await self.db.write(lambda c: jobs.step(c, one.job_id, jobs.Step(is_end=True)))

    async def segments(self) -> Sequence[manifest.SegmentRow]:
        return await self.db.read(manifest.segments)

    async def lines(self) -> list[bytes]:
        return [line for row in await self.segments() for line in read_lines(self.root, row)]

    async def ids(self) -> list[int | str]:
        return [
            record.id for row in await self.segments() for record in read_segment(self.root, row)
        ]


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Place]:
    async with store(database) as db:
        (job_id,) = await db.write(planned)
        root = tmp_path / "dataset"
        root.mkdir()
        care = Leasing(db, RETRY, system_clock(), LocalDisk(), root, lambda: 1 << 40)
        yield Place(db, root, care, job_id)


async def test_small_segments_become_one_in_their_order(place: Place) -> None:
    await place.fill(1, 2, 3)
    await place.fill(4, 2)
    before, numbers = await place.lines(), "SELECT MAX(id) FROM segment"
    last = await place.db.read(lambda c: rows(c, numbers))
    assert await place.care.compact(least=2) == 1
    (one,) = await place.segments()
    assert (one.records, await place.lines()) == (5, before)
    assert await place.ids() == [1, 2, 3, 4, 2]
    assert await place.db.read(lambda c: rows(c, numbers)) == last
    assert await place.care.compact(least=2) == 0
    await place.fill(5)
    assert await place.ids() == [1, 2, 3, 4, 2, 5]


async def test_newest_segments_become_one_as_soon_as_they_are_four(place: Place) -> None:
    for number in (1, 2, 3):
        await place.fill(number)
    assert await place.care.compact() == 0
    await place.fill(4)
    apart, lines = sum(row.length for row in await place.segments()), await place.lines()
    assert await place.care.compact() == 1
    (one,) = await place.segments()
    assert await place.lines() == lines
    # Alike, they compress as one.
    assert one.length < apart / 2


async def test_large_segment_is_not_written_again_for_a_few_small_ones(place: Place) -> None:
    noise = random.Random(1).randbytes(20_000).hex()
    await place.fill(1, body=b'{"id":1,"noise":"%s"}' % noise.encode())
    for number in (2, 3, 4, 5):
        await place.fill(number)
    (large, *_), lines = await place.segments(), await place.lines()
    assert await place.care.compact() == 1
    kept, merged = await place.segments()
    assert (kept, merged.records) == (large, 4)
    assert await place.lines() == lines
    assert await place.care.compact() == 0


async def test_number_of_segments_stays_small_over_many_visits(place: Place) -> None:
    """Each visit leaves one; what is written again is a few times what was collected."""
    written_bytes = most = 0
    for number in range(1, 151):
        noise = random.Random(number).randbytes(100).hex()
        await place.fill(number, body=b'{"id":%d,"noise":"%s"}' % (number, noise.encode()))
        before = {row.name for row in await place.segments()}
        await place.care.compact()
        after = await place.segments()
        written_bytes += sum(row.length for row in after if row.name not in before)
        most = max(most, len(after))
    assert await place.ids() == list(range(1, 151))
    assert most <= 7
    assert written_bytes < 10 * sum(row.length for row in after)


async def test_segment_with_fewer_records_than_were_committed_is_not_taken_over(
    place: Place,
) -> None:
    await place.fill(1, 2)
    await place.db.write(lambda c: c.exec_driver_sql("UPDATE segment SET records = 2"))
    with pytest.raises(CorruptSegment, match="holds 1 records; 2 were committed"):
        await place.care.compact(least=2)
    assert len(list(place.root.rglob("*.zst"))) == 2


async def test_damaged_list_does_not_keep_others_from_being_compacted(place: Place) -> None:
    await place.db.write(lambda c: job(c, 1, "r1"))
    for number in (1, 2, 3):
        await place.fill(number)
        await place.fill(number, resource="r1")
    damaged, *_ = await place.segments()
    (place.root / damaged.name).write_bytes(b"")
    with pytest.raises(CorruptSegment, match="has 0 bytes"):
        await place.care.compact(least=2)
    left = [row.resource for row in await place.segments()]
    assert left == ["r0", "r0", "r0", "r1"]


def _turns(count: int) -> Clock:
    """Return a clock whose sleeps take no time; after so many it ends who sleeps."""
    now, left = 0.0, count

    async def sleep(seconds: float) -> None:
        nonlocal now, left
        now, left = now + seconds, left - 1
        if not left:
            raise asyncio.CancelledError

    return Clock(lambda: datetime.now(UTC), lambda: now, sleep)


async def test_list_that_cannot_be_compacted_is_left_alone_until_the_next_turn(
    place: Place,
) -> None:
    """At each tick it would be read again, and waste a fence number."""
    fence = "SELECT fence FROM job"
    for number in (1, 2, 3, 4):
        await place.fill(number)
    (place.root / (await place.segments())[0].name).write_bytes(b"")
    ((before,),) = await place.db.read(lambda c: rows(c, fence))
    ticks = int(2.5 * COMPACT_SECONDS / TICK_SECONDS)
    care = replace(place.care, clock=_turns(ticks))
    with pytest.raises(asyncio.CancelledError):
        await care.run()
    assert await place.db.read(lambda c: rows(c, fence)) == [(before + 2,)]


async def test_readers_with_the_old_list_go_on_until_their_files_are_forgotten(
    place: Place,
) -> None:
    await place.fill(1, 2, 3)
    held = await place.segments()
    await place.care.compact(least=2)
    await place.care.sweep()
    assert [record.id for row in held for record in read_segment(place.root, row)] == [1, 2, 3]
    await place.db.write(lambda c: c.exec_driver_sql("UPDATE retired SET retired_at = 1"))
    await place.care.sweep()
    left = {path.relative_to(place.root).as_posix() for path in place.root.rglob("*.zst")}
    assert left == {row.name for row in await place.segments()}
    assert await place.ids() == [1, 2, 3]


async def test_list_that_is_read_is_left_alone(place: Place) -> None:
    await place.fill(1, 2)
    await place.db.write(lambda c: jobs.reopen(c, 1, "r0", Mode.SWEEP))
    assert await place.care.compact(least=2) == 0
    assert len(await place.segments()) == 2


@pytest.mark.parametrize("meanwhile", ["opened", "compacted"])
async def test_list_that_changed_meanwhile_keeps_its_rows(place: Place, meanwhile: str) -> None:
    await place.fill(1, 2)
    (planned_one,) = await place.db.write(lambda c: compaction.plan(c, 1, "r0", least=2))
    if meanwhile == "opened":
        await place.fill(3)
    else:
        await place.care.compact(least=2)
    before = await place.segments()
    closed = manifest.ClosedSegment("new", 1, "0", 2)
    assert not await place.db.write(lambda c: compaction.commit(c, planned_one, closed))
    assert await place.segments() == before


async def test_damaged_segment_is_not_taken_over(place: Place) -> None:
    await place.fill(1, 2)
    damaged = place.root / (await place.segments())[0].name
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    before = await place.segments()
    with pytest.raises(CorruptSegment, match="other bytes than were committed"):
        await place.care.compact(least=2)
    assert await place.segments() == before
    assert len(list(place.root.rglob("*.zst"))) == 2
