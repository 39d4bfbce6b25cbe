"""What a crawl costs at least, reckoned from what GitLab told: never more than it will cost."""

import pytest

from labtrawl.cli.forecast import (
    Choice,
    Counted,
    Forecast,
    Listed,
    Pace,
    Seen,
    Told,
    length,
    reckon,
)
from labtrawl.domain.area import AreaKind
from labtrawl.gitlab.catalog import Resource
from labtrawl.gitlab.graphql_plans import Edition

GROUP, PROJECT = AreaKind.GROUP, AreaKind.PROJECT
LAB = Seen(GROUP, "lab")
ONE, TWO = Seen(PROJECT, "lab/one", issues=7), Seen(PROJECT, "lab/two", issues=5)
OFF = Seen(PROJECT, "lab/off", {"issues_access_level": "disabled"}, empty_repository=True)
PACE = Pace()


def choice(*names: str, exclude: tuple[str, ...] = (), edition: Edition | None = None) -> Choice:
    def is_wanted(resource: Resource) -> bool:
        return resource.name in names

    return Choice(is_wanted, exclude, edition)


def told(*projects: Seen, total: int = 0, counted: tuple[Counted, ...] = ()) -> Told:
    listed = (Listed(GROUP, [LAB], 1), Listed(PROJECT, projects, total or len(projects)))
    return Told(listed, counted)


def test_each_list_that_is_not_switched_off_is_a_request() -> None:
    found = reckon(told(ONE, TWO, OFF), choice("members", "issues", "commits", "pipelines"), PACE)
    # Members of four areas, issues and commits of two projects, pipelines of three; two of areas.
    assert found == Forecast(1, 3, 11, 13, True, True, PACE)


def test_of_unseen_projects_only_what_nothing_switches_off_is_counted() -> None:
    found = reckon(told(ONE, total=250), choice("members", "issues"), PACE)
    assert found == Forecast(1, 250, 252, 256, True, False, PACE)


def test_items_are_counted_where_gitlab_counts_them_and_by_open_issues_elsewhere() -> None:
    asked = choice("issue_label_events")
    assert reckon(told(ONE, TWO), asked, PACE).requests == 2 + 2 + 7 + 5
    whole = told(ONE, TWO, counted=(Counted("Lab", {"issues": 40, "merge_requests": 9}),))
    assert reckon(whole, asked, PACE).requests == 2 + 2 + 40
    part = told(ONE, TWO, counted=(Counted("lab/one", {"issues": 40}),))
    assert reckon(part, asked, PACE).requests == 2 + 2 + 40 + 5


def test_open_issues_are_no_bound_for_what_changed_of_late() -> None:
    asked = Choice(lambda resource: resource.name == "issue_label_events", has_since=True)
    assert reckon(told(ONE, TWO), asked, PACE).requests == 2 + 2


@pytest.mark.parametrize(
    ("resource", "edition", "requests"),
    [
        # 950 of them: a page of a hundred at a time, fifty with a question, or one by one.
        ("issues", None, 10),
        ("issue_discussions", Edition((18, 5), False), 19),
        ("issue_discussions", None, 2 + 950),
        ("issue_label_events", Edition((18, 5), False), 2 + 950),
        # Their rows may tell that they have none.
        ("merge_request_reviewers", None, 2),
    ],
)
def test_items_cost_as_their_way_of_reading(
    resource: str, edition: Edition | None, requests: int
) -> None:
    many = told(ONE, TWO, counted=(Counted("lab", {"issues": 950, "merge_requests": 950}),))
    assert reckon(many, choice(resource, edition=edition), PACE).requests == 2 + requests


def test_what_a_pattern_leaves_out_is_not_counted_nor_what_it_may_leave_out() -> None:
    asked = choice("members", exclude=("*/two",))
    assert reckon(told(ONE, TWO), asked, PACE) == Forecast(1, 1, 2, 4, True, True, PACE)
    assert reckon(told(ONE, TWO, total=9), asked, PACE) == Forecast(1, 1, 2, 4, False, False, PACE)


def test_lists_that_overlap_count_once() -> None:
    mine, theirs = Listed(PROJECT, [ONE], 1), Listed(PROJECT, [ONE, TWO], 2)
    found = reckon(Told((mine, theirs)), choice("members"), PACE)
    assert found == Forecast(0, 2, 2, 3, True, True, PACE)
    more = reckon(Told((Listed(PROJECT, [ONE], 9), theirs)), choice("members"), PACE)
    assert more == Forecast(0, 9, 9, 10, False, False, PACE)


@pytest.mark.parametrize(
    ("pace", "seconds"),
    [
        (Pace(), None),
        # The first minute may hold the whole limit, each other one what people leave.
        (Pace(1000), (5000 - 1000) * 60 / 800),
        (Pace(1000, 0.5), (5000 - 1000) * 60 / 500),
        (Pace(1000, 0.2, 100), (5000 - 1000) * 60 / 100),
        (Pace(None, 0.2, 100), (5000 - 100) * 60 / 100),
        (Pace(6000), 0.0),
    ],
)
def test_least_time_follows_the_budget(pace: Pace, seconds: float | None) -> None:
    assert pace.least_seconds(5000) == seconds


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        (
            Forecast(1, 2, 34, 5000, True, True, Pace(1000)),
            [
                "2 projects and 1 group: 34 lists, at least 5,000 requests",
                "of GitLab's limit of 1,000 a minute it may use 800: at least 5 min",
            ],
        ),
        (
            Forecast(0, 10_000, 50_000, 60_000, False, False, Pace(None, 0.2, 100)),
            [
                "at least 10,000 projects: at least 50,000 lists, at least 60,000 requests",
                "your settings allow 100 a minute: at least 9 h",
            ],
        ),
        (
            Forecast(0, 1, 1, 2, True, True, Pace(1000)),
            [
                "1 project: 1 list, at least 2 requests",
                "of GitLab's limit of 1,000 a minute it may use 800: no wait is foreseen",
            ],
        ),
        (
            Forecast(0, 1, 1, 90_000, True, True, Pace()),
            [
                "1 project: 1 list, at least 90,000 requests",
                "GitLab tells no limit of requests; at 600 a minute that is 2 h",
            ],
        ),
        (
            Forecast(0, 0, 0, 0, True, True, Pace()),
            ["no group or project: 0 lists, at least 0 requests"],
        ),
    ],
)
def test_words_tell_the_scope_and_the_least_cost(forecast: Forecast, words: list[str]) -> None:
    assert list(forecast.words()) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "less than a second"),
        (1.9, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "119 min"),
        (300_000, "3 days"),
    ],
)
def test_length_is_rounded_down(seconds: float, words: str) -> None:
    assert length(seconds) == words
