"""GitLab's rate limit headers, and the request path with a meter."""

from datetime import UTC, datetime

import pytest

from labtrawl.errors import NotFound, RateLimited
from labtrawl.gitlab.limits import Limits, Meter, read_limits
from labtrawl.http import Answer
from tests.unit.gitlab.test_client import _answer, _gitlab

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESET = int(NOW.timestamp()) + 30
IN_30_SECONDS = RESET * 1000


def _told(**headers: str) -> Answer:
    return Answer(200, {name.replace("_", "-"): text for name, text in headers.items()}, b"", "/")


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (
            {
                "ratelimit_limit": "600",
                "ratelimit_remaining": "599",
                "ratelimit_reset": str(RESET),
                "ratelimit_observed": "1",
                "ratelimit_name": "throttle_authenticated_api",
            },
            Limits(600, 599, IN_30_SECONDS),
        ),
        ({}, None),
        ({"ratelimit_limit": "600"}, Limits(600, None, None)),
        ({"ratelimit_limit": "600, 600;w=60"}, None),
        ({"ratelimit_limit": "-1"}, None),
        ({"ratelimit_limit": "9" * 13}, None),
        ({"ratelimit_limit": "٦"}, None),
        ({"ratelimit_limit": "60", "ratelimit_remaining": "x"}, Limits(60, None, None)),
        # a GitLab whose clock is a minute behind
        (
            {
                "ratelimit_limit": "60",
                "ratelimit_reset": str(RESET - 60),
                "date": "Wed, 31 Dec 2025 23:59:00 GMT",
            },
            Limits(60, None, IN_30_SECONDS),
        ),
        (
            {"ratelimit_limit": "60", "ratelimit_reset": str(RESET), "date": "today"},
            Limits(60, None, IN_30_SECONDS),
        ),
    ],
)
def test_limit_is_read_from_the_headers(headers: dict[str, str], limits: Limits | None) -> None:
    assert read_limits(_told(**headers), NOW) == limits


async def test_every_try_takes_from_the_meter_and_tells_it_what_was_seen() -> None:
    seen: list[object] = []

    async def take() -> None:
        seen.append("take")

    refused = _answer(429, ratelimit_limit="60", ratelimit_remaining="0", retry_after="7")
    bare = _answer(429)
    gitlab, _, slept = _gitlab([refused, bare, _answer(200, [])])
    gitlab.meter = Meter(take, seen.append, lambda seconds: seen.append(("refused", seconds)))
    await gitlab.page("issues", "")
    assert seen == [
        *("take", Limits(60, 0, None), ("refused", 7.0)),
        # without a word of GitLab as long as the request itself waits
        *("take", None, ("refused", 2.0)),
        *("take", None),
    ]
    assert slept == [7.0, 2.0]


async def test_meter_is_told_of_a_refusal_though_nothing_is_tried_again() -> None:
    seen: list[float] = []

    async def take() -> None:
        return None

    gitlab, _, _ = _gitlab([_answer(429, retry_after="900")])
    gitlab.meter = Meter(take, lambda _: None, seen.append)
    with pytest.raises(RateLimited):
        await gitlab.page("issues", "")
    assert seen == [900.0]


async def test_budget_that_is_spent_for_long_ends_the_try_and_sends_nothing() -> None:
    seen: list[float] = []

    async def take() -> None:
        raise RateLimited("spent", 900.0)

    gitlab, script, slept = _gitlab([_answer(200, [])])
    gitlab.meter = Meter(take, lambda _: None, seen.append)
    with pytest.raises(RateLimited) as failure:
        await gitlab.page("issues", "")
    assert (failure.value.retry_after, script.asked, slept, seen) == (900.0, [], [], [])


async def test_other_failures_are_no_refusal_of_the_account() -> None:
    seen: list[float] = []

    async def take() -> None:
        return None

    gitlab, _, _ = _gitlab([_answer(404)])
    gitlab.meter = Meter(take, lambda _: None, seen.append)
    with pytest.raises(NotFound):
        await gitlab.page("issues", "")
    assert seen == []
