"""The table of resources: adding one is adding a row.

Paths are relative to `/api/v4`; `{id}` is the area's GitLab id, `{iid}` the parent's iid (a commit's
hash, for what belongs to commits). Sources of the facts: GitLab 19.3, doc/api/*.md; each row names a trap where there is one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason

DISCOVERY = "discovery"
KEYSET_ISSUES_SINCE = (18, 3)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of data: where it is listed and what makes a row of it unique.

    `natural_id` names the row's field (`user.id` one inside another; empty: there is one row and it
    has none), a number unless `text_id`; `local_id` says that it is unique in its area only,
    `item_id` in its parent only. `feature` is the access level that switches it off; without any of
    `features` it is off too. `counted` says
    that GitLab's total counts exactly the rows that it shows. `parent` is the resource whose rows
    have a list of this each, named by `parent_key`; `told_by` is a field of such a row that is an
    empty list exactly where the row has none of this.

    `changes` is the query for what changed since `{since}`, or since the day before it, `{day}`;
    without one every visit reads the whole list. `is_asked_for` says that it is collected only where
    somebody names it. `watches` names the project resource that a group's list tells changes of,
    `moved_by` the one whose changes move this one's rows. `parents` is a
    field that names rows which the whole list has too.
    Without a `path` only GraphQL has it.
    """

    name: str
    area_kind: AreaKind
    kind: str
    path: str
    query: str = ""
    keyset_query: str = ""
    changes: str = ""
    natural_id: str = "id"
    text_id: bool = False
    local_id: bool = False
    item_id: bool = False
    single: bool = False
    counted: bool = True
    feature: str = ""
    features: tuple[str, ...] = ()
    needs_repository: bool = False
    parent: str = ""
    parent_key: str = "iid"
    told_by: str = ""
    is_asked_for: bool = False
    watches: str = ""
    moved_by: str = ""
    parents: str = ""
    windowed: bool = False
    statistics: str = ""
    priority: int = 0


_GROUP = AreaKind.GROUP
_PROJECT = AreaKind.PROJECT
_STABLE = "order_by=created_at&sort=asc"
_CHANGED = "updated_after={since}&order_by=updated_at&sort=asc"
_OWN = "include_ancestor_groups=false"
_ISSUES = "projects/{id}/issues/{iid}"
_REQUESTS = "projects/{id}/merge_requests/{iid}"
# app/policies/project_policy.rb: `issues_disabled & merge_requests_disabled`
_PLANNED = ("issues_access_level", "merge_requests_access_level")
# One request for each issue or merge request: after everything that a list gives.
_LAST = -1


def _members(kind: AreaKind, base: str, name: str) -> tuple[Resource, ...]:
    """Direct members, and all with those inherited."""
    return (
        Resource("members", kind, f"{name}_member", f"{base}/members", local_id=True),
        Resource(
            "inherited_members",
            kind,
            f"{name}_inherited_member",
            f"{base}/members/all",
            local_id=True,
        ),
    )


def _of_item(name: str, kind: str, path: str, **facts: Any) -> Resource:
    """A list that each issue or each merge request has; its total counts what is not shown too.

    Filtered by visibility after paging (lib/api/notes.rb).
    """
    parent, feature = ("issues", "issues_access_level")
    if path.startswith(_REQUESTS):
        parent, feature = ("merge_requests", "merge_requests_access_level")
    told = {"parent": parent, "feature": feature, "counted": False, "priority": _LAST, **facts}
    return Resource(name, _PROJECT, kind, path, **told)


def _events_of_item(prefix: str, base: str) -> tuple[Resource, ...]:
    """What happened to labels, state and milestone of an item (doc/api/resource_*_events.md)."""
    return tuple(
        _of_item(f"{prefix}_{what}_events", f"{what}_event", f"{base}/resource_{what}_events")
        for what in ("label", "state", "milestone")
    )


def _of_repository(name: str, kind: str, last: str, **facts: Any) -> Resource:
    """A list of a project's repository; names and hashes are unique in it only."""
    return Resource(
        name,
        _PROJECT,
        kind,
        f"projects/{{id}}/repository/{last}",
        text_id=True,
        local_id=True,
        feature="repository_access_level",
        needs_repository=True,
        **facts,
    )


_OF_GROUPS = (
    Resource("group", _GROUP, "group", "groups/{id}", "with_projects=false", single=True),
    *_members(_GROUP, "groups/{id}", "group"),
    Resource("labels", _GROUP, "label", "groups/{id}/labels", f"{_OWN}&only_group_labels=true"),
    Resource(
        "milestones",
        _GROUP,
        "milestone",
        "groups/{id}/milestones",
        changes="updated_after={since}",
    ),
    # Archived projects are left out of the issues and kept among the merge requests unless said.
    Resource(
        "changed_issues",
        _GROUP,
        "",
        "groups/{id}/issues",
        changes=f"scope=all&state=all&non_archived=false&{_CHANGED}",
        watches="issues",
    ),
    Resource(
        "changed_merge_requests",
        _GROUP,
        "",
        "groups/{id}/merge_requests",
        changes=f"scope=all&state=all&non_archived=false&{_CHANGED}",
        watches="merge_requests",
    ),
)

_OF_PROJECTS = (
    Resource(
        "project", _PROJECT, "project", "projects/{id}", "statistics=true", single=True, priority=5
    ),
    Resource(
        "languages",
        _PROJECT,
        "project_languages",
        "projects/{id}/languages",
        natural_id="",
        single=True,
        feature="repository_access_level",
        needs_repository=True,
    ),
    *_members(_PROJECT, "projects/{id}", "project"),
    Resource("labels", _PROJECT, "label", "projects/{id}/labels", _OWN, features=_PLANNED),
    Resource(
        "milestones",
        _PROJECT,
        "milestone",
        "projects/{id}/milestones",
        changes="updated_after={since}",
        features=_PLANNED,
    ),
    Resource(
        "issues",
        _PROJECT,
        "issue",
        "projects/{id}/issues",
        f"scope=all&{_STABLE}",
        f"scope=all&pagination=keyset&{_STABLE}",
        f"scope=all&{_CHANGED}",
        feature="issues_access_level",
        windowed=True,
        statistics="issues_statistics",
        priority=4,
    ),
    Resource(
        "merge_requests",
        _PROJECT,
        "merge_request",
        "projects/{id}/merge_requests",
        f"scope=all&{_STABLE}",
        changes=f"scope=all&{_CHANGED}",
        feature="merge_requests_access_level",
        windowed=True,
        priority=4,
    ),
    _of_repository(
        "commits",
        "commit",
        "commits",
        query="all=true&with_stats=true",
        changes=("all=true&with_stats=true&since={since}"),
        parents="parent_ids",
    ),
    # A branch shows its last commit, and no list tells which branches moved.
    _of_repository("branches", "branch", "branches", natural_id="name", moved_by="commits"),
    _of_repository("tags", "tag", "tags", query="order_by=name&sort=asc", natural_id="name"),
    Resource(
        "pipelines",
        _PROJECT,
        "pipeline",
        "projects/{id}/pipelines",
        "order_by=id&sort=asc",
        changes=_CHANGED,
        feature="builds_access_level",
    ),
    # Ordered by id, newest first, is the only keyset that this list has (lib/api/ci/jobs.rb).
    Resource(
        "ci_jobs",
        _PROJECT,
        "ci_job",
        "projects/{id}/jobs",
        "pagination=keyset&order_by=id&sort=desc",
        feature="builds_access_level",
    ),
    Resource(
        "releases",
        _PROJECT,
        "release",
        "projects/{id}/releases",
        "order_by=created_at&sort=asc",
        natural_id="tag_name",
        text_id=True,
        local_id=True,
        feature="releases_access_level",
    ),
    Resource(
        "environments",
        _PROJECT,
        "environment",
        "projects/{id}/environments",
        feature="environments_access_level",
    ),
    # With another order the filter is refused (app/finders/deployments_finder.rb).
    Resource(
        "deployments",
        _PROJECT,
        "deployment",
        "projects/{id}/deployments",
        "order_by=id&sort=asc",
        changes=_CHANGED,
        feature="environments_access_level",
    ),
    # `after` names a day and begins with its end (app/finders/events_finder.rb).
    Resource(
        "events",
        _PROJECT,
        "event",
        "projects/{id}/events",
        "sort=asc",
        changes="sort=asc&after={day}",
        counted=False,
    ),
    Resource("timelogs", _PROJECT, "timelog", "", counted=False, feature="issues_access_level"),
)

_OF_ITEMS = (
    _of_item("issue_discussions", "discussion", f"{_ISSUES}/discussions", text_id=True),
    _of_item("issue_award_emoji", "award_emoji", f"{_ISSUES}/award_emoji"),
    *_events_of_item("issue", _ISSUES),
    _of_item(
        "issue_links", "issue_link", f"{_ISSUES}/links", natural_id="issue_link_id", item_id=True
    ),
    _of_item("merge_request_discussions", "discussion", f"{_REQUESTS}/discussions", text_id=True),
    _of_item("merge_request_award_emoji", "award_emoji", f"{_REQUESTS}/award_emoji"),
    *_events_of_item("merge_request", _REQUESTS),
    _of_item(
        "merge_request_approvals",
        "merge_request_approvals",
        f"{_REQUESTS}/approvals",
        natural_id="",
        item_id=True,
        single=True,
    ),
    # Both lists are the same rows of the database (app/models/merge_request.rb, `reviewers`).
    _of_item(
        "merge_request_reviewers",
        "merge_request_reviewer",
        f"{_REQUESTS}/reviewers",
        natural_id="user.id",
        item_id=True,
        told_by="reviewers",
    ),
    _of_item("merge_request_versions", "merge_request_version", f"{_REQUESTS}/versions"),
    _of_item(
        "merge_request_commits",
        "merge_request_commit",
        f"{_REQUESTS}/commits",
        text_id=True,
        item_id=True,
    ),
    _of_item(
        "merge_request_pipelines",
        "merge_request_pipeline",
        f"{_REQUESTS}/pipelines",
        item_id=True,
    ),
    # GitLab has no list of the commits that somebody commented: one request for each commit.
    Resource(
        "commit_discussions",
        _PROJECT,
        "discussion",
        "projects/{id}/repository/commits/{iid}/discussions",
        text_id=True,
        counted=False,
        feature="repository_access_level",
        needs_repository=True,
        parent="commits",
        parent_key="id",
        is_asked_for=True,
        priority=_LAST,
    ),
)

RESOURCES: tuple[Resource, ...] = (*_OF_GROUPS, *_OF_PROJECTS, *_OF_ITEMS)

FEATURES = tuple(sorted({resource.feature for resource in RESOURCES if resource.feature}))
_BY_NAME: dict[tuple[str, str], Resource] = {
    (resource.area_kind, resource.name): resource for resource in RESOURCES
}


def resources_of(kind: AreaKind) -> tuple[Resource, ...]:
    """Return the resources of one kind of area."""
    return tuple(resource for resource in RESOURCES if resource.area_kind == kind)


def find(kind: str, name: str) -> Resource | None:
    """Return a resource by area kind and name; None for what the catalog does not have."""
    return _BY_NAME.get((kind, name))


def gap_of(
    resource: Resource, features: dict[str, str], empty_repository: bool
) -> GapReason | None:
    """Say why a resource of an area cannot be collected, from what discovery saw.

    A level that GitLab did not send (an older version, a small role) rules nothing out.
    """
    if _is_off(resource, features):
        return GapReason.FEATURE_OFF
    if resource.needs_repository and empty_repository:
        return GapReason.EMPTY_REPOSITORY
    return None


def _is_off(resource: Resource, features: dict[str, str]) -> bool:
    off = {name for name, level in features.items() if level == "disabled"}
    return resource.feature in off or (
        bool(resource.features) and off.issuperset(resource.features)
    )


def list_query(resource: Resource, version: tuple[int, int]) -> str:
    """Return the query of the first page, with keyset paging where this GitLab has it."""
    query = resource.query
    if resource.keyset_query and version >= KEYSET_ISSUES_SINCE:
        query = resource.keyset_query
    return query if resource.single else "&".join(filter(None, (query, "per_page=100")))


def changes_query(resource: Resource, since: datetime) -> str:
    """Return the query for what changed since an instant, inclusive."""
    told = {
        "since": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "day": (since - timedelta(days=2)).strftime("%Y-%m-%d"),
    }
    return f"{resource.changes.format(**told)}&per_page=100"


def version_of(text: str) -> tuple[int, int]:
    """Read "19.3.0-ee" as (19, 3); (0, 0) for what is no version."""
    parts = text.split(".")[:2]
    if len(parts) < 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        return 0, 0
    return int(parts[0]), int(parts[1])
