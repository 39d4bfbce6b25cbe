"""Invariants of a job's run: nothing lost, nothing twice, nothing torn, wherever it crashes."""

from pathlib import Path

import pytest

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.dataset.sweep import list_segments, sweep
from labtrawl.store import leases, manifest
from tests.prove.sim import Crash, Sim, sim
from tests.prove.volatile_disk import PowerCut, VolatileDisk

pytestmark = pytest.mark.prove

MOST_STEPS = 400


async def test_power_cut_at_every_disk_operation_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    """What a checkpoint named was durable before it: a power cut takes none of it."""
    for step in range(1, MOST_STEPS):
        folder = tmp_path / str(step)
        async with sim(folder) as world:
            undisturbed = await _crash_once(world, step)
            assert await world.state() == "completed"
            assert await world.collected() == [row["id"] for row in world.pages.rows], step
        if undisturbed:
            assert step > 20
            return
    pytest.fail("the run never came to its end")


async def _crash_once(world: Sim, step: int) -> bool:
    """Run with the power going off at `step`, then again; say whether it was never reached."""
    root = dataset_root(world.data_dir)
    disk = VolatileDisk(root, seed=step, survival=0.0, cut_at=step)
    try:
        await world.run(await world.claim("crawler-1"), disk).run()
    except PowerCut:
        disk.power_cut()
        await world.run(await world.claim("crawler-1"), LocalDisk()).run()
        return False
    return True


@pytest.mark.parametrize("limits", [SegmentLimits(max_bytes=1), SegmentLimits()])
async def test_crash_before_every_event_loses_nothing_and_doubles_nothing(
    tmp_path: Path, limits: SegmentLimits
) -> None:
    """The cursor moves only together with the segment that it stands behind."""
    for event in range(1, 12):
        async with sim(tmp_path / str(event)) as world:
            crashed = await _crash_at_event(world, event, limits)
            assert await world.state() == "completed"
            assert await world.collected() == [row["id"] for row in world.pages.rows], event
            await _nothing_stray(world)
        if not crashed:
            return
    pytest.fail("the run never came to its end")


async def _crash_at_event(world: Sim, event: int, limits: SegmentLimits) -> bool:
    left = event

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash

    disk = LocalDisk()
    try:
        await world.run(await world.claim("crawler-1"), disk, count, limits).run()
    except Crash:
        await world.run(await world.claim("crawler-1"), disk, limits=limits).run()
        return True
    return False


async def _nothing_stray(world: Sim) -> None:
    """What no manifest row names is swept, and nothing else."""
    root = dataset_root(world.data_dir)
    found = list_segments(LocalDisk(), root)
    named = await world.store.read(manifest.names)
    sweep(LocalDisk(), root, found, named, await world.store.read(leases.live_leases))
    assert set(list_segments(LocalDisk(), root).places) == named
