"""Lists of code, builds and events, on the same shelf as the rest.

Entered by the routes and by `truth`. Each function takes the shelf that keeps its rows.
"""

from functools import partial

from labtrawl.sandbox import entities_activity as activity
from labtrawl.sandbox import entities_code as code
from labtrawl.sandbox.access import Viewer, sees_event
from labtrawl.sandbox.entities import Body
from labtrawl.sandbox.listing import Listing, Row, encoded
from labtrawl.sandbox.model import (
    DEVELOPER,
    MAINTAINER,
    REPORTER,
    Branch,
    Commit,
    Job,
    MergeRequest,
    Milestone,
    Pipeline,
    Project,
    Release,
)
from labtrawl.sandbox.shelf import Shelf


def commit_of(shelf: Shelf, project: Project, commit: Commit) -> Body:
    """A commit inside another object or as a row."""
    return code.commit_body(shelf.base, project, commit)


def merge_requests(shelf: Shelf, project: Project) -> Listing:
    """All merge requests of the project."""
    return shelf.keep_rows(
        ("merge_requests", project.id),
        project.merge_requests,
        partial(merge_request_row, shelf, project),
    )


def merge_request_row(shelf: Shelf, project: Project, item: MergeRequest) -> Body:
    """A merge request as a row."""
    milestone = shelf.milestone_body(item.milestone) if item.milestone else None
    return code.merge_request_body(shelf.people, project, item, milestone)


def merge_request_detail(
    shelf: Shelf, viewer: Viewer, project: Project, item: MergeRequest
) -> Body:
    """A single merge request."""
    pipeline = _latest_pipeline(project, item.sha)
    brief = code.pipeline_brief(shelf.base, project, pipeline) if pipeline else None
    row = merge_request_row(shelf, project, item)
    return code.merge_request_detail(row, item, brief, viewer.level(project) >= DEVELOPER)


def _latest_pipeline(project: Project, sha: str | None) -> Pipeline | None:
    return next((found for found in reversed(project.pipelines) if found.sha == sha), None)


def commits(shelf: Shelf, project: Project, *, stats: bool = False) -> Listing:
    """All commits of all branches, newest first; `stats` adds how many lines they changed."""
    return shelf.keep_rows(
        ("commits", project.id, stats),
        reversed(project.commits),
        partial(_commit_row, shelf, project, stats=stats),
    )


def _commit_row(shelf: Shelf, project: Project, commit: Commit, stats: bool) -> Body:
    row = commit_of(shelf, project, commit)
    return row | {"stats": code.stats_body(commit)} if stats else row


def commits_from(shelf: Shelf, project: Project, ref: str, *, stats: bool = False) -> list[Row]:
    """Commits reachable from a branch, tag or sha, newest first; empty for an unknown one."""
    heads = {branch.name: branch.commit.sha for branch in project.branches}
    heads |= {tag.name: tag.commit.sha for tag in project.tags}
    parents = {commit.sha: commit.parents for commit in project.commits}
    reached: set[str] = set()
    waiting = [heads.get(ref, ref)]
    while waiting:
        sha = waiting.pop()
        if sha in parents and sha not in reached:
            reached.add(sha)
            waiting += parents[sha]
    return [row for row in commits(shelf, project, stats=stats).rows if row.item.sha in reached]


def commit_detail(shelf: Shelf, project: Project, commit: Commit) -> Body:
    """A single commit."""
    pipeline = _latest_pipeline(project, commit.sha)
    brief = code.pipeline_brief(shelf.base, project, pipeline) if pipeline else None
    return code.commit_detail(commit_of(shelf, project, commit), project, commit, brief)


def branches(shelf: Shelf, viewer: Viewer, project: Project) -> Listing:
    """Branches by name."""
    level = viewer.level(project)

    def row(branch: Branch) -> Body:
        can_push = level >= (MAINTAINER if branch.protected else DEVELOPER)
        commit = commit_of(shelf, project, branch.commit)
        return code.branch_body(shelf.base, project, branch, commit, can_push)

    ordered = sorted(project.branches, key=lambda branch: branch.name)
    return shelf.keep(
        ("branches", project.id, level >= MAINTAINER, level >= DEVELOPER),
        lambda: encoded((branch, row(branch)) for branch in ordered),
    )


def tags(shelf: Shelf, project: Project) -> Listing:
    """Tags, the last updated first."""
    noted = {release.tag_name: release for release in project.releases}
    ordered = sorted(project.tags, key=lambda t: (t.commit.committed_date, t.name), reverse=True)
    return shelf.keep(
        ("tags", project.id),
        lambda: encoded(
            (tag, code.tag_body(tag, commit_of(shelf, project, tag.commit), noted.get(tag.name)))
            for tag in ordered
        ),
    )


def pipelines(shelf: Shelf, project: Project) -> Listing:
    """All pipelines of the project."""
    return shelf.keep_rows(
        ("pipelines", project.id),
        project.pipelines,
        partial(code.pipeline_brief, shelf.base, project),
    )


def jobs(shelf: Shelf, project: Project) -> Listing:
    """All CI jobs of the project, retried ones included."""
    return shelf.keep_rows(("jobs", project.id), project.jobs, partial(job_of, shelf, project))


def job_of(shelf: Shelf, project: Project, job: Job) -> Body:
    """A CI job inside a deployment or as a row."""
    commit = commit_of(shelf, project, job.commit) if job.commit else None
    return activity.job_body(shelf.people, project, job, commit)


def releases(shelf: Shelf, viewer: Viewer, project: Project) -> Listing:
    """Releases, the newest first; without commits for those who may not read the code."""
    reads_code = project.visibility == "public" or viewer.level(project) >= REPORTER
    ordered = sorted(project.releases, key=lambda r: (r.released_at, r.tag_name), reverse=True)
    return shelf.keep(
        ("releases", project.id, reads_code),
        lambda: encoded(
            (release, _release_body(shelf, project, release, reads_code)) for release in ordered
        ),
    )


def _release_body(shelf: Shelf, project: Project, release: Release, reads_code: bool) -> Body:
    readable = reads_code and release.commit is not None
    commit = commit_of(shelf, project, release.commit) if readable and release.commit else None
    milestones = [
        code.milestone_with_stats(shelf.milestone_body(m), _issue_stats(project, m))
        for m in release.milestones
    ]
    return code.release_body(shelf.people, project, release, commit, milestones)


def _issue_stats(project: Project, milestone: Milestone) -> tuple[int, int]:
    mine = [i for i in project.issues if i.milestone and i.milestone.id == milestone.id]
    return len(mine), sum(issue.state == "closed" for issue in mine)


def events(shelf: Shelf, viewer: Viewer, project: Project) -> list[Row]:
    """Events, the newest first, with holes for those the viewer may not see."""
    whole = shelf.keep(
        ("events", project.id),
        lambda: encoded(
            (event, activity.event_body(shelf.people, project, event))
            for event in reversed(project.events)
        ),
    )
    return [
        row if sees_event(viewer, project, row.item) else Row(row.item, None) for row in whole.rows
    ]
