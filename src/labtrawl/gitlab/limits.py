"""What GitLab says of its rate limits, and where a request asks before it is sent.

Headers: lib/gitlab/middleware/rack_attack_headers.rb, doc/administration/settings/
user_and_ip_rate_limits.md.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from labtrawl.http import Answer

# Endpoints with a limit of their own (members/all, search, archives) get a class here, and name it
# in their row of the catalog, once a crawl meets such a limit before the general one.
REST: Final = "rest"
CLASSES: Final = frozenset({REST})
# More digits than any number of requests, or any instant in seconds, has.
LONGEST_NUMBER = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit in requests a minute, what is left of its period, and when that ends (ms, UTC).

    `remaining` counts the real period, which may be longer than the minute of `limit`: one is not
    to be divided by the other.
    """

    limit: int | None
    remaining: int | None
    reset_at: int | None


@dataclass(frozen=True, slots=True)
class Meter:
    """One account's budget, as the request path sees it."""

    take: Callable[[], Awaitable[None]]
    """Waits for the right to send one request."""
    told: Callable[[Limits | None], None]
    """Hears what an answer says of the limit."""
    refused: Callable[[float], None]
    """Hears that GitLab asks to wait so many seconds."""


async def _at_once() -> None:
    return None


UNMETERED: Final = Meter(_at_once, lambda _limits: None, lambda _seconds: None)
"""For requests that no crawl sends."""


def read_limits(answer: Answer, now: datetime) -> Limits | None:
    """Return the limit that an answer tells; None where it tells none, as older GitLabs do."""
    limit = _whole(answer, "ratelimit-limit")
    if limit is None:
        return None
    reset = _whole(answer, "ratelimit-reset")
    reset_at = None if reset is None else int((reset + _behind(answer, now)) * 1000)
    return Limits(limit, _whole(answer, "ratelimit-remaining"), reset_at)


def _behind(answer: Answer, now: datetime) -> float:
    """Seconds by which GitLab's clock is behind ours, where it tells its time (RFC 9110, 6.6.1)."""
    try:
        at = parsedate_to_datetime(answer.headers.get("date", ""))
        return (now - at).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _whole(answer: Answer, name: str) -> int | None:
    text = answer.headers.get(name, "").strip()
    is_number = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
    return int(text) if is_number else None
