"""Questions to GraphQL: what counts as data, each shape of an error, what is sent again."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

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
from labtrawl.gitlab.client import GitLab
from labtrawl.gitlab.graphql import NotInSchema, Reply, TooCostly, TooSlow, query
from labtrawl.http import Answer, Http

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JSON = {"content-type": "application/json"}
DATA: dict[str, Any] = {"projects": {"nodes": []}}


@dataclass(slots=True)
class Script:
    """Answers in the order given; the last one again and again."""

    answers: list[Answer]
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append((method, path, headers, json.loads(body)))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _answer(status: int, body: object, **headers: str) -> Answer:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {**JSON, **told}, content, "/")


def _errors(message: str, **more: Any) -> dict[str, Any]:
    return {"errors": [{"message": message, **more}]}


def _gitlab(*answers: Answer, attempts: int = 3) -> tuple[GitLab, Script, list[float]]:
    script, slept = Script(list(answers)), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    gitlab = GitLab(
        cast("Http", script),
        lambda: Secret("glpat-canary"),
        Clock(lambda: NOW, lambda: 0.0, sleep),
        RetryPolicy(attempts),
        lambda: 1.0,
    )
    return gitlab, script, slept


async def test_question_is_posted_and_its_answer_is_whole_data() -> None:
    tree = {"queryComplexity": {"score": 12, "limit": 250}, **DATA}
    gitlab, script, _ = _gitlab(_answer(200, {"data": tree}))
    data = await query(gitlab, "query a($first:Int){a}", {"first": 2})
    assert data == Reply(tree, 12, 250, data.sha256, "2026-01-01T00:00:00.000+00:00")
    assert script.asked == [
        (
            "POST",
            "/api/graphql",
            {
                "authorization": "Bearer glpat-canary",
                "accept": "application/json",
                "content-type": "application/json",
            },
            {"query": "query a($first:Int){a}", "variables": {"first": 2}, "operationName": "a"},
        )
    ]


@pytest.mark.parametrize(
    ("answer", "error", "is_retryable"),
    [
        (
            _answer(
                200, _errors("Query has complexity of 300, which exceeds max complexity of 250")
            ),
            TooCostly,
            True,
        ),
        (_answer(422, _errors("Query too large")), TooCostly, True),
        (_answer(200, {"data": DATA, **_errors("Timeout on Issue.notes")}), TooSlow, True),
        (
            _answer(503, _errors("Request timed out. Please try a less complex query")),
            TooSlow,
            True,
        ),
        (_answer(504, b"<html>"), TooSlow, True),
        (_answer(200, _errors("Field 'a' doesn't exist on type 'Issue'")), NotInSchema, False),
        (
            _answer(200, _errors("Field 'a' doesn't accept argument 'b'")),
            NotInSchema,
            False,
        ),
        (
            _answer(200, _errors("whatever", extensions={"code": "undefinedField"})),
            NotInSchema,
            False,
        ),
        (_answer(401, _errors("Invalid token")), Unauthorized, False),
        (_answer(403, _errors("")), Forbidden, False),
        (_answer(404, {"error": "404 Not Found"}), NotFound, False),
        (_answer(429, _errors("Too many requests"), retry_after="7"), RateLimited, True),
        (
            _answer(200, _errors("This endpoint has been requested too many times")),
            RateLimited,
            True,
        ),
        (_answer(500, _errors("Internal server error")), Unavailable, True),
        (_answer(200, _errors("Internal server error")), Unavailable, True),
        (_answer(422, _errors("Variable $a was provided invalid value")), GitLabError, False),
        (_answer(200, {"data": DATA, **_errors("No such thing")}), GitLabError, False),
        (_answer(200, {"data": None}), UnexpectedReply, True),
        (_answer(200, b"[]"), UnexpectedReply, True),
        (_answer(200, b"{"), UnexpectedReply, True),
        (_answer(200, b"<html>", content_type="text/html"), UnexpectedReply, True),
    ],
)
async def test_answer_with_errors_is_never_data(
    answer: Answer, error: type[GitLabError], is_retryable: bool
) -> None:
    gitlab, _, _ = _gitlab(answer, attempts=1)
    with pytest.raises(error) as raised:
        await query(gitlab, "query a($b:Int){a}", {})
    assert raised.value.retryable is is_retryable
    assert "canary" not in str(raised.value)
    if error is GitLabError:
        assert type(raised.value) is GitLabError


async def test_error_that_says_most_decides() -> None:
    errors = {"errors": [{"message": "Bad"}, {"message": "Timeout on Issue.notes"}]}
    gitlab, _, _ = _gitlab(_answer(200, {"data": DATA, **errors}))
    with pytest.raises(TooSlow):
        await query(gitlab, "query a($b:Int){a}", {})


@pytest.mark.parametrize("message", ["exceeds max complexity", "Timeout on Issue.notes"])
async def test_question_that_is_too_much_is_not_sent_again(message: str) -> None:
    gitlab, script, slept = _gitlab(_answer(200, _errors(message)))
    with pytest.raises((TooCostly, TooSlow)):
        await query(gitlab, "query a($b:Int){a}", {})
    assert (len(script.asked), slept) == (1, [])


async def test_failure_of_gitlab_is_tried_again_and_a_429_waits_as_told() -> None:
    gitlab, script, slept = _gitlab(
        _answer(500, _errors("Internal server error")),
        _answer(429, _errors("Too many requests"), retry_after="7"),
        _answer(200, {"data": DATA}),
    )
    assert (await query(gitlab, "query a($b:Int){a}", {})).tree == DATA
    assert (len(script.asked), slept[1], gitlab.tally.requests) == (3, 7.0, 3)


async def test_token_that_was_replaced_is_used_at_once() -> None:
    gitlab, script, _ = _gitlab(
        _answer(401, _errors("Invalid token")), _answer(200, {"data": DATA})
    )

    async def renew(_refused: Secret) -> bool:
        return True

    gitlab.renew = renew
    assert (await query(gitlab, "query a($b:Int){a}", {})).tree == DATA
    assert len(script.asked) == 2


async def test_complexity_in_another_shape_loses_nothing() -> None:
    gitlab, _, _ = _gitlab(_answer(200, {"data": {**DATA, "queryComplexity": "much"}}))
    data = await query(gitlab, "query a($b:Int){a}", {})
    assert (data.score, data.limit) == (None, None)
