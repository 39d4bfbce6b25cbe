"""The audit log: who did what and how it ended, in plain words; checked, filtered, downloaded."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from labtrawl.dataset.formulas import harmless
from labtrawl.store.audit import AuditRow
from labtrawl.store.pages.audit import AuditFilter, AuditPage, Outcome, block_after, list_rows
from labtrawl.store.pages.keyset import Place
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.chain import Chain, ChainTold
from labtrawl.website.door.deeds import ending, meaning, way
from labtrawl.website.parts.addresses import Pager
from labtrawl.website.parts.asking import Blank, MaybeId, PathPart

MaybeOutcome = Annotated[Outcome | None, Blank]
MaybeDay = Annotated[date | None, Blank]
DAY_MS = 86_400_000
HEAD = ("number", "at", "who", "way", "level", "action", "target", "outcome", "detail", "meaning")


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One row; `meaning` and `ending` say it in words, the others are as they were written down."""

    number: int
    at: datetime
    who: str
    way: str
    level: str
    action: str
    target: str
    outcome: str
    detail: str
    meaning: str
    ending: str
    is_refused: bool


class AuditTold(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log, newest first. It looked at the rows from `searched_to` on for these."""

    rows: tuple[AuditLine, ...]
    newest: int
    searched_to: int
    chain: ChainTold
    pages: Pager


LinesOf = Callable[[Sequence[AuditRow]], list[AuditLine]]


class Asked(BaseModel):
    """What is wanted of the log; days are whole days in UTC."""

    who: PathPart = ""
    action: PathPart = ""
    outcome: MaybeOutcome = None
    since: MaybeDay = None
    until: MaybeDay = None

    def filter(self) -> AuditFilter:
        """Return it as the database is asked."""
        since = None if self.since is None else _start_of(self.since)
        until = None if self.until is None else _start_of(self.until) + DAY_MS - 1
        return AuditFilter(self.who, self.action, self.outcome, since, until)

    def query(self) -> dict[str, str]:
        """Return it for an address."""
        told = self.model_dump(mode="json", include=set(Asked.model_fields))
        return {name: str(value) for name, value in told.items() if value}


class AskedPage(Asked):
    """The same, and where the page lies."""

    after: MaybeId = None
    before: MaybeId = None


class AskedFile(Asked):
    """The same, and as what it is downloaded."""

    form: Annotated[Literal["csv", "json"], Field()] = "csv"


def add(app: FastAPI, desk: Desk) -> None:
    """Add /audit, its download, and the check of every row."""
    store, chain = desk.site.store, Chain(desk.site)
    lines_of = partial(_lines, app)

    @twins.page(app, desk, "/audit", AuditTold, "Who did what, and how it ended, newest first")
    async def show(asked: Annotated[AskedPage, Query()]) -> Shown:
        place = Place(asked.after, asked.before)
        wanted = asked.filter()
        page = await store.read(lambda connection: list_rows(connection, wanted, place))
        pager = _pager(asked.query(), page)
        told = AuditTold(
            rows=tuple(lines_of(page.rows)),
            newest=page.newest,
            searched_to=page.searched_to,
            chain=await chain.look(),
            pages=pager.for_programs(),
        )
        files = {form: _file_address(asked, form) for form in ("csv", "json")}
        values = {"asked": asked, "pager": pager, "downloads": files}
        return Shown("audit.html", told, values=values)

    @twins.action(app, "/audit/check", None, ChainTold, "Look at every row of the audit log")
    async def check() -> Done:
        return Done("/audit#chain", await chain.check_all())

    _add_download(app, desk, lines_of)


def _add_download(app: FastAPI, desk: Desk, lines_of: LinesOf) -> None:
    @app.get("/audit/download")
    async def download(asked: Annotated[AskedFile, Query()]) -> StreamingResponse:
        kind = "text/csv; charset=utf-8" if asked.form == "csv" else "application/x-ndjson"
        name = f"labtrawl-audit-{desk.site.clock.now():%Y%m%dT%H%M%SZ}"
        ending = "csv" if asked.form == "csv" else "jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
        lines = _file(desk, asked.filter(), lines_of, is_csv=asked.form == "csv")
        return StreamingResponse(lines, media_type=kind, headers=headers)


def _file_address(asked: Asked, form: str) -> str:
    return f"/audit/download?{urlencode(asked.query() | {'form': form})}"


def _start_of(day: date) -> int:
    """Return the first instant of a day, in ms."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _lines(app: FastAPI, rows: Sequence[AuditRow]) -> list[AuditLine]:
    """Say rows in words; every page has told its own by the time somebody looks."""
    summaries = {pair: each.summary for pair, each in twins.described(app).items()}
    return [_line(row, summaries) for row in rows]


def _line(row: AuditRow, summaries: Mapping[tuple[str, str], str]) -> AuditLine:
    entry = row.entry
    ends = ending(entry.outcome)
    is_status = len(entry.outcome) == 3 and entry.outcome.isdecimal()
    return AuditLine(
        number=row.id,
        at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row.at),
        who=entry.client,
        way=way(entry.tier),
        level=entry.level,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        detail=entry.detail,
        meaning=meaning(entry, summaries),
        ending=ends,
        is_refused=entry.outcome >= "400" if is_status else entry.outcome.startswith("refused"),
    )


def _pager(query: dict[str, str], page: AuditPage) -> Pager:
    def address(**place: int | None) -> str | None:
        if None in place.values():
            return None
        told = query | {name: str(number) for name, number in place.items()}
        return f"/audit?{urlencode(told)}" if told else "/audit"

    return Pager(address() or "/audit", address(before=page.previous), address(after=page.next))


async def _file(
    desk: Desk, wanted: AuditFilter, lines_of: LinesOf, *, is_csv: bool
) -> AsyncIterator[bytes]:
    """Write every row that is wanted, the oldest first, a block at a time."""
    if is_csv:
        yield _cells([HEAD])
    after: int | None = 0
    while after is not None:
        read = partial(block_after, wanted=wanted, after=after)
        rows, after = await desk.site.store.read(read)
        lines = lines_of(rows)
        if is_csv:
            yield _cells([_row(line) for line in lines])
        else:
            yield b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _row(line: AuditLine) -> tuple[Any, ...]:
    return (
        line.number,
        line.at.isoformat(timespec="milliseconds"),
        *map(harmless, (line.who, line.way, line.level, line.action, line.target)),
        *map(harmless, (line.outcome, line.detail, line.meaning)),
    )


def _cells(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
