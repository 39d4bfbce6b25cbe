"""How GitLab 19.3 writes projects in its REST answers.

Entered by the shelf and the routes. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from functools import partial

from labtrawl.sandbox.entities import Body, People
from labtrawl.sandbox.model import Group, Project, Statistics


def namespace_body(base: str, project: Project, group: Group | None) -> Body:
    """The short form of a project's namespace."""
    if group is None:
        owner = project.owner or project.creator
        return {
            "id": project.namespace_id,
            "name": owner.name,
            "path": owner.username,
            "kind": "user",
            "full_path": owner.username,
            "parent_id": None,
            "avatar_url": None,
            "web_url": f"{base}/{owner.username}",
        }
    return {
        "id": group.id,
        "name": group.name,
        "path": group.path,
        "kind": "group",
        "full_path": group.full_path,
        "parent_id": group.parent_id,
        "avatar_url": None,
        "web_url": f"{base}/groups/{group.full_path}",
    }


def project_simple(base: str, project: Project, group: Group | None) -> Body:
    """A row of ``GET /projects?simple=true``, and what anonymous callers get."""
    url = f"{base}/{project.full_path}"
    host = base.partition("://")[2].partition("/")[0].partition(":")[0]
    branch = project.default_branch
    readme = f"{url}/-/blob/{branch}/README.md" if project.has_readme and branch else None
    return {
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": project.name_with_namespace,
        "path": project.path,
        "path_with_namespace": project.full_path,
        "created_at": project.created_at,
        "default_branch": branch,
        "tag_list": list(project.topics),
        "topics": list(project.topics),
        "ssh_url_to_repo": f"git@{host}:{project.full_path}.git",
        "http_url_to_repo": f"{url}.git",
        "web_url": url,
        "readme_url": readme,
        "forks_count": 0,
        "avatar_url": None,
        "star_count": project.id % 5,
        "last_activity_at": project.last_activity_at,
        "visibility": project.visibility,
        "namespace": namespace_body(base, project, group),
    }


_SETTINGS: Body = {
    "mr_default_target_self": False,
    "import_url": None,
    "import_type": None,
    "import_status": "none",
    "import_error": None,
}
_CI_SETTINGS: Body = {
    "ci_default_git_depth": 20,
    "ci_delete_pipelines_in_seconds": None,
    "ci_forward_deployment_enabled": True,
    "ci_forward_deployment_rollback_allowed": True,
    "ci_job_token_scope_enabled": False,
    "ci_separated_caches": True,
    "ci_allow_fork_pipelines_to_run_in_parent_project": True,
    "ci_id_token_sub_claim_components": ["project_path", "ref_type", "ref"],
    "build_git_strategy": "fetch",
    "keep_latest_artifact": True,
    "restrict_user_defined_variables": True,
    "ci_pipeline_variables_minimum_override_role": "developer",
    "runner_token_expiration_interval": None,
    "group_runners_enabled": True,
    "resource_group_default_process_mode": "unordered",
    "auto_cancel_pending_pipelines": "enabled",
    "build_timeout": 3600,
    "auto_devops_enabled": False,
    "auto_devops_deploy_strategy": "continuous",
    "ci_push_repository_for_job_token_allowed": False,
    "protect_merge_request_pipelines": True,
    "ci_display_pipeline_variables": False,
    "ci_config_path": "",
    "public_jobs": True,
    "shared_with_groups": [],
    "only_allow_merge_if_pipeline_succeeds": True,
    "allow_merge_on_skipped_pipeline": None,
    "request_access_enabled": True,
    "only_allow_merge_if_all_discussions_are_resolved": False,
    "remove_source_branch_after_merge": True,
    "printing_merge_request_link_enabled": True,
    "merge_method": "merge",
    "squash_option": "default_off",
    "enforce_auth_checks_on_uploads": True,
    "suggestion_commit_message": None,
    "merge_commit_template": None,
    "squash_commit_template": None,
    "issue_branch_template": None,
    "warn_about_potentially_unwanted_characters": True,
    "autoclose_referenced_issues": True,
    "max_artifacts_size": None,
}
# What the Enterprise Edition adds.
_ENTERPRISE: Body = {
    "approvals_before_merge": 0,
    "mirror": False,
    "external_authorization_classification_label": "",
    "requirements_enabled": True,
    "requirements_access_level": "enabled",
    "security_and_compliance_enabled": True,
    "compliance_frameworks": [],
    "issues_template": None,
    "merge_requests_template": None,
    "ci_restrict_pipeline_cancellation_role": "developer",
    "merge_pipelines_enabled": False,
    "merge_trains_enabled": False,
    "only_allow_merge_if_all_status_checks_passed": False,
}


def project_body(
    people: People, project: Project, group: Group | None, permissions: Body | None
) -> Body:
    """A row of ``GET /projects`` and ``GET /projects/:id`` for a signed-in caller."""
    base = people.base
    body = project_simple(base, project, group)
    body |= {
        "container_registry_image_prefix": f"registry.{base.partition('://')[2]}/{body['path']}",
        "_links": _project_links(base, project),
        "marked_for_deletion_at": None,
        "marked_for_deletion_on": None,
        "packages_enabled": True,
        "empty_repo": project.empty_repo,
        "archived": project.archived,
        "resolve_outdated_diff_discussions": False,
        "repository_object_format": "sha1",
    }
    if project.owner:
        body["owner"] = people.basic(project.owner)
    body |= _switches(project)
    body |= {
        "emails_disabled": False,
        "emails_enabled": True,
        "show_diff_preview_in_email": True,
        "shared_runners_enabled": True,
        "lfs_enabled": True,
        "creator_id": project.creator.id,
    }
    body |= _SETTINGS
    if project.feature("issues") != "disabled":
        body["open_issues_count"] = sum(issue.state == "opened" for issue in project.issues)
    body |= {"description_html": _as_html(project.description), "updated_at": project.updated_at}
    body |= _CI_SETTINGS
    body |= _ENTERPRISE
    if permissions is not None:
        body["permissions"] = permissions
    return body


def _as_html(text: str | None) -> str:
    escaped = (text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<p data-sourcepos="1:1-1:{len(escaped)}" dir="auto">{escaped}</p>' if escaped else ""


def _project_links(base: str, project: Project) -> Body:
    self_url = f"{base}/api/v4/projects/{project.id}"
    links: Body = {"self": self_url}
    if project.feature("issues") != "disabled":
        links["issues"] = f"{self_url}/issues"
    if project.feature("merge_requests") != "disabled":
        links["merge_requests"] = f"{self_url}/merge_requests"
    return links | {
        "repo_branches": f"{self_url}/repository/branches",
        "labels": f"{self_url}/labels",
        "events": f"{self_url}/events",
        "members": f"{self_url}/members",
        "cluster_agents": f"{self_url}/cluster_agents",
    }


def _switches(project: Project) -> Body:
    enabled = partial(_is_on, project)
    body: Body = {
        "issues_enabled": enabled("issues"),
        "merge_requests_enabled": enabled("merge_requests"),
        "wiki_enabled": enabled("wiki"),
        "jobs_enabled": enabled("builds"),
        "snippets_enabled": enabled("snippets"),
        "container_registry_enabled": enabled("container_registry"),
        "service_desk_enabled": False,
        "service_desk_address": None,
        "can_create_merge_request_in": enabled("merge_requests"),
    }
    return body | {f"{name}_access_level": level for name, level in project.features.items()}


def _is_on(project: Project, feature: str) -> bool:
    return project.feature(feature) != "disabled"


def statistics_body(found: Statistics) -> Body:
    """The ``statistics`` of a project: bytes, and the number of commits."""
    return {
        "commit_count": found.commit_count,
        "storage_size": found.storage_size,
        "repository_size": found.repository_size,
        "wiki_size": found.wiki_size,
        "lfs_objects_size": found.lfs_objects_size,
        "job_artifacts_size": found.job_artifacts_size,
        "pipeline_artifacts_size": found.pipeline_artifacts_size,
        "packages_size": found.packages_size,
        "snippets_size": found.snippets_size,
        "uploads_size": found.uploads_size,
        "container_registry_size": found.container_registry_size,
    }


def permissions_body(project_level: int, group_level: int) -> Body:
    """The ``permissions`` of a project: direct and inherited access level of the caller."""
    return {
        "project_access": _access_body(project_level),
        "group_access": _access_body(group_level),
    }


def _access_body(level: int) -> Body | None:
    return {"access_level": level, "notification_level": 3} if level else None
