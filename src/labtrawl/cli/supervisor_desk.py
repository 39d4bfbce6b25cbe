"""Asks the supervisor for the website: how its programs are, a restart, a reload."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from labtrawl.errors import Conflict
from labtrawl.supervisor.control import Reply, Request, RestartWanted, StatusWanted, ask
from labtrawl.supervisor.instance import Holder, holder_of
from labtrawl.supervisor.states import ProgramStatus
from labtrawl.website.given.programs import RESTARTING, Program, Whole

_ANSWER_SECONDS = 5.0
_RESTART_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SupervisorDesk:
    """The supervisor of one data folder, asked from within the website that it keeps."""

    data_dir: Path
    stopping: asyncio.Event
    """Set when the supervisor ends the website: an answer may then be too late."""

    async def status(self) -> Whole | None:
        """Say how everything is; see `Programs`."""
        holder = await asyncio.to_thread(holder_of, self.data_dir)
        if holder is None:
            return None
        told = (await ask(Path(holder.control), StatusWanted(), _ANSWER_SECONDS)).status
        assert told is not None, "a status is answered with the status"
        return Whole(
            pid=told.pid,
            started_at=told.started_at,
            memory_bytes=memory_of(told.pid),
            programs=tuple(_program(each) for each in told.programs),
        )

    async def restart(self, name: str) -> str:
        """Stop and start one program; see `Programs`."""
        holder = await asyncio.to_thread(holder_of, self.data_dir)
        if holder is None:
            raise Conflict(f"no supervisor keeps {name}: restart it where you started it")
        reply = await ask_until(holder, RestartWanted(name), _RESTART_SECONDS, self.stopping)
        if reply is None:
            return RESTARTING
        assert reply.program is not None, "a restart is answered with the program's status"
        reason = f": {reply.program.reason}" if reply.program.reason else ""
        return f"{name} is {reply.program.state.value}{reason}"


async def ask_until(
    holder: Holder, request: Request, timeout_seconds: float, stopping: asyncio.Event
) -> Reply | None:
    """Ask the supervisor; None where the asker itself is to stop before there is an answer.

    PeerGone and Conflict as `ask`.
    """
    asking = asyncio.create_task(ask(Path(holder.control), request, timeout_seconds))
    ending = asyncio.create_task(stopping.wait())
    await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if asking.done():
        return asking.result()
    asking.cancel()
    return None


def _program(told: ProgramStatus) -> Program:
    return Program(
        name=told.name,
        state=told.state.value,
        since=told.since,
        pid=told.pid,
        memory_bytes=None if told.pid is None else memory_of(told.pid),
        starts=told.starts,
        crashes=told.crashes,
        exit_code=told.exit_code,
        reason=told.reason,
        details=told.details,
    )


def memory_of(pid: int) -> int | None:
    """Return the bytes that a process holds in memory, None where it is gone (VmRSS, proc(5))."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in lines.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None
