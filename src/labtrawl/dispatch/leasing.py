"""What time does to jobs: leases that ran out, retries and visits that are due, disks with room."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
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
from labtrawl.errors import DatasetError, DiskFull, StoreError
from labtrawl.gitlab.wanted import with_watches
from labtrawl.store import (
    care,
    compaction,
    consents,
    jobs,
    leases,
    manifest,
    messages,
    set_back,
    visits,
    watches,
)
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
# What a busy host may be late by is no leap of its clock.
LEAP_MS = 5000
# Lists that one turn compacts.
LISTS = 100


@dataclass(slots=True)
class _Wall:
    """The database's clock, held against one that nobody sets and that stands while a host sleeps."""

    _ahead_ms: float | None = None

    def leapt_ms(self, now_ms: int, steady_seconds: float) -> int:
        """Return by how much it leapt ahead since it was asked last, or back (less than 0).

        0 for nothing to speak of.
        """
        before, self._ahead_ms = self._ahead_ms, now_ms - steady_seconds * 1000
        leapt = 0 if before is None else int(self._ahead_ms - before)
        return leapt if abs(leapt) >= LEAP_MS else 0


@dataclass(slots=True)
class _Round:
    """Behind which list compaction goes on, and whether the last turn left some for the next."""

    after: compaction.Place = compaction.FIRST
    is_more: bool = False


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
    _wall: _Wall = field(default_factory=_Wall)
    _round: _Round = field(default_factory=_Round)

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
                    # What fails is not tried again at once: it would fail again, at each tick.
                    compacted_at = self.clock.monotonic()
                    try:
                        await self.compact_some()
                    finally:
                        if self._round.is_more:
                            # There is more to do; but others are to be served meanwhile.
                            now = self.clock.monotonic()
                            compacted_at = now - COMPACT_SECONDS + CATCH_UP_SECONDS
            except (StoreError, DatasetError, OSError) as error:
                log.error("tick_failed", error=str(error))
            await self.clock.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """Free expired leases, make due what waited, resume what the disk held, open visits."""
        await self._end_consents()
        if self.schedule.is_on:
            await self._open_visits()
        leapt_ms, is_needed = await self.store.read(self._look)
        if leapt_ms:
            log.warning("clock_leapt", seconds=leapt_ms / 1000)
            await self.store.write(lambda c: self._mend(c, leapt_ms))
        if not is_needed:
            return
        has_room = self.free_bytes() >= FREE_BYTES
        freed = await self.store.write(lambda connection: self._care(connection, has_room))
        if freed:
            log.warning("leases_expired", jobs=freed)

    def _look(self, connection: Connection) -> tuple[int, bool]:
        """Say by how much the clock leapt, and whether there is something to care for.

        Both clocks are read in one go: a read that takes long is no leap.
        """
        leapt_ms = self._wall.leapt_ms(care.now_ms(connection), self.clock.monotonic())
        return leapt_ms, leases.needs_care(connection)

    async def _end_consents(self) -> None:
        """Stop what rests on a consent whose last instant is over; its crawlers renew no more."""
        if await self.store.read(consents.has_expired):
            stopped = await self.store.write(consents.end_expired)
            log.info("consents_expired", jobs=len(stopped))

    async def _open_visits(self) -> None:
        """Open the lists that are due, and early what a share of the budget is left for."""
        wanted = with_watches(self.schedule)
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

    def _mend(self, connection: Connection, leapt_ms: int) -> None:
        """Keep a clock that leapt from ending leases early, or from putting anything off for long."""
        if leapt_ms > 0:
            leases.outlast(connection, leapt_ms)
        else:
            set_back.mend(connection, -leapt_ms, self.schedule.cron)

    def _care(self, connection: Connection, has_room: bool) -> int:
        leases.make_due(connection)
        if has_room:
            jobs.resume(connection, HoldReason.DISK)
        given_up = partial(visiting.given_up, schedule=self.schedule)
        return leases.rescue_expired(connection, self.retry, given_up)

    async def sweep(self) -> None:
        """Remove what nobody asks for any more: old records of messages, and orphaned segments.

        What waits for a watch that has ended is due by itself. Orphaned segments are named by no row of the manifest and written by no living lease. The files are listed before the snapshot: what is written later is not looked at.
        """
        await self.store.write(lambda c: messages.forget(c, self.keep_hours))
        await self.store.write(lambda c: compaction.forget(c, self.keep_hours))
        if self.schedule.is_on and (lists := await self.store.read(watches.undriven)):
            await self.store.write(lambda c: watches.let_be_due(c, lists))
        found = await asyncio.to_thread(list_segments, self.disk, self.dataset_root)
        named, living = await self.store.read(lambda c: (manifest.names(c), leases.live_leases(c)))
        removed = await asyncio.to_thread(sweep, self.disk, self.dataset_root, found, named, living)
        if removed:
            log.info("orphans_removed", segments=len(removed))

    async def compact(self, least: int = compaction.LEAST) -> int:
        """Do as `compact_some`, turn after turn, until every list was looked at; return how many."""
        made, failures = 0, list[DatasetError]()
        while True:
            try:
                made += await self.compact_some(least)
            except DiskFull:
                raise
            except DatasetError as error:
                failures.append(error)
            if not self._round.is_more:
                break
        if failures:
            raise failures[0]
        return made

    async def compact_some(self, least: int = compaction.LEAST) -> int:
        """Make few large segments of many small ones, where a list is at rest; return how many.

        Each turn goes on where the last one ended. Their old files stay for readers until
        `keep_hours` are over. A list that is damaged, or whose folder is, stays as it is; its error
        is raised when all others of the turn were done. A full disk ends the turn.
        """
        after, self._round.is_more = self._round.after, False
        found = await self.store.read(lambda c: compaction.candidates(c, LISTS, least, after))
        made, failures = 0, list[DatasetError]()
        for area_id, resource in found:
            self._round.after = (area_id, resource)
            try:
                made += await self._compact(area_id, resource, least)
            except DiskFull:
                raise
            except DatasetError as error:
                failures.append(error)
        self._round.is_more = len(found) == LISTS
        if not self._round.is_more:
            self._round.after = compaction.FIRST
        if made:
            log.info("segments_compacted", segments=made)
        if failures:
            raise failures[0]
        return made

    async def _compact(self, area_id: int, resource: str, least: int) -> int:
        plans = await self.store.write(lambda c: compaction.plan(c, area_id, resource, least))
        return sum([await self._merge(planned) for planned in plans])

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
