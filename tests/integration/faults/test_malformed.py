"""Generated malformed answers: each is refused as a failure of GitLab, or read whole. Nothing else.

Real pages of the look-alike are spoilt at a place and in a way that a seed decides. What the
crawler takes, another JSON parser takes too, with the same rows: no row is lost silently.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from labtrawl.clock import Clock
from labtrawl.crawler.cursor import Cursor
from labtrawl.crawler.ledger import report_of
from labtrawl.crawler.lists import batches
from labtrawl.crawler.reader import Reader
from labtrawl.dataset import policy
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import GitLabError
from labtrawl.gitlab.catalog import find
from labtrawl.gitlab.client import GitLab
from labtrawl.http import Answer, Http, Limits, Origin, open_http
from labtrawl.sandbox import running
from tests.integration.faults.crawling import ONE, WORLD

NAMES = ("project", "members", "labels", "milestones", "issues", "merge_requests", "pipelines")
TOKENS = (b"null", b"NaN", b"-", b"1e999", b"[", b"]", b"{}", b",", b'"', b"\\u", b"\x00", b"\n")
HEADERS = {
    "link": ("<", '<http://x/?page=2>; rel="nxt"', "\xff", ">;" * 2000),
    "x-total": ("-1", "9" * 40, "many", "1e3", ""),
    "x-next-page": ("", "0", "-1", "9" * 40, "two"),
    "content-type": ("text/html", "", "application/json; charset=utf-16", "image/png"),
    "date": ("", "yesterday", "Thu, 99 Foo 99999 00:00:00 GMT"),
}


@dataclass(slots=True)
class Once:
    """A GitLab that gives one answer, whatever it is asked."""

    answer: Answer

    async def get(self, _request: str, _headers: dict[str, str]) -> Answer:
        return self.answer


def _reader(http: object, name: str) -> Reader:
    async def no_sleep(_seconds: float) -> None:
        return None

    resource = find("project", name)
    assert resource is not None
    clock = Clock(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: 0.0, no_sleep)
    gitlab = GitLab(cast("Http", http), lambda: Secret("t"), clock, RetryPolicy(1), lambda: 0.0)
    return Reader(gitlab, resource, ONE.id, "16.0", (16, 0))


async def _answers() -> dict[str, Answer]:
    """The right answers to each first page."""
    token = WORLD.accounts[0].token
    found = {}
    async with running(WORLD) as server:
        origin = Origin(server.url, address_allow=("127.0.0.1",))
        async with open_http(origin, Limits(), "labtrawl/test") as http:
            for name in NAMES:
                reader = _reader(http, name)
                request = f"/api/v4/{reader.path(reader.resource)}?per_page=100"
                found[name] = await http.get(request, {"private-token": token})
    return found


def _place(chance: random.Random, body: bytes) -> int:
    return chance.randrange(len(body) + 1)


def _cut(chance: random.Random, body: bytes) -> bytes:
    return body[: _place(chance, body)]


def _drop(chance: random.Random, body: bytes) -> bytes:
    at = _place(chance, body)
    return body[:at] + body[at + chance.choice((1, 2, 10, 300)) :]


def _repeat(chance: random.Random, body: bytes) -> bytes:
    at = _place(chance, body)
    return body[:at] + body[at : at + chance.choice((1, 5, 200))] * 2 + body[at:]


def _flip(chance: random.Random, body: bytes) -> bytes:
    spoilt = bytearray(body)
    for _ in range(chance.choice((1, 1, 3, 20))):
        spoilt[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(spoilt)


def _insert(chance: random.Random, body: bytes) -> bytes:
    at = _place(chance, body)
    return body[:at] + chance.choice(TOKENS) + body[at:]


def _encode(chance: random.Random, body: bytes) -> bytes:
    encodings = ("utf-16", "utf-8-sig", "utf-32-le", "utf-7")
    return body.decode().encode(chance.choice(encodings))


def _nest(chance: random.Random, body: bytes) -> bytes:
    depth = chance.choice((3, 200, 5000))
    return chance.choice((b"[" * depth + body, b"[" * depth + body + b"]" * depth))


def _other(chance: random.Random, _body: bytes) -> bytes:
    return chance.choice((b"", b" ", b"null", b"{}", b"[]x", b"<html>", b"[null]", b"[[]]", b'"x"'))


def _field(chance: random.Random, body: bytes) -> bytes:
    """Another value for one field of one row."""
    told = json.loads(body)
    rows = told if isinstance(told, list) else [told]
    if not rows:
        return body
    row = chance.choice(rows)
    name = chance.choice(["id", "iid", *row])
    values: tuple[Any, ...] = (
        None,
        "",
        "7",
        -1,
        1.5,
        2**64,
        [],
        {},
        True,
        "\ud83d",
        "x" * 1000,
        int("9" * 400),
    )
    row[name] = chance.choice(values)
    return json.dumps(told).encode()


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _cut,
    _drop,
    _repeat,
    _flip,
    _insert,
    _encode,
    _nest,
    _other,
    _field,
)


def _spoilt(chance: random.Random, right: Answer) -> Answer:
    if chance.random() < 0.1:
        name = chance.choice(sorted(HEADERS))
        headers = {**right.headers, name: chance.choice(HEADERS[name])}
        return Answer(right.status, headers, right.body, right.url)
    if chance.random() < 0.05:
        status = chance.choice((100, 204, 206, 299, 302, 304, 400, 409, 418, 499, 520, 999))
        return Answer(status, right.headers, right.body, right.url)
    body = chance.choice(WAYS)(chance, right.body)
    return Answer(right.status, right.headers, body, right.url)


def _no_constant(text: str) -> None:
    raise ValueError(text)


async def _read(name: str, answer: Answer) -> tuple[list[Any], str]:
    """The rows that reached the dataset, and what the ledger says where they are not all."""
    reader = _reader(Once(answer), name)
    rows, cursor = [], Cursor()
    async for batch in batches(reader, Cursor()):
        cursor = batch.cursor
        for record in batch.records:
            line = policy.apply("as_is", name, record).line
            rows.append(json.loads(line, parse_constant=_no_constant)["body"])
    report = report_of(reader.resource, cursor)
    is_short = report.expected is not None and report.expected != cursor.items
    return rows, "gap" if is_short or report.reason else ""


async def _outcome(name: str, answer: Answer, right: list[Any]) -> str:
    try:
        rows, said = await _read(name, answer)
    except GitLabError as error:
        return type(error).__name__
    told = json.loads(answer.body, parse_constant=_no_constant)
    expected = told if isinstance(told, list) else [told]
    assert rows == expected, f"rows of {name} are not those of the answer"
    if len(rows) < len(right) and not said:
        # GitLab gave a shorter list in good JSON: only its own count can tell.
        assert "x-total" not in answer.headers, f"{name}: {len(rows)} of {len(right)} rows"
    return said or "read"


@pytest.mark.parametrize(
    "count", [300, pytest.param(100_000, marks=[pytest.mark.proof, pytest.mark.timeout(1800)])]
)
async def test_malformed_answer_is_an_error_or_read_whole(
    count: int, record_property: Callable[[str, object], None]
) -> None:
    answers = await _answers()
    rights = {name: json.loads(answer.body) for name, answer in answers.items()}
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        chance = random.Random(f"malformed/{seed}")
        name = chance.choice(NAMES)
        right = rights[name] if isinstance(rights[name], list) else [rights[name]]
        try:
            outcomes[await _outcome(name, _spoilt(chance, answers[name]), right)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed} of {name} broke the reader") from error
    record_property("outcomes", dict(outcomes))
    assert outcomes["UnexpectedReply"] > count / 3
    assert outcomes["read"] > 0
