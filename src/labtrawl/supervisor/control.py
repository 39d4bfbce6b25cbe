"""The control socket: how `labtrawl status`, `stop` and `restart` reach the running supervisor.

One JSON object a line each way, over a 0600 socket in the 0700 runtime folder. `supervisor` serves,
`cli` asks.
"""

import asyncio
import os
from pathlib import Path
from typing import Protocol

import msgspec

from labtrawl import logs
from labtrawl.errors import Conflict, Missing, PeerGone
from labtrawl.supervisor import linux
from labtrawl.supervisor.states import ProgramStatus, Status

_MAX_LINE = 1024 * 1024
_LAST_ANSWER_SECONDS = 0.5

log = logs.get("supervisor")


class StatusWanted(msgspec.Struct, frozen=True, tag_field="request", tag="status"):
    """Say how everything is."""


class StopWanted(msgspec.Struct, frozen=True, tag_field="request", tag="stop"):
    """Stop everything; answered when it is done."""


class RestartWanted(msgspec.Struct, frozen=True, tag_field="request", tag="restart"):
    """Stop and start one program; answered when it is ready again, or failed."""

    name: str


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to any of these; `error` is one sentence."""

    error: str | None = None
    status: Status | None = None
    program: ProgramStatus | None = None
    killed: tuple[str, ...] = ()


Request = StatusWanted | StopWanted | RestartWanted
_DECODER: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class Controlled(Protocol):
    """What the control socket steers: the supervisor, or a stand-in in tests."""

    def whole_status(self) -> Status: ...
    def stop(self) -> None: ...
    async def wait_until_stopped(self) -> tuple[str, ...]: ...
    async def restart(self, name: str) -> ProgramStatus: ...


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
                await self._answer_tracked(line, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            return  # the asker went away or sent an endless line, or the supervisor ends
        finally:
            writer.close()

    async def finish(self) -> None:
        """Let the answers that are under way reach their askers; at the end, for an instant."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=_LAST_ANSWER_SECONDS)

    async def _answer_tracked(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer_one(line, writer))
        self._answering.add(task)
        try:
            await task
        finally:
            self._answering.discard(task)

    async def _answer_one(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
        await writer.drain()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = _DECODER.decode(line)
        except msgspec.MsgspecError:
            return Reply(error="this supervisor does not know that request")
        if isinstance(request, StopWanted):
            self._controlled.stop()
            return Reply(killed=await self._controlled.wait_until_stopped())
        if isinstance(request, RestartWanted):
            return await self._restart(request.name)
        return Reply(status=self._controlled.whole_status())

    async def _restart(self, name: str) -> Reply:
        try:
            return Reply(program=await self._controlled.restart(name))
        except Missing as error:
            return Reply(error=str(error))


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
    reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_LINE)
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()
