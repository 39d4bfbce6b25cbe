"""What GitLab says of its rate limits, and where a request asks before it is sent.

Headers: lib/gitlab/middleware/rack_attack_headers.rb, doc/administration/settings/
user_and_ip_rate_limits.md. Endpoints with a limit of their own: doc/administration/settings/
rate_limit_on_{projects,groups,users,members}_api.md, instance_limits.md, doc/rate_limits.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from labtrawl.http import Answer

REST: Final = "rest"
"""The class of all requests; each of the others counts there too."""
# By the words of a path, `*` for one word, `**` for any that follow. How much each allows is never
# written here: administrators change it, and what GitLab answers tells it.
_ENDPOINTS: Final = (
    ("*/*/members/all", "members_all"),
    ("projects/*/jobs", "jobs_list"),
    ("projects/*/repository/files/**", "files"),
    ("projects/*/search", "search"),
    ("projects/*", "project_single"),
    ("projects", "projects_list"),
    ("groups/*/projects", "group_projects"),
    ("groups/*/search", "search"),
    ("groups/*", "group_single"),
    ("groups", "groups_list"),
    ("users/*", "users_single"),
    ("search", "search"),
)
CLASSES: Final = frozenset({REST, *(name for _, name in _ENDPOINTS)})
# More digits than any number of requests, or any instant in seconds, has.
LONGEST_NUMBER = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit in requests a minute, what is left of its period, and when that ends (ms, UTC).

    `remaining` counts the real period, which may be longer than the minute of `limit`: one is not
    to be divided by the other. `reset_at` is by our clock, later by as long as the answer took and
    by up to a second; `period` is the same end by GitLab's (s), equal in all answers of a period.
    """

    limit: int | None
    remaining: int | None
    reset_at: int | None
    period: int | None = None


@dataclass(frozen=True, slots=True)
class Meter:
    """One account's budget, as the request path sees it; the texts are classes of endpoints."""

    take: Callable[[str], Awaitable[None]]
    """Waits for the right to send one request of a class."""
    told: Callable[[str, Limits | None], None]
    """Hears what a trustworthy answer to a request of a class says of the general limit."""
    refused: Callable[[str, float | None], None]
    """Hears that GitLab asks to wait (so many seconds, where it says) before more of a class."""
    blocked: Callable[[], None]
    """Hears that something else than GitLab's API answered."""


async def _at_once(_class: str) -> None:
    return None


UNMETERED: Final = Meter(
    _at_once, lambda _class, _limits: None, lambda _class, _seconds: None, lambda: None
)
"""For requests that no crawl sends."""


def class_of(path: str) -> str:
    """Return the class of a path below /api/v4/ (or of `graphql`): whose limit it counts for."""
    words = path.strip("/").split("/")
    return _class_of(tuple(word if word in _WORDS else "" for word in words))


@lru_cache(maxsize=256)
def _class_of(words: tuple[str, ...]) -> str:
    """Do as `class_of` for a path without its numbers and names: there are few of those."""
    return next((name for pattern, name in _PATTERNS if _matches(pattern, words)), REST)


_PATTERNS: Final = tuple((tuple(pattern.split("/")), name) for pattern, name in _ENDPOINTS)
_WORDS: Final = frozenset(word for pattern, _ in _PATTERNS for word in pattern)


def _matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    if pattern[-1] == "**":
        pattern, words = pattern[:-1], words[: len(pattern) - 1]
    return len(pattern) == len(words) and all(
        wanted in ("*", word) for wanted, word in zip(pattern, words, strict=True)
    )


def read_limits(answer: Answer, now: datetime) -> Limits | None:
    """Return the limit that an answer tells; None where it tells none, as older GitLabs do."""
    limit = _whole(answer, "ratelimit-limit")
    if limit is None:
        return None
    reset = _whole(answer, "ratelimit-reset")
    reset_at = None if reset is None else int((reset + _behind(answer, now)) * 1000)
    return Limits(limit, _whole(answer, "ratelimit-remaining"), reset_at, reset)


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
