"""One child: a started process with its control channel, its output and its end. `keeper` enters."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from labtrawl import logs
from labtrawl.domain.credential import Secret
from labtrawl.supervisor import linux
from labtrawl.supervisor.channel import UP_DECODER, VARIABLE, Begin, Channel, Down, Stop, Up
from labtrawl.supervisor.output import LineSplitter

_LAST_WORDS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and what it needs; the supervisor knows nothing else of it."""

    name: str
    argv: tuple[str, ...]
    config: bytes
    """JSON, the `settings` of the child's first frame."""
    matters: bytes = b""
    """What of `config` the program reads; a reload that changes nothing of it does not restart it."""
    needs_credentials: bool = False
    """It starts only after credentials were announced; who gives them is told of it (`Peer`)."""
    gives_credentials: bool = False
    """It may speak on the authentication socket and hears of the others' starts and ends."""
    listeners: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Programs that must have been ready once before it starts; they stop after it."""
    grace_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What all children of one supervisor get from it."""

    listeners: Mapping[str, int]
    holds: tuple[int, ...]
    auth_socket: str
    heartbeat_seconds: float
    credentials_in_environment: bool = False
    """Whether programs that need credentials get them as variables."""


class Process:
    """A started child. `exited` has its exit code (a signal as a negative number)."""

    def __init__(self, popen: subprocess.Popen[bytes], token: str, channel: Channel[Up]) -> None:
        self.pid = popen.pid
        self.token = token
        self.was_killed = False
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._popen = popen
        self._channel = channel
        self._output: asyncio.ReadTransport | None = None
        self._pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    async def start(
        cls, program: Program, inheritance: Inheritance, environment: Mapping[str, str]
    ) -> "Process":
        """Start the program and send its first frame; OSError when it cannot be started.

        Nothing is awaited once the child is there: whoever looks for strays finds it known.
        """
        ours, theirs = socket.socketpair()
        channel = await Channel.open(ours, UP_DECODER)
        listeners = {name: inheritance.listeners[name] for name in program.listeners}
        passed = (theirs.fileno(), *listeners.values(), *inheritance.holds)
        token = secrets.token_hex(32)
        logs.conceal(Secret(token))
        try:
            variables = {VARIABLE: str(theirs.fileno()), **environment}
            process = cls(_spawn(program.argv, variables, passed), token, channel)
        except OSError:
            logs.forget(Secret(token))
            await channel.close()
            raise
        finally:
            theirs.close()
        process.send(_begin(program, token, listeners, inheritance))
        return process

    async def read_output(self, take_line: Callable[[str], None]) -> None:
        """Hand over each line that the child writes, from now to its end."""
        loop = asyncio.get_running_loop()
        self._lines = _Lines(take_line, loop.create_future())
        assert self._popen.stdout is not None
        self._output, _ = await loop.connect_read_pipe(lambda: self._lines, self._popen.stdout)

    def send(self, frame: Down) -> None:
        """Queue a frame for the child; a dead child is no error."""
        self._channel.send(frame)

    async def receive(self) -> Up | None:
        """Return the child's next frame, None when it closed its end; BadMessage for rubbish."""
        return await self._channel.receive()

    async def stop(self, grace_seconds: float, kill_seconds: float) -> None:
        """Ask the child to stop; TERM after the grace time, KILL `kill_seconds` later."""
        self.send(Stop())
        if not await self._ends_within(grace_seconds):
            await self.terminate(kill_seconds)

    async def terminate(self, kill_seconds: float) -> None:
        """Send TERM to the group, and KILL after `kill_seconds` if that did not help."""
        self._signal(signal.SIGTERM)
        if not await self._ends_within(kill_seconds):
            self.kill()
            await asyncio.shield(self.exited)

    def kill(self) -> None:
        """Kill the whole group now."""
        if not self.exited.done():
            self.was_killed = True
            self._signal(signal.SIGKILL)

    async def close(self) -> None:
        """Take the last lines and let go of pipe and channel; call it after the end."""
        if self._output is not None:
            # A descendant that left the group may hold the pipe for ever: nobody waits for it.
            await asyncio.wait({self._lines.ended}, timeout=_LAST_WORDS_SECONDS)
            self._output.close()
        logs.forget(Secret(self.token))
        await self._channel.close()

    async def _ends_within(self, seconds: float) -> bool:
        await asyncio.wait({self.exited}, timeout=seconds)
        return self.exited.done()

    def _signal(self, number: signal.Signals) -> None:
        if not self.exited.done():
            linux.kill_group(self.pid, number)

    def _reap(self) -> None:
        # The group is killed while the dead child still holds its number: it cannot be another's.
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        linux.kill_group(self.pid, signal.SIGKILL)
        self.exited.set_result(self._popen.wait())


class _Lines(asyncio.Protocol):
    """Cuts what a child writes into lines."""

    def __init__(self, take: Callable[[str], None], ended: asyncio.Future[None]) -> None:
        self.ended = ended
        self._take = take
        self._splitter = LineSplitter()

    def data_received(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's word
        for line in self._splitter.rest():
            self._take(line)
        self.ended.set_result(None)


def _spawn(
    argv: tuple[str, ...], environment: dict[str, str], passed: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the programs are ours, given as values by the cli
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
        pass_fds=passed,
    )


def _begin(
    program: Program, token: str, listeners: dict[str, int], inheritance: Inheritance
) -> Begin:
    return Begin(
        name=program.name,
        token=token,
        settings=msgspec.Raw(program.config),
        listeners=listeners,
        auth_socket=inheritance.auth_socket if program.gives_credentials else "",
        grace_seconds=program.grace_seconds,
        heartbeat_seconds=inheritance.heartbeat_seconds,
        holds=inheritance.holds,
    )
