"""One job's line to the website: what it reports, under its lease, in order."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from labtrawl.dataset.sink import Segment
from labtrawl.protocol.messages import (
    DiscoveredArea,
    DiscoveredJob,
    JobsDiscovered,
    LedgerReport,
    ProgressUpdate,
    Record,
    SegmentReport,
)

Answer = asyncio.Future[dict[str, Any]]
SendEvent = Callable[[str, Record, str], Awaitable[Answer]]
SendState = Callable[[str, str, Record], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """How far the job is."""

    processed_items: int = 0
    total_items: int | None = None
    requests: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed segment, and how many of its records are of objects that were not known before.

    `added` is None where all are; `removed` counts the tombstones.
    """

    segment: Segment
    added: int | None = None
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """What a finished job says of itself.

    `ledger` is None where a part of the list was read only; `watermark` is the instant of the server
    (ms) up to which everything was read, `changed` how many records the visit wrote.
    """

    ledger: LedgerReport | None = None
    watermark: int | None = None
    changed: int = 0


@dataclass(slots=True)
class Line:
    """Reports of one leased job. Events are not dropped; `settle` says when they all took effect."""

    task_id: str
    epoch: int
    send_event: SendEvent
    send_state: SendState
    now_ms: Callable[[], int]
    # Called when the job's last event is on its way.
    settles: Callable[[], None] = lambda: None
    told: Figures = field(default_factory=Figures)
    stage: str = ""
    # Returns what the policy withheld since it was asked last.
    withheld: Callable[[], dict[str, int]] = dict
    _answers: list[Answer] = field(default_factory=list)

    async def checkpoint(self, cursor: str, closed: Closed | None, figures: Figures) -> None:
        """Commit a closed segment and the cursor behind it, in one transaction."""
        told: dict[str, Any] = {"cursor": cursor, "stage": self.stage, **_named(closed)}
        told["withheld"] = self.withheld()
        await self._event(self._progress("processing", figures, **told))

    async def complete(
        self, cursor: str, closed: Closed | None, figures: Figures, ending: Ending
    ) -> None:
        """Commit the last segment and end the job; returns when that is durable."""
        told = {
            "ledger": ending.ledger,
            "watermark": ending.watermark,
            "changed": ending.changed,
            "withheld": self.withheld(),
            **_named(closed),
        }
        await self._event(self._progress("completed", figures, cursor=cursor, **told))
        self.settles()
        await self.settle()

    async def fail(self, report: ProgressUpdate) -> None:
        """End the attempt with a reason; returns when that is durable.

        What became of earlier events no longer matters: the website takes this one behind them.
        """
        self._answers.clear()
        await self._event(report)
        await self.settle()

    async def give_back(self, figures: Figures) -> None:
        """Let another crawler go on from the last checkpoint; returns when that is durable."""
        await self._event(self._progress("paused", figures, reason="drain"))
        await self.settle()

    async def areas(self, areas: list[DiscoveredArea], figures: Figures) -> None:
        """Report areas as discovery saw them."""
        await self._event(self._progress("new_areas_discovered", figures, areas=areas))

    async def jobs(self, jobs: list[DiscoveredJob]) -> None:
        """Propose jobs; the website stores those that nobody had before."""
        discovered = JobsDiscovered(task_id=self.task_id, epoch=self.epoch, jobs=jobs)
        self._answers.append(await self.send_event("JOBS_DISCOVERED", discovered, self.task_id))

    def failure(
        self, error: str, reason: str, retryable: bool, wait: float | None, figures: Figures
    ) -> ProgressUpdate:
        """Build the report of a failed attempt."""
        return self._progress(
            "failed",
            figures,
            error=error,
            reason=reason,
            retryable=retryable,
            retry_after_seconds=wait,
        )

    def tell(self, stage: str, figures: Figures) -> None:
        """Show how far the job is; only the newest counts, none of it is kept."""
        self.told, self.stage = figures, stage
        update = self._progress("processing", figures, stage=stage)
        self.send_state("progressUpdate", "PROGRESS_UPDATE", update)

    def tell_wait(self, stage: str) -> None:
        """Show what the job waits for, with the figures told last."""
        update = self._progress("processing", self.told, stage=stage)
        self.send_state("progressUpdate", "PROGRESS_UPDATE", update)

    async def settle(self) -> None:
        """Wait until all events took effect; raises LeaseLost where the job is no longer ours."""
        answers, self._answers = self._answers, []
        failures: list[Exception] = []
        # All are heard before the first failure is told: none is left that nobody hears of.
        for answer in answers:
            try:
                await answer
            except Exception as error:  # noqa: BLE001 - told below, whatever it is
                failures.append(error)
        if failures:
            raise failures[0]

    def check(self) -> None:
        """Raise what an event was refused with, without waiting."""
        for answer in [answer for answer in self._answers if answer.done()]:
            self._answers.remove(answer)
            answer.result()

    async def _event(self, update: ProgressUpdate) -> None:
        """Send what must take effect; not behind an event of this job that was refused."""
        self.check()
        self._answers.append(await self.send_event("PROGRESS_UPDATE", update, self.task_id))

    def _progress(self, status: str, figures: Figures, **fields: Any) -> ProgressUpdate:
        return ProgressUpdate(
            task_id=self.task_id,
            epoch=self.epoch,
            status=status,
            timestamp=self.now_ms(),
            processed_items=figures.processed_items,
            total_items=figures.total_items,
            requests=figures.requests,
            retries=figures.retries,
            **fields,
        )


def _named(closed: Closed | None) -> dict[str, list[SegmentReport]]:
    if closed is None:
        return {}
    segment = closed.segment
    report = SegmentReport(
        name=segment.name,
        length=segment.length,
        sha256=segment.sha256,
        records=segment.records,
        added=closed.added,
        removed=closed.removed,
    )
    return {"segments": [report]}
