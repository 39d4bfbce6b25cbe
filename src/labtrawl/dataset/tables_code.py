"""Tables of code and its review. Fields: GitLab 19.3, doc/api/merge_requests.md, commits.md, branches.md, tags.md, releases."""

from labtrawl.dataset.tables_planning import planned
from labtrawl.dataset.tables_shape import (
    Column,
    Table,
    Type,
    flag,
    instant,
    number,
    numbers,
    person,
    text,
    texts,
)


def _of_merge_request() -> tuple[Column, ...]:
    """Return what leads to the merge request where only the record's id tells it."""
    return (
        number("project_id", "the project", "@id.1"),
        number("merge_request_iid", "the merge request, by its number inside the project", "@id.2"),
    )


def _commit() -> tuple[Column, ...]:
    return (
        text("sha", "hash of the commit", "id"),
        text("title", "first line of the message"),
        text("message", "the whole message"),
        texts("parent_ids", "hashes of the parents"),
        text("author_name", "who wrote it, as Git says"),
        text("author_email", "their address, as Git says"),
        instant("authored_date", "when it was written, as Git says"),
        text("committer_name", "who committed it, as Git says"),
        text("committer_email", "their address, as Git says"),
        instant("committed_date", "when it was committed, as Git says"),
        text("web_url", "address of its page"),
    )


def _pipeline() -> tuple[Column, ...]:
    return (
        number("iid", "number inside the project"),
        text("name", "name"),
        text("sha", "the commit that it ran on"),
        text("ref", "branch, tag or merge request that it ran for"),
        text("status", "success, failed, canceled, skipped, running, …"),
        text("source", "what started it: push, web, schedule, merge_request_event, …"),
        instant("created_at", "when it was made"),
        instant("updated_at", "when it last changed; near its end once it has ended"),
        text("web_url", "address of its page"),
    )


CODE = (
    Table(
        "merge_requests",
        "Merge requests, one row each.",
        ("merge_requests",),
        Type.BIGINT,
        (
            *planned(),
            flag("draft", "whether it is a draft"),
            instant("merged_at", "when it was merged"),
            *person("merge_user", "who merged it"),
            instant("prepared_at", "when it was ready for a first look"),
            text("source_branch", "the branch that is merged"),
            text("target_branch", "the branch that it goes to"),
            number("source_project_id", "project of the source branch"),
            number("target_project_id", "project of the target branch"),
            numbers("reviewer_ids", "who is asked to review: user ids", "reviewers.*.id"),
            text("sha", "head of the source branch"),
            text("merge_commit_sha", "the merge commit"),
            text("squash_commit_sha", "the squashed commit"),
            flag("squash", "whether its commits become one"),
            text("detailed_merge_status", "whether it can be merged, and if not why"),
            flag("has_conflicts", "whether it has conflicts"),
            flag("blocking_discussions_resolved", "whether all blocking threads are resolved"),
        ),
    ),
    Table(
        "merge_request_approvals",
        "The approvals of each merge request, one row each.",
        ("merge_request_approvals",),
        Type.VARCHAR,
        (
            *_of_merge_request(),
            flag("approved", "whether it has the approvals that it needs"),
            number("approvals_required", "approvals needed"),
            number("approvals_left", "approvals still missing"),
            numbers("approved_by_ids", "who approved: user ids", "approved_by.*.user.id"),
        ),
    ),
    Table(
        "merge_request_reviewers",
        "Who is asked to review a merge request, and how far they are.",
        ("merge_request_reviewers",),
        Type.VARCHAR,
        (
            *_of_merge_request(),
            *person("user", "the reviewer"),
            text("state", "unreviewed, reviewed, requested_changes, approved, …"),
            instant("created_at", "when they were asked"),
        ),
    ),
    Table(
        "merge_request_versions",
        "Versions of each merge request's diff: one for each push.",
        ("merge_request_versions",),
        Type.BIGINT,
        (
            number("merge_request_id", "the merge request"),
            text("head_commit_sha", "head of the source branch"),
            text("base_commit_sha", "where the branches part"),
            text("start_commit_sha", "head of the target branch"),
            text("state", "collected, overflow, empty, …"),
            text("real_size", "number of files, as GitLab says it (may end in +)"),
            instant("created_at", "when it was pushed"),
        ),
    ),
    Table(
        "merge_request_commits",
        "Commits of each merge request.",
        ("merge_request_commits",),
        Type.VARCHAR,
        (*_of_merge_request(), *_commit()),
    ),
    Table(
        "merge_request_pipelines",
        "Pipelines of each merge request.",
        ("merge_request_pipelines",),
        Type.VARCHAR,
        (*_of_merge_request(), number("pipeline_id", "the pipeline", "id"), *_pipeline()),
    ),
    Table(
        "commits",
        "Commits of all branches.",
        ("commits",),
        Type.VARCHAR,
        (
            number("project_id", "the project", "@area"),
            *_commit(),
            number("additions", "lines added", "stats.additions"),
            number("deletions", "lines taken away", "stats.deletions"),
        ),
    ),
    Table(
        "branches",
        "Branches.",
        ("branches",),
        Type.VARCHAR,
        (
            number("project_id", "the project", "@area"),
            text("name", "name"),
            text("commit_sha", "its head", "commit.id"),
            instant("committed_date", "when its head was committed", "commit.committed_date"),
            flag("merged", "whether it is merged into the default branch"),
            flag("protected", "whether it is protected"),
            flag("is_default", "whether it is the default branch", "default"),
            text("web_url", "address of its page"),
        ),
    ),
    Table(
        "tags",
        "Tags.",
        ("tags",),
        Type.VARCHAR,
        (
            number("project_id", "the project", "@area"),
            text("name", "name"),
            text("message", "message of an annotated tag"),
            text("target", "what it points to"),
            text("commit_sha", "its commit", "commit.id"),
            instant("created_at", "when an annotated tag was made"),
            flag("protected", "whether it is protected"),
        ),
    ),
    Table(
        "releases",
        "Releases.",
        ("releases",),
        Type.VARCHAR,
        (
            number("project_id", "the project", "@area"),
            text("tag_name", "its tag"),
            text("name", "name"),
            text("description", "description, in Markdown"),
            *person("author", "who made it"),
            text("commit_sha", "its commit", "commit.id"),
            instant("created_at", "when it was made"),
            instant("released_at", "when it was, or will be, released"),
            flag("upcoming_release", "whether that is still to come"),
        ),
    ),
    Table(
        "pipelines",
        "Pipelines.",
        ("pipelines",),
        Type.BIGINT,
        (number("project_id", "the project"), *_pipeline()),
    ),
)
