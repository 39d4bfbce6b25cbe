"""How many connections there is room for: files, the database and GitLab need some of the open files.

Who comes when all places are taken is told so; who comes when many are being told so is not even heard.
"""

import resource
from contextlib import suppress

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from labtrawl import logs
from labtrawl.website.door.failures import wants_json

log = logs.get("website")

# More than anybody has browsers; each costs some 50 kB.
MOST = 2000
# Whoever says nothing for so long makes room for others.
SILENT_SECONDS = 20.0
TELL_SECONDS = 60.0
RETRY_SECONDS = 5
WORDS = "Too many connections are open here at once. Nothing was done; try again in a moment."


def open_files() -> int:
    """Let this process open as many files as it may, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A kernel may allow fewer (fs.nr_open); what there is stays then.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 4 * MOST


class Room:
    """The places for connections, at most half of `files`; an eighth more is for telling others.

    What happens is logged once a minute at most, however many come.
    """

    def __init__(self, files: int) -> None:
        self.places = min(MOST, files // 2)
        self._standing = self.places // 4
        self._turned_away = 0
        self._told_at: float | None = None

    def is_full(self, connections: int) -> bool:
        """Say whether there are more connections than places."""
        return connections > self.places

    def is_overrun(self, connections: int) -> bool:
        """Say whether there are so many that no more can be answered at all."""
        return connections > self.places + self._standing

    def note(self, now: float) -> None:
        """Write down that somebody is turned away at an instant of a steady clock, in seconds."""
        self._turned_away += 1
        if self._told_at is not None and now < self._told_at + TELL_SECONDS:
            return
        log.warning(
            "connections_refused",
            refused=self._turned_away,
            places=self.places,
            then="others wait; more places: a higher limit of open files (ulimit -n)",
        )
        self._told_at, self._turned_away = now, 0


async def turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in the place of the app (ASGI) that there is no room."""
    await _refusal(scope)(scope, receive, send)


def _refusal(scope: Scope) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "Connection": "close",
        "Retry-After": str(RETRY_SECONDS),
        "X-Content-Type-Options": "nosniff",
    }
    if wants_json(HTTPConnection(scope)):
        return JSONResponse({"error": {"code": "busy", "message": WORDS}}, 503, headers)
    return PlainTextResponse(WORDS + "\n", 503, headers)
