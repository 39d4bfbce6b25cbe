"""What kinds of records have in common: the lists of fields of users, items, notes, commits, jobs.

What stands in no list is withheld and counted. `dropped` are fields that are known and of no
use: free text, addresses made of names, what concerns the account that reads. The sources of the
fields are GitLab's REST entities (doc/api/*.md, 19.3), the same that `tables_*.py` read.
"""

from typing import Final

from labtrawl.dataset.policy_rules import (
    Rule,
    Shape,
    colour,
    dropped,
    each,
    flag,
    instant,
    list_of,
    name,
    number,
    object_of,
    person,
    word,
    words,
)

A_WORD: Final = word()
EMAIL: Final = name("email", fold=True)
PERSON_NAME: Final = name("name")
USERNAME: Final = name("username", fold=True)
AVATAR: Final = name("avatar")
URL: Final = name("url")
PATH: Final = name("path")
FILE: Final = name("file")
# What the names of refs are in nearly every project says nothing of anybody.
REF: Final = name("ref", "main", "master", "HEAD", "develop")
COMMIT_ID: Final = name("commit")
LABEL_NAME: Final = name("label")
TOPIC: Final = name("topic")
ENVIRONMENT_NAME: Final = name("environment", "production", "staging", "development", "testing")
STAGE: Final = name("stage", ".pre", "build", "test", "deploy", ".post")
CI_JOB_NAME: Final = name("ci job")
# Anybody can add an emoji with a name of their own; these are GitLab's.
EMOJI: Final = name(
    "emoji",
    *words(
        "thumbsup thumbsdown rocket tada heart eyes smile laughing confused disappointed ok_hand"
        " clap fire 100 white_check_mark x star bulb raised_hands pray wave muscle thinking"
    ),
)

USER: Final = object_of(
    {
        "id": person,
        "username": USERNAME,
        "name": PERSON_NAME,
        **each(EMAIL, "email public_email commit_email"),
        "avatar_url": AVATAR,
        "web_url": URL,
        "state": A_WORD,
        **each(flag, "locked bot"),
        **each(
            dropped,
            "created_at bio location linkedin twitter discord website_url github job_title pronouns"
            " organization work_information followers following is_followed local_time skype"
            " bio_html public_email_html custom_attributes",
        ),
    }
)
PEOPLE: Final = list_of(USER)

MILESTONE: Final[Shape] = {
    **each(number, "id iid project_id group_id"),
    "title": name("milestone"),
    "state": A_WORD,
    **each(instant, "created_at updated_at due_date start_date"),
    "expired": flag,
    "web_url": URL,
    "issue_stats": object_of(each(number, "total closed")),
    "description": dropped,
}
A_MILESTONE: Final = object_of(MILESTONE)
LABEL: Final[Shape] = {
    "id": number,
    "name": LABEL_NAME,
    "color": colour,
    **each(flag, "archived is_project_label"),
    **each(number, "open_issues_count closed_issues_count open_merge_requests_count priority"),
    **each(dropped, "description description_html text_color subscribed"),
}
COMMIT: Final[Shape] = {
    "id": COMMIT_ID,
    "parent_ids": list_of(COMMIT_ID),
    **each(PERSON_NAME, "author_name committer_name"),
    **each(EMAIL, "author_email committer_email"),
    **each(instant, "created_at authored_date committed_date"),
    "web_url": URL,
    "stats": object_of(each(number, "additions deletions total")),
    **each(dropped, "short_id title message trailers extended_trailers status last_pipeline"),
    "project_id": number,
}
A_COMMIT: Final = object_of(COMMIT)
TIME: Final[Rule] = object_of(
    {
        **each(number, "time_estimate total_time_spent"),
        **each(dropped, "human_time_estimate human_total_time_spent"),
    }
)
TASKS: Final[Rule] = object_of(each(number, "count completed_count"))
ITEM: Final[Shape] = {
    **each(number, "id iid project_id user_notes_count upvotes downvotes"),
    **each(A_WORD, "state imported_from"),
    **each(USER, "author assignee closed_by"),
    "assignees": PEOPLE,
    "labels": list_of(LABEL_NAME),
    "milestone": A_MILESTONE,
    **each(instant, "created_at updated_at closed_at"),
    **each(flag, "discussion_locked imported"),
    "time_stats": TIME,
    "task_completion_status": TASKS,
    "web_url": URL,
    **each(dropped, "title description references _links subscribed"),
}
ISSUE: Final[Shape] = {
    **ITEM,
    **each(A_WORD, "type issue_type severity health_status"),
    **each(number, "merge_requests_count weight blocking_issues_count moved_to_id epic_iid"),
    **each(instant, "start_date due_date"),
    **each(flag, "confidential has_tasks"),
    **each(dropped, "task_status service_desk_reply_to"),
}
MERGE_REQUEST: Final[Shape] = {
    **ITEM,
    **each(USER, "merged_by merge_user"),
    "reviewers": PEOPLE,
    **each(instant, "merged_at prepared_at merge_after"),
    **each(REF, "target_branch source_branch"),
    **each(number, "source_project_id target_project_id approvals_before_merge"),
    **each(
        flag,
        "draft work_in_progress merge_when_pipeline_succeeds should_remove_source_branch"
        " force_remove_source_branch squash squash_on_merge has_conflicts"
        " blocking_discussions_resolved allow_collaboration allow_maintainer_to_push",
    ),
    **each(A_WORD, "merge_status detailed_merge_status"),
    **each(COMMIT_ID, "sha merge_commit_sha squash_commit_sha"),
    **each(dropped, "reference title_html description_html merge_error"),
}
LINES: Final[Shape] = {
    **each(A_WORD, "type"),
    **each(number, "old_line new_line"),
    "line_code": dropped,
}
POSITION: Final[Shape] = {
    **each(COMMIT_ID, "base_sha start_sha head_sha"),
    **each(FILE, "old_path new_path"),
    "position_type": A_WORD,
    **each(number, "old_line new_line width height x y"),
    "line_range": object_of(each(object_of(LINES), "start end")),
}
NOTE: Final[Shape] = {
    **each(number, "id noteable_id noteable_iid project_id"),
    **each(A_WORD, "type noteable_type imported_from"),
    **each(USER, "author resolved_by"),
    **each(instant, "created_at updated_at resolved_at"),
    **each(flag, "system resolvable resolved confidential internal imported"),
    "commit_id": COMMIT_ID,
    "position": object_of(POSITION),
    **each(dropped, "body attachment commands_changes suggestions original_position"),
}
PIPELINE: Final[Shape] = {
    **each(number, "id iid project_id"),
    "sha": COMMIT_ID,
    "ref": REF,
    **each(A_WORD, "status source"),
    **each(instant, "created_at updated_at"),
    "web_url": URL,
    "name": dropped,
}
CI_JOB: Final[Shape] = {
    **each(number, "id coverage duration queued_duration"),
    **each(A_WORD, "status failure_reason"),
    "stage": STAGE,
    "name": CI_JOB_NAME,
    "ref": REF,
    **each(flag, "tag allow_failure archived"),
    **each(instant, "created_at started_at finished_at erased_at artifacts_expire_at"),
    "user": USER,
    "commit": A_COMMIT,
    "pipeline": object_of(PIPELINE),
    "web_url": URL,
    "tag_list": list_of(name("runner tag")),
    "runner": object_of(
        {
            **each(number, "id"),
            **each(flag, "active paused is_shared online"),
            **each(A_WORD, "runner_type status"),
            **each(dropped, "description ip_address name created_at"),
        }
    ),
    **each(dropped, "project artifacts artifacts_file runner_manager"),
}
MEMBER: Final[Shape] = {
    "id": person,
    "username": USERNAME,
    "name": PERSON_NAME,
    **each(EMAIL, "email public_email"),
    "avatar_url": AVATAR,
    "web_url": URL,
    **each(A_WORD, "state membership_state"),
    **each(flag, "locked bot"),
    "access_level": number,
    **each(instant, "created_at expires_at"),
    "created_by": USER,
    "member_role": dropped,
}
EVENT_OF_ITEM: Final[Shape] = {
    **each(number, "id resource_id"),
    "user": USER,
    "created_at": instant,
    **each(A_WORD, "resource_type action state"),
}
ENVIRONMENT: Final[Shape] = {
    "id": number,
    **each(ENVIRONMENT_NAME, "name slug"),
    "external_url": URL,
    **each(A_WORD, "tier state auto_stop_setting"),
    **each(instant, "created_at updated_at auto_stop_at"),
    **each(
        dropped,
        "project description description_html cluster_agent kubernetes_namespace"
        " flux_resource_path last_deployment enable_advanced_logs_querying logs_api_path",
    ),
}
