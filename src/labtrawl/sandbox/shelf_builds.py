"""Environments, deployments and what a merge request's code led to, on the same shelf as the rest.

Entered by the routes and by `truth`. Each function takes the shelf that keeps its rows.
"""

from labtrawl.sandbox import entities_activity as activity
from labtrawl.sandbox.entities_code import pipeline_brief
from labtrawl.sandbox.entities_projects import project_simple
from labtrawl.sandbox.listing import Listing, encoded
from labtrawl.sandbox.model import MergeRequest, Project
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.shelf_code import commit_of, job_of
from labtrawl.sandbox.shelf_items import NOTHING


def environments(shelf: Shelf, project: Project) -> Listing:
    """All environments of the project."""

    def make() -> Listing:
        place = project_simple(shelf.base, project, shelf.access.groups.get(project.namespace_id))
        return encoded((e, activity.environment_body(e, place)) for e in project.environments)

    return shelf.keep(("environments", project.id), make)


def deployments(shelf: Shelf, project: Project) -> Listing:
    """All deployments of the project."""

    def make() -> Listing:
        wanted = {found.job_id for found in project.deployments}
        jobs = {job.id: job_of(shelf, project, job) for job in project.jobs if job.id in wanted}
        return encoded(
            (found, activity.deployment_body(shelf.people, found, jobs.get(found.job_id or 0)))
            for found in project.deployments
        )

    return shelf.keep(("deployments", project.id), make)


def request_commits(shelf: Shelf, project: Project, item: MergeRequest) -> Listing:
    """The commits that a merge request brings, the newest first."""
    if not item.commits:
        return NOTHING

    def make() -> Listing:
        known = {commit.sha: commit for commit in project.commits}
        found = [known[sha] for sha in item.commits if sha in known]
        return encoded((commit, commit_of(shelf, project, commit)) for commit in found)

    return shelf.keep(("request_commits", project.id, item.id), make)


def request_pipelines(shelf: Shelf, project: Project, item: MergeRequest) -> Listing:
    """The pipelines of a merge request, the newest first."""
    if not item.pipelines:
        return NOTHING

    def make() -> Listing:
        known = {pipeline.id: pipeline for pipeline in project.pipelines}
        found = [known[number] for number in item.pipelines if number in known]
        return encoded((p, pipeline_brief(shelf.base, project, p)) for p in found)

    return shelf.keep(("request_pipelines", project.id, item.id), make)
