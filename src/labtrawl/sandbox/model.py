"""The nouns of a look-alike GitLab: what its database would hold, nothing about how it is served.

Open to every part of the sandbox. Worlds are made by `generate` and `import_trees`; `entities`
writes each noun as GitLab's REST API would. Instants are texts of `instants.instant_text`.
"""

from msgspec import Struct

from labtrawl.sandbox.model_basics import (
    DEVELOPER,
    FEATURES,
    GUEST,
    MAINTAINER,
    MINIMAL,
    OWNER,
    PLANNER,
    REPORTER,
    Label,
    Membership,
    Milestone,
    User,
)
from labtrawl.sandbox.model_code import (
    Branch,
    Commit,
    Deployment,
    Environment,
    Job,
    Pipeline,
    Release,
    Statistics,
    Tag,
)
from labtrawl.sandbox.model_items import (
    Approval,
    Award,
    Discussion,
    Issue,
    IssueLink,
    LabelEvent,
    MergeRequest,
    MilestoneEvent,
    Note,
    RequestVersion,
    Review,
    StateEvent,
    Timelog,
    in_discussions,
)

__all__ = [
    "DEVELOPER",
    "FEATURES",
    "GUEST",
    "MAINTAINER",
    "MINIMAL",
    "OWNER",
    "PLANNER",
    "REPORTER",
    "Account",
    "Approval",
    "Award",
    "Branch",
    "Commit",
    "Deployment",
    "Discussion",
    "Environment",
    "Event",
    "Group",
    "Invention",
    "Issue",
    "IssueLink",
    "Job",
    "Label",
    "LabelEvent",
    "Membership",
    "MergeRequest",
    "Milestone",
    "MilestoneEvent",
    "Note",
    "Pipeline",
    "Project",
    "Push",
    "Release",
    "RequestVersion",
    "Review",
    "StateEvent",
    "Statistics",
    "Tag",
    "Timelog",
    "User",
    "World",
    "in_discussions",
]


class Push(Struct, frozen=True, kw_only=True):
    """What an event tells of a push."""

    commit_count: int
    action: str
    ref_type: str
    commit_from: str | None
    commit_to: str | None
    ref: str
    commit_title: str | None


class Event(Struct, frozen=True, kw_only=True):
    """A row of a project's activity feed."""

    id: int
    action_name: str
    author: User
    created_at: str
    target_id: int | None = None
    target_iid: int | None = None
    target_type: str | None = None
    target_title: str | None = None
    note: Note | None = None
    noteable_type: str | None = None
    noteable_id: int | None = None
    noteable_iid: int | None = None
    push: Push | None = None
    confidential: bool = False


class Group(Struct, frozen=True, kw_only=True):
    """A group; `forbidden` = its IP allow-list leaves every caller out."""

    id: int
    parent_id: int | None
    path: str
    full_path: str
    name: str
    full_name: str
    description: str
    visibility: str
    created_at: str
    members: tuple[Membership, ...] = ()
    labels: tuple[Label, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    forbidden: bool = False


class Project(Struct, frozen=True, kw_only=True):
    """A project and everything in it; `languages` are shares in percent, the largest first."""

    id: int
    namespace_id: int
    path: str
    full_path: str
    name: str
    name_with_namespace: str
    description: str | None
    visibility: str
    created_at: str
    updated_at: str
    last_activity_at: str
    creator: User
    owner: User | None = None
    default_branch: str | None = "main"
    archived: bool = False
    empty_repo: bool = False
    former_paths: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    features: dict[str, str] = {}
    has_readme: bool = True
    members: tuple[Membership, ...] = ()
    labels: tuple[Label, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    issues: tuple[Issue, ...] = ()
    merge_requests: tuple[MergeRequest, ...] = ()
    commits: tuple[Commit, ...] = ()
    branches: tuple[Branch, ...] = ()
    tags: tuple[Tag, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    jobs: tuple[Job, ...] = ()
    releases: tuple[Release, ...] = ()
    events: tuple[Event, ...] = ()
    environments: tuple[Environment, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    languages: dict[str, float] = {}
    statistics: Statistics = Statistics()

    def feature(self, name: str) -> str:
        """The access level of a feature: ``disabled``, ``private`` or ``enabled``."""
        return self.features.get(name, "enabled")


class Account(Struct, frozen=True, kw_only=True):
    """A user's token. `token` belongs to the look-alike alone: it opens nothing else."""

    username: str
    user_id: int
    token: str
    scopes: tuple[str, ...] = ("read_api", "read_user")
    token_id: int = 1
    expires_at: str | None = None
    revoked: bool = False
    expired: bool = False


class Invention(Struct, frozen=True, kw_only=True):
    """Something an export tree lacks and the import made up: `what` object, and `why`."""

    what: str
    why: str


class World(Struct, frozen=True, kw_only=True):
    """One look-alike instance.

    `accounts` work (the first is the main one); `spoilt_tokens` are the main user's and do not: an
    expired and a revoked one, and one without ``read_api``. `invented`: what an import made up.
    `skipped`: a sentence for each record that it left out.
    """

    name: str
    seed: int
    ends_at: str
    users: tuple[User, ...]
    groups: tuple[Group, ...]
    projects: tuple[Project, ...]
    accounts: tuple[Account, ...]
    spoilt_tokens: tuple[Account, ...] = ()
    invented: tuple[Invention, ...] = ()
    skipped: tuple[str, ...] = ()
