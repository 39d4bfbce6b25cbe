"""One caller's connection: HTTP/1.1 read, the app asked, its answer written at once or when due.

Entered by `serve`. A protocol of our own and no framework's: an answer is a few look-ups and one
write, so that one process serves thousands of pages a second.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import httptools

from labtrawl.sandbox.wire import Answer, Asked, Reply, Stream

_MOST_WAITING = 32
_CHUNKED = b"transfer-encoding: chunked\r\n"
# What streams without end leaves the other connections their turn.
_BREATH_SECONDS = 0.001
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BAD_REQUEST = Reply(400, b"Bad Request", [], b"text/plain")
_BROKEN = Reply(500, b'{"message":"500 Internal Server Error"}')
_log = logging.getLogger("labtrawl.sandbox")


class Dates:
    """The ``Date`` header, written once a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        """The header with its line end."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


class Connection(asyncio.Protocol):
    """Serves one connection, an answer at a time, in the order of the requests.

    `lines` are all open connections of the server, this one while it is open. An idle connection
    is closed after `keep_alive_seconds`.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Answer],
        dates: Dates,
        lines: set["Connection"],
        keep_alive_seconds: float,
    ) -> None:
        self._answer = answer
        self._dates = dates
        self._lines = lines
        self._keep_alive_seconds = keep_alive_seconds
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self._loop.time()
        # Read but not yet answered: requests, and whether the connection stays open after each.
        self._waiting: deque[tuple[Asked, bool]] = deque()
        self._busy = self._full = self._deaf = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        # A cast: uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._lines.add(self)
        self._timer = self._loop.call_later(self._keep_alive_seconds, self._look_whether_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio hands it over
        """Forget what was asked: nobody is there to be answered."""
        self._lines.discard(self)
        self._waiting.clear()
        self._busy = True
        if self._timer:
            self._timer.cancel()

    def end(self) -> None:
        """Close the connection if it is idle, cut it if an answer is under way."""
        if self._busy or self._full:
            self._transport.abort()
        else:
            self._transport.close()

    def _look_whether_idle(self) -> None:
        idle_seconds = self._loop.time() - self._idle_since
        if not self._busy and idle_seconds >= self._keep_alive_seconds:
            self._transport.close()
            return
        wait_seconds = max(self._keep_alive_seconds - idle_seconds, 0.05)
        self._timer = self._loop.call_later(wait_seconds, self._look_whether_idle)

    # ------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        """Read what came; what is no HTTP ends the connection with a 400."""
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._deaf = True
            self._write(Answer(_BAD_REQUEST), "GET", stays=False)

    def on_message_begin(self) -> None:
        """Start a request (called by the parser, as are the next four)."""
        self._target, self._headers, self._body = b"", {}, b""

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Let a caller go on that asked whether it may."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer, or let the request wait for its turn."""
        target = self._target.decode("latin-1")
        if not target.startswith("/"):
            parts = urlsplit(target)
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        method = self._parser.get_method().decode("latin-1")
        asked = Asked(method, target, self._headers, self._body)
        self._waiting.append((asked, self._parser.should_keep_alive()))
        if len(self._waiting) > _MOST_WAITING:
            self._transport.pause_reading()
        self._serve_waiting()

    # ------------------------------------------------------------ writing

    def pause_writing(self) -> None:
        """Answer no more until the caller has read."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on answering."""
        self._full = False
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting and not self._busy and not self._full:
            asked, stays = self._waiting.popleft()
            answer = self._ask(asked)
            if answer.hold_seconds > 0:
                self._busy = True
                self._loop.call_later(
                    answer.hold_seconds, self._write_held, answer, asked.method, stays
                )
            else:
                self._write(answer, asked.method, stays)
        if not self._waiting and not self._transport.is_closing():
            self._transport.resume_reading()

    def _ask(self, asked: Asked) -> Answer:
        try:
            return self._answer(asked)
        except Exception:  # noqa: BLE001 - a fault of a route is the answer 500, told in the log
            _log.exception("no answer to %s %s", asked.method, asked.target)
            return Answer(_BROKEN)

    def _write_held(self, answer: Answer, method: str, stays: bool) -> None:
        if not self._transport.is_closing():
            self._busy = False
            self._write(answer, method, stays)
            self._serve_waiting()

    def _write(self, answer: Answer, method: str, stays: bool) -> None:
        reply = answer.reply
        if answer.stream is not None:
            self._busy = True
            self._transport.write(self._head(reply, stays, _CHUNKED))
            self._pour(answer.stream)
            return
        body = reply.body[: len(reply.body) // 2] if answer.torn else reply.body
        head = self._head(reply, stays)
        self._transport.writelines((head,) if method == "HEAD" or not body else (head, body))
        self._idle_since = self._loop.time()
        if answer.torn or not stays:
            self._busy = True
            self._transport.close()

    def _pour(self, stream: Stream) -> None:
        """Write without end, until the caller has enough."""
        if self._transport.is_closing():
            return
        if not self._full:
            chunk = b"%x\r\n%b\r\n" % (len(stream.piece), stream.piece)
            self._transport.write(chunk)
        self._loop.call_later(stream.seconds or _BREATH_SECONDS, self._pour, stream)

    def _head(self, reply: Reply, stays: bool, length: bytes = b"") -> bytes:
        lines = [
            _STATUS_LINES[reply.status],
            self._dates.line(),
            b"content-type: %b\r\n" % reply.content_type,
            length or b"content-length: %d\r\n" % len(reply.body),
        ]
        lines += [b"%b: %b\r\n" % header for header in reply.headers]
        lines.append(b"\r\n" if stays else b"connection: close\r\n\r\n")
        return b"".join(lines)
