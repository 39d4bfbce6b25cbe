"""A world in which each list is once whole on two pages, once empty, once switched off, once forbidden."""

from typing import Any, TypeVar

import msgspec

from labtrawl.gitlab.catalog import RESOURCES
from labtrawl.sandbox import World, build_world
from labtrawl.sandbox.model import (
    FEATURES,
    Group,
    Issue,
    IssueLink,
    Membership,
    MergeRequest,
    Note,
    Project,
    Review,
    User,
)

Cell = tuple[str, str]
"""Kind of area, and resource."""
T = TypeVar("T", bound=msgspec.Struct)

# Whatever is collected; a group's list that only tells of changes is none.
CELLS: frozenset[Cell] = frozenset(
    (one.area_kind.value, one.name) for one in RESOURCES if not one.watches
)
# One more than GitLab gives at once.
MANY = 101
SIZES = {
    "groups": 3,
    "projects": 4,
    "issues": 40,
    "merge_requests": 24,
    "notes": 90,
    "commits": 40,
    "pipelines": 16,
    "ci_jobs": 24,
    "branches": 6,
    "releases": 6,
    "environments": 6,
    "deployments": 10,
    "events": 30,
    "timelogs": 12,
    "links": 8,
}
# What hangs on an item: its copies have none of it.
PARTS = (
    *("notes", "awards", "label_events", "state_events", "milestone_events", "timelogs"),
    *("links", "reviewers", "reviews", "approvals", "versions", "commits", "pipelines"),
)
LISTS = (
    *("labels", "milestones", "commits", "branches", "tags", "pipelines", "jobs"),
    *("releases", "events", "environments", "deployments", "issues", "merge_requests"),
)
replace = msgspec.structs.replace


def world_of_cases() -> World:
    """The full project, the fenced one, the empty one and the one with all switched off, by id."""
    world = build_world("small", 3, SIZES)
    top, fenced, bare = world.groups
    full, inside, empty, off = world.projects
    crowd = _crowd(world.users[-1])
    groups = (_full_group(top, crowd), replace(fenced, forbidden=True), _bare_group(bare))
    projects = (_full(full, crowd), inside, _empty(empty), _off(off))
    return replace(world, users=(*world.users, *crowd), groups=groups, projects=projects)


def _crowd(like: User) -> tuple[User, ...]:
    return tuple(
        replace(like, id=5_000 + n, username=f"crowd-{n}", name=f"Crowd {n}") for n in range(MANY)
    )


def _members(crowd: tuple[User, ...], like: Membership) -> tuple[Membership, ...]:
    return tuple(replace(like, user=user, access_level=20) for user in crowd)


def _many(rows: tuple[T, ...]) -> tuple[T, ...]:
    """The rows, and copies of the first one that are called otherwise."""
    return (*rows, *(_copy(rows[0], number) for number in range(len(rows), MANY)))


def _copy(row: T, number: int) -> T:
    told: dict[str, Any] = {
        "id": 700_000 + number,
        "iid": 1_000 + number,
        "name": f"copy-{number}",
        "tag_name": f"copy-{number}",
        "slug": f"copy-{number}",
        "sha": f"{number:040x}",
        "discussion_id": f"{number:040x}",
    }
    told |= {name: () for name in PARTS if isinstance(row, Issue | MergeRequest)}
    fields = set(row.__struct_fields__)
    return replace(row, **{name: value for name, value in told.items() if name in fields})


def _full_group(group: Group, crowd: tuple[User, ...]) -> Group:
    members = (*group.members, *_members(crowd, group.members[0]))
    told = {"labels": _many(group.labels), "milestones": _many(group.milestones)}
    return replace(group, members=members, **told)


def _bare_group(group: Group) -> Group:
    return replace(group, members=(), labels=(), milestones=())


def _full(project: Project, crowd: tuple[User, ...]) -> Project:
    lists = {name: _many(getattr(project, name)) for name in LISTS}
    filled = replace(project, members=_members(crowd, project.members[0]), **lists)
    first, request = _issue(filled), _request(filled, crowd)
    commit = replace(filled.commits[0], notes=_many(_notes(filled)))
    return replace(
        filled,
        issues=(first, *filled.issues[1:]),
        merge_requests=(request, *filled.merge_requests[1:]),
        commits=(commit, *filled.commits[1:]),
    )


def _notes(project: Project) -> tuple[Note, ...]:
    """A note that stands on no item."""
    note = next(note for issue in project.issues for note in issue.notes)
    return (replace(note, id=900_000, discussion_id="f" * 40, awards=()),)


def _parts(project: Project, first_id: int, names: tuple[str, ...]) -> dict[str, Any]:
    """More of each than a page holds, like one that some item of the project has."""
    items = (*project.issues, *project.merge_requests)
    found: dict[str, Any] = {}
    for offset, name in enumerate(names):
        like = next(getattr(item, name)[0] for item in items if getattr(item, name, ()))
        copies = (_copy(like, number) for number in range(MANY))
        apart = first_id + 1_000 * offset
        found[name] = tuple(replace(part, id=apart + n) for n, part in enumerate(copies))
    return found


OF_BOTH = ("notes", "awards", "label_events", "state_events", "milestone_events", "timelogs")


def _issue(project: Project) -> Issue:
    issue = project.issues[0]
    others = project.issues[1 : MANY + 1]
    links = tuple(
        IssueLink(
            id=800_000 + other.iid,
            link_type="relates_to",
            project_id=project.id,
            issue_id=other.id,
            issue_iid=other.iid,
            created_at=issue.created_at,
            updated_at=issue.created_at,
        )
        for other in others
    )
    return replace(issue, links=links, **_parts(project, 100_000, OF_BOTH))


def _request(project: Project, crowd: tuple[User, ...]) -> MergeRequest:
    request = project.merge_requests[0]
    at = request.created_at
    return replace(
        request,
        reviewers=crowd,
        reviews=tuple(Review(user=user, state="unreviewed", created_at=at) for user in crowd),
        commits=tuple(commit.sha for commit in project.commits),
        pipelines=tuple(pipeline.id for pipeline in project.pipelines),
        **_parts(project, 200_000, (*OF_BOTH, "versions")),
    )


def _empty(project: Project) -> Project:
    """Everything is switched on, and there is nothing."""
    nothing: dict[str, Any] = dict.fromkeys((*LISTS, "members"), ())
    return replace(project, languages={}, **nothing)


def _off(project: Project) -> Project:
    return replace(project, features=dict.fromkeys(FEATURES, "disabled"))
