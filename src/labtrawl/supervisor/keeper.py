"""Keeps one program alive: starts it, watches it, starts it again, stops it. `supervisor` enters."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import BadMessage
from labtrawl.supervisor.channel import Heartbeat, Ready, Told, Up
from labtrawl.supervisor.process import Inheritance, Process, Program
from labtrawl.supervisor.restarts import CONFIG_EXIT_CODE, CrashHistory, RestartPolicy
from labtrawl.supervisor.states import ProgramStatus, State

log = logs.get("supervisor")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the supervisor waits for a child, in seconds."""

    ready_seconds: float = 30.0
    heartbeat_seconds: float = 5.0
    missed_heartbeats: int = 3
    kill_seconds: float = 0.4
    """Between TERM and KILL, once the grace time is over."""
    restarts: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a keeper is given by the set: time, chance, and whom to tell."""

    inheritance: Inheritance
    timing: Timing
    clock: Clock
    random: Callable[[], float]
    take_line: Callable[[str, str], None]
    changed: Callable[[ProgramStatus], None]
    started: Callable[[Program, Process], None]
    gone: Callable[[Program, Process], None]
    environment: Callable[[Program], Mapping[str, str]] = lambda _: {}
    """What a program gets as variables at its start."""


class Keeper:
    """One program over all its restarts. `run` ends only after `stop`."""

    def __init__(
        self,
        program: Program,
        surroundings: Surroundings,
        permission: Callable[[Callable[[str], None]], Awaitable[None]],
    ) -> None:
        """`permission` returns when the program may start; it is given a way to say why not yet."""
        self.program = program
        self.process: Process | None = None
        self.was_ready = asyncio.Event()
        self.stopped = asyncio.Event()
        self.had_to_be_killed = False
        """Whether its last end, the wished one, took force."""
        self._around = surroundings
        self._permission = permission
        self._history = CrashHistory(surroundings.timing.restarts)
        self._stop_wanted = False
        self._restart_wanted = False
        self._kill_wanted = False
        self._wish = asyncio.Event()
        self._beats = 0
        self._ready_at: float | None = None
        self._ready = asyncio.Event()
        self._verdict_reason = ""
        self.status = ProgramStatus(
            name=program.name, state=State.PENDING, since=surroundings.clock.now()
        )

    def stop(self) -> None:
        """Wish the end of the program; `stopped` is set when it is there."""
        self._stop_wanted = True
        self._wish.set()

    def restart(self) -> None:
        """Wish a stop and a start at once; it counts as no crash, and ends a failure's wait."""
        self._restart_wanted = True
        self._wish.set()

    def kill(self) -> None:
        """Wish the end of the program, by force."""
        self._kill_wanted = True
        self.stop()
        if self.process is not None:
            self.process.kill()

    async def run(self) -> None:
        """Keep the program until it is to stop."""
        while await self._granted(self._permission(self._explain)):
            await self._one_life()
            self._grant_restart()
        self._move(State.STOPPED, pid=None, reason="")
        self.stopped.set()

    def _grant_restart(self) -> None:
        if self._restart_wanted and not self._stop_wanted:
            self._restart_wanted = False
            self._history = CrashHistory(self._around.timing.restarts)
            self._wish.clear()

    async def _granted(self, permission: Awaitable[None]) -> bool:
        """Wait for the permission to start; False when the program is to stop instead."""
        waiting = asyncio.ensure_future(permission)
        try:
            while not waiting.done() and not self._stop_wanted:
                await self._wait_for_wish(waiting)
                self._grant_restart()
        finally:
            waiting.cancel()
        return not self._stop_wanted

    async def _wait_for_wish(self, other: asyncio.Future[None]) -> None:
        wish: asyncio.Future[Any] = asyncio.ensure_future(self._wish.wait())
        try:
            await asyncio.wait({wish, other}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wish.cancel()

    def _explain(self, reason: str) -> None:
        self._move(State.PENDING, pid=None, reason=reason)

    async def _one_life(self) -> None:
        self._ready.clear()
        self._ready_at = None
        self._verdict_reason = ""
        started_at = self._around.clock.monotonic()
        code = await self._live()
        if not self._wish.is_set():
            await self._after_crash(code, started_at)

    async def _live(self) -> int | None:
        starts = self.status.starts + 1
        try:
            environment = self._around.environment(self.program)
            process = await Process.start(self.program, self._around.inheritance, environment)
        except OSError as error:
            self._verdict_reason = f"cannot be started: {error.strerror}"
            self._move(State.STARTING, pid=None, reason="", starts=starts)
            return None
        self.process = process
        self._move(State.STARTING, pid=process.pid, reason="", starts=starts)
        self._around.started(self.program, process)
        await process.read_output(partial(self._around.take_line, self.program.name))
        await self._attend(process)
        self.process = None
        self.had_to_be_killed = self._stop_wanted and process.was_killed
        self._around.gone(self.program, process)
        await process.close()
        return process.exited.result()

    async def _attend(self, process: Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._listen(process)),
                tasks.create_task(self._guard(process)),
                tasks.create_task(self._obey(process)),
            ]
            await asyncio.wait({process.exited})
            for task in beside:
                task.cancel()

    async def _listen(self, process: Process) -> None:
        try:
            while (frame := await process.receive()) is not None:
                self._take(frame)
        except BadMessage as error:
            self._verdict_reason = str(error)
            await process.terminate(self.program.grace_seconds)

    def _take(self, frame: Up) -> None:
        if isinstance(frame, Heartbeat):
            self._beats += 1
        elif isinstance(frame, Told):
            details = self.status.details | frame.details
            self._move(
                self.status.state,
                details={key: value for key, value in details.items() if value},
            )
        elif isinstance(frame, Ready) and not self._wish.is_set():
            self._ready_at = self._around.clock.monotonic()
            self._ready.set()
            self._move(State.READY, details=frame.details, reason="")
            self.was_ready.set()

    async def _guard(self, process: Process) -> None:
        """End a child that does not become ready, or whose event loop no longer turns."""
        timing = self._around.timing
        if not await self._becomes_ready(timing.ready_seconds):
            self._verdict_reason = f"not ready within {timing.ready_seconds:g} s"
        else:
            # Missed beats are counted, not timed: a pause of our own must not look like theirs.
            missed = 0
            while missed < timing.missed_heartbeats:
                seen = self._beats
                await self._around.clock.sleep(timing.heartbeat_seconds)
                missed = 0 if self._beats > seen else missed + 1
            self._verdict_reason = f"no sign of life for {missed} heartbeats"
        if not self._wish.is_set():
            log.warning("program_unresponsive", program=self.program.name, pid=process.pid)
            await process.terminate(self.program.grace_seconds)

    async def _becomes_ready(self, seconds: float) -> bool:
        ready: asyncio.Future[Any] = asyncio.ensure_future(self._ready.wait())
        timer: asyncio.Future[Any] = asyncio.ensure_future(self._around.clock.sleep(seconds))
        try:
            await asyncio.wait({ready, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            timer.cancel()
        return self._ready.is_set()

    async def _obey(self, process: Process) -> None:
        await self._wish.wait()
        self._move(State.STOPPING)
        if self._kill_wanted:
            process.kill()
        await process.stop(self.program.grace_seconds, self._around.timing.kill_seconds)

    async def _after_crash(self, code: int | None, started_at: float) -> None:
        now = self._around.clock.monotonic()
        worked = now - self._ready_at if self._ready_at is not None else 0.0
        self._history, verdict = self._history.crashed(now, worked, code, self._around.random())
        state = State.FAILED if verdict.failed else State.BACKOFF
        reason = self._verdict_reason or end_in_words(code)
        report = log.error if verdict.failed else log.warning
        report(
            "program_failed" if verdict.failed else "program_crashed",
            program=self.program.name,
            reason=reason,
            lived_seconds=round(now - started_at, 3),
            again_in_seconds=round(verdict.wait_seconds, 3),
        )
        self._move(state, pid=None, reason=reason, crashes=self.status.crashes + 1, exit_code=code)
        await self._pause(verdict.wait_seconds)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            timer = asyncio.ensure_future(self._around.clock.sleep(seconds))
            try:
                await self._wait_for_wish(timer)
            finally:
                timer.cancel()

    def _move(self, state: State, **changes: object) -> None:
        since = self.status.since if state is self.status.state else self._around.clock.now()
        details = self.status.details if state in {State.READY, State.STOPPING} else {}
        fields = {"state": state, "since": since, "details": details, **changes}
        status: ProgramStatus = msgspec.structs.replace(self.status, **fields)
        if status != self.status:
            self.status = status
            self._around.changed(status)


def end_in_words(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "could not be started"
    if code == CONFIG_EXIT_CODE:
        return "cannot work with its settings (exit code 78); see its log"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
