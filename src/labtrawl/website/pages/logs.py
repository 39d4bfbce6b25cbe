"""What the programs logged: the newest lines, filtered, followed as they come, downloaded."""

import asyncio
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from labtrawl.website.answering import log_files, twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.follow import Look, News, follow, partial
from labtrawl.website.answering.log_files import LEVELS, MOST_LINES, LogFilter, LogLine
from labtrawl.website.answering.twins import Shown
from labtrawl.website.parts.asking import MaybeId, ProgramName

Place = Annotated[str, Field(max_length=4096, pattern=r"^[A-Za-z0-9_.=;-]*$")]
Level = Literal["", "debug", "info", "warning", "error", "critical"]


class LogsTold(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines that are wanted, the newest first.

    `searched_since` is set where older lines were not looked at: from that instant on they were.
    """

    lines: tuple[LogLine, ...]
    programs: tuple[str, ...]
    searched_since: str = ""


class Asked(BaseModel):
    """What is wanted of the logs."""

    program: ProgramName = ""
    level: Level = ""
    text: Annotated[str, Field(max_length=200)] = ""
    job: MaybeId = None

    def filter(self) -> LogFilter:
        """Return it as the files are read."""
        return LogFilter(self.program, self.level, self.text.strip(), self.job)


class AskedPage(Asked):
    """The same for the page, which may follow."""

    follow: Literal["", "1"] = ""


class AskedLive(Asked):
    """The same for the stream, which goes on from a place."""

    place: Place = ""


def add(app: FastAPI, desk: Desk) -> None:
    """Add /logs, its stream and its download."""
    folder = desk.site.data_dir / "logs"

    @twins.page(app, desk, "/logs", LogsTold, "The newest lines of the programs' logs")
    async def show(asked: Annotated[AskedPage, Query()]) -> Shown:
        wanted = asked.filter()
        found = await asyncio.to_thread(log_files.tail, folder, wanted)
        names = tuple(await asyncio.to_thread(log_files.programs, folder))
        query = _query(wanted)
        values = {
            "wanted": wanted,
            "levels": LEVELS,
            "most": MOST_LINES,
            "follows": asked.follow == "1",
            "start_address": _address("/logs", query, follow="1"),
            "stop_address": _address("/logs", query),
            "download_address": _address("/logs/download", query),
        }
        live = _address("/logs/live", query, place=found.place) if asked.follow else ""
        told = LogsTold(lines=tuple(found.lines), programs=names, searched_since=found.since)
        return Shown("logs.html", told, live=live, values=values)

    _add_streams(app, desk)


def _add_streams(app: FastAPI, desk: Desk) -> None:
    @app.get("/logs/live")
    async def live(
        request: Request,
        asked: Annotated[AskedLive, Query()],
        last_event_id: Annotated[Place, Header()] = "",
    ) -> StreamingResponse:
        return follow(desk, request, _new_lines(desk, asked.filter(), last_event_id or asked.place))

    @app.get("/logs/download")
    async def download(asked: Annotated[Asked, Query()]) -> StreamingResponse:
        name = f"labtrawl-{asked.program or 'logs'}-{desk.site.clock.now():%Y%m%dT%H%M%SZ}.jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        lines = log_files.whole(desk.site.data_dir / "logs", asked.filter())
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _new_lines(desk: Desk, wanted: LogFilter, place: str) -> Look:
    """Return a look that puts what was logged since the last one above what is there."""
    folder = desk.site.data_dir / "logs"
    places = [place]

    async def look() -> News | None:
        found = await asyncio.to_thread(log_files.read_on, folder, wanted, places[-1])
        places[:] = [found.place]
        if not found.lines:
            return None
        html = desk.renderer.part("_logs.html", "rows", found.lines)
        return News(found.place, partial("#lines", "afterbegin", html))

    return look


def _query(wanted: LogFilter) -> dict[str, str]:
    told = {
        "program": wanted.program,
        "level": wanted.level,
        "text": wanted.text,
        "job": "" if wanted.job is None else str(wanted.job),
    }
    return {name: value for name, value in told.items() if value}


def _address(path: str, query: dict[str, str], **more: str) -> str:
    told = query | more
    return f"{path}?{urlencode(told)}" if told else path
