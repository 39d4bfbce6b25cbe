"""The set of programs: starts them in order, introduces them to each other, stops them in order.

`cli` makes one and runs it; everything that it touches outside is handed to it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.errors import Conflict, Missing
from labtrawl.supervisor.authentication import (
    Announcement,
    Auth,
    AuthenticationDoor,
    Credentials,
    CredentialsUpdated,
    CredentialsWithdrawn,
)
from labtrawl.supervisor.channel import Peer, PeerGone, fingerprint
from labtrawl.supervisor.handover import Handover
from labtrawl.supervisor.keeper import Keeper, Surroundings, Timing
from labtrawl.supervisor.process import Inheritance, Process, Program
from labtrawl.supervisor.states import CredentialStatus, ProgramStatus, State, Status

log = logs.get("supervisor")

WAITING_FOR_CREDENTIALS = "waiting for credentials from the website"
WAITING_FOR_A_TOKEN = 'waiting for the website to pass a token on (credentials = "environment")'  # noqa: S105 - words
ENDING = "this labtrawl is ending"
SAFER = 'credentials = "task" is safer: each token then goes to its jobs alone'


@dataclass(frozen=True, slots=True)
class Place:
    """What the supervisor shows of where it runs."""

    data_dir: Path
    address: str
    """Of the website; empty as long as nothing listens for one."""


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
        self._clock = clock
        self._started_at = clock.now()
        self._on_change = on_change
        self._credentials = CredentialStatus()
        self._handover: Handover | None = None
        self._stop_wanted = asyncio.Event()
        self._all_stopped = asyncio.Event()
        self._pulse = asyncio.Event()
        self._narrator = Narrator()
        self._tasks: asyncio.TaskGroup | None = None
        self._surroundings = Surroundings(
            inheritance,
            timing or Timing(heartbeat_seconds=inheritance.heartbeat_seconds),
            clock,
            random,
            take_line,
            changed=self._tell,
            started=self._introduce,
            gone=self._mourn,
            environment=self._environment,
        )
        self._keepers: dict[str, Keeper] = {}
        self.add(programs)

    async def run(self) -> tuple[str, ...]:
        """Run until `stop`; return the names of those that had to be killed at the end."""
        async with asyncio.TaskGroup() as self._tasks:
            for keeper in self._keepers.values():
                self._tasks.create_task(keeper.run())
            await self._stop_wanted.wait()
            log.info("stopping")
            for keeper in self._keepers.values():
                self._tasks.create_task(self._stop_in_turn(keeper))
        self._all_stopped.set()
        return self._killed()

    def _killed(self) -> tuple[str, ...]:
        return tuple(name for name, keeper in self._keepers.items() if keeper.had_to_be_killed)

    async def _stop_in_turn(self, keeper: Keeper) -> None:
        for other in list(self._keepers.values()):
            if keeper.program.name in other.program.after:
                await other.stopped.wait()
        keeper.stop()

    def add(self, programs: Sequence[Program]) -> None:
        """Take more programs; Conflict, and none is taken, when a name runs already or all ends."""
        if self._stop_wanted.is_set():
            raise Conflict(ENDING)
        for taken in (each.name for each in programs if each.name in self._keepers):
            pid = self._keepers[taken].status.pid
            raise Conflict(f"{taken} runs here already" + (f" (pid {pid})" if pid else ""))
        for each in programs:
            keeper = Keeper(each, self._surroundings, self._permission(each))
            self._keepers[each.name] = keeper
            if self._tasks is not None:
                self._tasks.create_task(keeper.run())
        self._wake()

    async def remove(self, names: Collection[str], *, by_force: bool = False) -> tuple[str, ...]:
        """Stop some programs and forget them; return those that had to be killed.

        Called again `by_force` while the first call still waits, it kills.
        """
        leaving = [self._keepers[name] for name in names if name in self._keepers]
        for keeper in leaving:
            (keeper.kill if by_force else keeper.stop)()
        for keeper in leaving:
            await keeper.stopped.wait()
            self._forget(keeper)
        return tuple(each.program.name for each in leaving if each.had_to_be_killed)

    def _forget(self, keeper: Keeper) -> None:
        if self._stop_wanted.is_set() or keeper.program.name not in self._keepers:
            return
        del self._keepers[keeper.program.name]
        if keeper.program.gives_credentials:
            self._lose_credentials()
        self._wake()

    def serve_at(self, address: str) -> None:
        """Tell from now on that the website is at this address."""
        self._place = Place(self._place.data_dir, address)

    def programs(self) -> dict[str, Program]:
        """Return all programs by name, as they were last given."""
        return {name: keeper.program for name, keeper in self._keepers.items()}

    def replace(self, program: Program) -> None:
        """Let a program be this one from its next start on; one that was removed is no error."""
        if program.name in self._keepers:
            self._keepers[program.name].program = program

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
        return self._killed()

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

    def authentication_door(self) -> AuthenticationDoor:
        """Return where its website tells of credentials, for whoever holds the socket."""
        return AuthenticationDoor(self._website_pid, self._hear)

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
            while obstacle := self._obstacle(program):
                explain(obstacle)
                await self._pulse.wait()

        return granted

    def _obstacle(self, program: Program) -> str:
        """Say what a program has to wait for, nothing when it may start."""
        absent = [name for name in program.after if name not in self._keepers]
        hint = f"; start it with `labtrawl start {absent[0]}`" if absent else ""
        if program.needs_credentials and not self._credentials.present:
            return WAITING_FOR_CREDENTIALS + hint
        if program.needs_credentials and self._is_in_environment and self._handover is None:
            return WAITING_FOR_A_TOKEN + hint
        for name in program.after:
            if name in absent or not self._keepers[name].was_ready.is_set():
                return f"waiting for {name} to be ready{hint}"
        return ""

    def _hear(self, announcement: Announcement) -> None:
        if isinstance(announcement, CredentialsWithdrawn):
            self._lose_credentials()
            log.warning("credentials_withdrawn")
        else:
            self._credentials = _told_by(announcement, self._clock)
            renewed = isinstance(announcement, CredentialsUpdated)
            event = "credentials_updated" if renewed else "credentials_received"
            log.info(event, verified_at=self._credentials.verified_at)
            self._take_over(announcement)
        self._wake()

    def _lose_credentials(self) -> None:
        self._credentials, self._handover = CredentialStatus(), None

    def _take_over(self, announcement: Credentials | CredentialsUpdated | Auth) -> None:
        """Keep a token for the environment of crawlers; one that is other restarts those there are.

        The environment of a running process cannot be changed.
        """
        handed = Handover.told_by(announcement) if self._is_in_environment else None
        before, self._handover = self._handover, handed or self._handover
        present = self._handover is not None
        self._credentials = replace(self._credentials, in_environment=present)
        if handed is None or handed == before:
            return
        logs.conceal(handed.token)
        log.warning("credentials_in_environment", advice=SAFER)
        for keeper in self._keepers.values():
            if keeper.program.needs_credentials and keeper.process is not None:
                keeper.restart()

    @property
    def _is_in_environment(self) -> bool:
        return self._surroundings.inheritance.credentials_in_environment

    def _environment(self, program: Program) -> Mapping[str, str]:
        if not program.needs_credentials or self._handover is None:
            return {}
        return self._handover.environment()

    def _introduce(self, program: Program, process: Process) -> None:
        """Tell the website of a crawler's start, and a new website of all live crawlers."""
        if program.gives_credentials:
            for other, peer in self._live():
                if other.needs_credentials:
                    process.send(_peer(other, peer))
        elif program.needs_credentials:
            self._tell_website(_peer(program, process))

    def _mourn(self, program: Program, process: Process) -> None:
        if program.needs_credentials:
            self._tell_website(PeerGone(name=program.name, pid=process.pid))

    def _tell_website(self, frame: Peer | PeerGone) -> None:
        for program, process in self._live():
            if program.gives_credentials:
                process.send(frame)

    def _tell(self, status: ProgramStatus) -> None:
        self._narrator.tell(status)
        self._wake()
        self._on_change(status)

    def _wake(self) -> None:
        """Let everybody who waits for a change look again."""
        self._pulse.set()
        self._pulse = asyncio.Event()


class Narrator:
    """Logs the states of programs as they change; what a program tells of itself meanwhile is none."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def tell(self, status: ProgramStatus) -> None:
        """Log a change of state; of crashes and failures the keeper of the program says more."""
        before = self._states.get(status.name)
        self._states[status.name] = status.state
        if status.state in {before, State.BACKOFF, State.FAILED}:
            return
        shown = {"pid": status.pid, "reason": status.reason}
        told = {key: value for key, value in shown.items() if value}
        event = f"program_{status.state}"
        log.info(event, program=status.name, **told)


def _told_by(
    announcement: Credentials | CredentialsUpdated | Auth, clock: Clock
) -> CredentialStatus:
    if isinstance(announcement, Auth):  # its form has no instant
        return CredentialStatus(present=True, verified_at=clock.now().isoformat(timespec="seconds"))
    return CredentialStatus(
        present=True, verified_at=announcement.verified_at, expires_at=announcement.expires_at
    )


def _peer(program: Program, process: Process) -> Peer:
    return Peer(name=program.name, pid=process.pid, token_sha256=fingerprint(process.token))
