"""What is at a URL, and what a token may see there: asked once, before anything is written.

Each failure is one sentence that says what to do. Entered by the cli. Facts: doc/api/metadata.md,
doc/api/personal_access_tokens.md, doc/api/oauth2.md and doc/api/rest/troubleshooting.md of GitLab.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec

from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, Forbidden, Unauthorized, Unavailable, UnexpectedReply
from labtrawl.gitlab.pages import next_query
from labtrawl.http import Answer, Http

_VERSION = "/api/v4/version"
_FINE_GRAINED = "granular"  # a token whose rights are listed elsewhere, not by scope (19.2)
_ENOUGH = frozenset({"api", "read_api", _FINE_GRAINED})
_HARMLESS = frozenset({"read_api", "read_user", "openid", "profile", "email", _FINE_GRAINED})
_LONGEST_QUOTE = 160
_MOST_PAGES = 200  # of 100 rows: more is said to be "at least"
_NEW_TOKEN = "make one with the scope read_api (GitLab: your profile, Access tokens)"  # noqa: S105

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProbedInstance:
    """A GitLab; its clock is ahead of ours by `server_time_offset_seconds`."""

    version: str
    enterprise: bool
    server_time_offset_seconds: float


@dataclass(frozen=True, slots=True)
class ProbedAccount:
    """Whose token it is; `scopes` is None where GitLab does not tell them."""

    user_id: int
    username: str
    name: str
    scopes: tuple[str, ...] | None
    expires_at: date | None

    @property
    def ends_at(self) -> int | None:
        """When the token ends, in ms: as that day begins in UTC (doc/api/personal_access_tokens.md).

        None where nobody tells.
        """
        day = self.expires_at
        if day is None:
            return None
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found out; `missing_scopes` is what a crawl needs and the token lacks."""

    instance: ProbedInstance
    account: ProbedAccount
    missing_scopes: tuple[str, ...]

    @property
    def wider_scopes(self) -> tuple[str, ...]:
        """The scopes that allow more than reading."""
        return tuple(each for each in self.account.scopes or () if each not in _HARMLESS)


@dataclass(frozen=True, slots=True)
class Scope:
    """How much the account is a member of; at least so much where `is_exact` is false."""

    groups: int
    projects: int
    is_exact: bool = True


async def probe(http: Http, token: Secret, clock: Clock) -> Probe:
    """Ask a GitLab what it is and whose the token is; the token goes to nothing but a GitLab.

    Once it is known for a GitLab all is asked at once. Raises
    ConfigError (no GitLab there, forbidden place, certificate), Unauthorized (wrong token),
    Forbidden (the token may not even ask), Unavailable, UnexpectedReply.
    """
    greeting = await http.get(_VERSION, {"accept": "application/json"})
    answered_at = clock.now()
    _check_is_gitlab(greeting)
    asker = _Asker(http, token)
    asked = (
        asyncio.ensure_future(asker.object(_VERSION)),
        asyncio.ensure_future(asker.object("/api/v4/user")),
        asyncio.ensure_future(_token_facts(asker, answered_at)),
    )
    try:
        version, user, facts = await asyncio.gather(*asked)
        return _found(version, user, facts, _offset(greeting, answered_at))
    finally:
        await _ended(*asked)


async def _ended(*asked: asyncio.Future[Any]) -> None:
    """Let nothing be under way any more, nor any failure be left that nobody hears of."""
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


def _found(
    version: dict[str, object],
    user: dict[str, object],
    facts: tuple[tuple[str, ...] | None, date | None],
    offset: float,
) -> Probe:
    scopes, expires_at = facts
    name = str(version.get("version", ""))
    instance = ProbedInstance(name, bool(version.get("enterprise", name.endswith("-ee"))), offset)
    account = ProbedAccount(
        _whole(user, "id"), str(user.get("username")), str(user.get("name")), scopes, expires_at
    )
    is_enough = scopes is None or bool(_ENOUGH & set(scopes))
    return Probe(instance, account, () if is_enough else ("read_api",))


async def measure_scope(http: Http, token: Secret) -> Scope:
    """Count the groups and projects of which the account is a member, in two requests mostly.

    Raises as `probe`.
    """
    asker = _Asker(http, token)
    counted = (
        asyncio.ensure_future(asker.count("groups", "min_access_level=10&order_by=id&sort=asc")),
        asyncio.ensure_future(
            asker.count("projects", "membership=true&simple=true&order_by=id&sort=asc")
        ),
    )
    try:
        (groups, are_all), (projects, are_all_too) = await asyncio.gather(*counted)
    finally:
        await _ended(*counted)
    return Scope(groups, projects, are_all and are_all_too)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Requests with the token, and the sentences for their failures."""

    http: Http
    token: Secret

    async def get(self, path: str) -> Answer:
        answer = await self.attempt(path)
        if answer.status == 401:
            raise Unauthorized(f"GitLab refuses the token{_why(answer)}: {_NEW_TOKEN}")
        if answer.status == 403:
            raise Forbidden(f"the token may not read {path}{_why(answer)}: {_NEW_TOKEN}")
        return answer

    async def attempt(self, path: str) -> Answer:
        headers = {"authorization": f"Bearer {self.token.reveal()}", "accept": "application/json"}
        return await self.http.get(path, headers)

    async def object(self, path: str) -> dict[str, object]:
        return _object(_successful(await self.get(path)))

    async def count(self, path: str, query: str) -> tuple[int, bool]:
        """Rows of a list, and whether these are all; GitLab gives no total above 10,000."""
        following: str | None = f"{query}&per_page=100"
        rows = 0
        for _ in range(_MOST_PAGES):
            answer = _successful(await self.get(f"/api/v4/{path}?{following}"))
            total = answer.headers.get("x-total", "")
            if total.isdigit():
                return int(total), True
            rows += len(_decoded(answer, list[msgspec.Raw]))
            following = next_query(answer, following or "", path)
            if following is None:
                return rows, True
        return rows, False


def _check_is_gitlab(answer: Answer) -> None:
    """A GitLab answers an anonymous question after its version with 401 and JSON."""
    location = answer.headers.get("location", "")
    if 300 <= answer.status < 400 and location.endswith(_VERSION):
        base = "".join(each for each in location.removesuffix(_VERSION) if each.isprintable())
        raise ConfigError(f"this URL leads to {base}, and labtrawl follows no redirects: use that")
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(f"the server answers {answer.status}: try again later")
    known = {401: {"message", "error"}, 200: {"version"}}.get(answer.status, set())
    try:
        is_gitlab = bool(known & _object(answer).keys())
    except UnexpectedReply:
        is_gitlab = False
    if not is_gitlab:
        what = "with something else" if answer.status == 200 else str(answer.status)
        raise ConfigError(
            f"there is no GitLab at this URL (its {_VERSION} answers {what}): check it; "
            "a GitLab below a path needs the path too, like https://example.org/gitlab"
        )


async def _token_facts(asker: _Asker, now: datetime) -> tuple[tuple[str, ...] | None, date | None]:
    """Scopes and last day: of a personal, group or project token, else of one of OAuth."""
    answer = await asker.attempt("/api/v4/personal_access_tokens/self")
    if answer.status == 200:
        found = _object(answer)
        return _texts(found.get("scopes")), _day(found.get("expires_at"))
    answer = await asker.attempt("/oauth/token/info")
    if answer.status != 200:
        return None, None
    found = _object(answer)
    seconds = found.get("expires_in")
    expires_at = (now + timedelta(seconds=seconds)).date() if isinstance(seconds, int) else None
    return _texts(found.get("scope")), expires_at


def _successful(answer: Answer) -> Answer:
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(f"GitLab answers {answer.status}: try again later")
    if answer.status != 200:
        raise UnexpectedReply(f"GitLab answers {answer.status} to what it should know: check it")
    return answer


def _object(answer: Answer) -> dict[str, object]:
    return _decoded(answer, dict[str, object])


def _decoded(answer: Answer, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnexpectedReply(
            "GitLab answered with something that is not the JSON asked for: try again"
        ) from None


def _why(answer: Answer) -> str:
    """GitLab's own words in brackets, shortened, or nothing."""
    try:
        found = _object(answer)
    except UnexpectedReply:
        return ""
    said = found.get("error_description") or found.get("message") or found.get("error")
    text = "".join(each for each in str(said or "") if each.isprintable())[:_LONGEST_QUOTE]
    return f" ({text})" if text else ""


def _offset(answer: Answer, answered_at: datetime) -> float:
    """Seconds that the server's clock is ahead, to a second or so; 0.0 where it names no time."""
    try:
        there = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return 0.0
    return (there.astimezone(UTC) - answered_at).total_seconds()


def _whole(found: dict[str, object], key: str) -> int:
    value = found.get(key)
    if not isinstance(value, int):
        raise UnexpectedReply(f"GitLab's answer lacks the number {key!r}: check the URL")
    return value


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
