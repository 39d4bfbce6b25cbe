"""The table of resources: adding one is adding a row.

Paths are relative to `/api/v4`; `{id}` is the area's GitLab id, `{iid}` the parent's iid. Sources of
the facts: GitLab 19.3, doc/api/*.md; each row names a trap where there is one.
"""

from dataclasses import dataclass

from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason

DISCOVERY = "discovery"
KEYSET_ISSUES_SINCE = (18, 3)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of data: where it is listed and what makes a row of it unique.

    `natural_id` names the row's field, a number unless `text_id`; `local_id` says that it is unique
    in its area only.
    `feature` is the access level that switches it off; `counted` says that GitLab's total counts
    exactly the rows that it shows. `parent` is the resource whose rows have a list of this each.
    """

    name: str
    area_kind: AreaKind
    kind: str
    path: str
    query: str = ""
    keyset_query: str = ""
    natural_id: str = "id"
    text_id: bool = False
    local_id: bool = False
    single: bool = False
    counted: bool = True
    feature: str = ""
    needs_repository: bool = False
    parent: str = ""
    priority: int = 0


_GROUP = AreaKind.GROUP
_PROJECT = AreaKind.PROJECT
# Filtered by visibility after paging, so totals count rows that are never shown (lib/api/notes.rb).
_STABLE = "order_by=created_at&sort=asc"

RESOURCES: tuple[Resource, ...] = (
    Resource("group", _GROUP, "group", "groups/{id}", "with_projects=false", single=True),
    Resource("members", _GROUP, "group_member", "groups/{id}/members", local_id=True),
    Resource(
        "inherited_members",
        _GROUP,
        "group_inherited_member",
        "groups/{id}/members/all",
        local_id=True,
    ),
    Resource(
        "labels",
        _GROUP,
        "label",
        "groups/{id}/labels",
        "include_ancestor_groups=false&only_group_labels=true",
    ),
    Resource("milestones", _GROUP, "milestone", "groups/{id}/milestones"),
    Resource("project", _PROJECT, "project", "projects/{id}", single=True, priority=5),
    Resource("members", _PROJECT, "project_member", "projects/{id}/members", local_id=True),
    Resource(
        "inherited_members",
        _PROJECT,
        "project_inherited_member",
        "projects/{id}/members/all",
        local_id=True,
    ),
    Resource("labels", _PROJECT, "label", "projects/{id}/labels", "include_ancestor_groups=false"),
    Resource("milestones", _PROJECT, "milestone", "projects/{id}/milestones"),
    Resource(
        "issues",
        _PROJECT,
        "issue",
        "projects/{id}/issues",
        f"scope=all&{_STABLE}",
        f"scope=all&pagination=keyset&{_STABLE}",
        feature="issues_access_level",
        priority=4,
    ),
    Resource(
        "issue_notes",
        _PROJECT,
        "note",
        "projects/{id}/issues/{iid}/notes",
        _STABLE,
        counted=False,
        feature="issues_access_level",
        parent="issues",
    ),
    Resource(
        "merge_requests",
        _PROJECT,
        "merge_request",
        "projects/{id}/merge_requests",
        f"scope=all&{_STABLE}",
        feature="merge_requests_access_level",
        priority=4,
    ),
    Resource(
        "merge_request_notes",
        _PROJECT,
        "note",
        "projects/{id}/merge_requests/{iid}/notes",
        _STABLE,
        counted=False,
        feature="merge_requests_access_level",
        parent="merge_requests",
    ),
    Resource(
        "commits",
        _PROJECT,
        "commit",
        "projects/{id}/repository/commits",
        "all=true",
        text_id=True,
        local_id=True,
        feature="repository_access_level",
        needs_repository=True,
    ),
    Resource(
        "branches",
        _PROJECT,
        "branch",
        "projects/{id}/repository/branches",
        natural_id="name",
        text_id=True,
        local_id=True,
        feature="repository_access_level",
        needs_repository=True,
    ),
    Resource(
        "tags",
        _PROJECT,
        "tag",
        "projects/{id}/repository/tags",
        "order_by=name&sort=asc",
        natural_id="name",
        text_id=True,
        local_id=True,
        feature="repository_access_level",
        needs_repository=True,
    ),
    Resource(
        "pipelines",
        _PROJECT,
        "pipeline",
        "projects/{id}/pipelines",
        "order_by=id&sort=asc",
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
    Resource("events", _PROJECT, "event", "projects/{id}/events", "sort=asc", counted=False),
)

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
    if resource.feature and features.get(resource.feature) == "disabled":
        return GapReason.FEATURE_OFF
    if resource.needs_repository and empty_repository:
        return GapReason.EMPTY_REPOSITORY
    return None


def list_query(resource: Resource, version: tuple[int, int]) -> str:
    """Return the query of the first page, with keyset paging where this GitLab has it."""
    query = resource.query
    if resource.keyset_query and version >= KEYSET_ISSUES_SINCE:
        query = resource.keyset_query
    return query if resource.single else "&".join(filter(None, (query, "per_page=100")))


def version_of(text: str) -> tuple[int, int]:
    """Read "19.3.0-ee" as (19, 3); (0, 0) for what is no version."""
    parts = text.split(".")[:2]
    if len(parts) < 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        return 0, 0
    return int(parts[0]), int(parts[1])
