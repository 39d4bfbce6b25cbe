"""Users, labels, milestones and places as GraphQL writes them.

Entered by the fields. A node is a dict with the values of its fields, made once for each object;
names that start with an underscore are for the fields that lead further. Instants have whole
seconds here (Time is ISO 8601 of a second in GitLab's GraphQL), three digits more in REST.
"""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLError

from labtrawl.sandbox.entities_planning import human_time, task_status
from labtrawl.sandbox.graphql.connections import Node
from labtrawl.sandbox.model import Group, Label, Milestone, Project, User
from labtrawl.sandbox.shelf import Shelf

# About half a gigabyte: a world of any size is served in bounded memory.
_MOST_KEPT = 200_000


def seconds(instant: str | None) -> str | None:
    """The instant without its fraction, for example ``2026-11-20T18:00:00Z``."""
    return f"{instant[:19]}Z" if instant else None


def gid(kind: str, number: int | str) -> str:
    """A global id: the number is REST's."""
    return f"gid://gitlab/{kind}/{number}"


def number_of(text: str) -> int:
    """The number of a global id, or of a bare number. Raises GraphQLError for another text."""
    try:
        return int(text.rsplit("/", 1)[-1])
    except ValueError:
        raise GraphQLError(f'"{text}" is not a valid Global ID') from None


class Cache:
    """Nodes by key, made anew for another object or another `place` (the path in its URLs)."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, object], tuple[Any, str, Node]] = {}

    def node(self, kind: str, key: object, item: Any, place: str, make: Callable[[], Node]) -> Node:
        """The node kept for `item`, made on first use."""
        found = self._kept.get((kind, key))
        if found is not None and found[0] is item and found[1] == place:
            return found[2]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        made = make()
        self._kept[kind, key] = (item, place, made)
        return made


class Nodes(Cache):
    """Makes nodes. `modern` = GitLab 17 or later."""

    def __init__(self, shelf: Shelf, *, modern: bool) -> None:
        super().__init__()
        self._shelf = shelf
        self.base = shelf.base
        self.modern = modern

    def user(self, user: User | None) -> Node | None:
        """A user; None stays None."""
        if user is None:
            return None
        return self.node("user", user.id, user, "", lambda: self._user(user))

    def _user(self, user: User) -> Node:
        return {
            "id": gid("User", user.id),
            "username": user.username,
            "name": user.name,
            "state": user.state,
            "publicEmail": "",
            "avatarUrl": f"/uploads/-/system/user/avatar/{user.id}/{user.avatar}",
            "webUrl": f"{self.base}/{user.username}",
            "bot": user.bot,
            "_item": user,
        }

    def label(self, label: Label, *, of_project: bool) -> Node:
        """A label."""
        kind = "ProjectLabel" if of_project else "GroupLabel"
        return self.node(
            "label",
            label.id,
            label,
            kind,
            lambda: {
                "id": gid(kind, label.id),
                "title": label.name,
                "color": label.color,
                "textColor": label.text_color,
                "description": label.description,
            },
        )

    def milestone(self, milestone: Milestone | None) -> Node | None:
        """A milestone; None stays None."""
        if milestone is None:
            return None
        place = self._place(milestone)
        return self.node(
            "milestone",
            milestone.id,
            milestone,
            place,
            lambda: {
                "id": gid("Milestone", milestone.id),
                "iid": str(milestone.iid),
                "title": milestone.title,
                "description": milestone.description,
                "state": milestone.state,
                "dueDate": milestone.due_date,
                "startDate": milestone.start_date,
                "createdAt": seconds(milestone.created_at),
                "updatedAt": seconds(milestone.updated_at),
                "expired": milestone.expired,
                "groupMilestone": milestone.project_id is None,
                "projectMilestone": milestone.project_id is not None,
                "webPath": f"/{place}/-/milestones/{milestone.iid}",
            },
        )

    def _place(self, milestone: Milestone) -> str:
        access = self._shelf.access
        if milestone.project_id is not None:
            return access.projects[milestone.project_id].full_path
        return f"groups/{access.groups[milestone.group_id or 0].full_path}"

    def group(self, group: Group) -> Node:
        """A group."""
        return {
            "id": gid("Group", group.id),
            "name": group.name,
            "path": group.path,
            "fullName": group.full_name,
            "fullPath": group.full_path,
            "description": group.description,
            "visibility": group.visibility,
            "createdAt": seconds(group.created_at),
            "webUrl": f"{self.base}/groups/{group.full_path}",
            "_item": group,
        }

    def project(self, project: Project) -> Node:
        """A project."""
        return self.node(
            "project", project.id, project, project.full_path, lambda: self._project(project)
        )

    def _project(self, project: Project) -> Node:
        return {
            "id": gid("Project", project.id),
            "name": project.name,
            "nameWithNamespace": project.name_with_namespace,
            "path": project.path,
            "fullPath": project.full_path,
            "description": project.description,
            "visibility": project.visibility,
            "archived": project.archived,
            "createdAt": seconds(project.created_at),
            "updatedAt": seconds(project.updated_at),
            "lastActivityAt": seconds(project.last_activity_at),
            "webUrl": f"{self.base}/{project.full_path}",
            "starCount": 0,
            "forksCount": 0,
            "issuesEnabled": project.feature("issues") != "disabled",
            "mergeRequestsEnabled": project.feature("merge_requests") != "disabled",
            "jobsEnabled": project.feature("builds") != "disabled",
            "topics": list(project.topics),
            "languages": [
                {"name": name, "share": share} for name, share in project.languages.items()
            ],
            "_item": project,
        }


def times(item: Any) -> Node:
    """Estimate and time spent of an issue or merge request."""
    tasks, done = task_status(item.description)
    return {
        "timeEstimate": item.time_estimate,
        "totalTimeSpent": item.total_time_spent,
        "humanTimeEstimate": human_time(item.time_estimate),
        "humanTotalTimeSpent": human_time(item.total_time_spent),
        "taskCompletionStatus": {"count": tasks, "completedCount": done},
    }


def statistics(project: Project) -> Node:
    """Sizes of a project in bytes."""
    sizes = project.statistics
    return {
        "commitCount": float(sizes.commit_count),
        "storageSize": float(sizes.storage_size),
        "repositorySize": float(sizes.repository_size),
        "wikiSize": float(sizes.wiki_size),
        "lfsObjectsSize": float(sizes.lfs_objects_size),
        "buildArtifactsSize": float(sizes.job_artifacts_size),
        "pipelineArtifactsSize": float(sizes.pipeline_artifacts_size),
        "packagesSize": float(sizes.packages_size),
        "snippetsSize": float(sizes.snippets_size),
        "uploadsSize": float(sizes.uploads_size),
        "containerRegistrySize": float(sizes.container_registry_size),
    }
