"""What a study keeps of each kind of record: the list of allowed fields, and the rule for each.

A resource of the catalog has a list here by the kind of its records, or nothing of it is kept: a
test looks. `policy_parts` has what they share, and says where the names of the fields come from.
"""

from typing import Final

from labtrawl.dataset.policy_parts import (
    A_COMMIT,
    A_MILESTONE,
    A_WORD,
    AVATAR,
    CI_JOB,
    COMMIT_ID,
    EMOJI,
    ENVIRONMENT,
    EVENT_OF_ITEM,
    ISSUE,
    LABEL,
    MEMBER,
    MERGE_REQUEST,
    NOTE,
    PATH,
    PIPELINE,
    REF,
    TOPIC,
    URL,
    USER,
    USERNAME,
)
from labtrawl.dataset.policy_rules import (
    Rule,
    Shape,
    digits,
    dropped,
    each,
    flag,
    hexadecimal,
    instant,
    list_of,
    number,
    object_of,
    person,
    shares_by_language,
    words,
)

_NAMESPACE: Final[Shape] = {
    **each(number, "id parent_id"),
    "kind": A_WORD,
    **each(PATH, "name path full_path"),
    "avatar_url": AVATAR,
    "web_url": URL,
}
_LEVELS: Final = words(
    "issues repository merge_requests forking wiki builds snippets pages analytics"
    " container_registry security_and_compliance releases environments feature_flags"
    " infrastructure monitor model_experiments model_registry package_registry requirements"
)
_PROJECT: Final[Shape] = {
    **each(number, "id forks_count star_count open_issues_count approvals_before_merge"),
    "creator_id": person,
    "owner": USER,
    **each(PATH, "name path name_with_namespace path_with_namespace"),
    "namespace": object_of(_NAMESPACE),
    "forked_from_project": object_of(
        {
            "id": number,
            **each(PATH, "name path name_with_namespace path_with_namespace"),
            "web_url": URL,
        }
    ),
    **each(instant, "created_at updated_at last_activity_at marked_for_deletion_at"),
    "marked_for_deletion_on": instant,
    "default_branch": REF,
    **each(list_of(TOPIC), "tag_list topics"),
    "web_url": URL,
    "avatar_url": AVATAR,
    **each(A_WORD, "visibility merge_method squash_option import_status repository_object_format"),
    **each(
        flag,
        "archived empty_repo packages_enabled issues_enabled merge_requests_enabled wiki_enabled"
        " jobs_enabled snippets_enabled container_registry_enabled service_desk_enabled"
        " shared_runners_enabled lfs_enabled auto_devops_enabled public_jobs mirror"
        " only_allow_merge_if_pipeline_succeeds only_allow_merge_if_all_discussions_are_resolved"
        " remove_source_branch_after_merge merge_pipelines_enabled merge_trains_enabled"
        " requirements_enabled request_access_enabled autoclose_referenced_issues",
    ),
    **each(A_WORD, " ".join(f"{level}_access_level" for level in _LEVELS)),
    "statistics": object_of(
        each(
            number,
            "commit_count storage_size repository_size wiki_size lfs_objects_size"
            " job_artifacts_size pipeline_artifacts_size packages_size snippets_size uploads_size"
            " container_registry_size",
        )
    ),
    **each(
        dropped,
        "description description_html ssh_url_to_repo http_url_to_repo readme_url _links"
        " container_registry_image_prefix service_desk_address permissions import_url import_error"
        " import_type ci_config_path suggestion_commit_message merge_commit_template"
        " squash_commit_template issue_branch_template issues_template merge_requests_template"
        " shared_with_groups external_authorization_classification_label compliance_frameworks"
        " runners_token can_create_merge_request_in resolve_outdated_diff_discussions"
        " emails_disabled emails_enabled show_diff_preview_in_email mr_default_target_self"
        " ci_default_git_depth ci_delete_pipelines_in_seconds ci_forward_deployment_enabled"
        " ci_forward_deployment_rollback_allowed ci_job_token_scope_enabled ci_separated_caches"
        " ci_allow_fork_pipelines_to_run_in_parent_project ci_id_token_sub_claim_components"
        " build_git_strategy keep_latest_artifact restrict_user_defined_variables"
        " ci_pipeline_variables_minimum_override_role runner_token_expiration_interval"
        " group_runners_enabled resource_group_default_process_mode auto_cancel_pending_pipelines"
        " build_timeout auto_devops_deploy_strategy ci_push_repository_for_job_token_allowed"
        " protect_merge_request_pipelines ci_display_pipeline_variables"
        " allow_merge_on_skipped_pipeline printing_merge_request_link_enabled"
        " enforce_auth_checks_on_uploads warn_about_potentially_unwanted_characters"
        " max_artifacts_size security_and_compliance_enabled"
        " ci_restrict_pipeline_cancellation_role only_allow_merge_if_all_status_checks_passed",
    ),
}
_GROUP: Final[Shape] = {
    **each(number, "id parent_id organization_id"),
    **each(PATH, "name path full_name full_path"),
    "web_url": URL,
    "avatar_url": AVATAR,
    **each(A_WORD, "visibility project_creation_level subgroup_creation_level wiki_access_level"),
    **each(flag, "archived lfs_enabled request_access_enabled require_two_factor_authentication"),
    **each(instant, "created_at marked_for_deletion_on"),
    "default_branch": REF,
    **each(
        dropped,
        "description share_with_group_lock two_factor_grace_period auto_devops_enabled"
        " emails_disabled emails_enabled show_diff_preview_in_email mentions_disabled"
        " math_rendering_limits_enabled lock_math_rendering_limits_enabled"
        " default_branch_protection default_branch_protection_defaults shared_runners_setting"
        " max_artifacts_size shared_with_groups enabled_git_access_protocol"
        " prevent_sharing_groups_outside_hierarchy membership_lock prevent_forking_outside_group"
        " runners_token ldap_cn ldap_access",
    ),
}

SHAPES: Final[dict[str, Rule]] = {
    "group": object_of(_GROUP),
    "group_member": object_of(MEMBER),
    "group_inherited_member": object_of(MEMBER),
    "project": object_of(_PROJECT),
    "project_languages": shares_by_language,
    "project_member": object_of(MEMBER),
    "project_inherited_member": object_of(MEMBER),
    "label": object_of(LABEL),
    "milestone": A_MILESTONE,
    "issue": object_of(ISSUE),
    "merge_request": object_of(MERGE_REQUEST),
    "commit": A_COMMIT,
    "branch": object_of(
        {
            "name": REF,
            "commit": A_COMMIT,
            **each(
                flag,
                "merged protected developers_can_push developers_can_merge default",
            ),
            "web_url": URL,
            "can_push": dropped,
        }
    ),
    "tag": object_of(
        {
            "name": REF,
            "target": COMMIT_ID,
            "commit": A_COMMIT,
            "created_at": instant,
            "protected": flag,
            **each(dropped, "message release"),
        }
    ),
    "pipeline": object_of(PIPELINE),
    "ci_job": object_of(CI_JOB),
    "release": object_of(
        {
            "tag_name": REF,
            "author": USER,
            "commit": A_COMMIT,
            "milestones": list_of(A_MILESTONE),
            **each(instant, "created_at released_at"),
            **each(flag, "upcoming_release historical_release"),
            **each(
                dropped,
                "name description description_html commit_path tag_path assets evidences _links",
            ),
        }
    ),
    "environment": object_of(ENVIRONMENT),
    "deployment": object_of(
        {
            **each(number, "id iid"),
            "ref": REF,
            "sha": COMMIT_ID,
            "status": A_WORD,
            **each(instant, "created_at updated_at"),
            "user": USER,
            "environment": object_of(ENVIRONMENT),
            "deployable": object_of(CI_JOB),
        }
    ),
    "event": object_of(
        {
            **each(number, "id project_id target_id target_iid"),
            **each(A_WORD, "action_name target_type imported_from"),
            "author_id": person,
            "author_username": USERNAME,
            "author": USER,
            "created_at": instant,
            "imported": flag,
            "push_data": object_of(
                {
                    **each(number, "commit_count ref_count"),
                    **each(A_WORD, "action ref_type"),
                    **each(COMMIT_ID, "commit_from commit_to"),
                    "ref": REF,
                    "commit_title": dropped,
                }
            ),
            "note": object_of(NOTE),
            **each(dropped, "target_title wiki_page"),
        }
    ),
    "timelog": object_of(
        {
            **each(number, "id project_id time_spent note_id"),
            "user": USER,
            "spent_at": instant,
            **each(object_of(each(number, "id iid")), "issue merge_request"),
            "summary": dropped,
        }
    ),
    "discussion": object_of(
        {
            "id": hexadecimal,
            **each(flag, "individual_note resolvable resolved"),
            "notes": list_of(object_of(NOTE)),
        }
    ),
    "award_emoji": object_of(
        {
            **each(number, "id awardable_id"),
            "name": EMOJI,
            "user": USER,
            **each(instant, "created_at updated_at"),
            "awardable_type": A_WORD,
            "url": dropped,
        }
    ),
    "label_event": object_of({**EVENT_OF_ITEM, "label": object_of(LABEL)}),
    "state_event": object_of(
        {**EVENT_OF_ITEM, "source_commit": COMMIT_ID, "source_merge_request_id": number}
    ),
    "milestone_event": object_of({**EVENT_OF_ITEM, "milestone": A_MILESTONE}),
    "issue_link": object_of(
        {
            **ISSUE,
            "issue_link_id": number,
            "link_type": A_WORD,
            **each(instant, "link_created_at link_updated_at"),
        }
    ),
    "merge_request_approvals": object_of(
        {
            **each(number, "id iid project_id approvals_required approvals_left"),
            **each(A_WORD, "state merge_status"),
            **each(instant, "created_at updated_at"),
            "approved": flag,
            "approved_by": list_of(object_of({"user": USER, "approved_at": instant})),
            **each(
                dropped,
                "title description user_has_approved user_can_approve suggested_approvers approvers"
                " approver_groups approval_rules_left has_approval_rules"
                " require_password_to_approve merge_request_approvers_available"
                " multiple_approval_rules_available invalid_approvers_rules",
            ),
        }
    ),
    "merge_request_reviewer": object_of({"user": USER, "state": A_WORD, "created_at": instant}),
    "merge_request_version": object_of(
        {
            **each(number, "id merge_request_id"),
            **each(COMMIT_ID, "head_commit_sha base_commit_sha start_commit_sha patch_id_sha"),
            "state": A_WORD,
            "real_size": digits,
            "created_at": instant,
        }
    ),
    "merge_request_commit": A_COMMIT,
    "merge_request_pipeline": object_of(PIPELINE),
}

# What stands in an id behind the numbers of the area and of the item that it is unique in: how many
# such numbers, and the rule for the rest. An id that is not named here is made of numbers alone.
IDS: Final[dict[str, tuple[int, Rule]]] = {
    "group_member": (1, person),
    "group_inherited_member": (1, person),
    "project_member": (1, person),
    "project_inherited_member": (1, person),
    "merge_request_reviewer": (2, person),
    "commit": (1, COMMIT_ID),
    "merge_request_commit": (2, COMMIT_ID),
    "branch": (1, REF),
    "tag": (1, REF),
    "release": (1, REF),
    "discussion": (0, hexadecimal),
}

# The words of the paths that are asked for; a test looks that the catalog has no other.
PATH_WORDS: Final = frozenset(
    words(
        "api v4 graphql all approvals award_emoji branches commits deployments discussions environments"
        " events groups issues jobs labels languages links members merge_requests milestones pipelines"
        " projects releases repository resource_label_events resource_milestone_events"
        " resource_state_events reviewers tags versions issues_statistics *"
    )
)
# The parts of a query whose values are words, numbers or instants of ours.
QUERY_WORDS: Final = frozenset(
    words(
        "after all created_after created_before include_ancestor_groups non_archived"
        " only_group_labels order_by page pagination per_page scope since sort state statistics"
        " updated_after updated_before with_projects with_stats id_before id_after"
    )
)
