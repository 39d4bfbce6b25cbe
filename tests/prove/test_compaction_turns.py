"""What cannot be compacted keeps nothing else from it, however much of it there is."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labtrawl.clock import Clock
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import SegmentPrefix
from labtrawl.dataset.reader import read_segment
from labtrawl.dispatch.leasing import CATCH_UP_SECONDS, COMPACT_SECONDS, LISTS, Leasing
from labtrawl.errors import DatasetError
from labtrawl.store import jobs, manifest
from labtrawl.store.compaction import NEWEST
from labtrawl.store.engine import Connection, Database
from tests.integration.dataset.samples import gated, written
from tests.integration.store.table import RETRY, claim, planned, rows, store

pytestmark = pytest.mark.prove

STEP_SECONDS = 5.0


def _clock(seconds: float) -> Clock:
    """Return a clock whose sleeps take no time, and end who sleeps when so much is over."""
    now = 0.0

    async def sleep(_seconds: float) -> None:
        nonlocal now
        now += STEP_SECONDS
        if now > seconds:
            raise asyncio.CancelledError

    return Clock(lambda: datetime.now(UTC), lambda: now, sleep)


def _fill(connection: Connection, root: Path, resource: str, is_damaged: bool) -> None:
    """Commit as many segments to a list as are merged at once; those of a damaged one are gone.

    So is the folder of every other such list.
    """
    (one,) = claim(connection, "a", resource, resource=resource)
    place = SegmentPrefix(1, "project", 7, resource, one.job_id, one.fence)
    for number in range(1, NEWEST + 1):
        if is_damaged:
            name = f"{place.text}{number:06d}.jsonl.zst"
            closed = manifest.ClosedSegment(name, 100, "0" * 64, 1)
        else:
            made = written(root, [gated(number)], place=place, number=number)
            closed = manifest.ClosedSegment(made.name, made.length, made.sha256, made.records)
        manifest.commit(connection, one.job_id, one.fence, [closed])
    if is_damaged and one.job_id % 2:
        (root / name).parent.mkdir(parents=True)
    jobs.step(connection, one.job_id, jobs.Step(is_end=True))


async def test_more_damaged_lists_than_a_turn_takes_keep_no_other_from_being_compacted(
    tmp_path: Path, database: Database
) -> None:
    async with store(database) as db:
        await db.write(lambda c: planned(c, LISTS + 2))
        names = await db.read(lambda c: [name for (name,) in rows(c, "SELECT resource FROM job")])
        *damaged, sound = sorted(names)

        def fill(connection: Connection) -> None:
            for name in damaged:
                _fill(connection, tmp_path, name, is_damaged=True)
            _fill(connection, tmp_path, sound, is_damaged=False)

        await db.write(fill)
        clock = _clock(COMPACT_SECONDS + 2 * CATCH_UP_SECONDS)
        care = Leasing(db, RETRY, clock, LocalDisk(), tmp_path, lambda: 1 << 40)
        with pytest.raises(asyncio.CancelledError):
            await care.run()
        left = await db.read(manifest.segments)
        still = [row.resource for row in left if row.resource != sound]
        assert sorted(still) == sorted(damaged * NEWEST)
        (one,) = [row for row in left if row.resource == sound]
        assert [record.id for record in read_segment(tmp_path, one)] == [1, 2, 3, 4]


async def test_all_lists_are_compacted_when_somebody_asks_for_it(
    tmp_path: Path, database: Database
) -> None:
    """However many more there are than one turn takes, and though one of them is damaged."""
    async with store(database) as db:
        await db.write(lambda c: planned(c, LISTS + 2))
        names = await db.read(lambda c: [name for (name,) in rows(c, "SELECT resource FROM job")])
        first, *others = sorted(names)

        def fill(connection: Connection) -> None:
            for name in names:
                _fill(connection, tmp_path, name, is_damaged=name == first)

        await db.write(fill)
        care = Leasing(db, RETRY, _clock(0), LocalDisk(), tmp_path, lambda: 1 << 40)
        with pytest.raises(DatasetError):
            await care.compact()
        left = await db.read(manifest.segments)
        assert sorted(row.resource for row in left) == sorted([first] * NEWEST + others)
