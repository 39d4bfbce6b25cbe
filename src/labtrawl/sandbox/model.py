"""The nouns of a look-alike GitLab: what its database would hold, nothing about how it is served.

Open to every part of the sandbox. Worlds are made by `generate` and `import_trees`; `entities`
writes each noun as GitLab's REST API would. Instants are texts of `instants.instant_text`.
"""

from msgspec import Struct

MINIMAL, GUEST, PLANNER, REPORTER = 5, 10, 15, 20
DEVELOPER, MAINTAINER, OWNER = 30, 40, 50

FEATURES = (
    "issues",
    "repository",
    "merge_requests",
    "forking",
    "wiki",
    "builds",
    "snippets",
    "pages",
    "analytics",
    "container_registry",
    "security_and_compliance",
    "releases",
    "environments",
    "feature_flags",
    "infrastructure",
    "monitor",
    "model_experiments",
    "model_registry",
    "package_registry",
)


class User(Struct, frozen=True, kw_only=True):
    """A person or bot."""

    id: int
    username: str
    name: str
    created_at: str
    state: str = "active"
    bot: bool = False
    job_title: str = ""
    location: str | None = None


class Membership(Struct, frozen=True, kw_only=True):
    """A direct membership in a group or project."""

    user: User
    access_level: int
    created_at: str
    created_by: User | None = None
    expires_at: str | None = None


class Label(Struct, frozen=True, kw_only=True):
    """A label of a group or project."""

    id: int
    name: str
    color: str
    text_color: str = "#FFFFFF"
    description: str | None = None
    priority: int | None = None


class Milestone(Struct, frozen=True, kw_only=True):
    """A milestone of a group or of a project."""

    id: int
    iid: int
    title: str
    description: str | None
    state: str
    created_at: str
    updated_at: str
    due_date: str | None = None
    start_date: str | None = None
    group_id: int | None = None
    project_id: int | None = None
    expired: bool = False


class Note(Struct, frozen=True, kw_only=True):
    """A comment or system note on an issue or merge request."""

    id: int
    body: str
    author: User
    created_at: str
    updated_at: str
    type: str | None = None
    system: bool = False
    internal: bool = False
    resolvable: bool = False
    resolved: bool = False
    resolved_by: User | None = None
    resolved_at: str | None = None
    position: dict[str, object] | None = None
    commit_id: str | None = None
    imported: bool = False


class Issue(Struct, frozen=True, kw_only=True):
    """An issue with its notes, the oldest first."""

    id: int
    iid: int
    title: str
    description: str | None
    state: str
    author: User
    created_at: str
    updated_at: str
    closed_at: str | None = None
    closed_by: User | None = None
    labels: tuple[str, ...] = ()
    milestone: Milestone | None = None
    assignees: tuple[User, ...] = ()
    confidential: bool = False
    due_date: str | None = None
    issue_type: str = "issue"
    weight: int | None = None
    upvotes: int = 0
    downvotes: int = 0
    merge_requests_count: int = 0
    discussion_locked: bool | None = None
    time_estimate: int = 0
    total_time_spent: int = 0
    relative_position: int | None = None
    moved_to_id: int | None = None
    imported: bool = False
    notes: tuple[Note, ...] = ()


class MergeRequest(Struct, frozen=True, kw_only=True):
    """A merge request with its notes, the oldest first."""

    id: int
    iid: int
    title: str
    description: str | None
    state: str
    author: User
    created_at: str
    updated_at: str
    source_branch: str
    target_branch: str
    sha: str | None
    merged_at: str | None = None
    merge_user: User | None = None
    closed_at: str | None = None
    closed_by: User | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    labels: tuple[str, ...] = ()
    milestone: Milestone | None = None
    assignees: tuple[User, ...] = ()
    reviewers: tuple[User, ...] = ()
    draft: bool = False
    squash: bool = False
    upvotes: int = 0
    downvotes: int = 0
    merge_status: str = "can_be_merged"
    source_project_id: int | None = None
    time_estimate: int = 0
    total_time_spent: int = 0
    discussion_locked: bool | None = None
    force_remove_source_branch: bool | None = True
    imported: bool = False
    notes: tuple[Note, ...] = ()


class Commit(Struct, frozen=True, kw_only=True):
    """A commit; `parents` are the shas before it."""

    sha: str
    parents: tuple[str, ...]
    title: str
    message: str
    author_name: str
    author_email: str
    authored_date: str
    committer_name: str
    committer_email: str
    committed_date: str
    trailers: dict[str, str] = {}


class Branch(Struct, frozen=True, kw_only=True):
    """A branch and its head."""

    name: str
    commit: Commit
    merged: bool = False
    protected: bool = False
    default: bool = False


class Tag(Struct, frozen=True, kw_only=True):
    """A tag; `target` is the tag object of an annotated one, else the commit."""

    name: str
    commit: Commit
    message: str | None = None
    target: str = ""
    protected: bool = False
    created_at: str | None = None


class Release(Struct, frozen=True, kw_only=True):
    """A release; `links` are (id, name, url)."""

    tag_name: str
    name: str
    description: str | None
    created_at: str
    released_at: str
    author: User | None
    commit: Commit | None
    milestones: tuple[Milestone, ...] = ()
    links: tuple[tuple[int, str, str], ...] = ()
    evidence_sha: str | None = None


class Pipeline(Struct, frozen=True, kw_only=True):
    """A pipeline; its jobs are the project's."""

    id: int
    iid: int
    sha: str
    ref: str
    status: str
    source: str
    created_at: str
    updated_at: str
    user: User | None
    before_sha: str = "0" * 40
    tag: bool = False
    started_at: str | None = None
    finished_at: str | None = None
    duration: int | None = None
    queued_duration: int | None = None
    coverage: float | None = None
    yaml_errors: str | None = None
    name: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """A CI job of a pipeline; `retried` = a later try took its place."""

    id: int
    pipeline: Pipeline
    name: str
    stage: str
    status: str
    created_at: str
    user: User | None
    commit: Commit | None
    started_at: str | None = None
    finished_at: str | None = None
    duration: float | None = None
    queued_duration: float | None = None
    allow_failure: bool = False
    coverage: float | None = None
    failure_reason: str | None = None
    retried: bool = False
    tags: tuple[str, ...] = ()


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
    """A project and everything in it."""

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
