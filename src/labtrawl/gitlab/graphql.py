"""Asking GitLab's GraphQL on the one request path: an answer is whole data, or an error.

What errors look like: app/controllers/graphql_controller.rb, app/graphql/gitlab_schema.rb and
lib/gitlab/graphql/timeout.rb of GitLab 19.3, doc/api/graphql/_index.md, "Limits".
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from labtrawl.errors import (
    GitLabError,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)
from labtrawl.gitlab.client import GitLab, TooMuch, check_status
from labtrawl.gitlab.pages import served_at
from labtrawl.http import Answer

PATH = "graphql"
MESSAGE_LENGTH = 200


class TooCostly(TooMuch):
    """The query passes the limit of complexity or of length; it was not run."""


class TooSlow(TooMuch):
    """GitLab gave up on time; what it sent of the data is not to be used."""

    reason = "unavailable"


class NotInSchema(GitLabError):
    """This GitLab does not know a field, an argument or a type of the query."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: `tree` is its `data`; `score` and `limit` the complexity, where asked for.

    `fetched_at` is an instant in ISO 8601, `sha256` the hash of the answer as it came, `served_at`
    GitLab's own time of it (ms) where it tells one.
    """

    tree: dict[str, Any]
    score: int | None
    limit: int | None
    sha256: str
    fetched_at: str
    served_at: int | None = None


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    extensions: dict[str, Any] | None = None


class _Envelope(msgspec.Struct, frozen=True):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None


class _Complexity(msgspec.Struct, frozen=True):
    score: int | None = None
    limit: int | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)

# By GitLab's words; the first that fits decides. graphql-ruby's codes say more where there is one.
_KNOWN: tuple[tuple[re.Pattern[str], type[GitLabError], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error, said)
    for pattern, error, said in (
        (r"exceeds max complexity|query too large", TooCostly, "the query asks for too much"),
        (r"^timeout on |^request timed out", TooSlow, "GitLab gave up on time"),
        (r"too many (times|requests)|throttled", RateLimited, "GitLab asks to wait"),
        (r"^invalid token|^unauthorized", Unauthorized, "GitLab refused the token"),
        (r"internal server error", Unavailable, "GitLab failed"),
        (
            r"doesn't exist on type|doesn't accept argument|no such type|isn't a defined|"
            r"cannot query field|unknown (argument|type)|(type|nullability) mismatch",
            NotInSchema,
            "this GitLab's schema does not have it",
        ),
    )
)
_UNKNOWN_CODES = frozenset(
    {
        "undefinedField",
        "argumentNotAccepted",
        "undefinedType",
        "variableMismatch",
        "variableRequiresValidType",
        "argumentLiteralsIncompatible",
        "cannotSpreadFragment",
        "selectionMismatch",
        "fragmentOnNonCompositeType",
    }
)


async def query(gitlab: GitLab, document: str, variables: dict[str, Any]) -> Reply:
    """Ask one query; where there is any error there is no data, however much of it came along.

    Raises GitLabError; of these TooCostly and TooSlow where less at once may be answered, and
    NotInSchema where this GitLab never will.
    """
    name = document.partition("(")[0].removeprefix("query").strip()
    asked = {"query": document, "variables": variables, "operationName": name or None}
    body = msgspec.json.encode(asked)
    answer, at = await gitlab.post(PATH, body, _check)
    tree = _ENVELOPE.decode(answer.body).data or {}
    complexity = _complexity(tree)
    return Reply(
        tree,
        complexity.score,
        complexity.limit,
        hashlib.sha256(answer.body).hexdigest(),
        at.isoformat(timespec="milliseconds"),
        served_at(answer),
    )


def _complexity(tree: dict[str, Any]) -> _Complexity:
    """What it cost is a hint: nothing is lost where it is told in another shape."""
    try:
        return msgspec.convert(tree.get("queryComplexity"), _Complexity | None) or _Complexity()
    except msgspec.ValidationError:
        return _Complexity()


def _check(answer: Answer, request: str, now: datetime) -> None:
    """Raise what an answer stands for: a wait, then its errors, its status, its lack of data."""
    reply = _read(answer)
    if reply is not None and reply.errors and answer.status != 429:
        for error in reply.errors:
            _raise_known(error, request)
        check_status(answer, request, now)
        raise GitLabError(f"{_said(reply.errors)}: GitLab refused a query at {request}")
    if answer.status in (408, 504):
        raise TooSlow(f"{answer.status}: GitLab or a proxy gave up on time at {request}")
    check_status(answer, request, now)
    if reply is None or reply.data is None:
        raise UnexpectedReply(f"GitLab answered with no data ({request})")


def _read(answer: Answer) -> _Envelope | None:
    try:
        return _ENVELOPE.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _raise_known(error: _Error, request: str) -> None:
    said = _said([error])
    if (error.extensions or {}).get("code") in _UNKNOWN_CODES:
        raise NotInSchema(f"{said}: this GitLab's schema does not have it ({request})")
    for pattern, kind, meaning in _KNOWN:
        if pattern.search(error.message):
            raise kind(f"{said}: {meaning} ({request})")


def _said(errors: list[_Error]) -> str:
    return " ".join("; ".join(error.message for error in errors).split())[:MESSAGE_LENGTH]
