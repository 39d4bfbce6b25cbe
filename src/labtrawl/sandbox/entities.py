"""How GitLab 19.3 writes users, tokens and groups in its REST answers.

Entered by the shelf and the routes. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from labtrawl.sandbox.model import (
    MAINTAINER,
    Account,
    Group,
    Membership,
    User,
)

Body = dict[str, object]


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
            "public_email": user.public_email,
            "name": user.name,
            "state": user.state,
            "locked": False,
            "avatar_url": f"{self.base}/uploads/-/system/user/avatar/{user.id}/{user.avatar}",
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
