"""The set of programs: starts them in order, introduces them to each other, stops them in order.

`cli` makes one and runs it; everything that it touches outside is handed to it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import Missing
from labtrawl.supervisor.authentication import (
    Announcement,
    AuthenticationDoor,
    CredentialsWithdrawn,
)
from labtrawl.supervisor.channel import Peer, PeerGone, fingerprint
from labtrawl.supervisor.control import ControlDoor
from labtrawl.supervisor.keeper import Keeper, Surroundings, Timing
from labtrawl.supervisor.process import Inheritance, Process, Program
from labtrawl.supervisor.states import CredentialStatus, ProgramStatus, State, Status

log = logs.get("supervisor")

WAITING_FOR_CREDENTIALS = "waiting for credentials from the website"


@dataclass(frozen=True, slots=True)
class Place:
    """What the supervisor shows of where it runs."""

    data_dir: Path
    address: str


class Supervisor:
    """Keeps a set of programs; every change of a state is told to `on_change`."""

    def __init__(
        self,
        programs: Sequence[Program],
        inheritance: Inheritance,
        place: Place,
        *,
        clock: Clock,
        random: Callable[[], float],
        take_line: Callable[[str, str], None],
        timing: Timing | None = None,
        on_change: Callable[[ProgramStatus], None] = lambda _: None,
    ) -> None:
        self._place = place
        self._started_at = clock.now()
        self._on_change = on_change
        self._credentials = CredentialStatus()
        self._credentials_present = asyncio.Event()
        self._stop_wanted = asyncio.Event()
        self._all_stopped = asyncio.Event()
        self._killed: list[str] = []
        self._pulse = asyncio.Event()
        surroundings = Surroundings(
            inheritance,
            timing or Timing(heartbeat_seconds=inheritance.heartbeat_seconds),
            clock,
            random,
            take_line,
            changed=self._tell,
            started=self._introduce,
            gone=self._mourn,
        )
        self._keepers = {
            each.name: Keeper(each, surroundings, self._permission(each)) for each in programs
        }

    async def run(self) -> tuple[str, ...]:
        """Run until `stop`; return the names of those that had to be killed at the end."""
        async with asyncio.TaskGroup() as tasks:
            for keeper in self._keepers.values():
                tasks.create_task(keeper.run())
            await self._stop_wanted.wait()
            log.info("stopping")
            for keeper in self._keepers.values():
                tasks.create_task(self._stop_in_turn(keeper))
        self._all_stopped.set()
        return tuple(self._killed)

    async def _stop_in_turn(self, keeper: Keeper) -> None:
        for other in self._keepers.values():
            if keeper.program.name in other.program.after:
                await other.stopped.wait()
        keeper.stop()

    def stop(self) -> None:
        """Stop everything: who depends on others first, then those."""
        self._stop_wanted.set()

    def kill(self) -> None:
        """Stop everything now, by force."""
        self.stop()
        for keeper in self._keepers.values():
            keeper.kill()

    async def wait_until_stopped(self) -> tuple[str, ...]:
        """Return the names of those that had to be killed, when nothing runs any more."""
        await self._all_stopped.wait()
        return tuple(self._killed)

    async def restart(self, name: str) -> ProgramStatus:
        """Stop and start one program; return its status once it is ready, failed or has to wait.

        Missing when there is no such program.
        """
        keeper = self._keepers.get(name)
        if keeper is None:
            raise Missing(f"there is no program {name}; there are: {', '.join(self._keepers)}")
        starts = keeper.status.starts
        keeper.restart()
        return await self.wait_for(
            name,
            lambda status: (
                (status.starts > starts and status.state in {State.READY, State.FAILED})
                or status.state in {State.PENDING, State.STOPPED}
            ),
        )

    async def wait_for(self, name: str, holds: Callable[[ProgramStatus], bool]) -> ProgramStatus:
        """Return the status of a program as soon as `holds` says yes to it."""
        keeper = self._keepers[name]
        while not holds(keeper.status):
            await self._pulse.wait()
        return keeper.status

    def status(self) -> tuple[ProgramStatus, ...]:
        """Return how every program is."""
        return tuple(keeper.status for keeper in self._keepers.values())

    def whole_status(self) -> Status:
        """Return how everything is."""
        return Status(
            pid=os.getpid(),
            data_dir=os.fspath(self._place.data_dir),
            address=self._place.address,
            started_at=self._started_at,
            credentials=self._credentials,
            programs=self.status(),
        )

    def live_pids(self) -> list[int]:
        """Return the pids of the programs that run now."""
        return [process.pid for _, process in self._live()]

    def doors(self) -> tuple[ControlDoor, AuthenticationDoor]:
        """Return the two doors of the supervisor, for whoever holds their sockets."""
        return ControlDoor(self), AuthenticationDoor(self._website_pid, self._hear)

    def _live(self) -> list[tuple[Program, Process]]:
        return [
            (keeper.program, keeper.process)
            for keeper in self._keepers.values()
            if keeper.process is not None
        ]

    def _website_pid(self) -> int | None:
        pids = [process.pid for program, process in self._live() if program.gives_credentials]
        return pids[0] if pids else None

    def _permission(self, program: Program) -> Callable[[Callable[[str], None]], Awaitable[None]]:
        async def granted(explain: Callable[[str], None]) -> None:
            if program.needs_credentials and not self._credentials_present.is_set():
                explain(WAITING_FOR_CREDENTIALS)
                await self._credentials_present.wait()
            for name in program.after:
                if not self._keepers[name].was_ready.is_set():
                    explain(f"waiting for {name} to be ready")
                    await self._keepers[name].was_ready.wait()

        return granted

    def _hear(self, announcement: Announcement) -> None:
        if isinstance(announcement, CredentialsWithdrawn):
            self._credentials = CredentialStatus()
            self._credentials_present.clear()
            log.warning("credentials_withdrawn")
            return
        self._credentials = CredentialStatus(
            present=True,
            verified_at=announcement.verified_at,
            expires_at=announcement.expires_at,
        )
        self._credentials_present.set()
        log.info("credentials_received", verified_at=announcement.verified_at)

    def _introduce(self, program: Program, process: Process) -> None:
        """Tell the website of a crawler's start, and a new website of all live crawlers."""
        if program.gives_credentials:
            for other, peer in self._live():
                if other.needs_credentials:
                    process.send(_peer(other, peer))
        elif program.needs_credentials:
            self._tell_website(_peer(program, process))

    def _mourn(self, program: Program, process: Process) -> None:
        if process.was_killed and self._stop_wanted.is_set():
            self._killed.append(program.name)
        if program.needs_credentials:
            self._tell_website(PeerGone(name=program.name, pid=process.pid))

    def _tell_website(self, frame: Peer | PeerGone) -> None:
        for program, process in self._live():
            if program.gives_credentials:
                process.send(frame)

    def _tell(self, status: ProgramStatus) -> None:
        if status.state not in {State.BACKOFF, State.FAILED}:  # its keeper says more of these
            event = f"program_{status.state}"
            shown = {"pid": status.pid, "reason": status.reason}
            told = {key: value for key, value in shown.items() if value}
            log.info(event, program=status.name, **told)
        self._pulse.set()
        self._pulse = asyncio.Event()
        self._on_change(status)


def _peer(program: Program, process: Process) -> Peer:
    return Peer(name=program.name, pid=process.pid, token_sha256=fingerprint(process.token))
