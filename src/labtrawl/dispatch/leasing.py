"""What time does to jobs: leases that ran out, retries and visits that are due, disks with room."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.dataset.disk import Disk
from labtrawl.dataset.layout import segment_name
from labtrawl.dataset.merge import merge
from labtrawl.dataset.sweep import list_segments, sweep
from labtrawl.dispatch import visiting
from labtrawl.domain.failure import RetryPolicy
from labtrawl.domain.job import HoldReason
from labtrawl.domain.visit import Schedule, Spare
from labtrawl.errors import DatasetError, StoreError
from labtrawl.store import compaction, consents, jobs, leases, manifest, messages, visits
from labtrawl.store.engine import Connection, Store

log = logs.get("backend.leasing")

TICK_SECONDS = 0.5
SWEEP_SECONDS = 60.0
# Room that must be free before jobs held for the disk go on.
FREE_BYTES = 64 * 1024 * 1024
# Visits that one turn opens of each kind: the writer has others to serve.
BATCH = 200
COMPACT_SECONDS = 600.0
CATCH_UP_SECONDS = 10.0
# Lists that one turn compacts.
LISTS = 100


@dataclass(frozen=True, slots=True)
class Leasing:
    """The periodic side of dispatch; one a database."""

    store: Store
    retry: RetryPolicy
    clock: Clock
    disk: Disk
    dataset_root: Path
    free_bytes: Callable[[], int]
    keep_hours: float = 24.0
    schedule: Schedule = field(default_factory=Schedule)
    _spare: Spare = field(default_factory=Spare)

    async def run(self) -> None:
        """Look after time for ever; a failing database is tried again at the next tick."""
        swept_at = -SWEEP_SECONDS
        compacted_at = self.clock.monotonic()
        while True:
            try:
                await self.tick()
                if self.clock.monotonic() - swept_at >= SWEEP_SECONDS:
                    swept_at = self.clock.monotonic()
                    await self.sweep()
                # Never beside a sweep: a new file is named by no row before its commit.
                if self.clock.monotonic() - compacted_at >= COMPACT_SECONDS:
                    made, compacted_at = await self.compact(), self.clock.monotonic()
                    # There is more to do; but others are to be served meanwhile.
                    compacted_at -= 0 if made < LISTS else COMPACT_SECONDS - CATCH_UP_SECONDS
            except (StoreError, DatasetError, OSError) as error:
                log.error("tick_failed", error=str(error))
            await self.clock.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """Free expired leases, make due what waited, resume what the disk held, open visits."""
        await self._end_consents()
        if self.schedule.is_on:
            await self._open_visits()
        if not await self.store.read(leases.needs_care):
            return
        has_room = self.free_bytes() >= FREE_BYTES
        freed = await self.store.write(lambda connection: self._care(connection, has_room))
        if freed:
            log.warning("leases_expired", jobs=freed)

    async def _end_consents(self) -> None:
        """Stop what rests on a consent whose last instant is over; its crawlers renew no more."""
        if await self.store.read(consents.has_expired):
            stopped = await self.store.write(consents.end_expired)
            log.info("consents_expired", jobs=len(stopped))

    async def _open_visits(self) -> None:
        """Open the lists that are due, and early what a share of the budget is left for."""
        wanted = visiting.with_watches(self.schedule)
        if await self.store.read(visits.has_due):
            opened = await self.store.write(lambda c: visits.open_due(c, wanted, BATCH))
            if opened:
                log.info("visits_due", jobs=opened)
        now = self.clock.now_ms()
        if self.schedule.share and self._spare.is_due(now):
            under = await self.store.read(visits.under_way)
            spare = self._spare.take(now, self.schedule.share, under)
            if spare:
                await self.store.write(lambda c: visits.open_early(c, wanted, min(spare, BATCH)))

    def _care(self, connection: Connection, has_room: bool) -> int:
        leases.make_due(connection)
        if has_room:
            jobs.resume(connection, HoldReason.DISK)
        return leases.rescue_expired(connection, self.retry)

    async def sweep(self) -> None:
        """Remove what nobody asks for any more: old records of messages, and orphaned segments.

        Those are named by no row of the manifest and written by no living lease. The files are listed before the snapshot: what is written later is not looked at.
        """
        await self.store.write(lambda c: messages.forget(c, self.keep_hours))
        await self.store.write(lambda c: compaction.forget(c, self.keep_hours))
        found = await asyncio.to_thread(list_segments, self.disk, self.dataset_root)
        named, living = await self.store.read(lambda c: (manifest.names(c), leases.live_leases(c)))
        removed = await asyncio.to_thread(sweep, self.disk, self.dataset_root, found, named, living)
        if removed:
            log.info("orphans_removed", segments=len(removed))

    async def compact(self, least: int = compaction.LEAST) -> int:
        """Make few large segments of many small ones, where a list is at rest; return how many.

        Their old files stay for readers until `keep_hours` are over.
        """
        found = await self.store.read(lambda c: compaction.candidates(c, LISTS, least))
        made = 0
        for area_id, resource in found:
            plans = await self.store.write(
                lambda c, a=area_id, r=resource: compaction.plan(c, a, r, least)  # type: ignore[misc]
            )
            for planned in plans:
                made += await self._merge(planned)
        if made:
            log.info("segments_compacted", segments=made)
        return made

    async def _merge(self, planned: compaction.Plan) -> bool:
        name = segment_name(
            planned.instance_id,
            planned.area_kind,
            planned.gitlab_id,
            planned.resource,
            planned.job_id,
            planned.fence,
            planned.number,
        )
        args = (self.disk, self.dataset_root, planned.segments, name)
        merged = await asyncio.to_thread(merge, *args)
        closed = manifest.ClosedSegment(merged.name, merged.length, merged.sha256, merged.records)
        return await self.store.write(lambda c: compaction.commit(c, planned, closed))
