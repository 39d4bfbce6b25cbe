"""The request path with a GitLab of our own making: every status, waits, retries, one clock."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from labtrawl.clock import Clock
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy, cause_of
from labtrawl.errors import (
    Forbidden,
    GitLabError,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)
from labtrawl.gitlab.client import (
    Blocked,
    EndpointLimited,
    GitLab,
    Moved,
    PagingRefused,
    Tally,
    Unchanged,
    check_status,
)
from labtrawl.http import Answer, Http

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Script:
    """Answers in the order given; the last one again and again."""

    answers: list[Answer | GitLabError]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def get(self, path_and_query: str, headers: dict[str, str]) -> Answer:
        self.asked.append((path_and_query, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, GitLabError):
            raise answer
        return answer


def _answer(status: int, body: object = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**JSON, **named}, json.dumps(body).encode(), "/")


def _gitlab(
    answers: Iterable[Answer | GitLabError], attempts: int = 5, jitter: float = 1.0
) -> tuple[GitLab, Script, list[float]]:
    script, slept = Script(list(answers)), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    gitlab = GitLab(
        cast("Http", script),
        lambda: Secret("glpat-canary"),
        Clock(lambda: NOW, lambda: 0.0, sleep),
        RetryPolicy(attempts, base_seconds=1, ceiling_seconds=4),
        lambda: jitter,
    )
    return gitlab, script, slept


@pytest.mark.parametrize(
    ("status", "error", "reason", "is_retryable"),
    [
        (401, Unauthorized, "credential", False),
        (403, Forbidden, "forbidden", False),
        (404, NotFound, "not_found", False),
        (405, PagingRefused, "cap", False),
        (408, Unavailable, "unavailable", True),
        (409, Unavailable, "unavailable", True),
        (429, EndpointLimited, "rate_limited", True),
        (500, Unavailable, "unavailable", True),
        (502, Unavailable, "unavailable", True),
        (503, Unavailable, "unavailable", True),
        (504, Unavailable, "unavailable", True),
        (301, Moved, "failed", False),
        (302, Moved, "failed", False),
        (400, GitLabError, "failed", False),
        (418, GitLabError, "failed", False),
        (204, GitLabError, "failed", False),
    ],
)
def test_status_stands_for_one_failure(
    status: int, error: type[GitLabError], reason: str, is_retryable: bool
) -> None:
    answer, told = _answer(status, {"message": f"{status} Words"}), []
    for request in ("/api/v4/x", "/api/v4/groups/a%2Fb/y?page=2&per_page=100"):
        with pytest.raises(GitLabError) as raised:
            check_status(answer, request, NOW)
        assert request in str(raised.value)
        told.append(str(raised.value))
    assert (type(raised.value), raised.value.reason, raised.value.retryable) == (
        error,
        reason,
        is_retryable,
    )
    # First what went wrong, and of each place the same.
    assert [each.startswith(f"{status} Words: ") for each in told] == [True, True]
    assert cause_of(told[0]) == cause_of(told[1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message": {"error": "too many"}}', "{'error': 'too many'}"),
        (b'{"error": "invalid_token", "error_description": "Token is expired."}', "Token is"),
        (b"Retry   later\n", "Retry later"),
        (b"<html><body>blocked</body></html>", "403 Forbidden: "),
        (b"[1, 2]", "[1, 2]"),
        (b"\xff\xfe", "403"),
        (b'{"message": "' + b"x" * 5000 + b'"}', "x" * 200),
        (b"[" * 100_000, "403"),
    ],
)
def test_words_of_a_refusal_are_kept_short_whatever_they_are(body: bytes, said: str) -> None:
    with pytest.raises(Forbidden) as raised:
        check_status(Answer(403, JSON, body, "/"), "/api/v4/x", NOW)
    assert said in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("content_type", ["text/html", "", "text/plain; charset=utf-8"])
@pytest.mark.parametrize(
    ("status", "error"), [(200, Blocked), (401, Blocked), (403, Blocked), (502, Unavailable)]
)
def test_page_for_people_is_neither_data_nor_a_refusal(
    status: int, error: type[GitLabError], content_type: str
) -> None:
    with pytest.raises(GitLabError) as raised:
        check_status(Answer(status, {"content-type": content_type}, b"[]", "/"), "/x", NOW)
    assert (type(raised.value), raised.value.retryable) == (error, True)


RESET = int(NOW.timestamp()) + 30
SPENT = {"ratelimit_limit": "600", "ratelimit_remaining": "0"}


@pytest.mark.parametrize(
    ("status", "headers", "error", "seconds"),
    [
        (403, {**SPENT, "ratelimit_reset": str(RESET)}, RateLimited, 30.0),
        (403, {**SPENT, "retry_after": "9"}, RateLimited, 9.0),
        (403, SPENT, RateLimited, None),
        (403, {**SPENT, "ratelimit_remaining": "1"}, Forbidden, None),
        # the whole account's limit, and that of one endpoint
        (429, {**SPENT, "content_type": "text/plain"}, RateLimited, None),
        (429, SPENT, RateLimited, None),
        (429, {"content_type": "text/plain", "retry_after": "5"}, RateLimited, 5.0),
        (429, {"retry_after": "60"}, EndpointLimited, 60.0),
        (429, {**SPENT, "ratelimit_remaining": "7", "retry_after": "60"}, EndpointLimited, 60.0),
        (503, {"retry_after": "3"}, RateLimited, 3.0),
        (503, {"retry_after": "0"}, Unavailable, None),
    ],
)
def test_wait_is_told_from_a_refusal_and_one_endpoints_limit_from_the_accounts(
    status: int, headers: dict[str, str], error: type[GitLabError], seconds: float | None
) -> None:
    with pytest.raises(GitLabError) as raised:
        check_status(_answer(status, {"message": "no"}, **headers), "/x", NOW)
    assert (type(raised.value), getattr(raised.value, "retry_after", None)) == (error, seconds)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999999999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2026 00:01:30", 90.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", None),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400.0),
        ("Thu, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_never_trusted_beyond_a_day(
    header: str, seconds: float | None
) -> None:
    with pytest.raises(RateLimited) as raised:
        check_status(_answer(429, retry_after=header), "/x", NOW)
    assert raised.value.retry_after == seconds


def test_overload_that_says_when_is_a_wait_not_a_failure() -> None:
    with pytest.raises(RateLimited) as raised:
        check_status(_answer(503, retry_after="3"), "/x", NOW)
    assert raised.value.retry_after == 3


@pytest.mark.parametrize(
    ("location", "project_id"),
    [
        ("https://gitlab.example/api/v4/projects/42", 42),
        ("/api/v4/projects/42", 42),
        ("https://gitlab.example/users/sign_in", None),
        ("https://gitlab.example/api/v4/projects/a%2Fb", None),
        ("http://[bad", None),
        ("", None),
    ],
)
def test_redirect_tells_only_the_id_of_a_moved_project(
    location: str, project_id: int | None
) -> None:
    with pytest.raises(Moved) as raised:
        check_status(_answer(301, location=location), "/x", NOW)
    assert raised.value.project_id == project_id


async def test_retries_back_off_under_a_doubling_ceiling_and_then_give_up() -> None:
    gitlab, script, slept = _gitlab([_answer(500)])
    with pytest.raises(Unavailable):
        await gitlab.page("projects", "per_page=100")
    assert slept == [1, 2, 4, 4]
    assert (len(script.asked), gitlab.tally.requests, gitlab.tally.retries) == (5, 5, 4)


async def test_wait_is_as_long_as_gitlab_says_not_as_the_policy_would() -> None:
    gitlab, _, slept = _gitlab([_answer(429, retry_after="100"), _answer(200, [])], jitter=0.0)
    await gitlab.page("projects", "")
    assert (slept, gitlab.tally.waited_seconds) == ([100], 100)


async def test_limit_that_does_not_say_backs_off_as_other_failures_do() -> None:
    gitlab, _, slept = _gitlab([_answer(429), _answer(200, [])], jitter=0.5)
    await gitlab.page("projects", "")
    assert slept == [0.5]


async def test_long_wait_is_left_to_the_job() -> None:
    gitlab, script, slept = _gitlab([_answer(429, retry_after="121")])
    with pytest.raises(RateLimited) as raised:
        await gitlab.page("projects", "")
    assert (raised.value.retry_after, slept, len(script.asked)) == (121, [], 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 301])
async def test_refusal_is_not_asked_again(status: int) -> None:
    gitlab, script, slept = _gitlab([_answer(status)])
    with pytest.raises(GitLabError):
        await gitlab.single("projects/1")
    assert (len(script.asked), slept) == (1, [])


@pytest.mark.parametrize(
    "bad",
    [
        Answer(200, JSON, b"[1, 2", "/"),
        Answer(200, JSON, b"[1, 2]", "/"),
        Answer(200, JSON, b'{"a": 1}', "/"),
        Answer(200, JSON, b"", "/"),
        Answer(200, JSON, b"\xff", "/"),
        Answer(200, JSON, b"[" * 5000, "/"),
        Answer(200, {"content-type": "text/html"}, b"<html>", "/"),
        Unavailable("reset"),
        UnexpectedReply("cut short"),
    ],
    ids=repr,
)
async def test_answer_that_is_no_list_is_asked_again(bad: Answer | GitLabError) -> None:
    gitlab, script, _ = _gitlab([bad, _answer(200, [{"id": 1}])])
    page = await gitlab.page("projects", "")
    assert ([bytes(row) for row in page.rows], len(script.asked)) == ([b'{"id": 1}'], 2)


async def test_object_is_a_page_of_one_row_and_a_list_is_none() -> None:
    gitlab, _, _ = _gitlab([_answer(200, {"id": 1})])
    assert [bytes(row) for row in (await gitlab.single("projects/1")).rows] == [b'{"id": 1}']
    gitlab, _, _ = _gitlab([_answer(200, [{"id": 1}])], attempts=1)
    with pytest.raises(UnexpectedReply):
        await gitlab.single("projects/1")


async def test_token_is_asked_for_anew_and_shown_in_no_error() -> None:
    tokens = iter(["glpat-canary-1", "glpat-canary-2"])
    gitlab, script, _ = _gitlab([_answer(500), _answer(403, {"message": "no"})])
    gitlab.token = lambda: Secret(next(tokens))
    with pytest.raises(Forbidden) as raised:
        await gitlab.page("projects", "")
    assert [headers["authorization"] for _, headers in script.asked] == [
        "Bearer glpat-canary-1",
        "Bearer glpat-canary-2",
    ]
    assert "canary" not in f"{raised.value!r} {gitlab!r}".replace(repr(script), "")


async def test_refused_token_is_replaced_once_a_request() -> None:
    gitlab, script, _ = _gitlab([_answer(401), _answer(200, []), _answer(401)])
    tokens, refused = ["old"], list[str]()

    async def renew(token: Secret) -> bool:
        refused.append(token.reveal())
        tokens.append("new")
        return True

    gitlab.token = lambda: Secret(tokens[-1])
    gitlab.renew = renew
    await gitlab.page("projects/1/issues", "")
    with pytest.raises(Unauthorized):
        await gitlab.page("projects/1/issues", "")
    sent = [headers["authorization"] for _, headers in script.asked]
    assert sent == ["Bearer old", "Bearer new", "Bearer new", "Bearer new"]
    assert (refused, gitlab.tally.requests) == (["old", "new"], 4)


MINUTE, DAY = 60_000, 86_400_000


@pytest.mark.parametrize(
    ("served", "earliest"),
    [
        ([5 * MINUTE], 5 * MINUTE),
        ([5 * MINUTE, None, 6 * MINUTE], 5 * MINUTE),
        ([5 * MINUTE, 3 * MINUTE], 3 * MINUTE),
        ([None], None),
        # GitLab's clock goes before ours; ours counts unless it was never set.
        ([20 * MINUTE], 10 * MINUTE),
        ([10 * MINUTE + DAY + 1], 10 * MINUTE + DAY + 1),
    ],
)
def test_instant_of_a_visit_is_the_earliest_that_any_clock_tells(
    served: list[int | None], earliest: int | None
) -> None:
    tally = Tally()
    for at in served:
        tally.served(at, 10 * MINUTE)
    assert tally.first_served_at == earliest


@pytest.mark.parametrize(
    ("told", "is_last"),
    [
        ({}, True),
        ({"x_next_page": "2"}, False),
        ({"link": '<http://g/?page=2>; rel="next"'}, False),
    ],
)
async def test_304_to_a_mark_says_that_nothing_changed(told: dict[str, str], is_last: bool) -> None:
    gitlab, script, _ = _gitlab([_answer(304, **told)])
    with pytest.raises(Unchanged, match="is as it was") as caught:
        await gitlab.page("projects/7/labels", "per_page=100", 'W/"1"')
    ((request, headers),) = script.asked
    assert (request, headers["if-none-match"], caught.value.is_last) == (
        "/api/v4/projects/7/labels?per_page=100",
        'W/"1"',
        is_last,
    )


async def test_304_that_nobody_asked_for_is_asked_again() -> None:
    gitlab, script, _ = _gitlab([_answer(304), _answer(200, [])])
    await gitlab.page("projects", "")
    assert len(script.asked) == 2
