"""A supervisor in the test's own event loop over real child processes."""

import asyncio
import contextlib
import json
import os
import select
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labtrawl.clock import system_clock
from labtrawl.supervisor.keeper import Timing
from labtrawl.supervisor.listeners import bind_unix
from labtrawl.supervisor.process import Inheritance, Program
from labtrawl.supervisor.restarts import RestartPolicy
from labtrawl.supervisor.states import ProgramStatus, State
from labtrawl.supervisor.supervisor import Place, Supervisor

CHILDREN = Path(__file__).with_name("children.py")
QUICK = Timing(
    ready_seconds=10.0,
    heartbeat_seconds=5.0,
    restarts=RestartPolicy(base_seconds=0.01, ceiling_seconds=0.02),
)


@dataclass
class Stage:
    """A running supervisor, what its programs noted, what they printed and how they changed."""

    supervisor: Supervisor
    folder: Path
    running: asyncio.Task[tuple[str, ...]]
    lines: list[tuple[str, str]] = field(default_factory=list)
    changes: list[ProgramStatus] = field(default_factory=list)

    def notes(self, name: str) -> list[dict[str, object]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self, name: str) -> list[State]:
        return [status.state for status in self.changes if status.name == name]

    async def ready(self, name: str, starts: int = 1) -> ProgramStatus:
        return await self.supervisor.wait_for(
            name, lambda status: status.state is State.READY and status.starts >= starts
        )

    async def stop(self) -> tuple[str, ...]:
        self.supervisor.stop()
        return await self.running


def program(
    folder: Path,
    name: str,
    kind: str,
    *more: str,
    needs_credentials: bool = False,
    gives_credentials: bool = False,
    listeners: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    grace_seconds: float = 5.0,
) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, str(CHILDREN), kind, str(folder / name), *more),
        config=b"{}",
        needs_credentials=needs_credentials,
        gives_credentials=gives_credentials,
        listeners=listeners,
        after=after,
        grace_seconds=grace_seconds,
    )


def website(folder: Path) -> Program:
    return program(folder, "website", "website", gives_credentials=True, listeners=("api",))


def crawler(folder: Path, number: int = 1) -> Program:
    name = f"crawler-{number}"
    return program(folder, name, "good", needs_credentials=True, after=("website",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a path short enough for sockets, whatever the test's name."""
    made = Path(os.path.realpath(tmp_path)) / "s"
    made.mkdir(mode=0o700)
    return made


def talker(folder: Path, *lines: object) -> Program:
    """A website that says these lines on the authentication socket."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "website.lines").write_text(text)
    return program(folder, "website", "ancestor", gives_credentials=True)


Staged = Callable[..., contextlib.AbstractAsyncContextManager[Stage]]


@pytest.fixture
def staged(folder: Path) -> Staged:
    @contextlib.asynccontextmanager
    async def stage(
        programs: Sequence[Program],
        timing: Timing = QUICK,
        random: float = 1.0,
        *,
        in_environment: bool = False,
    ) -> AsyncIterator[Stage]:
        api, auth = bind_unix(folder / "api.sock"), bind_unix(folder / "auth.sock")
        lines: list[tuple[str, str]] = []
        changes: list[ProgramStatus] = []
        supervisor = Supervisor(
            programs,
            Inheritance(
                listeners={"api": api.fileno()},
                holds=(),
                auth_socket=str(folder / "auth.sock"),
                heartbeat_seconds=timing.heartbeat_seconds / 2,
                credentials_in_environment=in_environment,
            ),
            Place(folder, "http://127.0.0.1:3000"),
            clock=system_clock(),
            random=lambda: random,
            take_line=lambda name, line: lines.append((name, line)),
            timing=timing,
            on_change=changes.append,
        )
        door = supervisor.authentication_door()
        server = await asyncio.start_unix_server(door.serve, sock=auth)
        running = asyncio.create_task(supervisor.run())
        try:
            yield Stage(supervisor, folder, running, lines, changes)
        finally:
            supervisor.kill()
            await running
            server.close()
            api.close()

    return stage


def gone(*pids: int) -> None:
    """Return when these processes have ended; AssertionError after five seconds."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor) as end:
            assert select.select([end], [], [], 5)[0], f"{pid} still runs"
