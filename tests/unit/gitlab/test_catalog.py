"""The table of resources, row by row."""

import pytest

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason
from labtrawl.gitlab.catalog import (
    FEATURES,
    RESOURCES,
    Resource,
    find,
    gap_of,
    list_query,
    resources_of,
    version_of,
)

OLD, NEW = (16, 0), (19, 3)
STABLE = "order_by=created_at&sort=asc&per_page=100"
# (area kind, resource): path, first query of a new GitLab, record kind, natural id
ROWS = {
    ("group", "group"): ("groups/7", "with_projects=false", "group", "id"),
    ("group", "members"): ("groups/7/members", "per_page=100", "group_member", "id"),
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
    ("project", "project"): ("projects/7", "", "project", "id"),
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
    ("project", "issue_notes"): ("projects/7/issues/3/notes", STABLE, "note", "id"),
    ("project", "merge_requests"): (
        "projects/7/merge_requests",
        f"scope=all&{STABLE}",
        "merge_request",
        "id",
    ),
    ("project", "merge_request_notes"): (
        "projects/7/merge_requests/3/notes",
        STABLE,
        "note",
        "id",
    ),
    ("project", "commits"): (
        "projects/7/repository/commits",
        "all=true&per_page=100",
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
    ("project", "events"): ("projects/7/events", "sort=asc&per_page=100", "event", "id"),
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
    } == ROWS


def test_older_gitlab_is_asked_for_issues_by_page_numbers() -> None:
    issues = _find("project", "issues")
    assert list_query(issues, OLD) == list_query(issues, (0, 0)) == f"scope=all&{STABLE}"
    assert list_query(issues, (18, 2)) != list_query(issues, (18, 3))


def test_parents_exist_in_the_same_kind_of_area_and_have_an_iid() -> None:
    parents = {row.parent for row in RESOURCES if row.parent}
    assert parents == {"issues", "merge_requests"}
    assert all(find("project", name) for name in parents)
    assert [row.name for row in RESOURCES if "{iid}" in row.path] == [
        row.name for row in RESOURCES if row.parent
    ]


def test_ids_that_repeat_in_other_areas_carry_their_area() -> None:
    assert {row.name for row in RESOURCES if row.local_id} == {
        *("members", "inherited_members", "commits", "branches", "tags", "releases")
    }
    assert {row.name for row in RESOURCES if row.text_id} == {
        *("commits", "branches", "tags", "releases")
    }


def _find(kind: str, name: str) -> Resource:
    found = find(kind, name)
    assert found is not None
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda row: f"{row.area_kind}-{row.name}")
def test_gap_is_known_from_the_settings_of_the_area(resource: Resource) -> None:
    everything_off = dict.fromkeys(FEATURES, "disabled")
    off, empty = gap_of(resource, everything_off, False), gap_of(resource, {}, True)
    assert off == (GapReason.FEATURE_OFF if resource.feature else None)
    assert empty == (GapReason.EMPTY_REPOSITORY if resource.needs_repository else None)
    for level in ("private", "enabled", "public", "", "something new"):
        assert gap_of(resource, dict.fromkeys(FEATURES, level), False) is None
    assert gap_of(resource, {}, False) is None


@pytest.mark.parametrize(
    ("kind", "name"), [("project", "x"), ("user", "issues"), ("planet", "issues"), ("", "")]
)
def test_resource_nobody_knows_is_none(kind: str, name: str) -> None:
    assert find(kind, name) is None


def test_resources_of_an_area_are_its_own() -> None:
    counts = {kind: len(resources_of(kind)) for kind in AreaKind}
    assert counts == {
        AreaKind.INSTANCE: 0,
        AreaKind.GROUP: 5,
        AreaKind.PROJECT: 16,
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
