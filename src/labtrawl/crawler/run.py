"""One job, from its cursor to its end: read a page, pass the gate, write, checkpoint.

The order is the promise: a segment is closed and durable before the checkpoint that names it, and
the cursor moves only in the transaction that names the segment.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from labtrawl.clock import Clock
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.line import Figures, Line
from labtrawl.crawler.lists import Batch, Reader
from labtrawl.crawler.purse import Stopped
from labtrawl.dataset import policy
from labtrawl.dataset.sink import Segment, Sink
from labtrawl.domain.failure import GapReason
from labtrawl.errors import DatasetError, GitLabError, NotFound, RateLimited

TELL_SECONDS = 0.25


@dataclass(slots=True)
class JobRun:
    """The run of one leased list. Not for discovery, which writes no records."""

    reader: Reader
    sink: Sink
    line: Line
    policy_name: str
    clock: Clock
    checkpoint_seconds: float
    stopping: Callable[[], bool]
    cursor: Cursor = field(default_factory=Cursor)
    _committed: Cursor = field(default_factory=Cursor)
    _committed_at: float = 0.0
    _told_at: float = 0.0

    async def run(self) -> None:
        """Run to the end of the list, or give the job back when the crawler stops."""
        self._committed = self.cursor
        self._committed_at = self.clock.monotonic()
        try:
            async for batch in self.reader.batches(self.cursor):
                await self._take(batch)
                if self.stopping() and not batch.cursor.ended:
                    await self._give_back()
                    break
            else:
                await self._complete()
        except Stopped:
            await self._give_back()
        except (GitLabError, DatasetError) as error:
            await self._fail(error)
        finally:
            # What no checkpoint named belongs to nobody.
            await asyncio.to_thread(self.sink.abandon)

    async def _take(self, batch: Batch) -> None:
        name = self.reader.resource.name
        gated = [policy.apply(self.policy_name, name, record) for record in batch.records]
        if gated:
            await asyncio.to_thread(self.sink.write, gated)
        self.cursor = batch.cursor
        self.line.check()
        if not batch.cursor.ended and self._is_due():
            await self._checkpoint()
        self._tell()

    def _is_due(self) -> bool:
        """A segment is full or old, or many pages without a record would have to be read again."""
        age = self.clock.monotonic() - self._committed_at
        return self.sink.due or age >= self.checkpoint_seconds

    async def _checkpoint(self) -> None:
        segment = await self._close_segment()
        await self.line.checkpoint(self.cursor.encode(), segment, self._figures())
        self._committed = self.cursor
        self._committed_at = self.clock.monotonic()

    async def _close_segment(self) -> Segment | None:
        return await asyncio.to_thread(self.sink.close_segment)

    async def _complete(self) -> None:
        segment = await self._close_segment()
        ledger = report_of(self.reader.resource, self.cursor)
        await self.line.complete(self.cursor.encode(), segment, self._figures(), ledger)

    async def _give_back(self) -> None:
        await self._checkpoint()
        await self.line.give_back(self._figures())

    async def _fail(self, error: GitLabError | DatasetError) -> None:
        """Keep what was read before a failure of GitLab; the disk's own failure keeps nothing."""
        if isinstance(error, GitLabError) and self.cursor != self._committed:
            await self._checkpoint()
        wait = error.retry_after if isinstance(error, RateLimited) else None
        reason = reason_of(error)
        figures = self._figures()
        await self.line.fail(self.line.failure(str(error), reason, error.retryable, wait, figures))

    def _tell(self) -> None:
        now = self.clock.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self.line.tell(f"reading {self.reader.resource.name}", self._figures())

    def _figures(self) -> Figures:
        tally = self.reader.gitlab.tally
        return Figures(self.cursor.items, self.cursor.expected, tally.requests, tally.retries)


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
