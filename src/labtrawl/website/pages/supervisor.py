"""The programs that the supervisor keeps: how they are, a restart, and what they logged last."""

import asyncio
from datetime import datetime

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from labtrawl.errors import PeerGone
from labtrawl.website.answering import log_files, twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.follow import changed, follow
from labtrawl.website.answering.log_files import LogFilter, LogLine
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.trail import note_detail
from labtrawl.website.given.programs import Program
from labtrawl.website.parts.asking import ProgramName
from labtrawl.website.parts.reasons import LONGEST_REASON, reason_of

LAST_LINES = 4


class ProgramTold(msgspec.Struct, frozen=True):
    """A program, and what it logged last, the newest first."""

    program: Program
    lines: tuple[LogLine, ...]


class SupervisorTold(msgspec.Struct, frozen=True, kw_only=True):
    """All programs; without any, `problem` says why in one sentence."""

    problem: str = ""
    pid: int | None = None
    started_at: datetime | None = None
    memory_bytes: int | None = None
    programs: tuple[ProgramTold, ...] = ()


class RestartWanted(msgspec.Struct, frozen=True):
    """Which program is to be stopped and started, and why."""

    name: str
    because: str


class Restarted(msgspec.Struct, frozen=True):
    """What came of a restart, one sentence."""

    outcome: str


def add(app: FastAPI, desk: Desk) -> None:
    """Add /supervisor, its stream, and the restart of a program."""

    @twins.page(app, desk, "/supervisor", SupervisorTold, "The programs that the supervisor keeps")
    async def show(restarted: ProgramName = "") -> Shown:
        told = await _read(desk)
        named = (each.program for each in told.programs if each.program.name == restarted)
        values = {"asked": next(named, None), "longest_reason": LONGEST_REASON}
        live = "/supervisor/live" if told.programs else ""
        return Shown("supervisor.html", told, live=live, values=values)

    @app.get("/supervisor/live")
    async def live(request: Request) -> StreamingResponse:
        async def render() -> str:
            return desk.renderer.part("_supervisor.html", "lives", await _read(desk))

        return follow(desk, request, changed("#lives", render))

    @twins.action(
        app, "/supervisor/restart", RestartWanted, Restarted, "Stop and start one program"
    )
    async def restart(request: Request, wanted: RestartWanted) -> Done:
        because = reason_of(wanted.because)
        note_detail(request, f"{wanted.name}:", because)
        outcome = await desk.site.programs.restart(wanted.name)
        return Done(f"/supervisor?restarted={wanted.name}", Restarted(outcome))


async def _read(desk: Desk) -> SupervisorTold:
    try:
        found = await desk.site.programs.status()
    except PeerGone as error:
        return SupervisorTold(problem=f"{error}.")
    if found is None:
        return SupervisorTold(problem="No supervisor keeps this website: it was started alone.")
    names = [each.name for each in found.programs]
    lines = await asyncio.to_thread(_last_lines, desk, names)
    return SupervisorTold(
        pid=found.pid,
        started_at=found.started_at,
        memory_bytes=found.memory_bytes,
        programs=tuple(ProgramTold(each, lines[each.name]) for each in found.programs),
    )


def _last_lines(desk: Desk, names: list[str]) -> dict[str, tuple[LogLine, ...]]:
    folder = desk.site.data_dir / "logs"
    return {
        name: tuple(log_files.tail(folder, LogFilter(name), LAST_LINES).lines) for name in names
    }
