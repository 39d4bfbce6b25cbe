"""How GitLab 19.3 writes single pipelines, CI jobs, deployments and events.

Entered by the shelf. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from labtrawl.sandbox.entities import Body, People
from labtrawl.sandbox.entities_code import pipeline_brief
from labtrawl.sandbox.entities_planning import note_body
from labtrawl.sandbox.model import Deployment, Environment, Event, Job, Pipeline, Project, Push

_ICONS = {"success": "passed", "failed": "failed", "canceled": "canceled", "running": "running"}


def pipeline_detail(people: People, project: Project, pipeline: Pipeline) -> Body:
    """``GET /projects/:id/pipelines/:pipeline_id``."""
    word = _ICONS.get(pipeline.status, pipeline.status)
    path = f"/{project.full_path}/-/pipelines/{pipeline.id}"
    return pipeline_brief(people.base, project, pipeline) | {
        "before_sha": pipeline.before_sha,
        "tag": pipeline.tag,
        "yaml_errors": pipeline.yaml_errors,
        "user": people.basic(pipeline.user),
        "started_at": pipeline.started_at,
        "finished_at": pipeline.finished_at,
        "committed_at": None,
        "duration": pipeline.duration,
        "queued_duration": pipeline.queued_duration,
        "coverage": pipeline.coverage,
        "detailed_status": {
            "icon": f"status_{pipeline.status}",
            "text": word.capitalize(),
            "label": word,
            "group": pipeline.status,
            "tooltip": word,
            "has_details": True,
            "details_path": path,
            "illustration": None,
            "favicon": f"/assets/ci_favicons/favicon_status_{pipeline.status}.png",
        },
        "archived": False,
        "name": pipeline.name,
    }


def job_body(people: People, project: Project, job: Job, commit: Body | None) -> Body:
    """A row of jobs."""
    ended = job.status not in ("running", "created", "pending", "manual")
    trace = {"file_type": "trace", "size": 1500 + job.id % 7919, "filename": "job.log"}
    return {
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "name": job.name,
        "ref": job.pipeline.ref,
        "tag": job.pipeline.tag,
        "coverage": job.coverage,
        "allow_failure": job.allow_failure,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "erased_at": None,
        "duration": job.duration,
        "queued_duration": job.queued_duration,
        "user": people.job_user(job.user) if job.user else None,
        "commit": commit,
        "pipeline": pipeline_brief(people.base, project, job.pipeline),
        **({"failure_reason": job.failure_reason} if job.failure_reason else {}),
        "web_url": f"{people.base}/{project.full_path}/-/jobs/{job.id}",
        "project": {"ci_job_token_scope_enabled": False},
        "artifacts": [trace | {"file_format": "raw"}] if ended else [],
        "runner": None,
        "runner_manager": None,
        "artifacts_expire_at": None,
        "archived": False,
        "tag_list": list(job.tags),
    }


def environment_basic(environment: Environment) -> Body:
    """An environment inside a deployment."""
    return {
        "id": environment.id,
        "name": environment.name,
        "slug": environment.slug,
        "external_url": environment.external_url,
        "created_at": environment.created_at,
        "updated_at": environment.updated_at,
    }


def environment_body(environment: Environment, project: Body) -> Body:
    """A row of environments; `project` is the short form of the place."""
    return environment_basic(environment) | {
        "tier": environment.tier,
        "project": project,
        "state": environment.state,
        "auto_stop_at": environment.auto_stop_at,
        "cluster_agent": None,
        "kubernetes_namespace": None,
        "flux_resource_path": None,
        "description": environment.description,
        "auto_stop_setting": "always",
    }


def deployment_body(people: People, deployment: Deployment, job: Body | None) -> Body:
    """A row of deployments; `job` is the body of the CI job behind it."""
    return {
        "id": deployment.id,
        "iid": deployment.iid,
        "ref": deployment.ref,
        "sha": deployment.sha,
        "created_at": deployment.created_at,
        "updated_at": deployment.updated_at,
        "user": people.basic(deployment.user),
        "environment": environment_basic(deployment.environment),
        "deployable": job,
        "status": deployment.status,
    }


def event_body(people: People, project: Project, event: Event) -> Body:
    """A row of a project's events."""
    body: Body = {
        "id": event.id,
        "project_id": project.id,
        "action_name": event.action_name,
        "target_id": event.target_id,
        "target_iid": event.target_iid,
        "target_type": event.target_type,
        "author_id": event.author.id,
        "target_title": event.target_title,
        "created_at": event.created_at,
        "author": people.basic(event.author),
        "imported": False,
        "imported_from": "none",
    }
    if event.note is not None:
        noteable = (event.noteable_type or "", event.noteable_id or 0, event.noteable_iid or 0)
        body["note"] = note_body(people, project, event.note, noteable)
    if event.push is not None:
        body["push_data"] = _push_body(event.push)
    body["author_username"] = event.author.username
    return body


def _push_body(push: Push) -> Body:
    return {
        "commit_count": push.commit_count,
        "action": push.action,
        "ref_type": push.ref_type,
        "commit_from": push.commit_from,
        "commit_to": push.commit_to,
        "ref": push.ref,
        "commit_title": push.commit_title,
        "ref_count": None,
    }
