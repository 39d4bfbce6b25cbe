"""What operators were told, when, and whether it arrived; and who asked for a stop."""

from dataclasses import dataclass, replace

import msgspec
from fastapi import FastAPI, Request

from labtrawl.errors import Conflict
from labtrawl.store import notices
from labtrawl.store.engine import Connection
from labtrawl.store.notices import Notice, NoticeRow, StopRequest
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.callers import visitor_of
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import Id, MaybeId

SHOWN = 50
TEST = Notice(
    "test",
    "",
    "test",
    "a test",
    "Somebody asked for a test of the notices. This one arrived: nothing needs to be done.",
)


@dataclass(frozen=True, slots=True)
class NoticesTold:
    """The channels that are set, one page of notices, and the requests to stop.

    `next` is the `before` of the next page; None at the end.
    """

    channels: list[str]
    rows: list[NoticeRow]
    next: int | None
    stop_requests: list[StopRequest]


class Raised(msgspec.Struct, frozen=True):
    """The number of a notice that was raised."""

    notice: int


class Answered(msgspec.Struct, frozen=True):
    """The number of a request that was answered."""

    request: int


def add(app: FastAPI, desk: Desk) -> None:
    """Add /notices, the test of them, and the answer to a request to stop."""
    _add_page(app, desk)
    _add_actions(app, desk)


def _add_page(app: FastAPI, desk: Desk) -> None:
    @twins.page(app, desk, "/notices", NoticesTold, "What operators were told, and by what")
    async def show(before: MaybeId = None, tested: bool = False) -> Shown:
        def read(connection: Connection) -> tuple[list[NoticeRow], list[StopRequest]]:
            rows = notices.newest(connection, SHOWN + 1, before)
            return rows, [] if before else list(notices.stop_requests(connection))

        rows, requests = await desk.site.store.read(read)
        more = rows[SHOWN - 1].id if len(rows) > SHOWN else None
        told = NoticesTold(list(desk.site.care.channels), rows[:SHOWN], more, requests)
        return Shown("notices.html", told, values={"tested": tested, "before": before})


def _add_actions(app: FastAPI, desk: Desk) -> None:
    store, care = desk.site.store, desk.site.care

    @twins.action(app, "/notices/test", None, Raised, "Send a test over every channel")
    async def test(request: Request) -> Done:
        if not care.channels:
            raise Conflict("no channel is set: notices.webhook_url or notices.mail_server")
        note_detail(request, *care.channels)
        period = str(desk.site.clock.now_ms())
        wanted = replace(TEST, period=period)
        number = await store.write(lambda c: notices.raise_notice(c, wanted, care.channels))
        care.notice_wanted.set()
        return Done("/notices?tested=true", Raised(number or 0), 202)

    @twins.action(
        app, "/notices/stop-requests/{number}", None, Answered, "Say that a request was answered"
    )
    async def answer(request: Request, number: Id) -> Done:
        who = visitor_of(request).client
        note_detail(request, f"request {number}")
        await store.write(lambda c: notices.answer_stop(c, number, who))
        return Done("/notices", Answered(number))
