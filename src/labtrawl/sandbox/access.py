"""Who may see what: memberships, visibility, features and the words of GitLab's refusals.

Entered by the routes (which answer with a `Denied`) and by `truth` (which turns it into a reason).
Levels and refusals follow GitLab 19.3's role table and the API's troubleshooting page.
"""

from dataclasses import dataclass, field

from labtrawl.sandbox.model import (
    GUEST,
    PLANNER,
    REPORTER,
    Account,
    Event,
    Group,
    Issue,
    Membership,
    Note,
    Project,
    User,
    World,
)


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal: the answer's status and message, and why in the words of the truth."""

    status: int
    message: str
    reason: str


FORBIDDEN = Denied(403, "403 Forbidden", "forbidden")
NO_GROUP = Denied(404, "404 Group Not Found", "forbidden")
NO_PROJECT = Denied(404, "404 Project Not Found", "forbidden")
_FEATURE_OFF = Denied(403, "403 Forbidden", "feature_off")
_ISSUES_OFF = Denied(200, "", "feature_off")
# What is there for issues and merge requests alone: labels that may not be read are none, not
# refused (app/finders/labels_finder.rb, lib/api/helpers/label_helpers.rb).
_OF_PLANNING = {"milestones": _FEATURE_OFF, "labels": Denied(200, "", "feature_off")}
_NO_REPOSITORY = Denied(404, "404 Repository Not Found", "empty_repository")
_NO_TAGS = Denied(403, "403 Forbidden", "empty_repository")

_NO_LANGUAGES = Denied(200, "", "empty_repository")

_CODE = ("commits", "commit_discussions", "branches", "tags", "languages")
_FEATURE_OF = {
    "issues": "issues",
    "timelogs": "issues",
    "merge_requests": "merge_requests",
    "pipelines": "builds",
    "ci_jobs": "builds",
    "releases": "releases",
    "environments": "environments",
    "deployments": "environments",
}
_REPORTERS_ONLY = (
    "commits",
    "commit_discussions",
    "branches",
    "tags",
    "merge_requests",
    "pipelines",
    "ci_jobs",
    "environments",
    "deployments",
    "timelogs",
)


def _listed_as(resource: str) -> str:
    """The list that decides on a resource: what hangs on issues and merge requests follows them."""
    if resource.startswith("issue_"):
        return "issues"
    return "merge_requests" if resource.startswith("merge_request_") else resource


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a user (None: nobody signed in) and the user's access level in every place."""

    user: User | None = None
    account: Account | None = None
    group_levels: dict[int, int] = field(default_factory=dict)
    project_levels: dict[int, int] = field(default_factory=dict)

    def level(self, project: Project) -> int:
        """Access level in the project, inherited ones included; 0 for no member."""
        return self.project_levels.get(project.id, 0)

    def group_level(self, group: Group) -> int:
        """Access level in the group, inherited ones included; 0 for no member."""
        return self.group_levels.get(group.id, 0)


class Access:
    """The world's places by number and path, and what each viewer may do in them."""

    def __init__(self, world: World) -> None:
        self.groups = {group.id: group for group in world.groups}
        self.projects = {project.id: project for project in world.projects}
        self.groups_by_path = {group.full_path.lower(): group for group in world.groups}
        self.projects_by_path = {project.full_path.lower(): project for project in world.projects}
        self.moved = {
            path.lower(): project for project in world.projects for path in project.former_paths
        }
        self.users = {user.id: user for user in world.users}
        self._viewers: dict[str, Viewer] = {}

    def lineage(self, group_id: int | None) -> list[Group]:
        """The group and its ancestors, nearest first."""
        line = []
        while group_id is not None and group_id in self.groups:
            group = self.groups[group_id]
            line.append(group)
            group_id = group.parent_id
        return line

    def viewer(self, account: Account) -> Viewer:
        """The account's view of the world."""
        if account.username not in self._viewers:
            self._viewers[account.username] = self._view(account)
        found = self._viewers[account.username]
        return Viewer(found.user, account, found.group_levels, found.project_levels)

    def _view(self, account: Account) -> Viewer:
        user = account.user_id
        groups: dict[int, int] = {}
        for group in self.groups.values():
            levels = [_direct(place.members, user) for place in self.lineage(group.id)]
            if max(levels):
                groups[group.id] = max(levels)
        projects: dict[int, int] = {}
        for project in self.projects.values():
            direct = _direct(project.members, user)
            level = max(direct, groups.get(project.namespace_id, 0))
            if level:
                projects[project.id] = level
        return Viewer(self.users[user], account, groups, projects)

    def fenced(self, project: Project) -> bool:
        """True if the project lies below a group with an IP allow-list that leaves us out."""
        return any(group.forbidden for group in self.lineage(project.namespace_id))

    def gate_group(self, viewer: Viewer, group: Group) -> Denied | None:
        """Why the viewer may not enter the group, or None."""
        if group.visibility != "public" and not viewer.group_level(group):
            return NO_GROUP
        return FORBIDDEN if any(place.forbidden for place in self.lineage(group.id)) else None

    def gate_project(self, viewer: Viewer, project: Project) -> Denied | None:
        """Why the viewer may not enter the project, or None."""
        if project.visibility != "public" and not viewer.level(project):
            return NO_PROJECT
        return FORBIDDEN if self.fenced(project) else None

    def gate_resource(self, viewer: Viewer, project: Project, resource: str) -> Denied | None:
        """Why the viewer may not list `resource` of the project, or None."""
        denied = self.gate_project(viewer, project)
        if denied:
            return denied
        resource = _listed_as(resource)
        level = viewer.level(project)
        if project.visibility != "public" and level < REPORTER and resource in _REPORTERS_ONLY:
            return FORBIDDEN
        if resource in _OF_PLANNING and _nothing_to_plan(project):
            return _OF_PLANNING[resource]
        if resource in _CODE and (project.empty_repo or project.feature("repository") != "enabled"):
            return _repository_gate(project, resource, level)
        return _feature_gate(project, resource, level)


def _repository_gate(project: Project, resource: str, level: int) -> Denied | None:
    setting = project.feature("repository")
    if setting == "private" and level >= REPORTER and not project.empty_repo:
        return None
    denied = {"tags": _NO_TAGS, "languages": _NO_LANGUAGES}.get(resource, _NO_REPOSITORY)
    if project.empty_repo:
        return denied
    return Denied(denied.status, denied.message, "feature_off")


def _feature_gate(project: Project, resource: str, level: int) -> Denied | None:
    feature = _FEATURE_OF.get(resource)
    if feature is None:
        return None
    setting = project.feature(feature)
    if setting == "disabled" or (setting == "private" and not level):
        return _ISSUES_OFF if feature == "issues" else _FEATURE_OFF
    # Where nothing is built nothing is deployed (app/policies/project_policy.rb).
    built = project.feature("builds") != "disabled" and project.feature("repository") != "disabled"
    return FORBIDDEN if feature == "environments" and not built else None


def _nothing_to_plan(project: Project) -> bool:
    return project.feature("issues") == project.feature("merge_requests") == "disabled"


def _direct(members: tuple[Membership, ...], user_id: int) -> int:
    return max((m.access_level for m in members if m.user.id == user_id), default=0)


def sees_issue(viewer: Viewer, project: Project, issue: Issue) -> bool:
    """Confidential issues: Planner and above, the author and assignees (GitLab 17.7+)."""
    if not issue.confidential or viewer.level(project) >= PLANNER:
        return True
    me = viewer.user
    if me is None:
        return False
    return me.id == issue.author.id or any(me.id == user.id for user in issue.assignees)


def sees_note(viewer: Viewer, project: Project, note: Note) -> bool:
    """Internal notes: Reporter and above."""
    return not note.internal or viewer.level(project) >= REPORTER


def sees_event(viewer: Viewer, project: Project, event: Event) -> bool:
    """Events whose target the viewer may read."""
    level = viewer.level(project)
    if event.confidential and level < PLANNER:
        return False
    if event.note is not None and not sees_note(viewer, project, event.note):
        return False
    about_code = event.push is not None or "MergeRequest" in (
        event.target_type,
        event.noteable_type,
    )
    return not about_code or project.visibility == "public" or level >= REPORTER


def in_scope(viewer: Viewer, level: int) -> bool:
    """Membership of at least Guest: what ``min_access_level=10`` keeps."""
    return viewer.user is not None and level >= GUEST
