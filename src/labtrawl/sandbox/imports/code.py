"""Merge requests, pipelines, CI jobs, releases and events of an export tree.

And the repository that a tree lacks: its commits are those of the merge requests' diffs, the rest
is made up. Entered by `projects`.
"""

from collections.abc import Iterable

import msgspec

from labtrawl.sandbox.imports.labels import Place, label_names, thread_milestone
from labtrawl.sandbox.imports.planning import time_spent, to_notes, users_of, votes
from labtrawl.sandbox.imports.reading import Record
from labtrawl.sandbox.imports.register import Register, invented_sha
from labtrawl.sandbox.imports.traces import reviews_of, traces_of
from labtrawl.sandbox.model import (
    Branch,
    Commit,
    Event,
    Job,
    MergeRequest,
    Pipeline,
    Release,
    Tag,
)

_SOURCES = {
    1: "push",
    2: "web",
    3: "trigger",
    4: "schedule",
    5: "api",
    6: "external",
    7: "pipeline",
    8: "chat",
    10: "merge_request_event",
    11: "external_pull_request_event",
}
_ACTIONS = {
    1: "opened",
    2: "updated",
    3: "closed",
    4: "opened",
    6: "commented on",
    7: "accepted",
    8: "joined",
    9: "left",
    10: "destroyed",
    12: "approved",
}
_DRAFT_MARKS = ("draft:", "[draft]", "(draft)", "wip:", "[wip]")
_SHA_LENGTH = 40


def to_merge_request(register: Register, place: Place, row: Record) -> MergeRequest:
    """A merge request with its notes."""
    iid = row.number("iid")
    title = row.text("title")
    metrics = row.one("metrics")
    merged_at = metrics.optional_instant("merged_at") if metrics else None
    closed_at = metrics.optional_instant("latest_closed_at") if metrics else None
    merger = row.optional_number("merge_user_id")
    source, target = (
        row.optional_number("source_project_id"),
        row.optional_number("target_project_id"),
    )
    parameters = row.one("merge_params")
    number = register.number("merge_request", row.optional_number("id"), f"merge request !{iid}")
    created_at = row.instant("created_at")
    return MergeRequest(
        id=number,
        iid=iid,
        title=title,
        description=row.optional_text("description"),
        state=row.optional_text("state") or "opened",
        author=register.user(row.optional_number("author_id")),
        created_at=created_at,
        updated_at=row.instant("updated_at"),
        source_branch=row.text("source_branch"),
        target_branch=row.text("target_branch"),
        sha=_head_sha(row),
        merged_at=merged_at,
        merge_user=register.user(merger) if merger is not None else None,
        closed_at=closed_at if row.fields.get("state") == "closed" else None,
        merge_commit_sha=row.optional_text("merge_commit_sha"),
        squash_commit_sha=row.optional_text("squash_commit_sha"),
        labels=label_names(register, place, row),
        milestone=thread_milestone(register, place, row),
        assignees=users_of(register, row.many("merge_request_assignees")),
        reviewers=users_of(register, row.many("merge_request_reviewers")),
        draft=title.lower().startswith(_DRAFT_MARKS),
        squash=row.is_set("squash"),
        upvotes=votes(row, "thumbsup"),
        downvotes=votes(row, "thumbsdown"),
        merge_status=row.optional_text("merge_status") or "unchecked",
        source_project_id=place.project_id if source == target else source,
        time_estimate=row.optional_number("time_estimate") or 0,
        total_time_spent=time_spent(row),
        discussion_locked=row.fields.get("discussion_locked"),
        force_remove_source_branch=parameters.is_set("force_remove_source_branch")
        if parameters
        else None,
        imported=True,
        notes=to_notes(register, row.many("notes"), f"merge request {number}"),
        commits=tuple(c.fields["sha"] for c in _diff_commits(row) if c.fields.get("sha")),
        **traces_of(register, place, row),
        **reviews_of(register, row, created_at),
    )


def _diff_commits(row: Record) -> list[Record]:
    diff = row.one("merge_request_diff")
    commits = diff.many("merge_request_diff_commits") if diff else []
    return sorted(commits, key=lambda commit: commit.optional_number("relative_order") or 0)


def _head_sha(row: Record) -> str | None:
    for commit in _diff_commits(row):
        return commit.optional_text("sha")
    sha = row.optional_text("source_branch_sha") or ""
    return sha if len(sha) == _SHA_LENGTH else None


def to_commits(
    register: Register, rows: Iterable[Record], born_at: str, where: str
) -> list[Commit]:
    """The commits of all diffs, each once and oldest first, on an invented first commit."""
    first = _invented_commit(where, born_at, "Initial commit")
    register.invent(f"commit {first.sha} of {where}", "trees hold no repository")
    found = {first.sha: first}
    for row in rows:
        parent = first.sha
        for record in reversed(register.keep(_diff_commits(row), _checked_commit)):
            sha = record.text("sha")
            if sha not in found:
                found[sha] = _to_commit(record, parent)
            parent = sha
    if len(found) > 1:
        register.invent(f"parents of the commits of {where}", "diffs hold no parents")
    return sorted(found.values(), key=lambda commit: (commit.committed_date, commit.sha))


def _checked_commit(row: Record) -> Record:
    row.text("sha")
    row.instant("committed_date")
    return row


def _invented_commit(where: str, born_at: str, title: str, sha: str = "") -> Commit:
    return Commit(
        sha=sha or invented_sha(where, title, born_at),
        parents=(),
        title=title,
        message=f"{title}\n",
        author_name="Ghost User",
        author_email="ghost@gitlab.invalid",
        authored_date=born_at,
        committer_name="Ghost User",
        committer_email="ghost@gitlab.invalid",
        committed_date=born_at,
    )


def _to_commit(row: Record, parent: str) -> Commit:
    message = row.optional_text("message") or ""
    author = row.one("commit_author") or Record(row.where, {})
    committer = row.one("committer") or author
    committed = row.instant("committed_date")
    return Commit(
        sha=row.text("sha"),
        parents=(parent,),
        title=message.split("\n", 1)[0],
        message=message,
        author_name=author.optional_text("name") or row.optional_text("author_name") or "",
        author_email=author.optional_text("email") or row.optional_text("author_email") or "",
        authored_date=row.optional_instant("authored_date") or committed,
        committer_name=committer.optional_text("name") or row.optional_text("committer_name") or "",
        committer_email=committer.optional_text("email")
        or row.optional_text("committer_email")
        or "",
        committed_date=committed,
    )


def add_comments(register: Register, commits: dict[str, Commit], rows: list[Record]) -> None:
    """Put notes on their commits; one that no diff holds is made up around the sha."""
    by_sha: dict[str, list[Record]] = {}
    for row in register.keep(rows, _checked_comment):
        by_sha.setdefault(row.text("commit_id"), []).append(row)
    for sha, found in by_sha.items():
        notes = to_notes(register, found, f"commit {sha}")
        if sha not in commits and notes:
            title = "A commit that notes name"
            commits[sha] = _invented_commit(sha, notes[0].created_at, title, sha)
            register.invent(f"commit {sha}", "a note names it, trees hold no repository")
        if notes:
            commits[sha] = msgspec.structs.replace(commits[sha], notes=notes)


def _checked_comment(row: Record) -> Record:
    row.text("commit_id")
    return row


def to_branches(
    register: Register, requests: list[MergeRequest], commits: list[Commit], where: str
) -> list[Branch]:
    """An invented main, and the branches of open merge requests at their head commits."""
    by_sha = {commit.sha: commit for commit in commits}
    branches = {"main": Branch(name="main", commit=commits[-1], default=True, protected=True)}
    for request in requests:
        if request.state == "opened":
            head = by_sha.get(request.sha or "", commits[-1])
            branches.setdefault(
                request.source_branch, Branch(name=request.source_branch, commit=head)
            )
            branches.setdefault(
                request.target_branch, Branch(name=request.target_branch, commit=commits[0])
            )
    for name in branches:
        register.invent(f"branch {name} of {where}", "trees hold no repository")
    return list(branches.values())


def to_release(
    register: Register, place: Place, commits: dict[str, Commit], row: Record
) -> Release:
    """A release; a commit that no diff holds is made up around the sha it names."""
    name = row.text("tag")
    created_at = row.instant("created_at")
    sha = row.optional_text("sha")
    if sha and sha not in commits:
        commits[sha] = _invented_commit(name, created_at, f"Release {name}", sha)
        register.invent(f"commit {sha}", "the release names it, trees hold no repository")
    author = row.optional_number("author_id")
    nested = [link.one("milestone") for link in row.many("milestone_releases")]
    titles = {record.fields.get("title") for record in nested if record}
    links = tuple(
        (link.number("id"), link.text("name"), link.text("url")) for link in row.many("links")
    )
    return Release(
        tag_name=name,
        name=row.optional_text("name") or name,
        description=row.optional_text("description"),
        created_at=created_at,
        released_at=row.optional_instant("released_at") or created_at,
        author=register.user(author) if author is not None else None,
        commit=commits.get(sha or ""),
        milestones=tuple(m for m in place.milestones.values() if m.title in titles),
        links=links,
    )


def to_tag(register: Register, release: Release, fallback: Commit) -> Tag:
    """The tag of a release."""
    register.invent(
        f"tag {release.tag_name}", "trees hold no repository, the release names the tag"
    )
    commit = release.commit or fallback
    return Tag(name=release.tag_name, commit=commit, target=commit.sha)


def to_pipeline(register: Register, turn: int, row: Record) -> Pipeline:
    """A pipeline; `turn` is its place in the tree, taken for a missing iid."""
    iid = row.optional_number("iid")
    number = register.number("pipeline", row.optional_number("id"), f"pipeline {turn}")
    if iid is None:
        register.invent(f"iid {turn} of pipeline {number}", "the tree has none")
    source = row.fields.get("source")
    user = row.optional_number("user_id")
    return Pipeline(
        id=number,
        iid=turn if iid is None else iid,
        sha=row.text("sha"),
        ref=row.optional_text("ref") or "main",
        status=row.optional_text("status") or "created",
        source=source if isinstance(source, str) else _SOURCES.get(source or 0, "unknown"),
        created_at=row.instant("created_at"),
        updated_at=row.instant("updated_at"),
        user=register.user(user) if user is not None else None,
        before_sha=row.optional_text("before_sha") or "0" * _SHA_LENGTH,
        tag=row.is_set("tag"),
        started_at=row.optional_instant("started_at"),
        finished_at=row.optional_instant("finished_at"),
        duration=row.optional_number("duration"),
        yaml_errors=row.optional_text("yaml_errors"),
        name=None,
    )


def job_records(row: Record) -> list[tuple[str, Record]]:
    """The CI jobs of a pipeline with the names of their stages.

    External statuses and triggers of other pipelines are no jobs in the REST API.
    """
    return [
        (stage.optional_text("name") or "test", job)
        for stage in row.many("stages")
        for job in (*stage.many("statuses"), *stage.many("builds"))
        if job.fields.get("type") in (None, "Ci::Build")
    ]


def to_job(
    register: Register, pipeline: Pipeline, stage: str, commits: dict[str, Commit], row: Record
) -> Job:
    """A CI job of the pipeline."""
    user = row.optional_number("user_id")
    status = row.optional_text("status") or "created"
    coverage = row.fields.get("coverage")
    reason = row.fields.get("failure_reason")
    return Job(
        id=register.number("job", row.optional_number("id"), f"job in {row.where}"),
        pipeline=pipeline,
        name=row.text("name"),
        stage=stage,
        status=status,
        created_at=row.optional_instant("created_at") or pipeline.created_at,
        user=register.user(user) if user is not None else pipeline.user,
        commit=commits.get(pipeline.sha),
        started_at=row.optional_instant("started_at"),
        finished_at=row.optional_instant("finished_at"),
        allow_failure=row.is_set("allow_failure"),
        coverage=coverage if isinstance(coverage, float) else None,
        failure_reason=reason if isinstance(reason, str) else None,
        retried=row.is_set("retried"),
    )


def to_event(
    register: Register, targets: dict[tuple[str, int], tuple[int, int, str]], row: Record
) -> Event:
    """An event; `targets` gives number, iid and title of what it is about, by the tree's number."""
    kind = row.optional_text("target_type")
    wanted = row.optional_number("target_id")
    number, iid, title = targets.get((kind or "", wanted or 0), (wanted, None, None))
    action = row.number("action")
    return Event(
        id=register.number("event", row.optional_number("id"), f"event in {row.where}"),
        action_name=_ACTIONS.get(action, "created"),
        author=register.user(row.optional_number("author_id")),
        created_at=row.instant("created_at"),
        target_id=number,
        target_iid=iid,
        target_type=kind,
        target_title=title,
    )
