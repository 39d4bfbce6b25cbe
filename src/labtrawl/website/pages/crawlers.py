"""The crawlers: their connections, what they have in hand, what is wanted of them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from labtrawl.store.pages.crawlers import Crew, HeldJob, crew
from labtrawl.website.answering import twins
from labtrawl.website.answering.desk import Desk
from labtrawl.website.answering.follow import changed, follow
from labtrawl.website.answering.twins import Done, Shown
from labtrawl.website.door.trail import note_detail
from labtrawl.website.parts.asking import Change, ProgramName

MOST_JOBS = 8
# A crawler's own signs of life come at a pace; one that is late by more is not well.
MARGIN_SECONDS = 1.0
TEST_AGAIN_SECONDS = 0.05

Order = Literal["pause", "resume", "drain", "heartbeat"]


class CrawlerTold(msgspec.Struct, frozen=True, kw_only=True):
    """One crawler. What is of its connection is empty where it is not there; instants are UTC."""

    name: str
    is_connected: bool = False
    wanted: str = "run"
    """run, pause or drain; where all are told the same, that."""
    jobs: tuple[HeldJob, ...] = ()
    more_jobs: int = 0
    status: str = ""
    transport: str = ""
    version: str = ""
    hostname: str = ""
    pid: int | None = None
    dialect: int | None = None
    connected_at: datetime | None = None
    heard_at: datetime | None = None
    heartbeat_age_seconds: float | None = None
    requests_per_minute: int = 0
    concurrency: int | None = None
    processed: int = 0
    memory_bytes: int | None = None


class CrawlersTold(msgspec.Struct, frozen=True, kw_only=True):
    """All crawlers; `wanted` is what is wanted of every one of them."""

    wanted: str
    crawlers: tuple[CrawlerTold, ...]


class CrawlerOrder(msgspec.Struct, frozen=True):
    """What a crawler is to do; without a name, every crawler."""

    action: Order
    crawler: str = ""


class Ordered(msgspec.Struct, frozen=True):
    """Whom an order reached; for a test, also who gave a sign of life after it, and how soon."""

    crawlers: tuple[str, ...]
    answered_after_ms: dict[str, int] = {}


def add(app: FastAPI, desk: Desk) -> None:
    """Add /crawlers, its stream, and orders to them."""

    @twins.page(app, desk, "/crawlers", CrawlersTold, "The crawlers, and what they have in hand")
    async def show(
        did: Literal["", "pause", "resume", "drain", "heartbeat"] = "",
        who: ProgramName = "",
        reached: Change = 0,
        answered: Change = 0,
    ) -> Shown:
        told = await _read(desk)
        said = _said(did, who, reached, answered)
        return Shown("crawlers.html", told, live="/crawlers/live", values={"said": said})

    @app.get("/crawlers/live")
    async def live(request: Request) -> StreamingResponse:
        async def render() -> str:
            return desk.renderer.part("_crawlers.html", "lives", await _read(desk))

        return follow(desk, request, changed("#lives", render))

    _add_orders(app, desk)


def _add_orders(app: FastAPI, desk: Desk) -> None:
    @twins.action(app, "/crawlers/order", CrawlerOrder, Ordered, "Tell crawlers what to do")
    async def order(request: Request, wanted: CrawlerOrder) -> Done:
        note_detail(request, wanted.action, wanted.crawler or "every crawler")
        ordered = await _order(desk, wanted)
        query = {
            "did": wanted.action,
            "who": wanted.crawler,
            "reached": len(ordered.crawlers),
            "answered": len(ordered.answered_after_ms),
        }
        return Done(f"/crawlers?{urlencode(query)}", ordered)


def _said(did: str, who: str, reached: int, answered: int) -> str:
    """Return what an order did, one sentence; empty where there was none."""
    whom = who or "Every crawler"
    if did == "heartbeat":
        return (
            f"A sign of life was sent to {reached}; {answered} of them sent one back in time."
            if reached != 1
            else f"A sign of life was sent to {whom}; "
            + ("it sent one back." if answered else "none came back in time.")
        )
    words = {
        "pause": "stops after the page in hand and takes no new job until it is resumed.",
        "drain": "ends the jobs in hand and takes no new one until it is resumed.",
        "resume": "works again.",
    }
    if did not in words:
        return ""
    absent = "" if reached else " None is connected now: it is heard when one comes."
    return f"{whom} {words[did]}{absent}"


async def _order(desk: Desk, wanted: CrawlerOrder) -> Ordered:
    before = await _heard(desk)
    sent_at = desk.site.clock.monotonic()
    done = await desk.site.crawling.command(wanted.action, wanted.crawler or None, None)
    reached = tuple(done["crawlers"])
    answered: dict[str, int] = {}
    if wanted.action == "heartbeat":
        answered = await _answers(desk, reached, before, sent_at)
    return Ordered(reached, answered)


async def _heard(desk: Desk) -> dict[str, Any]:
    """Return when each crawler gave its last sign of life, by name."""
    return {
        str(each["name"]): each.get("lastHeartbeatAt")
        for each in await desk.site.crawling.clients()
    }


async def _answers(
    desk: Desk, names: tuple[str, ...], before: dict[str, Any], sent_at: float
) -> dict[str, int]:
    """Wait for the next sign of life of each; return after how many ms it came, where it did."""
    clock = desk.site.clock
    most = desk.site.heartbeat_seconds + MARGIN_SECONDS
    found: dict[str, int] = {}
    while len(found) < len(names) and (waited := clock.monotonic() - sent_at) < most:
        heard = await _heard(desk)
        for name in names:
            if heard.get(name) != before.get(name):
                found.setdefault(name, int(waited * 1000))
        await clock.sleep(TEST_AGAIN_SECONDS)
    return found


async def _read(desk: Desk) -> CrawlersTold:
    known = await desk.site.store.read(crew)
    clients = {str(each["name"]): each for each in await desk.site.crawling.clients()}
    wanted = {each.name: each.wanted for each in known.known}
    names = sorted({*clients, *wanted, *known.held}, key=_by_number)
    told = [_told(desk, name, clients.get(name), known, wanted.get(name, "run")) for name in names]
    return CrawlersTold(wanted=known.wanted, crawlers=tuple(told))


def _by_number(name: str) -> list[str]:
    """Sort crawler-2 before crawler-10."""
    return [part.zfill(9) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _told(
    desk: Desk, name: str, client: Mapping[str, Any] | None, known: Crew, wanted: str
) -> CrawlerTold:
    base = _absent(name, known, wanted)
    if client is None:
        return base
    heard_at = _instant(client.get("lastHeartbeatAt"))
    age = None if heard_at is None else (desk.site.clock.now() - heard_at).total_seconds()
    return msgspec.structs.replace(
        base,
        is_connected=True,
        wanted=client.get("wanted", base.wanted),
        status=client.get("status", ""),
        transport=client.get("transport", ""),
        version=client.get("version") or "",
        hostname=client.get("hostname") or "",
        pid=client.get("pid"),
        dialect=client.get("protocol"),
        connected_at=_instant(client.get("connectedAt")),
        heard_at=heard_at,
        heartbeat_age_seconds=None if age is None else round(max(age, 0.0)),
        requests_per_minute=client.get("requestsPerMinute", 0),
        concurrency=client.get("concurrency"),
        processed=client.get("totalProcessed", 0),
        memory_bytes=client.get("memoryUsage"),
    )


def _absent(name: str, known: Crew, wanted: str) -> CrawlerTold:
    held = known.held.get(name, ())
    return CrawlerTold(
        name=name,
        wanted=wanted if wanted != "run" else known.wanted,
        jobs=tuple(held[:MOST_JOBS]),
        more_jobs=max(0, len(held) - MOST_JOBS),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
