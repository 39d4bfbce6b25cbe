"""People, levels and plans: the nouns of a look-alike GitLab that all others refer to.

Entered through `model`, which names every noun.
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
    avatar: str = "avatar.png"
    public_email: str = ""


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
