"""How GitLab 19.3 writes users, groups and projects in its REST answers.

Entered by `listing`. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from functools import partial

from labtrawl.sandbox.model import (
    MAINTAINER,
    Account,
    Group,
    Membership,
    Project,
    User,
)

Body = dict[str, object]
_OWNER_LEVEL = 50


class People:
    """Writes users; each basic form is made once."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._basic: dict[int, Body] = {}
        self._profiles: dict[int, Body] = {}

    def basic(self, user: User | None) -> Body | None:
        """The short form inside other objects; None stays None."""
        if user is None:
            return None
        found = self._basic.get(user.id)
        if found is None:
            found = self._basic[user.id] = self.short(user)
        return found

    def short(self, user: User) -> Body:
        """The short form (API::Entities::UserBasic)."""
        return {
            "id": user.id,
            "username": user.username,
            "public_email": "",
            "name": user.name,
            "state": user.state,
            "locked": False,
            "avatar_url": f"{self.base}/uploads/-/system/user/avatar/{user.id}/avatar.png",
            "web_url": f"{self.base}/{user.username}",
        }

    def profile(self, user: User) -> Body:
        """The form of ``GET /users/:id``."""
        return self.short(user) | {
            "created_at": user.created_at,
            "bio": "",
            "location": user.location,
            "linkedin": "",
            "twitter": "",
            "discord": "",
            "website_url": "",
            "github": "",
            "job_title": user.job_title,
            "pronouns": None,
            "organization": "",
            "bot": user.bot,
            "work_information": user.job_title or None,
            "followers": 0,
            "following": 0,
            "is_followed": False,
            "local_time": None,
        }

    def own(self, user: User, ends_at: str) -> Body:
        """The form of ``GET /user``."""
        return self.profile(user) | {
            "last_sign_in_at": ends_at,
            "confirmed_at": user.created_at,
            "last_activity_on": ends_at[:10],
            "email": f"{user.username}@fjordlab.example",
            "theme_id": 1,
            "color_scheme_id": 1,
            "projects_limit": 100_000,
            "current_sign_in_at": ends_at,
            "identities": [],
            "can_create_group": True,
            "can_create_project": True,
            "two_factor_enabled": False,
            "external": False,
            "private_profile": False,
            "commit_email": f"{user.username}@fjordlab.example",
            "preferred_language": "en",
        }

    def job_user(self, user: User) -> Body:
        """The profile inside a CI job; made once for each user."""
        found = self._profiles.get(user.id)
        if found is None:
            found = self._profiles[user.id] = self.profile(user)
        return found

    def member(self, membership: Membership) -> Body:
        """A row of a members list."""
        return self.short(membership.user) | {
            "access_level": membership.access_level,
            "created_at": membership.created_at,
            "created_by": self.basic(membership.created_by),
            "expires_at": membership.expires_at,
            "membership_state": "active",
        }


def token_body(account: Account, ends_at: str) -> Body:
    """The form of ``GET /personal_access_tokens/self``."""
    return {
        "id": account.token_id,
        "name": f"crawler of {account.username}",
        "revoked": account.revoked,
        "created_at": f"{int(ends_at[:4]) - 1}{ends_at[4:]}",
        "description": None,
        "scopes": list(account.scopes),
        "user_id": account.user_id,
        "last_used_at": ends_at,
        "active": not (account.revoked or account.expired),
        "expires_at": account.expires_at,
        "granular": False,
        "last_used_ips": [],
    }


def group_body(base: str, group: Group) -> Body:
    """A row of ``GET /groups``."""
    return {
        "id": group.id,
        "web_url": f"{base}/groups/{group.full_path}",
        "name": group.name,
        "path": group.path,
        "description": group.description,
        "visibility": group.visibility,
        "share_with_group_lock": False,
        "require_two_factor_authentication": False,
        "two_factor_grace_period": 48,
        "project_creation_level": "developer",
        "auto_devops_enabled": None,
        "subgroup_creation_level": "maintainer",
        "emails_disabled": False,
        "emails_enabled": True,
        "show_diff_preview_in_email": True,
        "mentions_disabled": None,
        "lfs_enabled": True,
        "archived": False,
        "math_rendering_limits_enabled": True,
        "lock_math_rendering_limits_enabled": False,
        "default_branch": None,
        "default_branch_protection": 2,
        "default_branch_protection_defaults": {
            "allowed_to_push": [{"access_level": MAINTAINER}],
            "allow_force_push": False,
            "allowed_to_merge": [{"access_level": MAINTAINER}],
        },
        "avatar_url": None,
        "request_access_enabled": True,
        "full_name": group.full_name,
        "full_path": group.full_path,
        "created_at": group.created_at,
        "parent_id": group.parent_id,
        "organization_id": 1,
        "shared_runners_setting": "enabled",
        "max_artifacts_size": None,
        "marked_for_deletion_on": None,
        "wiki_access_level": "enabled",
    }


def group_detail(base: str, group: Group) -> Body:
    """``GET /groups/:id?with_projects=false``."""
    return group_body(base, group) | {
        "shared_with_groups": [],
        "enabled_git_access_protocol": None,
        "prevent_sharing_groups_outside_hierarchy": False,
        "membership_lock": False,
        "prevent_forking_outside_group": None,
    }


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


def permissions_body(project_level: int, group_level: int) -> Body:
    """The ``permissions`` of a project: direct and inherited access level of the caller."""
    return {
        "project_access": _access_body(project_level),
        "group_access": _access_body(group_level),
    }


def _access_body(level: int) -> Body | None:
    return {"access_level": level, "notification_level": 3} if level else None
