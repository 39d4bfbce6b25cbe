"""Every real answer of a list that we collect goes through the crawler's parser, whole.

Recorded answers of four client libraries and the examples of GitLab's own documentation
(GITLAB_TRUTH). An object that stands alone counts as a list of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtrawl.crawler.records import keys_of, records_of
from labtrawl.dataset import policy
from labtrawl.gitlab.catalog import RESOURCES, Resource, find
from labtrawl.gitlab.pages import Page, read_page, read_single
from labtrawl.http import Answer
from tests.unit.crawler.discovering import GROUPS, PROJECTS, Site, discover

pytestmark = pytest.mark.truth
WHEN = "2026-01-02T03:04:05.000+00:00"

# File names of the recorded answers, by resource: each folder has some of them.
RECORDED: dict[str, tuple[str, ...]] = {
    "group/group": ("group",),
    "group/members": ("group_members", "group_member", "group_member_edit"),
    "group/labels": ("group_labels", "group_label"),
    "group/milestones": ("group_milestones", "group_milestone", "milestone-group"),
    "project/project": ("project", "repo"),
    "project/languages": ("project_languages", "project-languages"),
    "project/members": ("team_members", "team_member", "members"),
    "project/labels": ("labels", "label"),
    "project/milestones": ("milestones", "milestone"),
    "project/issues": ("issues", "issue", "project_issues"),
    "project/merge_requests": (
        "merge_requests",
        "merge_request",
        "merge-request",
        "merges",
        "merge",
        "get_merge_requests",
        "get_merge_request",
        "list_group_merge_requests",
    ),
    "project/commits": ("project_commits", "project_commit", "commits", "commit", "get_commit"),
    "project/branches": ("branches", "branch", "list_branches", "get_branch"),
    "project/tags": ("tags", "tag", "project_tags"),
    "project/pipelines": ("pipelines", "pipeline"),
    "project/ci_jobs": ("jobs", "job", "pipeline_jobs"),
    "project/releases": ("project_releases", "releases", "release", "project_release"),
    "project/environments": ("environments", "environment"),
    "project/deployments": ("deployments", "deployment"),
    "project/events": ("project_events", "project-events", "events"),
    "project/issue_discussions": ("issue-discussions",),
    "project/issue_award_emoji": (
        "issue_award_emojis",
        "issue_award_emoji",
        "award-emoji",
        "award_emoji",
    ),
    "project/issue_label_events": ("resource_label_events", "resource_label_event", "label-events"),
    "project/issue_state_events": ("issue_resource_state_events", "issue_resource_state_event"),
    "project/issue_links": ("project_issue_links", "linked-issues"),
    "project/merge_request_discussions": (
        "merge_request_discussions",
        "merge_request_discussion",
        "merge-request-discussions",
        "merge_discussion",
    ),
    "project/merge_request_award_emoji": (
        "merge_request_award_emojis",
        "merge_request_award_emoji",
    ),
    "project/merge_request_state_events": ("mr_resource_state_events", "mr_resource_state_event"),
    "project/merge_request_approvals": ("merge_request_approvals", "approvals"),
    "project/merge_request_versions": (
        "merge_request_diff_versions",
        "merge_request_diff_version",
        "merge-request-versions",
    ),
    "project/merge_request_commits": ("merge_request_commits",),
    "project/commit_discussions": ("commit-discussions",),
}
LEAST_RECORDED, LEAST_DOCUMENTED = 108, 46
BEFORE_IDS = "of an old GitLab, whose rows have no id"
BEFORE_IIDS = "of an old GitLab, whose rows have no iid"
SHORTENED = "shortened by the documentation to the fields that it talks of"
# Answers that no GitLab of ours sends as they stand: refused as a whole, and why.
EXCEPTIONS: dict[str, str] = {
    "gitlab4j/project-events.json": BEFORE_IDS,
    "narkoz-gitlab/project_events.json": BEFORE_IDS,
    "narkoz-gitlab/group_labels.json": BEFORE_IDS,
    "narkoz-gitlab/labels.json": BEFORE_IDS,
    "narkoz-gitlab/group_label.json": BEFORE_IDS,
    "narkoz-gitlab/label.json": BEFORE_IDS,
    "narkoz-gitlab/issue.json": BEFORE_IIDS,
    "narkoz-gitlab/issues.json": BEFORE_IIDS,
    "narkoz-gitlab/project_issues.json": BEFORE_IIDS,
    "narkoz-gitlab/merge_request.json": BEFORE_IIDS,
    "narkoz-gitlab/merge_requests.json": BEFORE_IIDS,
    "example 239: issues": SHORTENED,
    "example 240: issues": SHORTENED,
    "example 241: issues": SHORTENED,
}


# Lists in which areas are found; a group's or a project's own object is among those above.
FOUND_IN: dict[str, tuple[str, ...]] = {
    "groups": ("groups", "group_subgroups", "group_descendants"),
    "projects": ("projects", "group_projects", "user_projects", "repos", "subgroup"),
}
EXCEPTIONS_OF_AREAS: dict[str, dict[str, str]] = {
    "groups": {"narkoz-gitlab/groups.json": "of an old GitLab, whose groups have no full path"},
    "projects": {
        "narkoz-gitlab/projects.json": "of an old GitLab, whose projects have no full path"
    },
}
OF_OURS = re.compile(
    r"(issue|merge.?request|^merge|milestone|label|member|pipeline|job|branch|tag|release|event|"
    r"environment|deployment|commit|discussion|emoji|project|group|language|approval|reviewer|"
    r"version|link|timelog)s?$"
)
# Answers whose names end as if they were ours, and whose they are.
OTHERS: dict[str, str] = {
    r"-event$|^event$": "sent by webhooks",
    r"audit-events$|^user_(contribution_)?events$": "events of an instance or a user",
    r"^epic|epic-link$|^related|closes_issues|^issue.?link$|_issue_link$|fork_link": "links, epics",
    r"^group_(issues|merge_requests)$|^(group_)?milestone_(issues|merge_requests)$": "no lists of ours",
    r"snippet|wiki|runner|registry|ldap|saml|train|schedule|protected|^release_link": "no lists of ours",
    r"context_commits|billable|participants|release_links?$|builds_commits|^links$": "no lists of ours",
    r"note_award|project-groups|commit_merge_requests|bad-branch|^version$": "no lists of ours",
    r"^project_merge_request_approvals$": "the settings of approvals",
    r"^transfer_project$": "the answer to a transfer",
}


def _resource(name: str) -> Resource:
    kind, _, resource = name.partition("/")
    found = find(kind, resource)
    assert found is not None
    return found


def _recorded(root: Path) -> Iterator[tuple[str, Resource, bytes]]:
    """Name, resource and body of each recorded answer of ours."""
    wanted = {file: name for name, files in RECORDED.items() for file in files}
    for path in sorted((root / "rest-recorded").glob("*/*.json")):
        if path.stem in wanted:
            name = path.relative_to(root / "rest-recorded").as_posix()
            yield name, _resource(wanted[path.stem]), path.read_bytes()


def _documented(root: Path) -> Iterator[tuple[str, Resource, bytes]]:
    """Name, resource and body of each example of an endpoint of ours."""
    patterns = [
        (re.compile(re.sub(r"\{[a-z]+\}", r"[^/?]+", one.path) + r"(\?|$)"), one)
        for one in RESOURCES
        if one.path and not one.watches
    ]
    examples = root / "doc-examples" / "rest-get-examples-19.3.ndjson"
    for number, line in enumerate(examples.read_bytes().splitlines()):
        told: dict[str, Any] = msgspec.json.decode(line)
        asked = {endpoint.partition(" ")[2].lstrip("/") for endpoint in told["endpoints"]}
        for pattern, resource in patterns:
            if any(pattern.match(one.removeprefix("api/v4/")) for one in asked):
                body = msgspec.json.encode(told["response"])
                yield f"example {number}: {resource.name}", resource, body


def _pass(resource: Resource, body: bytes) -> int:
    """Send an answer through parser and gate; return how many records came out."""
    is_list = body.lstrip()[:1] == b"["
    if not resource.single and not is_list:
        body = b"[" + body + b"]"
    answer = Answer(200, {"content-type": "application/json"}, body, "/")
    request = "/api/v4/x"
    page: Page
    if resource.single:
        page = read_single(answer, request, WHEN)
    else:
        page = read_page(answer, request, "", WHEN)
    found = records_of(resource, page, 7, "19.3.0", 1 if resource.item_id else None)
    for record in found:
        policy.apply("as_is", resource.name, record)
    if any(each.parent == resource.name for each in RESOURCES):
        keys_of(page, "id" if resource.name == "commits" else "iid")
    assert len(found) == len(page.rows)
    return len(found)


def _outcome(resource: Resource, body: bytes) -> str:
    try:
        return "" if _pass(resource, body) else "no record"
    except Exception as error:  # noqa: BLE001 - told with the name of the answer
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("source", "least"), [("recorded", LEAST_RECORDED), ("documented", LEAST_DOCUMENTED)]
)
def test_each_real_answer_of_ours_becomes_records(
    gitlab_truth: Path | None, source: str, least: int
) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH names no folder: there are no real answers here")
    found = list((_recorded if source == "recorded" else _documented)(gitlab_truth))
    refused = {name: _outcome(resource, body) for name, resource, body in found}
    assert {name for name, said in refused.items() if said} == EXCEPTIONS.keys() & refused.keys()
    assert len(found) >= least


def test_no_recorded_answer_of_ours_is_left_out(gitlab_truth: Path | None) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH names no folder: there are no real answers here")
    known = {file for files in (*RECORDED.values(), *FOUND_IN.values()) for file in files}
    names = {path.stem for path in (gitlab_truth / "rest-recorded").glob("*/*.json")} - known
    other = re.compile("|".join(OTHERS))
    assert {name for name in names if OF_OURS.search(name) and not other.search(name)} == set()


@pytest.mark.parametrize("kind", FOUND_IN)
async def test_areas_of_real_answers_are_found(gitlab_truth: Path | None, kind: str) -> None:
    if gitlab_truth is None:
        pytest.skip("GITLAB_TRUTH names no folder: there are no real answers here")
    read, refused = 0, set[str]()
    for path in sorted((gitlab_truth / "rest-recorded").glob("*/*.json")):
        if path.stem not in FOUND_IN[kind]:
            continue
        told = msgspec.json.decode(path.read_bytes())
        rows = told if isinstance(told, list) else [told]
        site = Site()
        site.put(GROUPS, rows if kind == "groups" else [])
        site.put(PROJECTS, rows if kind == "projects" else [])
        outcome = await discover(site)
        if outcome.progress()[-1].status == "failed":
            refused.add(path.relative_to(gitlab_truth / "rest-recorded").as_posix())
            continue
        assert [area.gitlab_id for area in outcome.areas()] == [row["id"] for row in rows], path
        read += 1
    assert refused == EXCEPTIONS_OF_AREAS[kind].keys()
    assert read >= 2


def test_answer_that_is_none_of_ours_would_be_told() -> None:
    assert "no usable id" in _outcome(_resource("project/issues"), b'[{"iid":1}]')
