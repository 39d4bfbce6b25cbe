"""The newest state of each job, kept in memory until the next commit: only the latest matters.

What a report of state changes is shown and never relied upon, so it may wait for others. Events are
durable before they are answered; they never come here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.dispatch import reports
from labtrawl.dispatch.statistics import Statistics
from labtrawl.protocol.messages import ProgressUpdate
from labtrawl.store import jobs
from labtrawl.store.engine import Store

log = logs.get("backend.direct-communication-manager")

WRITE_SECONDS = 0.25
# How long a lease that the database confirmed is believed in without asking again.
BELIEVED_SECONDS = 1.0


@dataclass(slots=True)
class _Lease:
    """A lease as the database saw it, and the newest message of state under it."""

    holder: str
    fence: int
    newest_id: str
    believed_until: float


class Shown:
    """Takes state in memory where the lease is known to be good, and writes it now and then."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._leases: dict[int, _Lease] = {}
        self._waiting: dict[int, tuple[jobs.Origin, ProgressUpdate]] = {}
        self._changed = asyncio.Event()
        self._is_running = False
        self._writing: set[asyncio.Task[None]] = set()

    def take(self, job_id: int, origin: jobs.Origin, update: ProgressUpdate, now: float) -> bool:
        """Keep the state of a job (`now`: monotonic seconds); a repeat changes nothing.

        False where the database has to say whose the job is.
        """
        lease = self._leases.get(job_id)
        if lease is None or now > lease.believed_until:
            return False
        if lease.fence != origin.fence or lease.holder != origin.name:
            return False
        if origin.message_id <= lease.newest_id:
            self._statistics.duplicates += 1
            return True
        lease.newest_id = origin.message_id
        self._statistics.merged += job_id in self._waiting
        self._waiting[job_id] = (origin, update)
        self._changed.set()
        return True

    def confirm(self, job_id: int, origin: jobs.Origin, now: float) -> None:
        """The database took a message of this lease just now."""
        if self._is_running:
            until = now + BELIEVED_SECONDS
            self._leases.pop(job_id, None)
            self._forget_first(now)
            self._leases[job_id] = _Lease(origin.name, origin.fence, origin.message_id, until)

    def _forget(self, now: float) -> None:
        """Keep nothing of jobs that were not heard of for a while."""
        self._leases = {job: one for job, one in self._leases.items() if one.believed_until >= now}

    def _forget_first(self, now: float) -> None:
        """Do as `_forget` in the order of their confirmation, up to one that is believed."""
        while self._leases:
            job = next(iter(self._leases))
            if self._leases[job].believed_until >= now:
                return
            del self._leases[job]

    def settled(self, job_id: int, origin: jobs.Origin) -> None:
        """An event took effect: what was told before it is not worth showing any more."""
        waiting = self._waiting.get(job_id)
        if waiting is not None and _is_before(waiting[0], origin):
            del self._waiting[job_id]

    @contextlib.asynccontextmanager
    async def running(self, store: Store, clock: Clock) -> AsyncIterator[None]:
        """Write what is kept while the block runs, and once more at its end."""
        task = asyncio.create_task(self._run(store, clock), name="states")
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            self._leases.clear()
            task.cancel()
            await asyncio.gather(task, *self._writing, return_exceptions=True)
            await self._write(store, clock)

    async def _run(self, store: Store, clock: Clock) -> None:
        while True:
            await self._changed.wait()
            writing = asyncio.create_task(self._write(store, clock))
            self._writing = {writing}
            # What was taken out to be written is written, though the website stops meanwhile.
            await asyncio.shield(writing)
            await clock.sleep(WRITE_SECONDS)

    async def _write(self, store: Store, clock: Clock) -> None:
        """Write all that waits, as one group; a lease that was refused is not believed any more."""
        self._changed.clear()
        waiting, self._waiting = self._waiting, {}
        outcomes = await asyncio.gather(
            *(_show(store, job_id, *kept) for job_id, kept in waiting.items()),
            return_exceptions=True,
        )
        until = clock.monotonic() + BELIEVED_SECONDS
        for (job_id, (origin, _)), outcome in zip(waiting.items(), outcomes, strict=True):
            lease = self._leases.get(job_id)
            if lease is None or lease.fence != origin.fence:
                continue
            lease.believed_until = until
            if isinstance(outcome, BaseException):
                log.debug("state_not_shown", job=job_id, error=str(outcome))
                del self._leases[job_id]
        self._forget(clock.monotonic())


def _is_before(state: jobs.Origin, event: jobs.Origin) -> bool:
    is_same = (state.name, state.fence) == (event.name, event.fence)
    return is_same and state.message_id <= event.message_id


async def _show(store: Store, job_id: int, origin: jobs.Origin, update: ProgressUpdate) -> None:
    await store.write(lambda c: reports.show(c, job_id, origin, update))
