"""The crawler's heart: as many leases as it has room for, kept alive, drained at the end.

1. ask for jobs while there is room; 2. run each under its lease; 3. renew all leases together;
4. stop a job whose lease is lost or could not be renewed in time; 5. on `stopping`, let each job
checkpoint and give itself back.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.domain.traffic import Traffic
from labtrawl.errors import BadMessage, LeaseLost, ProtocolError, StoreError
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.messages import (
    Command,
    EndpointTraffic,
    Envelope,
    Heartbeat,
    Holding,
    LeasesRenewed,
    RenewedLease,
    RenewLeases,
    RequestJobs,
    Task,
)

T = TypeVar("T")

log = logs.get("crawler")

REQUEST_SECONDS = 30.0
PAUSE_SECONDS = 0.5
# Of a lease's length: how long a crawler works on without having renewed it, and how often it looks.
TRUST = 0.8
LOOK = 0.05
# Jobs that wait for the website's word, for each that may be read.
SETTLING = 2

_TASKS = msgspec.json.Decoder(list[Task])
_RENEWED = msgspec.json.Decoder(LeasesRenewed)


@dataclass(slots=True)
class Running:
    """A job in hand."""

    task: Task
    token: Secret
    renewed_at: float
    dropped: bool = False
    # It comes to the end of its page, checkpoints, and gives itself back.
    paused: bool = False
    # All is read and sent; what is left is the website's word that it is durable.
    is_settling: bool = False
    runner: asyncio.Task[None] | None = None
    settles: Callable[[], None] = lambda: None

    def settle(self) -> None:
        """Say that the job needs nothing but an answer: another may be read meanwhile."""
        self.is_settling = True
        self.settles()


RunTask = Callable[[Running], Awaitable[None]]


def token_in(task: Task) -> Secret:
    """Return the token that came with a task; empty where the website sent none."""
    return Secret(task.credentials.access_token)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once, how often; seconds.

    `drain_seconds` is how long a stop waits for jobs to come to a page's end: a request that waits
    for a GitLab that is away, or a report for a website that is, is cut off then.
    """

    jobs: int
    lease_seconds: float
    renew_seconds: float
    heartbeat_seconds: float
    drain_seconds: float = 5.0


@dataclass(slots=True)
class Engine:
    """Runs leases until told to stop."""

    client: DirectCommunicationClient
    run_task: RunTask
    pace: Pace
    clock: Clock
    memory_bytes: Callable[[], int]
    requests: Callable[[], int]
    token_of: Callable[[Task], Secret] = token_in
    # How many requests may be under way at once by now.
    concurrency: Callable[[], int] = lambda: 0
    # What it cost so far, by endpoint, and how many requests were sent again.
    traffic: Callable[[], Mapping[str, Traffic]] = dict
    retries: Callable[[], int] = lambda: 0
    running: dict[str, Running] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _renew_now: asyncio.Event = field(default_factory=asyncio.Event)
    _claim_id: str = ""
    _processed: int = 0
    _started_at: float = 0.0

    def holding(self) -> list[Holding]:
        """Return the leases in hand."""
        return [
            Holding(task_id=task_id, epoch=running.task.lease.epoch)
            for task_id, running in self.running.items()
            if not running.dropped
        ]

    def command(self, envelope: Envelope) -> None:
        """Take a message of the website that answers no request.

        A command is in its database already: what is missed here comes with the next renewal.
        """
        if envelope.key == "shutdown":
            log.info("website_asks_to_stop")
            self.stopping.set()
        elif envelope.key == "CREDENTIALS_UPDATED":
            self.client.acknowledge(envelope)
            self._renew_now.set()
        elif envelope.key in ("pause", "resume", "cancel", "drain"):
            wanted = msgspec.json.decode(envelope.payload, type=Command)
            log.info("command", wanted=envelope.key, job=wanted.task_id or "all")
            self.client.acknowledge(envelope)
            self._obey(envelope.key, wanted.task_id)

    def _obey(self, wanted: str, task_id: str | None) -> None:
        """Pause or cancel a job, or all in hand; whether more are claimed is the website's matter."""
        chosen = [one for name, one in self.running.items() if task_id in (None, name)]
        for running in chosen:
            if wanted == "pause":
                running.paused = True
            elif wanted == "cancel":
                self._drop(running)

    async def run(self) -> None:
        """Work until `stopping` is set and all jobs in hand are checkpointed."""
        self._started_at = self.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            beats = [
                group.create_task(each)
                for each in (self._renew_all(), self._watch_leases(), self._beat())
            ]
            claims = group.create_task(self._claim_all(group))
            await self.stopping.wait()
            claims.cancel()
            await self._drained()
            for beat in beats:
                beat.cancel()

    async def _drained(self) -> None:
        """Let the jobs in hand give themselves back; cut off those that cannot.

        The supervisor tells the website that this process ended, which frees the leases left.
        """
        runners = [running.runner for running in self.running.values() if running.runner]
        if not runners:
            return
        _, late = await asyncio.wait(runners, timeout=self.pace.drain_seconds)
        for running in list(self.running.values()):
            self._drop(running)
        if late:
            await asyncio.wait(late)

    async def _claim_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._room.clear()
            room = self._free()
            if room <= 0:
                await self._room.wait()
                continue
            tasks = await self._claim(room)
            for task in tasks:
                self._start(task, group)
            if not tasks:
                await self.clock.sleep(PAUSE_SECONDS)

    def _free(self) -> int:
        """Return how many more jobs may be read; those that wait for an answer alone are bounded."""
        settling = sum(running.is_settling for running in self.running.values())
        beside = min(settling, SETTLING * self.pace.jobs)
        return self.pace.jobs + beside - len(self.running)

    async def _claim(self, limit: int) -> list[Task]:
        """Ask for jobs; what was not answered is asked again under its id, so no lease is lost."""
        self._claim_id = self._claim_id or self.client.make_id()
        wanted = RequestJobs(limit=limit, request_id=self._claim_id)
        try:
            answer = await self.client.request(
                "jobRequest", "request_jobs", wanted, REQUEST_SECONDS
            )
            tasks = _decode(_TASKS, answer) if answer.key == "jobs_available" else []
        except (TimeoutError, StoreError, ProtocolError) as error:
            log.info("no_jobs", error=str(error) or type(error).__name__)
            return []
        self._claim_id = ""
        return tasks

    def _start(self, task: Task, group: asyncio.TaskGroup) -> None:
        before = self.running.get(task.task_id)
        if before is not None and before.task.lease.epoch >= task.lease.epoch:
            return
        if before is not None:
            self._drop(before)
        running = Running(task, self.token_of(task), self.clock.monotonic(), settles=self._room.set)
        self.running[task.task_id] = running
        running.runner = group.create_task(self._run(running, before), name=f"job-{task.task_id}")
        # Not at the end of the run itself: one that is dropped before it began has none.
        running.runner.add_done_callback(lambda _: self._let_go(running))

    async def _run(self, running: Running, before: Running | None) -> None:
        """Run a job; first wait until a dropped run of the same job has let go of its files."""
        task = running.task
        logs.name(job=task.task_id)
        try:
            if before is not None and before.runner is not None:
                await asyncio.wait([before.runner])
                # What is refused of the old lease's messages must not count against the new one.
                self.client.forget(task.task_id)
            log.debug("job_started", job=task.task_id, resource=task.resource_type)
            await self.run_task(running)
            self._processed += 1
        except LeaseLost as error:
            log.warning("lease_lost", job=task.task_id, error=str(error))
        except asyncio.CancelledError:
            if not running.dropped:
                raise
            log.warning("job_dropped", job=task.task_id)
        except Exception:  # its lease runs out, its neighbours go on
            log.exception("job_left", job=task.task_id)

    def _let_go(self, running: Running) -> None:
        task_id = running.task.task_id
        if self.running.get(task_id) is running:
            self.client.forget(task_id)
            del self.running[task_id]
        self._room.set()

    async def _renew_all(self) -> None:
        pause = self.pace.renew_seconds
        while True:
            await self._until_renewal(pause)
            is_done = not self.running or await self._renew()
            # One answer that is lost must not cost a lease: the next try comes soon.
            pause = self.pace.renew_seconds if is_done else PAUSE_SECONDS

    async def _watch_leases(self) -> None:
        """Drop in time what could not be renewed, however long an answer takes."""
        while True:
            self._drop_stale()
            await self.clock.sleep(LOOK * self.pace.lease_seconds)

    async def _until_renewal(self, seconds: float) -> None:
        """Wait for the next turn, or until the website hints at new credentials."""
        turn = asyncio.ensure_future(self.clock.sleep(seconds))
        hint = asyncio.ensure_future(self._renew_now.wait())
        try:
            await asyncio.wait({turn, hint}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()
            hint.cancel()
        self._renew_now.clear()

    async def _renew(self) -> bool:
        """Ask to keep what is in hand; say whether the website answered."""
        asked_at = self.clock.monotonic()
        held = self.holding()
        try:
            answer = await self.client.request(
                "jobRequest",
                "renew_leases",
                RenewLeases(leases=held),
                self.pace.renew_seconds,
            )
            renewals = _decode(_RENEWED, answer).leases
        except (TimeoutError, StoreError, ProtocolError) as error:
            log.warning("renewal_failed", error=str(error) or type(error).__name__)
            return False
        epochs = {lease.task_id: lease.epoch for lease in held}
        for renewed in renewals:
            running = self.running.get(renewed.task_id)
            # Meanwhile the job may have come back under a newer lease, of which nothing was asked.
            if running and running.task.lease.epoch == epochs.get(renewed.task_id):
                self._apply(running, renewed, asked_at)
        return True

    def _apply(self, running: Running, renewed: RenewedLease, asked_at: float) -> None:
        if renewed.lost:
            self._drop(running)
            return
        running.renewed_at = asked_at
        running.paused = running.paused or renewed.wanted == "pause"
        if renewed.access_token is not None:
            running.token = Secret(renewed.access_token)

    def _drop_stale(self) -> None:
        """Rule 1 of leases: by one's own monotonic clock, stop before the lease can have ended."""
        limit = self.clock.monotonic() - TRUST * self.pace.lease_seconds
        for running in [one for one in self.running.values() if one.renewed_at < limit]:
            self._drop(running)

    def _drop(self, running: Running) -> None:
        if not running.dropped and running.runner is not None:
            running.dropped = True
            running.runner.cancel()

    async def _beat(self) -> None:
        minute: list[tuple[float, int]] = []
        while True:
            now = self.clock.monotonic()
            minute = [(at, count) for at, count in minute if at > now - 60] + [
                (now, self.requests())
            ]
            self.client.send_heartbeat(self._heartbeat(minute))
            with contextlib.suppress(TimeoutError):
                await self.clock.sleep(self.pace.heartbeat_seconds)

    def _heartbeat(self, minute: list[tuple[float, int]]) -> Heartbeat:
        elapsed = max(minute[-1][0] - minute[0][0], 1.0)
        busy = any(one.task.command != "discovery" for one in self.running.values())
        finding = "discovering" if self.running else "idle"
        return Heartbeat(
            timestamp=self.clock.now_ms(),
            active_jobs=len(self.running),
            total_processed=self._processed,
            system_status="processing" if busy else finding,
            memory_usage=self.memory_bytes(),
            uptime=self.clock.monotonic() - self._started_at,
            requests_per_minute=(minute[-1][1] - minute[0][1]) * 60 / elapsed,
            concurrency=self.concurrency(),
            breaker=self.client.circuit,
            breaker_opened=self.client.circuit_opened,
            queued=self.client.unsent,
            dropped=self.client.dropped,
            max_jobs=self.pace.jobs,
            retries=self.retries(),
            traffic={name: _told(one) for name, one in self.traffic().items()},
        )


def _told(one: Traffic) -> EndpointTraffic:
    return EndpointTraffic(
        requests=one.requests,
        limited=one.limited,
        failed=one.failed,
        bytes=one.bytes,
        latency=dict(one.latency),
    )


def _decode(decoder: msgspec.json.Decoder[T], answer: Envelope) -> T:
    """Read an answer; BadMessage where it has another shape, as a newer website might send."""
    try:
        return decoder.decode(answer.payload)
    except msgspec.MsgspecError as error:
        raise BadMessage(f"the website answered {answer.key} in another shape: {error}") from error
