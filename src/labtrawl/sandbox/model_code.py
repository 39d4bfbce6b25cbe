"""Code and what is built from it: commits, branches, tags, releases, pipelines, deployments.

Entered through `model`, which names every noun. Instants are texts of `instants.instant_text`.
"""

from msgspec import Struct

from labtrawl.sandbox.model_basics import Milestone, User
from labtrawl.sandbox.model_items import Note


class Commit(Struct, frozen=True, kw_only=True):
    """A commit; `parents` are the shas before it, `notes` the comments on it, oldest first."""

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
    additions: int = 0
    deletions: int = 0
    notes: tuple[Note, ...] = ()


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


class Environment(Struct, frozen=True, kw_only=True):
    """A place that jobs deploy to; `state`: ``available``, ``stopping`` or ``stopped``."""

    id: int
    name: str
    slug: str
    created_at: str
    updated_at: str
    state: str = "available"
    tier: str = "other"
    external_url: str | None = None
    description: str | None = None
    auto_stop_at: str | None = None


class Deployment(Struct, frozen=True, kw_only=True):
    """A job's delivery to an environment; `job_id` names one of the project's jobs, if any."""

    id: int
    iid: int
    ref: str
    sha: str
    status: str
    environment: Environment
    created_at: str
    updated_at: str
    user: User | None = None
    job_id: int | None = None
    tag: bool = False
    finished_at: str | None = None


class Statistics(Struct, frozen=True, kw_only=True):
    """Sizes of a project in bytes, and its number of commits."""

    commit_count: int = 0
    repository_size: int = 0
    wiki_size: int = 0
    lfs_objects_size: int = 0
    job_artifacts_size: int = 0
    pipeline_artifacts_size: int = 0
    packages_size: int = 0
    snippets_size: int = 0
    uploads_size: int = 0
    container_registry_size: int = 0

    @property
    def storage_size(self) -> int:
        """All sizes together."""
        return (
            self.repository_size
            + self.wiki_size
            + self.lfs_objects_size
            + self.job_artifacts_size
            + self.pipeline_artifacts_size
            + self.packages_size
            + self.snippets_size
            + self.uploads_size
            + self.container_registry_size
        )
