"""Ids of many lists by few requests: who waits goes along, and an error is one's own."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from labtrawl.errors import Forbidden, GitLabError, Unavailable, UnexpectedReply
from labtrawl.gitlab.graphql import TooCostly
from labtrawl.gitlab.graphql_ids import MOST_LISTS, Pool, Told, Wanted
from labtrawl.http import Answer
from tests.unit.crawler.desk import JSON, broken, said
from tests.unit.crawler.shelf import gitlab_of

# As often as one question is sent before it fails (`gitlab_of`).
ATTEMPTS = 2
AT = "2026-01-02T03:04:05Z"
DATE = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}


@dataclass(slots=True)
class Ids:
    """Projects whose lists have two rows each; above `most` lists it gives up on time.

    The first `answers` of its answers are `answer`. `gate` holds all back, and `heard` tells of the
    first question. `lists` keeps how many lists each one named.
    """

    most: int = 1000
    limit: int | None = None
    hidden: set[int] = field(default_factory=set)
    answer: Answer | None = None
    answers: int = 1000
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    lists: list[int] = field(default_factory=list)

    async def request(self, _method: str, _path: str, _headers: object, body: bytes) -> Answer:
        variables = json.loads(body)["variables"]
        groups = [name for name in variables if name.startswith("p")]
        self.lists.append(sum(len(variables[name]) for name in groups))
        self.heard.set()
        await self.gate.wait()
        if self.answer is not None and len(self.lists) <= self.answers:
            return self.answer
        if self.lists[-1] > self.most:
            return broken("Timeout on Project.issues")
        told = {f"g{name[1:]}": self._group(variables, name[1:]) for name in groups}
        complexity = {"score": 1, "limit": self.limit} if self.limit else None
        answer = said({"queryComplexity": complexity, **told})
        return Answer(200, {**JSON, **DATE}, answer.body, "/")

    def _group(self, variables: dict[str, Any], at: str) -> dict[str, Any]:
        numbers = [int(gid.rsplit("/", 1)[1]) for gid in variables[f"p{at}"]]
        assert variables[f"n{at}"] == len(numbers)
        return {"nodes": [self._project(one, variables[f"a{at}"]) for one in numbers]}

    def _project(self, number: int, after: str | None) -> dict[str, Any]:
        start = 10 * number + int(after or 0)
        nodes = [{"id": f"gid://gitlab/Issue/{start + n}", "updatedAt": AT} for n in range(2)]
        info = {"hasNextPage": after is None, "endCursor": "2"}
        items = None if number in self.hidden else {"pageInfo": info, "nodes": [*nodes, None]}
        return {"id": f"gid://gitlab/Project/{number}", "fullPath": f"p{number}", "items": items}


def _told(number: int, after: str | None = None) -> Told:
    start = 10 * number + int(after or 0)
    following = "2" if after is None else None
    return Told(f"p{number}", {start: AT, start + 1: AT}, following, 1_767_225_600_000)


async def _all(pool: Pool, ids: Ids, wanted: list[Wanted]) -> list[Told | BaseException]:
    """Ask for all at once: the first goes alone, and the others when it is answered."""
    asked = [asyncio.ensure_future(pool.page(gitlab_of(ids), one)) for one in wanted]
    await ids.heard.wait()
    ids.gate.set()
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_lists_that_wait_share_one_request_whatever_they_are_of() -> None:
    ids, pool = Ids(), Pool()
    wanted = [Wanted(1, "issues"), *(Wanted(n, "pipelines") for n in range(2, 8))]
    wanted += [Wanted(8, "issues", "2"), Wanted(9, "issues")]
    found = await _all(pool, ids, wanted)
    assert found == [_told(one.project, one.after) for one in wanted]
    assert ids.lists == [1, 8]


async def test_one_request_asks_for_no_more_lists_than_gitlab_is_to_read_at_once() -> None:
    ids, pool = Ids(), Pool()
    wanted = [Wanted(n, "issues") for n in range(1, 2 * MOST_LISTS + 2)]
    found = await _all(pool, ids, wanted)
    assert found == [_told(one.project) for one in wanted]
    assert ids.lists == [1, MOST_LISTS, MOST_LISTS]


@pytest.mark.parametrize(("limit", "asked"), [(None, [1, 9, 9, 2]), (300, [1, 13, 7])])
async def test_pages_of_their_own_are_as_many_as_the_limit_of_complexity_allows(
    limit: int | None, asked: list[int]
) -> None:
    """Lists that go on from other places cost twenty-one each."""
    ids, pool = Ids(limit=limit), Pool()
    wanted = [Wanted(n, "issues", str(n)) for n in range(1, 22)]
    found = await _all(pool, ids, wanted)
    assert found == [_told(one.project, one.after) for one in wanted]
    assert ids.lists == asked


async def test_too_much_at_once_is_asked_for_in_halves() -> None:
    ids, pool = Ids(most=3), Pool()
    wanted = [Wanted(n, "issues") for n in range(1, 14)]
    found = await _all(pool, ids, wanted)
    assert found == [_told(one.project) for one in wanted]
    assert ids.lists[:4] == [1, 12, 6, 3]
    assert sum(lists for lists in ids.lists if lists <= 3) == 13


async def test_list_that_is_too_much_alone_is_an_error() -> None:
    ids, pool = (
        Ids(answer=broken("Query has complexity of 301, which exceeds max complexity of 250")),
        Pool(),
    )
    found = await _all(pool, ids, [Wanted(1, "issues")])
    assert [type(one) for one in found] == [TooCostly]


async def test_list_that_is_null_is_forbidden_and_costs_the_others_nothing() -> None:
    ids, pool = Ids(hidden={2}), Pool()
    found = await _all(pool, ids, [Wanted(n, "issues") for n in (1, 2, 3)])
    assert [found[0], found[2]] == [_told(1), _told(3)]
    assert isinstance(found[1], Forbidden)


async def test_error_belongs_to_who_asked_and_the_others_ask_themselves() -> None:
    ids, pool = Ids(answer=broken("Internal server error", status=500), answers=ATTEMPTS), Pool()
    found = await _all(pool, ids, [Wanted(n, "issues") for n in (1, 2, 3)])
    assert isinstance(found[0], Unavailable)
    assert found[1:] == [_told(2), _told(3)]


async def test_who_is_cancelled_while_asking_leaves_the_turn_to_the_next() -> None:
    ids, pool = Ids(), Pool()
    first, second = (
        asyncio.ensure_future(pool.page(gitlab_of(ids), Wanted(n, "issues"))) for n in (1, 2)
    )
    await ids.heard.wait()
    first.cancel()
    ids.gate.set()
    assert await second == _told(2)
    assert first.cancelled()
    assert (pool._waiting, pool._told) == ({}, {})


@pytest.mark.parametrize(
    "group",
    [
        None,
        {"nodes": [{"id": "gid://gitlab/Project/1", "fullPath": "p", "items": {"nodes": []}}]},
        {"nodes": [{"id": "no number", "fullPath": "p", "items": None}]},
        {"nodes": [{"id": "gid://gitlab/Project/1", "fullPath": "p", "items": {"pageInfo": {"hasNextPage": True, "endCursor": None}, "nodes": []}}]},
        {"nodes": [{"id": "gid://gitlab/Project/1", "fullPath": "p", "items": {"pageInfo": {"hasNextPage": False, "endCursor": ""}, "nodes": [{"id": "x", "updatedAt": None}]}}]},
    ],
    ids=["none", "no page", "project", "no cursor", "row"],
)  # fmt: skip
async def test_answer_in_another_shape_is_no_list(group: object) -> None:
    ids, pool = Ids(answer=said({"g0": group})), Pool()
    found = await _all(pool, ids, [Wanted(1, "issues")])
    assert [type(one) for one in found] == [UnexpectedReply]
    assert issubclass(UnexpectedReply, GitLabError)
