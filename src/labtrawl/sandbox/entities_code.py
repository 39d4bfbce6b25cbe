"""How GitLab 19.3 writes merge requests, commits, branches, tags and releases.

Entered by the shelf. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from urllib.parse import quote

from labtrawl.sandbox.entities import Body, People
from labtrawl.sandbox.entities_planning import references_body, task_status, time_stats
from labtrawl.sandbox.model import (
    Branch,
    Commit,
    MergeRequest,
    Pipeline,
    Project,
    Release,
    Tag,
)


def repository_instant(text: str) -> str:
    """An instant as Git objects carry it, with a numeric zone."""
    return f"{text[:-1]}+00:00"


def merge_request_body(
    people: People, project: Project, item: MergeRequest, milestone: Body | None
) -> Body:
    """A row of a project's merge requests."""
    assignees = [people.basic(user) for user in item.assignees]
    tasks, done = task_status(item.description)
    merger = people.basic(item.merge_user)
    return {
        "id": item.id,
        "iid": item.iid,
        "project_id": project.id,
        "title": item.title,
        "description": item.description,
        "state": item.state,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "merged_by": merger,
        "merge_user": merger,
        "merged_at": item.merged_at,
        "closed_by": people.basic(item.closed_by),
        "closed_at": item.closed_at,
        "target_branch": item.target_branch,
        "source_branch": item.source_branch,
        "user_notes_count": sum(not note.system for note in item.notes),
        "upvotes": item.upvotes,
        "downvotes": item.downvotes,
        "author": people.basic(item.author),
        "assignees": assignees,
        "assignee": assignees[0] if assignees else None,
        "reviewers": [people.basic(user) for user in item.reviewers],
        "source_project_id": item.source_project_id,
        "target_project_id": project.id,
        "labels": list(item.labels),
        "draft": item.draft,
        "imported": item.imported,
        "imported_from": "gitlab_project" if item.imported else "none",
        "work_in_progress": item.draft,
        "milestone": milestone,
        "merge_when_pipeline_succeeds": False,
        "merge_status": item.merge_status,
        "detailed_merge_status": detailed_status(item),
        "merge_after": None,
        "sha": item.sha,
        "merge_commit_sha": item.merge_commit_sha,
        "squash_commit_sha": item.squash_commit_sha,
        "discussion_locked": item.discussion_locked,
        "should_remove_source_branch": None,
        "force_remove_source_branch": item.force_remove_source_branch,
        "prepared_at": item.created_at,
        "reference": f"!{item.iid}",
        "references": references_body(project, "!", item.iid),
        "web_url": f"{people.base}/{project.full_path}/-/merge_requests/{item.iid}",
        "time_stats": time_stats(item.time_estimate, item.total_time_spent),
        "squash": item.squash,
        "squash_on_merge": item.squash,
        "task_completion_status": {"count": tasks, "completed_count": done},
        "has_conflicts": item.merge_status == "cannot_be_merged",
        "blocking_discussions_resolved": not any(
            note.resolvable and not note.resolved for note in item.notes
        ),
    }


def detailed_status(item: MergeRequest) -> str:
    """Whether the merge request can be merged, or what is in the way."""
    if item.state != "opened":
        return "not_open"
    if item.draft:
        return "draft_status"
    known = {"can_be_merged": "mergeable", "cannot_be_merged": "conflict"}
    return known.get(item.merge_status, "unchecked")


def merge_request_detail(
    row: Body, item: MergeRequest, pipeline: Body | None, can_merge: bool
) -> Body:
    """``GET /projects/:id/merge_requests/:iid``: the list's row and what costs more to find."""
    refs = {"base_sha": item.sha, "head_sha": item.sha, "start_sha": item.sha}
    return row | {
        "subscribed": False,
        "changes_count": None,
        "latest_build_started_at": None,
        "latest_build_finished_at": None,
        "first_deployed_to_production_at": None,
        "pipeline": pipeline,
        "head_pipeline": pipeline,
        "diff_refs": refs if item.sha else None,
        "merge_error": None,
        "first_contribution": False,
        "user": {"can_merge": can_merge},
    }


def commit_body(base: str, project: Project, commit: Commit) -> Body:
    """A row of commits, and the commit inside branches, tags, jobs and releases."""
    committed = repository_instant(commit.committed_date)
    return {
        "id": commit.sha,
        "short_id": commit.sha[:8],
        "created_at": committed,
        "parent_ids": list(commit.parents),
        "title": commit.title,
        "message": commit.message,
        "author_name": commit.author_name,
        "author_email": commit.author_email,
        "authored_date": repository_instant(commit.authored_date),
        "committer_name": commit.committer_name,
        "committer_email": commit.committer_email,
        "committed_date": committed,
        "trailers": commit.trailers,
        "extended_trailers": {key: [value] for key, value in commit.trailers.items()},
        "web_url": f"{base}/{project.full_path}/-/commit/{commit.sha}",
    }


def stats_body(commit: Commit) -> Body:
    """Lines of a commit, as rows have them with ``with_stats=true``."""
    total = commit.additions + commit.deletions
    return {"additions": commit.additions, "deletions": commit.deletions, "total": total}


def commit_detail(row: Body, project: Project, commit: Commit, pipeline: Body | None) -> Body:
    """``GET /projects/:id/repository/commits/:sha``."""
    return row | {
        "stats": stats_body(commit),
        "status": pipeline["status"] if pipeline else None,
        "project_id": project.id,
        "last_pipeline": pipeline,
    }


def branch_body(base: str, project: Project, branch: Branch, commit: Body, can_push: bool) -> Body:
    """A row of branches; `can_push` concerns the caller."""
    return {
        "name": branch.name,
        "commit": commit,
        "merged": branch.merged,
        "protected": branch.protected,
        "developers_can_push": False,
        "developers_can_merge": False,
        "can_push": can_push,
        "default": branch.default,
        "web_url": f"{base}/{project.full_path}/-/tree/{quote(branch.name)}",
    }


def tag_body(tag: Tag, commit: Body, release: Release | None) -> Body:
    """A row of tags."""
    noted = {"tag_name": tag.name, "description": release.description} if release else None
    return {
        "name": tag.name,
        "message": tag.message or "",
        "target": tag.target,
        "commit": commit,
        "release": noted,
        "protected": tag.protected,
        "created_at": repository_instant(tag.created_at) if tag.created_at else None,
    }


def release_body(
    people: People,
    project: Project,
    release: Release,
    commit: Body | None,
    milestones: list[Body],
) -> Body:
    """A row of releases; `commit` None leaves out what only readers of the code may see."""
    url = f"{people.base}/{project.full_path}"
    tag = quote(release.tag_name)
    self_url = f"{url}/-/releases/{tag}"
    body: Body = {
        "tag_name": release.tag_name,
        "name": release.name,
        "description": release.description,
        "created_at": release.created_at,
        "released_at": release.released_at,
        "upcoming_release": False,
        "author": people.basic(release.author),
    }
    if commit is not None and release.commit is not None:
        body |= {
            "commit": commit,
            "commit_path": f"/{project.full_path}/-/commit/{release.commit.sha}",
            "tag_path": f"/{project.full_path}/-/tags/{tag}",
        }
    body |= {
        "milestones": milestones,
        "assets": _assets(project, release, url, commit is not None),
        "evidences": _evidences(release, self_url),
        "_links": {
            "closed_issues_url": f"{url}/-/issues?release_tag={tag}&scope=all&state=closed",
            "closed_merge_requests_url": f"{url}/-/merge_requests?release_tag={tag}&state=closed",
            "merged_merge_requests_url": f"{url}/-/merge_requests?release_tag={tag}&state=merged",
            "opened_issues_url": f"{url}/-/issues?release_tag={tag}&scope=all&state=opened",
            "opened_merge_requests_url": f"{url}/-/merge_requests?release_tag={tag}&state=opened",
            "self": self_url,
        },
    }
    return body


def _assets(project: Project, release: Release, url: str, with_sources: bool) -> Body:
    tag = quote(release.tag_name)
    archive = f"{url}/-/archive/{tag}/{project.path}-{tag}"
    kinds = ("zip", "tar.gz", "tar.bz2", "tar") if with_sources else ()
    links = [
        {
            "id": number,
            "name": name,
            "url": address,
            "direct_asset_url": address,
            "link_type": "other",
        }
        for number, name, address in release.links
    ]
    return {
        "count": len(kinds) + len(links),
        "sources": [{"format": kind, "url": f"{archive}.{kind}"} for kind in kinds],
        "links": links,
    }


def _evidences(release: Release, self_url: str) -> list[Body]:
    if release.evidence_sha is None:
        return []
    path = f"{self_url}/evidences/{int(release.evidence_sha[:6], 16)}.json"
    return [{"sha": release.evidence_sha, "filepath": path, "collected_at": release.released_at}]


def milestone_with_stats(row: Body, issues: tuple[int, int]) -> Body:
    """A milestone inside a release: the row, and its issues (all, closed)."""
    return row | {"issue_stats": {"total": issues[0], "closed": issues[1]}}


def pipeline_brief(base: str, project: Project, pipeline: Pipeline) -> Body:
    """A row of pipelines, and the pipeline inside jobs and commits."""
    return {
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": project.id,
        "sha": pipeline.sha,
        "ref": pipeline.ref,
        "status": pipeline.status,
        "source": pipeline.source,
        "created_at": pipeline.created_at,
        "updated_at": pipeline.updated_at,
        "web_url": f"{base}/{project.full_path}/-/pipelines/{pipeline.id}",
    }
