"""The stream of a page that follows what no commit tells of: programs, crawlers, logs.

Such a page looks again each second while somebody has it open, and sends what is new.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import StreamingResponse

from labtrawl.store.sessions import SessionState, check_session
from labtrawl.website.answering.desk import Desk

LOOK_SECONDS = 1.0
# Shorter than the shortest idle limit that proxies are known for.
HEARTBEAT_SECONDS = 15.0
ENDED = b"event: ended\ndata: signed out\n\n"

Look = Callable[[], Awaitable["News | None"]]


@dataclass(frozen=True, slots=True)
class News:
    """What is sent: HTML of `<hx-partial>`s, and the id to go on from after a reconnect."""

    id: str
    html: str

    def message(self) -> bytes:
        """Write it as a server-sent event."""
        text = self.html.replace("\r\n", "\n").replace("\r", "\n")
        lines = "\n".join(f"data: {line}" for line in text.split("\n"))
        return f"id: {self.id}\n{lines}\n\n".encode()


def partial(target: str, swap: str, html: str) -> str:
    """Return what puts HTML into the page: `target` is a selector, `swap` htmx's word for how."""
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'


def changed(target: str, render: Callable[[], Awaitable[str]]) -> Look:
    """Return a look that replaces an element when it came to look different."""
    sent: list[str] = []

    async def look() -> News | None:
        html = await render()
        if sent and sent[-1] == html:
            return None
        sent[:] = [html]
        return News("0", partial(target, "outerMorph", html))

    return look


def follow(desk: Desk, request: Request, look: Look) -> StreamingResponse:
    """Stream what `look` finds until the viewer leaves, signs out, or the site stops."""
    session = request.cookies[desk.site.cookie]
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _stream(desk, session, look), media_type="text/event-stream", headers=headers
    )


async def _stream(desk: Desk, session: str, look: Look) -> AsyncIterator[bytes]:
    clock, closing = desk.site.clock, desk.hub.closing
    yield b": live\n\n"
    spoke = clock.monotonic()
    while not closing.is_set():
        state = await desk.site.store.read(lambda connection: check_session(connection, session))
        if state is SessionState.ENDED:
            yield ENDED
            return
        news = await look()
        if news is not None or clock.monotonic() - spoke >= HEARTBEAT_SECONDS:
            spoke = clock.monotonic()
            yield news.message() if news is not None else b": still here\n\n"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await closing.wait()
