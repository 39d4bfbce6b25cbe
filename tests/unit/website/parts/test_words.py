"""Plain words: every resource has a title of its own and a place among the columns."""

from labtrawl.domain.job import HoldReason
from labtrawl.gitlab.catalog import DISCOVERY, RESOURCES
from labtrawl.gitlab.limits import CLASSES
from labtrawl.website.parts.words import (
    ENDPOINTS,
    HOLDS,
    REASONS,
    endpoints_title,
    in_order,
    kind_title,
    read_again,
    resource_title,
)
from labtrawl.website.parts.words import RESOURCES as TITLES


def test_every_resource_of_the_catalog_has_a_title_and_no_other_has() -> None:
    assert set(TITLES) == {DISCOVERY} | {row.name for row in RESOURCES}


def test_every_reason_to_hold_a_job_is_told_in_words() -> None:
    for reason in HoldReason:
        assert reason in HOLDS
        assert reason in REASONS


def test_titles_differ_but_for_the_details_of_groups_and_projects() -> None:
    titles = [title for name, title in TITLES.items() if name != "group"]
    assert sorted(set(titles)) == sorted(titles)


def test_resource_nobody_knows_stands_last_and_reads_as_it_is_called() -> None:
    assert in_order({"some_thing", "events", "issues"}) == ["issues", "events", "some_thing"]
    assert resource_title("some_thing") == "Some thing"


def test_each_class_of_endpoints_has_words_for_people() -> None:
    assert ENDPOINTS.keys() == CLASSES
    assert len(set(ENDPOINTS.values())) == len(CLASSES)
    assert endpoints_title("of_a_later_version") == "Of a later version"


def test_kinds_of_records_read_as_words() -> None:
    assert [kind_title(each) for each in ("issue", "ci_job", "group_member", "of_later")] == [
        "Issue",
        "CI job",
        "Group member",
        "Of later",
    ]


def test_refill_says_how_many_lists_it_opened() -> None:
    told = "lists are read again, as soon as a crawler is free."
    assert [read_again(each, 1000) for each in (None, 0, 1, 999, 1000)] == [
        "",
        "No list is read again: what can be read again is being read already.",
        "1 list is read again, as soon as a crawler is free.",
        f"999 {told}",
        f"1,000 {told} Ask once more for the rest.",
    ]
