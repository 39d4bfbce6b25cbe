"""One stream for all pages of a browser: HTTP/1.1 gives a site six connections, pages are more.

Each page names the stream that it would have opened itself. That one is asked for through the same
door, with the same cookie and the same rights, and its events are passed on under the page's key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Set by the guard: what is asked for on behalf of a visitor goes through it again.
DOOR = "labtrawl.door"
STREAM = "text/event-stream"

# KEY~LAST-EVENT-ID~ADDRESS: the key is of the browser's choice, the id the last that the page saw.
Watch = Annotated[
    str, Field(max_length=16_000, pattern=r"^[0-9]{1,9}~[A-Za-z0-9_.=;-]*~/([a-z]+/)?live(\?|$)")
]
# What of a request says who asks, and over which connection.
PASSED_ON = frozenset({b"host", b"cookie", b"user-agent"})
KEPT = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path")
COMMENT, ENDED = b":", b"event: ended"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the browser, and the address of its stream."""

    key: bytes
    last_event_id: str
    path: str
    query: str


def watched(watch: str) -> Page:
    """Take a `Watch` apart."""
    key, last_event_id, address = watch.split("~", 2)
    path, _, query = address.partition("?")
    return Page(key.encode(), last_event_id, path, query)


class Shared(Response):
    """The streams of some pages in one; it ends as soon as one of them does by itself."""

    def __init__(self, request: Request, pages: Sequence[Page]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(None, headers=headers, media_type=STREAM)
        del self.headers["content-length"]
        self._door: ASGIApp = request.scope[DOOR]
        self._pages = pages
        self._left = len(pages)
        self._over = asyncio.Event()
        # One event after the other, whole; who reads slowly holds up only himself.
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the streams send (ASGI)."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._follow(page, scope, send)) for page in self._pages]
            running.append(tasks.create_task(self._hear(receive)))
            await self._over.wait()
            for each in running:
                each.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hear(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._over.set()

    async def _follow(self, page: Page, scope: Scope, send: Send) -> None:
        """Pass on what one page is told; that it is told nothing more, where that is so."""
        told = _Telling(page.key)

        async def pass_on(message: Message) -> None:
            if event := told.event(message):
                await self._send(event, send)

        await self._door(_asking(page, scope), self._wait, pass_on)
        if not told.is_ended and told.is_open:
            self._over.set()
        elif not told.is_ended:
            await self._send(_ended(page.key), send)
        self._left -= 1
        if not self._left:
            self._over.set()

    async def _wait(self) -> Message:
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: bytes, send: Send) -> None:
        async with self._turn:
            await send({"type": "http.response.body", "body": event, "more_body": True})


class _Telling:
    """One stream within: whether it was opened, whether it said that it ended."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.is_open = False
        self.is_ended = False

    def event(self, message: Message) -> bytes:
        """Return what the browser gets of a part of the answer."""
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self.is_open = message["status"] == 200 and kinds[0].startswith(STREAM.encode())
            return b""
        event: bytes = message.get("body", b"")
        if not self.is_open or not event:
            return b""
        if event.startswith(ENDED):
            self.is_ended = True
            return _ended(self._key)
        return event if event.startswith(COMMENT) else b"event: " + self._key + b"\n" + event


def _ended(key: bytes) -> bytes:
    return ENDED + b"\ndata: " + key + b"\n\n"


def _asking(page: Page, scope: Scope) -> Scope:
    """Return the request that the page would have made itself, with nothing in it but who asks."""
    headers = [pair for pair in scope["headers"] if pair[0] in PASSED_ON]
    if page.last_event_id:
        headers.append((b"last-event-id", page.last_event_id.encode()))
    return {
        **{name: scope[name] for name in KEPT if name in scope},
        "method": "GET",
        "path": page.path,
        "raw_path": page.path.encode(),
        "query_string": page.query.encode(),
        "headers": headers,
    }
