"""The control socket: how other commands of labtrawl reach the running supervisor.

One JSON object a line each way, over a 0600 socket in the 0700 runtime folder. The supervisor's
process serves, `cli` asks.
"""

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from labtrawl import logs
from labtrawl.errors import Conflict, LabtrawlError, PeerGone
from labtrawl.supervisor import linux
from labtrawl.supervisor.states import ProgramStatus, Status
from labtrawl.supervisor.terminals import Ended, JoinWanted, Terminal, Told

MAX_LINE = 1024 * 1024
_LAST_ANSWER_SECONDS = 0.5

log = logs.get("supervisor")


class StatusWanted(msgspec.Struct, frozen=True, tag_field="request", tag="status"):
    """Say how everything is."""


class StopWanted(msgspec.Struct, frozen=True, tag_field="request", tag="stop"):
    """Stop everything; answered when it is done."""


class RestartWanted(msgspec.Struct, frozen=True, tag_field="request", tag="restart"):
    """Stop and start one program; answered when it is ready again, or failed."""

    name: str


class ReloadWanted(msgspec.Struct, frozen=True, tag_field="request", tag="reload"):
    """Read the settings again and change what is changed; answered when it is done."""


class Leave(msgspec.Struct, frozen=True, tag_field="request", tag="leave"):
    """Stop what was joined over this connection; a second one kills."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to any of these; `error` is one sentence."""

    error: str | None = None
    status: Status | None = None
    program: ProgramStatus | None = None
    killed: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """What a reload did, a sentence each."""


Request = StatusWanted | StopWanted | RestartWanted | ReloadWanted | JoinWanted
_LEAVE: msgspec.json.Decoder[Leave] = msgspec.json.Decoder(Leave)
_DECODER: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class Controlled(Protocol):
    """What the control socket steers: the supervisor, or a stand-in in tests."""

    def whole_status(self) -> Status: ...
    def stop(self) -> None: ...
    async def wait_until_stopped(self) -> tuple[str, ...]: ...
    async def restart(self, name: str) -> ProgramStatus: ...
    async def reload(self) -> Sequence[str]: ...
    def join(self, wanted: JoinWanted) -> Terminal: ...
    async def leave(self, terminal: Terminal, *, by_force: bool) -> None: ...


class ControlDoor:
    """The supervisor's end."""

    def __init__(self, controlled: Controlled) -> None:
        self._controlled = controlled
        self._answering: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends; another user gets no answer."""
        try:
            if linux.peer_of(writer.get_extra_info("socket")).uid not in {os.getuid(), 0}:
                log.warning("control_refused")
                return
            while line := await reader.readline():
                await self._tracked(self._answer_one(line, reader, writer))
        except (OSError, ValueError, asyncio.CancelledError):
            return  # the asker went away or sent an endless line, or the supervisor ends
        finally:
            writer.close()

    async def finish(self) -> None:
        """Let the answers that are under way reach their askers; at the end, for an instant."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=_LAST_ANSWER_SECONDS)

    async def _tracked(self, answering: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(answering)
        self._answering.add(task)
        try:
            await task
        finally:
            self._answering.discard(task)

    async def _answer_one(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            request = _DECODER.decode(line)
            if isinstance(request, JoinWanted):
                await self._attend(request, reader, writer)
                return
            reply = await self._answer(request)
        except msgspec.MsgspecError:
            reply = Reply(error="this supervisor does not know that request")
        except LabtrawlError as error:
            reply = Reply(error=str(error))
        await _send(writer, reply)

    async def _answer(self, request: Request) -> Reply:
        controlled = self._controlled
        if isinstance(request, StopWanted):
            controlled.stop()
            return Reply(killed=await controlled.wait_until_stopped())
        if isinstance(request, RestartWanted):
            return Reply(program=await controlled.restart(request.name))
        if isinstance(request, ReloadWanted):
            return Reply(changes=tuple(await controlled.reload()))
        return Reply(status=controlled.whole_status())

    async def _attend(
        self, wanted: JoinWanted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a terminal from its join to the end of its programs; its own end is theirs."""
        terminal = self._controlled.join(wanted)
        listening = asyncio.create_task(self._obey(terminal, reader))
        try:
            await _send(writer, Reply(joined=terminal.names))
            while not isinstance(told := await terminal.next(), Ended):
                await _send(writer, told)
        except OSError:
            log.info("terminal_gone", programs=terminal.names)
        await self._controlled.leave(terminal, by_force=False)
        listening.cancel()
        await asyncio.wait({listening})
        with contextlib.suppress(OSError):
            await _send(writer, Ended(killed=terminal.killed))

    async def _obey(self, terminal: Terminal, reader: asyncio.StreamReader) -> None:
        """Stop the programs at the first wish or the end of the connection, kill at the second."""
        stopping: asyncio.Task[None] | None = None
        while await _wish(reader):
            if stopping is None:
                stopping = asyncio.create_task(self._controlled.leave(terminal, by_force=False))
            else:
                await self._controlled.leave(terminal, by_force=True)
        await (stopping or self._controlled.leave(terminal, by_force=False))


async def _wish(reader: asyncio.StreamReader) -> bool:
    """Return True for a wish to leave, False at the end of the connection or for what is none."""
    try:
        _LEAVE.decode(await reader.readline())
    except (OSError, ValueError):  # a MsgspecError is a ValueError
        return False
    return True


async def _send(writer: asyncio.StreamWriter, frame: Reply | Told) -> None:
    writer.write(msgspec.json.encode(frame) + b"\n")
    await writer.drain()


async def ask(path: Path, request: Request, timeout_seconds: float) -> Reply:
    """Send one request and return the reply.

    PeerGone when nobody listens or the supervisor ended first, Conflict when it refuses.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            line = await _exchange(path, msgspec.json.encode(request) + b"\n")
    except (OSError, TimeoutError) as error:
        raise PeerGone(f"the supervisor does not answer on {path}") from error
    if not line:
        raise PeerGone("the supervisor ended before it had answered")
    reply = msgspec.json.decode(line, type=Reply)
    if reply.error is not None:
        raise Conflict(reply.error)
    return reply


async def _exchange(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()
