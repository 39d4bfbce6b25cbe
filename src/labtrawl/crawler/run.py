"""One job, from its cursor to its end: read a page, pass the gate, write, checkpoint.

The order is the promise: a segment is closed and durable before the checkpoint that names it, and
the cursor moves only in the transaction that names the segment.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from labtrawl.clock import Clock
from labtrawl.crawler.ancestry import LOOSE, loose_ends, parents_of
from labtrawl.crawler.cursor import Cursor, Tag
from labtrawl.crawler.known import Known
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.line import Closed, Ending, Figures, Line
from labtrawl.crawler.lists import batches
from labtrawl.crawler.purse import Stopped
from labtrawl.crawler.reader import Batch, Reader
from labtrawl.crawler.visit import Visit, tombstones
from labtrawl.dataset import policy
from labtrawl.dataset.policy import GatedRecord
from labtrawl.dataset.sink import Sink
from labtrawl.domain.failure import GapReason
from labtrawl.errors import DatasetError, GitLabError, NotFound, RateLimited

T = TypeVar("T")

TELL_SECONDS = 0.25


@dataclass(slots=True)
class JobRun:
    """The run of one leased list. Not for discovery, which writes no records."""

    reader: Reader
    sink: Sink
    line: Line
    policy: policy.Policy
    clock: Clock
    checkpoint_seconds: float
    stopping: Callable[[], bool]
    visit: Visit
    known: Known
    cursor: Cursor = field(default_factory=Cursor)
    _begun: Cursor = field(default_factory=Cursor)
    _committed: Cursor = field(default_factory=Cursor)
    _committed_at: float = 0.0
    _told_at: float = 0.0
    _is_at_disk: bool = False
    # The list is as the visit before read it, which needs no comparing.
    _is_same: bool = False
    # Nothing of the list was committed before this run.
    _is_first: bool = False

    async def run(self) -> None:
        """Run to the end of the list, or give the job back when the crawler stops."""
        self._committed = self.cursor
        self._committed_at = self._told_at = self.clock.monotonic()
        try:
            await self._begin()
            if await self._read_until_it_stands():
                await self._complete()
            else:
                await self._give_back()
        except Stopped:
            await self._give_back()
        except (GitLabError, DatasetError) as error:
            await self._fail(error)
        finally:
            # What no checkpoint named belongs to nobody.
            if self._is_at_disk or not self.sink.is_idle:
                await asyncio.to_thread(self.sink.abandon)

    async def _begin(self) -> None:
        """Go on where the job was given back, or begin anew where what was met is not kept."""
        told, recalled = self.cursor.met, None
        if told is not None and told.by == self.visit.by:
            recalled = await self.known.recall(told)
        if recalled is None:
            self.cursor = self.visit.begin(self.cursor)
        else:
            self.cursor = self.visit.go_on(self.cursor, recalled.suspects)
        self._committed = self._begun = self.cursor
        self._is_first = self.cursor == Cursor()

    async def _read_until_it_stands(self) -> bool:
        """Read the list, again where it moved or misses something; False when the crawler stops."""
        while await self._read():
            missing = await self._missing()
            if not self.visit.is_to_be_read_again(self.cursor, missing):
                await self._bury(self.visit.gone(missing))
                return True
            await self._look_again()
        return False

    async def _look_again(self) -> None:
        """Commit what this reading wrote, and begin another one, which is compared with it."""
        if self.cursor != self._committed:
            await self._checkpoint()
        # What was just committed is compared with, so it has to be there.
        await self.line.settle()
        self.cursor = self.visit.again(self.cursor)
        self.known.look_again()

    async def _read(self) -> bool:
        async with aclosing(batches(self.reader, self.cursor)) as read:
            async for batch in read:
                await self._take(batch)
                if self.stopping() and not batch.cursor.ended:
                    return False
        return True

    async def _missing(self) -> set[int | str]:
        if self._is_same or not self.visit.looks_for_missing(self.cursor):
            return set()
        return await self.known.missing()

    async def _take(self, batch: Batch) -> None:
        if batch.cursor.passes > self.cursor.passes:
            await self._look_again()
        name = self.reader.resource.name
        gated = policy.apply_all(self.policy, name, batch.records)
        # They are lines by now, and whoever brought the batch still holds it while it asks for more.
        batch.records.clear()
        news = await self._news(gated, is_last=batch.cursor.ended)
        await self._write(news)
        self._is_same = batch.is_same
        self.cursor = replace(
            batch.cursor,
            started_at=_earlier(self.cursor.started_at, self.reader.gitlab.tally.first_served_at),
            written=self.cursor.written + len(news),
            loose=self._loose(batch, gated),
        )
        self.line.check()
        if not batch.cursor.ended and self._is_due():
            await self._checkpoint()
        self._tell()

    async def _news(self, gated: list[GatedRecord], *, is_last: bool) -> list[GatedRecord]:
        """Leave out what the dataset has already, and what a first reading gave before."""
        if self.visit.compares(self.cursor):
            return await self.known.fresh(gated)
        if self._is_counted:
            return await self.known.first(gated, is_first=self._is_first, is_last=is_last)
        return gated

    @property
    def _is_counted(self) -> bool:
        """Whether objects are counted as they come: along an instant each comes once."""
        return self.visit.compares(self.cursor) or not self.reader.resource.windowed

    def _loose(self, batch: Batch, gated: list[GatedRecord]) -> tuple[str, ...]:
        """Return which rows a whole list has to have by now, and has not.

        Where not all of it is sent it is what the last visit found.
        """
        parents, is_filtered = self.reader.resource.parents, self.reader.since is not None
        if not parents or batch.is_same:
            return batch.cursor.loose
        if is_filtered or not self.visit.is_whole:
            return self.cursor.loose
        named = parents_of(gated, parents)
        return loose_ends(self.cursor.loose, named, self.known.has_come)

    async def _write(self, gated: list[GatedRecord]) -> None:
        if self.sink.is_in_memory(gated):
            self.sink.write(gated)
        else:
            await self._at_disk(partial(self.sink.write, gated))

    async def _at_disk(self, call: Callable[[], T]) -> T:
        """Let the sink wait for the disk in a thread; cut off, it may still be at it."""
        self._is_at_disk = True
        done = await asyncio.get_running_loop().run_in_executor(None, call)
        self._is_at_disk = False
        return done

    async def _bury(self, ids: set[int | str]) -> None:
        """Write down that known objects are no longer there, where a whole reading missed them."""
        if not ids:
            return
        name, now = self.reader.resource.name, self.clock.now()
        state = self.visit.state_of_missing(has_met_any=self.known.has_met_any)
        buried = tombstones(self.reader, sorted(ids, key=str), state, now)
        await self._write(policy.apply_all(self.policy, name, buried))
        self.known.bury(ids)
        self.cursor = replace(self.cursor, written=self.cursor.written + len(ids))

    def _is_due(self) -> bool:
        """A segment is full or old, or many pages without a record would have to be read again."""
        age = self.clock.monotonic() - self._committed_at
        return self.sink.due or age >= self.checkpoint_seconds

    async def _checkpoint(self) -> None:
        closed = await self._close_segment()
        await self.line.checkpoint(self.cursor.encode(), closed, self._figures())
        self._committed = self.cursor
        self._committed_at = self.clock.monotonic()

    async def _close_segment(self) -> Closed | None:
        segment = None if self.sink.is_idle else await self._at_disk(self.sink.close_segment)
        if segment is None:
            return None
        return Closed(segment, *self.known.counted()) if self._is_counted else Closed(segment)

    async def _forget_mark(self) -> None:
        """Let the next visit read a list again of which something is missing, and not yet as gone.

        By the mark of what this one read it would be told that nothing changed since.
        """
        is_filtered = self.reader.since is not None and bool(self.reader.resource.changes)
        if self.cursor.tag is None or self._is_same or is_filtered:
            return
        if self.visit.compares(self.cursor) and await self.known.missing():
            self.cursor = replace(self.cursor, tag=None)

    def _keep_loose(self) -> None:
        """Let the next visit know what is nowhere, as in a history that was cut off.

        For that alone each sweep would read the list twice.
        """
        if self.cursor.loose and self.cursor.tag is None:
            self.cursor = replace(self.cursor, tag=Tag("", LOOSE, self.reader.policy))

    async def _complete(self) -> None:
        await self._forget_mark()
        self._keep_loose()
        closed = await self._close_segment()
        ending = Ending(
            report_of(self.reader.resource, self.cursor) if self.visit.is_whole else None,
            self.visit.watermark(self.cursor),
            self.cursor.written,
        )
        await self.line.complete(self.cursor.encode(), closed, self._figures(), ending)

    def _keep_met(self) -> None:
        """Let who goes on know what was met: of a reading that looks for what is gone."""
        if self.visit.looks_for_missing(self.cursor):
            told = self.known.told(self.visit.suspects, self.visit.by)
            self.cursor = replace(self.cursor, met=told)

    async def _give_back(self) -> None:
        self._keep_met()
        await self._checkpoint()
        await self.line.give_back(self._figures())

    async def _fail(self, error: GitLabError | DatasetError) -> None:
        """Keep what was read before a failure of GitLab; the disk's own failure keeps nothing."""
        if isinstance(error, GitLabError) and self.cursor != self._begun:
            self._keep_met()
            await self._checkpoint()
        wait = error.retry_after if isinstance(error, RateLimited) else None
        reason = reason_of(error)
        figures = self._figures()
        await self.line.fail(self.line.failure(str(error), reason, error.retryable, wait, figures))

    def _tell(self) -> None:
        now = self.clock.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            stage = f"reading {self.reader.resource.name}{self.cursor.share_told}"
            self.line.tell(stage, self._figures())

    def _figures(self) -> Figures:
        tally = self.reader.gitlab.tally
        return Figures(self.cursor.items, self.cursor.expected, tally.requests, tally.retries)


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)


def reason_of(error: GitLabError | DatasetError) -> str:
    """Return the ledger's word for a failure.

    A 404 on a list of an area that discovery saw means that it can no longer be read, whatever the
    cause (fact sheet: missing or private, told apart by nobody).
    """
    if isinstance(error, NotFound):
        said = str(error)
        is_empty = "Repository Not Found" in said or "Tree Not Found" in said
        return GapReason.EMPTY_REPOSITORY if is_empty else GapReason.FORBIDDEN
    return error.reason
