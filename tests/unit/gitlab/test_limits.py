"""GitLab's rate limit headers, and the request path with a meter."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from labtrawl.errors import NotFound, RateLimited
from labtrawl.gitlab.limits import CLASSES, REST, Limits, Meter, class_of, read_limits
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
            Limits(600, 599, IN_30_SECONDS, RESET),
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
            Limits(60, None, IN_30_SECONDS, RESET - 60),
        ),
        (
            {"ratelimit_limit": "60", "ratelimit_reset": str(RESET), "date": "today"},
            Limits(60, None, IN_30_SECONDS, RESET),
        ),
    ],
)
def test_limit_is_read_from_the_headers(headers: dict[str, str], limits: Limits | None) -> None:
    assert read_limits(_told(**headers), NOW) == limits


@pytest.mark.parametrize(
    ("path", "class_"),
    [
        ("projects/12/members/all", "members_all"),
        ("groups/a%2Fb/members/all", "members_all"),
        ("projects/12/members", REST),
        ("projects/12/jobs", "jobs_list"),
        ("projects/12/jobs/7", REST),
        ("projects/12", "project_single"),
        ("projects/a%2Fb", "project_single"),
        ("projects/12/issues", REST),
        ("projects", "projects_list"),
        ("groups", "groups_list"),
        ("groups/12", "group_single"),
        ("groups/12/projects", "group_projects"),
        ("groups/12/subgroups", REST),
        ("users/12", "users_single"),
        ("users", REST),
        ("search", "search"),
        ("groups/12/search", "search"),
        ("projects/12/search", "search"),
        ("projects/12/repository/files/a%2Fb/raw", "files"),
        ("projects/12/repository/files/a", "files"),
        ("projects/12/repository/commits", REST),
        ("graphql", REST),
        ("", REST),
        ("/groups/", "groups_list"),
    ],
)
def test_path_belongs_to_the_class_whose_limit_it_counts_for(path: str, class_: str) -> None:
    assert class_of(path) == class_
    assert class_ in CLASSES


def _meter(seen: list[object]) -> Meter:
    async def take(class_: str) -> None:
        seen.append(("take", class_))

    return Meter(
        take,
        lambda class_, limits: seen.append((class_, limits)),
        lambda class_, seconds: seen.append(("refused", class_, seconds)),
        lambda: seen.append("blocked"),
    )


async def test_every_try_takes_from_the_meter_and_tells_it_what_was_seen() -> None:
    seen: list[object] = []
    refused = _answer(429, ratelimit_limit="60", ratelimit_remaining="0", retry_after="7")
    own = _answer(429, retry_after="60")
    page = Answer(403, {"content-type": "text/html"}, b"<html>", "/")
    gitlab, _, slept = _gitlab([refused, own, page, _answer(429), _answer(200, [])])
    gitlab.meter = _meter(seen)
    await gitlab.page("projects/1/jobs", "")
    take = ("take", "jobs_list")
    assert seen == [
        *(take, ("jobs_list", Limits(60, 0, None)), ("refused", REST, 7.0)),
        *(take, ("jobs_list", None), ("refused", "jobs_list", 60.0)),
        *(take, "blocked"),
        # how long nobody says: the website does, before the next is taken
        *(take, ("jobs_list", None), ("refused", "jobs_list", None)),
        *(take, ("jobs_list", None)),
    ]
    assert slept == [7.0, 60.0, 4.0, 4.0]


async def test_meter_is_told_of_a_refusal_though_nothing_is_tried_again() -> None:
    seen: list[object] = []
    gitlab, _, _ = _gitlab([_answer(429, retry_after="900")])
    gitlab.meter = _meter(seen)
    with pytest.raises(RateLimited):
        await gitlab.page("issues", "")
    assert seen[-1] == ("refused", REST, 900.0)


async def test_budget_that_is_spent_for_long_ends_the_try_and_sends_nothing() -> None:
    seen: list[object] = []

    async def take(_class: str) -> None:
        raise RateLimited("spent", 900.0)

    gitlab, script, slept = _gitlab([_answer(200, [])])
    gitlab.meter = replace(_meter(seen), take=take)
    with pytest.raises(RateLimited) as failure:
        await gitlab.page("issues", "")
    assert (failure.value.retry_after, script.asked, slept, seen) == (900.0, [], [], [])


async def test_other_failures_are_no_refusal_of_the_account() -> None:
    seen: list[object] = []
    gitlab, _, _ = _gitlab([_answer(404)])
    gitlab.meter = _meter(seen)
    with pytest.raises(NotFound):
        await gitlab.page("issues", "")
    assert seen == [("take", REST), (REST, None)]
