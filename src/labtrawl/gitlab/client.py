"""The one request path to a GitLab: send, understand the status, wait or try again.

Statuses mean what doc/api/rest/troubleshooting.md and the API helpers of GitLab 19.3 say.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
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
from labtrawl.gitlab.limits import REST, UNMETERED, Limits, Meter, class_of, read_limits
from labtrawl.gitlab.pages import Page, has_next, read_page, read_single, served_at
from labtrawl.http import Answer, Http

log = logs.get("crawler.gitlab")

T = TypeVar("T")

Check = Callable[[Answer, str, datetime], None]
"""Raises the failure that an answer to a request stands for; given the instant of the answer."""

# A longer wait is the job's, not the request's.
LONGEST_WAIT_SECONDS = 120.0
# Whatever a header says: within a day somebody looks.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
# A clock of ours that is further behind was never set.
CREDIBLE_SKEW_MS = 86_400_000
MESSAGE_LENGTH = 200
# For an answer without words of its own, of a proxy mostly.
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
# Why GitLab lets an account read nothing at all (lib/gitlab/auth/user_access_denied_reason.rb): no
# list is to blame, and a person can mend it.
_SHUT_OUT = re.compile(
    r"403 Forbidden - (Your (account|primary email|password) |You .*Terms of Se)"
)


class PagingRefused(GitLabError):
    """405: this list has no such paging, or none so far down (doc/api/rest, "Pagination")."""

    reason = "cap"


class TooMuch(GitLabError):
    """So much at once is not answered: whoever asks may ask for less, the same is not sent again."""

    retryable = True


class Unchanged(GitLabError):
    """304: no failure; what was asked for is what its `etag` marks (RFC 9110, 13.1.2).

    The mark is of the rows alone: without `is_last` a page follows by now.
    """

    def __init__(self, message: str, *, is_last: bool) -> None:
        super().__init__(message)
        self.is_last = is_last


class Moved(GitLabError):
    """3xx: it is elsewhere; `project_id` where GitLab says which project has the old path now."""

    def __init__(self, message: str, project_id: int | None = None) -> None:
        super().__init__(message)
        self.project_id = project_id


class EndpointLimited(RateLimited):
    """429 of a limit that one endpoint has of its own; the rest of the account goes on."""


class Blocked(UnexpectedReply):
    """A page for people where data was asked for: a challenge, a sign-in, a proxy's own words.

    It says nothing of what the account may read (doc/user/gitlab_com, "IP blocks").
    """


@dataclass(slots=True)
class Tally:
    """What was asked of GitLab so far."""

    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    # GitLab's own time (ms) of the earliest answer.
    first_served_at: int | None = None
    # Whether an answer told of a limit of requests.
    is_limited: bool = False

    def served(self, at: int | None, now_ms: int) -> None:
        """Hear when an answer was given, by GitLab's clock, and when it came, by ours.

        Clocks of GitLab's nodes differ and are set back: the earliest counts, and ours where theirs
        goes before it by up to a day. Too early costs rows that are read again, too late loses them.
        """
        if at is None:
            return
        at = min(at, now_ms) if at - now_ms <= CREDIBLE_SKEW_MS else at
        self.first_served_at = min(at, self.first_served_at or at)


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

    async def page(self, path: str, query: str, etag: str = "") -> Page:
        """Read one page of a list; tried again while that can help.

        Raises GitLabError; Unchanged where it is what `etag` marks.
        """
        return await self._read(path, query, single=False, etag=etag)

    async def single(self, path: str, query: str = "", etag: str = "") -> Page:
        """Read one object as a page of one row. Raises as `page` does."""
        return await self._read(path, query, single=True, etag=etag)

    async def post(self, path: str, body: bytes, check: Check) -> tuple[Answer, datetime]:
        """Send JSON to a path below /api/; the answer that `check` let pass, and when it came.

        Only for what reads: it is sent again as `page` is. Raises GitLabError.
        """
        class_ = class_of(path)
        return await self._tried(
            path, class_, lambda: self._asked(f"/api/{path}", class_, check, body)
        )

    async def _read(self, path: str, query: str, single: bool, etag: str) -> Page:
        class_ = class_of(path)
        return await self._tried(
            path, class_, lambda: self._once(path, class_, query, single, etag)
        )

    async def _tried(self, path: str, class_: str, once: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            await self.meter.take(class_)
            try:
                return await once()
            except TooMuch:
                raise
            except GitLabError as error:
                seconds = self._wait_seconds(error, attempt, class_)
                may_retry = error.retryable and self.retry.may_retry(attempt)
                if not may_retry or seconds > LONGEST_WAIT_SECONDS:
                    raise
                await self._wait(error, seconds, path)

    def _wait_seconds(self, error: GitLabError, attempt: int, class_: str) -> float:
        """A 429 is a wait as long as GitLab says; other failures back off with full jitter.

        Where GitLab does not say, the meter knows how long: the next `take` waits for it.
        """
        asked = None
        if isinstance(error, RateLimited):
            asked = error.retry_after
            self.meter.refused(class_ if isinstance(error, EndpointLimited) else REST, asked)
        elif isinstance(error, Blocked):
            self.meter.blocked()
        return self.retry.delay(attempt, self.jitter()) if asked is None else asked

    async def _wait(self, error: GitLabError, seconds: float, path: str) -> None:
        log.info("request_waits", path=path, seconds=round(seconds, 2), reason=error.reason)
        self.tally.retries += 1
        self.tally.waited_seconds += seconds
        await self.clock.sleep(seconds)

    async def _once(self, path: str, class_: str, query: str, single: bool, etag: str) -> Page:
        request = request_of(path, query)
        check = check_known if etag else check_status
        answer, now = await self._asked(request, class_, check, etag=etag)
        fetched_at = now.isoformat(timespec="milliseconds")
        if single:
            return read_single(answer, request, fetched_at)
        return read_page(answer, request, query, fetched_at)

    async def _asked(
        self, request: str, class_: str, check: Check, body: bytes | None = None, etag: str = ""
    ) -> tuple[Answer, datetime]:
        token = self.token()
        answer = await self._send(request, token, body, etag)
        if answer.status == 401 and _is_json(answer) and await self.renew(token):
            await self.meter.take(class_)
            answer = await self._send(request, self.token(), body, etag)
        now = self.clock.now().astimezone(UTC)
        self.tally.served(served_at(answer), int(now.timestamp() * 1000))
        limits = read_limits(answer, now)
        self.tally.is_limited = self.tally.is_limited or limits is not None
        if _is_json(answer) or answer.status in (304, 429):
            self.meter.told(class_, limits)
        check(answer, request, now)
        return answer, now

    async def _send(self, request: str, token: Secret, body: bytes | None, etag: str) -> Answer:
        self.tally.requests += 1
        headers = {"authorization": f"Bearer {token.reveal()}", "accept": "application/json"}
        if etag:
            headers["if-none-match"] = etag
        if body is None:
            return await self.http.get(request, headers)
        headers["content-type"] = "application/json"
        return await self.http.request("POST", request, headers, body)


def request_of(path: str, query: str) -> str:
    """Return what is asked for: the target of the request."""
    return f"/api/v4/{path}" + (f"?{query}" if query else "")


def check_known(answer: Answer, request: str, now: datetime) -> None:
    """Raise Unchanged for 304 to who has the page; else as `check_status`."""
    if answer.status == 304:
        raise Unchanged(f"{request} is as it was", is_last=not has_next(answer))
    check_status(answer, request, now)


def check_status(answer: Answer, request: str, now: datetime) -> None:
    """Raise the failure that a status stands for; return for 200."""
    status = answer.status
    if status == 200 and _is_json(answer):
        return
    # What went wrong comes first, then where: causes are told apart by how a message begins.
    said = _with_status(answer)
    _check_limits(answer, f"{said}: GitLab asks to wait at {request}", now)
    if status >= 500 or status in (408, 409):
        raise Unavailable(f"{said}: GitLab failed at {request}")
    if status in (200, 401, 403) and not _is_json(answer):
        raise Blocked(
            f"{said}: something other than GitLab's API answered; it is asked again later ({request})"
        )
    if status == 304:
        raise UnexpectedReply(
            f"{said}: a cache before GitLab answered what nobody asked ({request})"
        )
    if 300 <= status < 400:
        raise _moved(answer, said, request)
    if status == 403:
        _check_account(answer, said, request)
    _refuse(status, said, request)


def _with_status(answer: Answer) -> str:
    """Return the status and GitLab's words, which often begin with the status themselves."""
    words = _said(answer).removeprefix(str(answer.status)).strip()
    return f"{answer.status} {words or _PHRASES.get(answer.status, '')}".strip()


def _check_account(answer: Answer, said: str, request: str) -> None:
    """Raise Unauthorized where not the list but token or account are refused everything.

    A fine-grained token lacks a right for one list (`insufficient_granular_scope`): a gap of that.
    """
    told = _told(answer)
    if told.get("error") == "insufficient_scope":
        raise Unauthorized(
            f"{said}: the token lacks the scope read_api; make one that has it ({request})"
        )
    if _SHUT_OUT.match(str(told.get("message"))):
        raise Unauthorized(
            f"{said}: GitLab lets this account read nothing; sign in to GitLab in a browser, or ask"
            f" its administrators, then connect the account again ({request})"
        )


def _check_limits(answer: Answer, said: str, now: datetime) -> None:
    """Raise RateLimited where an answer is a wait: 429, an overload that says when, a spent budget.

    Limits of one endpoint answer in JSON and are in no header; those of the whole account in text,
    with nothing left in theirs (lib/api/helpers/rate_limiter.rb, lib/gitlab/rack_attack.rb).
    """
    status, wait_seconds = answer.status, _retry_after(answer, now)
    limits = read_limits(answer, now)
    is_spent = limits is not None and limits.remaining == 0
    if status == 429 and _is_json(answer) and not is_spent:
        raise EndpointLimited(said, wait_seconds)
    if status == 403 and is_spent and limits is not None and wait_seconds is None:
        wait_seconds = _until_reset(limits, now)
    if status == 429 or (status == 403 and is_spent) or (status == 503 and wait_seconds):
        raise RateLimited(said, wait_seconds)


def _until_reset(limits: Limits, now: datetime) -> float | None:
    """Seconds until the period ends of which nothing is left; None where that is not told."""
    if limits.reset_at is None:
        return None
    seconds = limits.reset_at / 1000 - now.timestamp()
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("content-type", "")


def _refuse(status: int, said: str, request: str) -> NoReturn:
    """What the account or the request is refused: the same again would be refused again."""
    if status == 401:
        raise Unauthorized(
            f"{said}: GitLab refused the token; connect the account again ({request})"
        )
    if status == 403:
        raise Forbidden(f"{said}: GitLab forbids {request}")
    if status == 404:
        raise NotFound(f"{said}: GitLab has nothing at {request}")
    if status == 405:
        raise PagingRefused(f"{said}: GitLab does not page so at {request}")
    raise GitLabError(f"{said}: GitLab does not answer {request}")


def _moved(answer: Answer, said: str, request: str) -> Moved:
    """A renamed project's old path leads to `projects/<id>`; nothing is followed (api/helpers.rb)."""
    try:
        place = urlsplit(answer.headers.get("location", ""))
    except ValueError:
        place = urlsplit("")
    *_, noun, last = ("", "", *place.path.split("/"))
    is_project = noun == "projects" and last.isascii() and last.isdecimal()
    host = f" to {place.hostname}" if place.hostname else ""
    return Moved(
        f"{said}: GitLab sends elsewhere{host}; is the URL of the instance right? ({request})",
        int(last) if is_project else None,
    )


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3); None where GitLab does not say, or none at all.

    No time to wait is no answer to how long: a limit that said so would be asked without pause.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None


def _said(answer: Answer) -> str:
    """GitLab's own words, shortened; it answers errors as JSON, text or HTML."""
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "" if b"<" in answer.body else _shorten(answer.body.decode(errors="replace"))
    if isinstance(body, dict):
        body = body.get("message") or body.get("error_description") or body.get("error") or ""
    return _shorten(str(body))


def _told(answer: Answer) -> dict[str, Any]:
    """The fields of an error in JSON; empty for any other body."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _shorten(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_LENGTH]
