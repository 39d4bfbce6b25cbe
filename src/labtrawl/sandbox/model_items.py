"""Issues and merge requests with all that hangs on them: notes, awards, events, times, reviews.

Entered through `model`, which names every noun. Instants are texts of `instants.instant_text`.
"""

from msgspec import Struct

from labtrawl.sandbox.model_basics import Label, Milestone, User


class Award(Struct, frozen=True, kw_only=True):
    """An emoji that a user gave to an issue, a merge request or a note."""

    id: int
    name: str
    user: User
    created_at: str
    updated_at: str


class LabelEvent(Struct, frozen=True, kw_only=True):
    """A label put on (``add``) or taken off (``remove``); None = the label is deleted since."""

    id: int
    user: User
    created_at: str
    action: str
    label: Label | None


class StateEvent(Struct, frozen=True, kw_only=True):
    """A change of state: ``closed``, ``reopened`` or ``merged``."""

    id: int
    user: User
    created_at: str
    state: str
    source_commit: str | None = None
    source_merge_request_id: int | None = None


class MilestoneEvent(Struct, frozen=True, kw_only=True):
    """A milestone set (``add``) or taken away (``remove``); `state` is the item's at that time."""

    id: int
    user: User
    created_at: str
    action: str
    milestone: Milestone | None
    state: str = "opened"


class Timelog(Struct, frozen=True, kw_only=True):
    """Working time in seconds; below zero where time was taken back."""

    id: int
    user: User
    time_spent: int
    spent_at: str
    created_at: str
    updated_at: str
    summary: str | None = None
    note_id: int | None = None


class IssueLink(Struct, frozen=True, kw_only=True):
    """A link as the issue that holds it sees it; the other issue holds it too.

    `id` is the same on both sides. `link_type`: ``relates_to``, ``blocks`` or ``is_blocked_by``.
    `project_id`, `issue_id` and `issue_iid` name the other issue.
    """

    id: int
    link_type: str
    project_id: int
    issue_id: int
    issue_iid: int
    created_at: str
    updated_at: str


class Approval(Struct, frozen=True, kw_only=True):
    """A user's approval of a merge request."""

    user: User
    approved_at: str


class Review(Struct, frozen=True, kw_only=True):
    """A reviewer's state: ``unreviewed``, ``review_started``, ``reviewed``, ``approved``, ..."""

    user: User
    state: str
    created_at: str


class RequestVersion(Struct, frozen=True, kw_only=True):
    """A version of a merge request's changes; every push makes one."""

    id: int
    head_commit_sha: str | None
    base_commit_sha: str | None
    start_commit_sha: str | None
    created_at: str
    state: str = "collected"
    real_size: str = "1"
    patch_id_sha: str | None = None


class Note(Struct, frozen=True, kw_only=True):
    """A comment or system note on an issue, a merge request or a commit.

    `discussion_id`: 40 hex digits; replies share it, an individual note has its own.
    """

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
    discussion_id: str = ""
    awards: tuple[Award, ...] = ()


class Discussion(Struct, frozen=True, kw_only=True):
    """Notes that answer each other, the oldest first; an individual note is one of its own."""

    id: str
    notes: tuple[Note, ...]


def in_discussions(notes: tuple[Note, ...]) -> list[Discussion]:
    """The notes by discussion, in the order in which the discussions were opened."""
    found: dict[str, list[Note]] = {}
    for note in notes:
        found.setdefault(note.discussion_id, []).append(note)
    return [Discussion(id=name, notes=tuple(each)) for name, each in found.items()]


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
    awards: tuple[Award, ...] = ()
    label_events: tuple[LabelEvent, ...] = ()
    state_events: tuple[StateEvent, ...] = ()
    milestone_events: tuple[MilestoneEvent, ...] = ()
    timelogs: tuple[Timelog, ...] = ()
    links: tuple[IssueLink, ...] = ()


class MergeRequest(Struct, frozen=True, kw_only=True):
    """A merge request with its notes, the oldest first.

    `reviews` has one row a reviewer; `commits` are shas, the newest first, of the project's
    `commits`; `pipelines` are ids of the project's `pipelines`, the newest first.
    """

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
    awards: tuple[Award, ...] = ()
    label_events: tuple[LabelEvent, ...] = ()
    state_events: tuple[StateEvent, ...] = ()
    milestone_events: tuple[MilestoneEvent, ...] = ()
    timelogs: tuple[Timelog, ...] = ()
    approvals: tuple[Approval, ...] = ()
    reviews: tuple[Review, ...] = ()
    versions: tuple[RequestVersion, ...] = ()
    commits: tuple[str, ...] = ()
    pipelines: tuple[int, ...] = ()
