"""The table of resources, row by row."""

from datetime import UTC, datetime

import pytest

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason
from labtrawl.gitlab.catalog import (
    FEATURES,
    RESOURCES,
    Resource,
    changes_query,
    find,
    gap_of,
    list_query,
    resources_of,
    version_of,
)

OLD, NEW = (16, 0), (19, 3)
STABLE = "order_by=created_at&sort=asc&per_page=100"
PAGES = "per_page=100"
# (area kind, resource): path, first query of a new GitLab, record kind, natural id
ROWS = {
    ("group", "group"): ("groups/7", "with_projects=false", "group", "id"),
    ("group", "members"): ("groups/7/members", PAGES, "group_member", "id"),
    ("group", "inherited_members"): (
        "groups/7/members/all",
        "per_page=100",
        "group_inherited_member",
        "id",
    ),
    ("group", "labels"): (
        "groups/7/labels",
        "include_ancestor_groups=false&only_group_labels=true&per_page=100",
        "label",
        "id",
    ),
    ("group", "milestones"): ("groups/7/milestones", "per_page=100", "milestone", "id"),
    ("group", "changed_issues"): ("groups/7/issues", PAGES, "", "id"),
    ("group", "changed_merge_requests"): ("groups/7/merge_requests", PAGES, "", "id"),
    ("project", "project"): ("projects/7", "statistics=true", "project", "id"),
    ("project", "languages"): ("projects/7/languages", "", "project_languages", ""),
    ("project", "members"): ("projects/7/members", "per_page=100", "project_member", "id"),
    ("project", "inherited_members"): (
        "projects/7/members/all",
        "per_page=100",
        "project_inherited_member",
        "id",
    ),
    ("project", "labels"): (
        "projects/7/labels",
        "include_ancestor_groups=false&per_page=100",
        "label",
        "id",
    ),
    ("project", "milestones"): ("projects/7/milestones", "per_page=100", "milestone", "id"),
    ("project", "issues"): (
        "projects/7/issues",
        f"scope=all&pagination=keyset&{STABLE}",
        "issue",
        "id",
    ),
    ("project", "merge_requests"): (
        "projects/7/merge_requests",
        f"scope=all&{STABLE}",
        "merge_request",
        "id",
    ),
    ("project", "commits"): (
        "projects/7/repository/commits",
        "all=true&with_stats=true&per_page=100",
        "commit",
        "id",
    ),
    ("project", "branches"): ("projects/7/repository/branches", "per_page=100", "branch", "name"),
    ("project", "tags"): (
        "projects/7/repository/tags",
        "order_by=name&sort=asc&per_page=100",
        "tag",
        "name",
    ),
    ("project", "pipelines"): (
        "projects/7/pipelines",
        "order_by=id&sort=asc&per_page=100",
        "pipeline",
        "id",
    ),
    ("project", "ci_jobs"): (
        "projects/7/jobs",
        "pagination=keyset&order_by=id&sort=desc&per_page=100",
        "ci_job",
        "id",
    ),
    ("project", "releases"): ("projects/7/releases", STABLE, "release", "tag_name"),
    ("project", "environments"): ("projects/7/environments", PAGES, "environment", "id"),
    ("project", "deployments"): (
        "projects/7/deployments",
        "order_by=id&sort=asc&per_page=100",
        "deployment",
        "id",
    ),
    ("project", "events"): ("projects/7/events", "sort=asc&per_page=100", "event", "id"),
    ("project", "timelogs"): ("", PAGES, "timelog", "id"),
}
ISSUE, REQUEST = "projects/7/issues/3", "projects/7/merge_requests/3"
# The same for what belongs to one row of another list, here number 3.
ROWS_OF_ITEMS = {
    "issue_discussions": (f"{ISSUE}/discussions", PAGES, "discussion", "id"),
    "issue_award_emoji": (f"{ISSUE}/award_emoji", PAGES, "award_emoji", "id"),
    "issue_label_events": (f"{ISSUE}/resource_label_events", PAGES, "label_event", "id"),
    "issue_state_events": (f"{ISSUE}/resource_state_events", PAGES, "state_event", "id"),
    "issue_milestone_events": (
        f"{ISSUE}/resource_milestone_events",
        PAGES,
        "milestone_event",
        "id",
    ),
    "issue_links": (f"{ISSUE}/links", PAGES, "issue_link", "issue_link_id"),
    "merge_request_discussions": (f"{REQUEST}/discussions", PAGES, "discussion", "id"),
    "merge_request_award_emoji": (f"{REQUEST}/award_emoji", PAGES, "award_emoji", "id"),
    "merge_request_label_events": (f"{REQUEST}/resource_label_events", PAGES, "label_event", "id"),
    "merge_request_state_events": (f"{REQUEST}/resource_state_events", PAGES, "state_event", "id"),
    "merge_request_milestone_events": (
        f"{REQUEST}/resource_milestone_events",
        PAGES,
        "milestone_event",
        "id",
    ),
    "merge_request_approvals": (f"{REQUEST}/approvals", "", "merge_request_approvals", ""),
    "merge_request_reviewers": (
        f"{REQUEST}/reviewers",
        PAGES,
        "merge_request_reviewer",
        "user.id",
    ),
    "merge_request_versions": (f"{REQUEST}/versions", PAGES, "merge_request_version", "id"),
    "merge_request_commits": (f"{REQUEST}/commits", PAGES, "merge_request_commit", "id"),
    "merge_request_pipelines": (f"{REQUEST}/pipelines", PAGES, "merge_request_pipeline", "id"),
    "commit_discussions": (
        "projects/7/repository/commits/3/discussions",
        PAGES,
        "discussion",
        "id",
    ),
}


def test_catalog_asks_for_what_the_table_says() -> None:
    assert {
        (row.area_kind.value, row.name): (
            row.path.format(id=7, iid=3),
            list_query(row, NEW),
            row.kind,
            row.natural_id,
        )
        for row in RESOURCES
    } == ROWS | {("project", name): row for name, row in ROWS_OF_ITEMS.items()}


def test_changes_are_asked_for_since_an_instant_in_whole_seconds() -> None:
    since = datetime(2026, 3, 4, 5, 6, 7, 89_000, UTC)
    changed = "updated_after=2026-03-04T05:06:07Z"
    by_instant = f"{changed}&order_by=updated_at&sort=asc"
    watched = f"scope=all&state=all&non_archived=false&{by_instant}"
    assert {
        (row.area_kind.value, row.name): changes_query(row, since).removesuffix("&per_page=100")
        for row in RESOURCES
        if row.changes
    } == {
        ("group", "milestones"): changed,
        ("group", "changed_issues"): watched,
        ("group", "changed_merge_requests"): watched,
        ("project", "milestones"): changed,
        ("project", "issues"): f"scope=all&{by_instant}",
        ("project", "merge_requests"): f"scope=all&{by_instant}",
        ("project", "commits"): "all=true&with_stats=true&since=2026-03-04T05:06:07Z",
        ("project", "pipelines"): by_instant,
        ("project", "deployments"): by_instant,
        ("project", "events"): "sort=asc&after=2026-03-02",
    }


def test_older_gitlab_is_asked_for_issues_by_page_numbers() -> None:
    issues = _find("project", "issues")
    assert list_query(issues, OLD) == list_query(issues, (0, 0)) == f"scope=all&{STABLE}"
    assert list_query(issues, (18, 2)) != list_query(issues, (18, 3))


def test_parents_exist_in_the_same_kind_of_area_and_have_a_key() -> None:
    parents = {(row.parent, row.parent_key) for row in RESOURCES if row.parent}
    assert parents == {("issues", "iid"), ("merge_requests", "iid"), ("commits", "id")}
    assert all(find("project", name) for name, _ in parents)
    assert [row.name for row in RESOURCES if "{iid}" in row.path] == [
        row.name for row in RESOURCES if row.parent
    ]


def test_ids_that_repeat_in_other_areas_carry_their_area() -> None:
    assert {row.name for row in RESOURCES if row.local_id} == {
        *("members", "inherited_members", "commits", "branches", "tags", "releases")
    }
    assert {row.name for row in RESOURCES if row.item_id} == {
        *("issue_links", "merge_request_approvals", "merge_request_reviewers"),
        *("merge_request_commits", "merge_request_pipelines"),
    }
    assert {row.name for row in RESOURCES if row.text_id} == {
        *("commits", "branches", "tags", "releases", "merge_request_commits"),
        *("issue_discussions", "merge_request_discussions", "commit_discussions"),
    }


def test_one_request_for_each_commit_is_made_only_where_somebody_asks() -> None:
    assert [row.name for row in RESOURCES if row.is_asked_for] == ["commit_discussions"]


def _find(kind: str, name: str) -> Resource:
    found = find(kind, name)
    assert found is not None
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda row: f"{row.area_kind}-{row.name}")
def test_gap_is_known_from_the_settings_of_the_area(resource: Resource) -> None:
    everything_off = dict.fromkeys(FEATURES, "disabled")
    off, empty = gap_of(resource, everything_off, False), gap_of(resource, {}, True)
    is_switched = resource.feature or resource.features
    assert off == (GapReason.FEATURE_OFF if is_switched else None)
    assert empty == (GapReason.EMPTY_REPOSITORY if resource.needs_repository else None)
    for level in ("private", "enabled", "public", "", "something new"):
        assert gap_of(resource, dict.fromkeys(FEATURES, level), False) is None
    assert gap_of(resource, {}, False) is None


@pytest.mark.parametrize("name", ["milestones", "labels"])
def test_what_plans_is_there_as_long_as_there_is_something_to_plan(name: str) -> None:
    """Of issues or merge requests (app/policies/project_policy.rb)."""
    both = ("issues_access_level", "merge_requests_access_level")
    for on in both:
        levels = dict.fromkeys(FEATURES, "disabled") | {on: "private"}
        assert gap_of(_find("project", name), levels, False) is None
    assert _find("project", name).features == both


@pytest.mark.parametrize(
    ("kind", "name"), [("project", "x"), ("user", "issues"), ("planet", "issues"), ("", "")]
)
def test_resource_nobody_knows_is_none(kind: str, name: str) -> None:
    assert find(kind, name) is None


def test_resources_of_an_area_are_its_own() -> None:
    counts = {kind: len(resources_of(kind)) for kind in AreaKind}
    assert counts == {
        AreaKind.INSTANCE: 0,
        AreaKind.GROUP: 7,
        AreaKind.PROJECT: 35,
        AreaKind.USER: 0,
    }


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("19.3.0-pre", (19, 3)),
        ("18.10.1-ee", (18, 10)),
        ("16", (0, 0)),
        ("", (0, 0)),
        ("x.y", (0, 0)),
        ("1²8.3", (0, 0)),
    ],
)
def test_version_is_its_first_two_numbers(text: str, version: tuple[int, int]) -> None:
    assert version_of(text) == version
