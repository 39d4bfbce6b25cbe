"""The one request path to a GitLab: send, understand the status, wait or try again.

Statuses mean what doc/api/rest/troubleshooting.md and the API helpers of GitLab 19.3 say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC

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
from labtrawl.gitlab.pages import Page, read_page, read_single
from labtrawl.http import Answer, Http

log = logs.get("crawler.gitlab")

# GitLab's own limits reset within the hour; a longer wait is the job's, not the request's.
LONGEST_WAIT_SECONDS = 120.0
MESSAGE_LENGTH = 200


@dataclass(slots=True)
class Tally:
    """What was asked of GitLab so far."""

    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0


@dataclass(slots=True)
class GitLab:
    """One account's view of one GitLab; `token` is asked for anew with each request."""

    http: Http
    token: Callable[[], Secret]
    clock: Clock
    retry: RetryPolicy
    jitter: Callable[[], float]
    tally: Tally = field(default_factory=Tally)

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
            try:
                return await self._once(path, query, single)
            except GitLabError as error:
                if not (error.retryable and self.retry.may_retry(attempt)):
                    raise
                await self._wait(error, attempt, path)

    async def _wait(self, error: GitLabError, attempt: int, path: str) -> None:
        """A 429 is a wait as long as GitLab says; other failures back off with full jitter."""
        asked = error.retry_after if isinstance(error, RateLimited) else None
        seconds = self.retry.delay(attempt, self.jitter()) if asked is None else asked
        if seconds > LONGEST_WAIT_SECONDS:
            raise error
        log.info("request_waits", path=path, seconds=round(seconds, 2), reason=error.reason)
        self.tally.retries += 1
        self.tally.waited_seconds += seconds
        await self.clock.sleep(seconds)

    async def _once(self, path: str, query: str, single: bool) -> Page:
        request = f"/api/v4/{path}" + (f"?{query}" if query else "")
        self.tally.requests += 1
        answer = await self.http.get(
            request,
            {"authorization": f"Bearer {self.token().reveal()}", "accept": "application/json"},
        )
        check_status(answer, request)
        fetched_at = self.clock.now().astimezone(UTC).isoformat(timespec="milliseconds")
        if single:
            return read_single(answer, request, fetched_at)
        return read_page(answer, request, query, fetched_at)


def check_status(answer: Answer, request: str) -> None:
    """Raise the failure that a status stands for; return for 200."""
    status = answer.status
    if status == 200:
        if "json" not in answer.headers.get("content-type", ""):
            raise UnexpectedReply(f"GitLab answered {request} with something other than JSON")
        return
    said = f"{request}: {status} {_said(answer)}".strip()
    if status == 401:
        raise Unauthorized(f"GitLab refused the token ({said}); connect the account again")
    if status == 403:
        raise Forbidden(f"GitLab forbids {said}")
    if status == 404:
        raise NotFound(f"GitLab has nothing at {said}")
    if status == 429:
        raise RateLimited(f"GitLab asks to wait ({said})", _retry_after(answer))
    if status >= 500 or status in (408, 409):
        raise Unavailable(f"GitLab failed ({said})")
    raise GitLabError(f"GitLab answered {said}")


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait; None where GitLab does not say (older application limits)."""
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if text.isdigit() else None


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
