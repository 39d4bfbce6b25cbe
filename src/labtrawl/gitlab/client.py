"""The one request path to a GitLab: send, understand the status, wait or try again.

Statuses mean what doc/api/rest/troubleshooting.md and the API helpers of GitLab 19.3 say.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from labtrawl import logs
from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import (
    Forbidden,
    GitLabError,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)
from labtrawl.gitlab.limits import UNMETERED, Meter, read_limits
from labtrawl.gitlab.pages import Page, read_page, read_single
from labtrawl.http import Answer, Http

log = logs.get("crawler.gitlab")

# GitLab's own limits reset within the hour; a longer wait is the job's, not the request's.
LONGEST_WAIT_SECONDS = 120.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
MESSAGE_LENGTH = 200


class PagingRefused(GitLabError):
    """405: this list has no such paging, or none so far down (doc/api/rest, "Pagination")."""

    reason = "cap"


class Moved(GitLabError):
    """3xx: it is elsewhere; `project_id` where GitLab says which project has the old path now."""

    def __init__(self, message: str, project_id: int | None = None) -> None:
        super().__init__(message)
        self.project_id = project_id


@dataclass(slots=True)
class Tally:
    """What was asked of GitLab so far."""

    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0


async def _never(_refused: Secret) -> bool:
    """For a token that has no successor."""
    return False


@dataclass(slots=True)
class GitLab:
    """One account's view of one GitLab; `token` is asked for anew with each request."""

    http: Http
    token: Callable[[], Secret]
    clock: Clock
    retry: RetryPolicy
    jitter: Callable[[], float]
    tally: Tally = field(default_factory=Tally)
    meter: Meter = UNMETERED
    # Given a token that GitLab refused; says whether `token` gives another one by now.
    renew: Callable[[Secret], Awaitable[bool]] = _never

    async def page(self, path: str, query: str) -> Page:
        """Read one page of a list; tried again while that can help. Raises GitLabError."""
        return await self._read(path, query, single=False)

    async def single(self, path: str, query: str = "") -> Page:
        """Read one object as a page of one row. Raises GitLabError."""
        return await self._read(path, query, single=True)

    async def _read(self, path: str, query: str, single: bool) -> Page:
        attempt = 0
        while True:
            attempt += 1
            await self.meter.take()
            try:
                return await self._once(path, query, single)
            except GitLabError as error:
                seconds = self._wait_seconds(error, attempt)
                may_retry = error.retryable and self.retry.may_retry(attempt)
                if not may_retry or seconds > LONGEST_WAIT_SECONDS:
                    raise
                await self._wait(error, seconds, path)

    def _wait_seconds(self, error: GitLabError, attempt: int) -> float:
        """A 429 is a wait as long as GitLab says; other failures back off with full jitter."""
        asked = error.retry_after if isinstance(error, RateLimited) else None
        seconds = self.retry.delay(attempt, self.jitter()) if asked is None else asked
        if isinstance(error, RateLimited):
            self.meter.refused(seconds)
        return seconds

    async def _wait(self, error: GitLabError, seconds: float, path: str) -> None:
        log.info("request_waits", path=path, seconds=round(seconds, 2), reason=error.reason)
        self.tally.retries += 1
        self.tally.waited_seconds += seconds
        await self.clock.sleep(seconds)

    async def _once(self, path: str, query: str, single: bool) -> Page:
        request = f"/api/v4/{path}" + (f"?{query}" if query else "")
        token = self.token()
        answer = await self._send(request, token)
        if answer.status == 401 and await self.renew(token):
            await self.meter.take()
            answer = await self._send(request, self.token())
        now = self.clock.now().astimezone(UTC)
        self.meter.told(read_limits(answer, now))
        check_status(answer, request, now)
        fetched_at = now.isoformat(timespec="milliseconds")
        if single:
            return read_single(answer, request, fetched_at)
        return read_page(answer, request, query, fetched_at)

    async def _send(self, request: str, token: Secret) -> Answer:
        self.tally.requests += 1
        return await self.http.get(
            request,
            {"authorization": f"Bearer {token.reveal()}", "accept": "application/json"},
        )


def check_status(answer: Answer, request: str, now: datetime) -> None:
    """Raise the failure that a status stands for; return for 200."""
    status = answer.status
    if status == 200:
        if "json" not in answer.headers.get("content-type", ""):
            raise UnexpectedReply(f"GitLab answered {request} with something other than JSON")
        return
    # GitLab often begins its message with the status.
    said = f"{request}: {status} {_said(answer).removeprefix(str(status)).strip()}".strip()
    wait_seconds = _retry_after(answer, now)
    if status == 429 or (status == 503 and wait_seconds is not None):
        raise RateLimited(f"GitLab asks to wait ({said})", wait_seconds)
    if status >= 500 or status in (408, 409):
        raise Unavailable(f"GitLab failed ({said})")
    if 300 <= status < 400:
        raise _moved(answer, said)
    _refuse(status, said)


def _refuse(status: int, said: str) -> NoReturn:
    """What the account or the request is refused: the same again would be refused again."""
    if status == 401:
        raise Unauthorized(f"GitLab refused the token ({said}); connect the account again")
    if status == 403:
        raise Forbidden(f"GitLab forbids {said}")
    if status == 404:
        raise NotFound(f"GitLab has nothing at {said}")
    if status == 405:
        raise PagingRefused(f"GitLab does not page so: {said}")
    raise GitLabError(f"GitLab answered {said}")


def _moved(answer: Answer, said: str) -> Moved:
    """A renamed project's old path leads to `projects/<id>`; nothing is followed (api/helpers.rb)."""
    try:
        place = urlsplit(answer.headers.get("location", ""))
    except ValueError:
        place = urlsplit("")
    *_, noun, last = ("", "", *place.path.split("/"))
    is_project = noun == "projects" and last.isascii() and last.isdecimal()
    host = f" to {place.hostname}" if place.hostname else ""
    return Moved(
        f"GitLab sends elsewhere{host} ({said}); is the URL of the instance the right one?",
        int(last) if is_project else None,
    )


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3); None where GitLab does not say (older limits)."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_RETRY_AFTER_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _said(answer: Answer) -> str:
    """GitLab's own words, shortened; it answers errors as JSON, text or HTML."""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "" if b"<" in answer.body else _shorten(answer.body.decode(errors="replace"))
    if isinstance(body, dict):
        body = body.get("message") or body.get("error_description") or body.get("error") or ""
    return _shorten(str(body))


def _shorten(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_LENGTH]
