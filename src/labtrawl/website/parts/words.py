"""Plain words for what the database keeps short: states, reasons, resources, roles."""

from dataclasses import dataclass

from labtrawl.domain.failure import REFUSALS


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a short reason means, and what a person can do about it."""

    title: str
    advice: str


STATES = {
    "queued": "Queued",
    "running": "Running",
    "held": "Held",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}

# What can be done to jobs, and what it does, for who confirms it.
ACTIONS = {
    "retry": "Retry",
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel",
    "priority": "Set the priority",
}
EFFECTS = {
    "retry": "Failed and cancelled jobs are queued again and go on from where they were.",
    "pause": "Open jobs wait until they are resumed; one in hand stops at the end of its page.",
    "resume": "Paused jobs go on.",
    "cancel": "Open jobs end at once. What they collected stays; a retry goes on from there.",
    "priority": "Open jobs with a higher number are done first; 0 is usual.",
}
SKIPPED = {
    "queued": "are queued",
    "running": "are running",
    "held": "are held",
    "completed": "have completed",
    "failed": "have failed",
    "cancelled": "are cancelled",
    "gone": "are not there",
    "not_paused": "were not paused",
    "twin": "have a list that another open job reads",
}

REASONS = {
    "feature_off": Explanation(
        "Feature is off", "The project has this feature switched off; there is nothing to collect."
    ),
    "empty_repository": Explanation(
        "Empty repository", "Nothing was pushed yet, so there is nothing to collect."
    ),
    "forbidden": Explanation(
        "Forbidden",
        "The account may not read this. Give it a higher role on GitLab, or add an account that has"
        " one; then retry.",
    ),
    "not_found": Explanation(
        "Not found",
        "GitLab says that it is not there, or not for this account. It may have been deleted.",
    ),
    "tier": Explanation("Not in this tier", "This GitLab's licence does not include the feature."),
    "cap": Explanation("Capped", "GitLab gives no more than this; the rest cannot be listed."),
    "deleted": Explanation("Deleted", "It was deleted on GitLab after it was discovered."),
    "changed": Explanation(
        "Changed while reading", "The list changed while it was read. A retry reads it again."
    ),
    "cancelled": Explanation(
        "Cancelled", "Somebody cancelled this before it was complete. A retry goes on from there."
    ),
    "elsewhere": Explanation(
        "Kept elsewhere", "An older crawler collected this into files of its own, not into here."
    ),
    "unexplained": Explanation(
        "Unexplained", "What is there is not what GitLab announced, and nobody knows why. Read it again."
    ),
    "failed": Explanation(
        "Failed", "It failed at every try. Read the message below, then retry; nothing is lost."
    ),
    "credential": Explanation(
        "Token refused",
        "GitLab refuses the account's token, or all of the account. Do what the message says; a new"
        " token is entered with labtrawl init --add.",
    ),
    "rate_limited": Explanation(
        "Rate limited", "GitLab asked to slow down for too long. Retry later."
    ),
    "unavailable": Explanation(
        "GitLab unavailable", "GitLab could not be reached or had an error. Retry when it is back."
    ),
    "unexpected_reply": Explanation(
        "Unexpected reply", "GitLab answered with something that is no data. Retry; if it stays,"
        " look at what stands between labtrawl and GitLab, such as a proxy.",
    ),
    "disk": Explanation(
        "Disk is full", "There is no room to write. Free some space; the work goes on by itself."
    ),
    "paused": Explanation("Paused", "Somebody paused it; it goes on when it is resumed."),
    "unseen": Explanation(
        "No longer visible",
        "No account sees this area any more. It goes on by itself when one does again.",
    ),
}  # fmt: skip

HOLDS = {
    "credential": "wait for a token that GitLab accepts",
    "disk": "wait for room on the disk",
    "paused": "are paused",
    "unseen": "wait until an account sees their area again",
    "crawler": "wait for a free crawler",
    "later": "wait before their next try",
}

# The order of the columns; a resource that is not here comes after these.
RESOURCES = {
    "discovery": "Discovery",
    "group": "Details",
    "project": "Details",
    "members": "Members",
    "inherited_members": "Inherited members",
    "labels": "Labels",
    "milestones": "Milestones",
    "changed_issues": "Changed issues",
    "changed_merge_requests": "Changed merge requests",
    "issues": "Issues",
    "issue_discussions": "Issue discussions",
    "issue_links": "Issue links",
    "issue_award_emoji": "Issue reactions",
    "issue_label_events": "Issue label changes",
    "issue_state_events": "Issue state changes",
    "issue_milestone_events": "Issue milestone changes",
    "timelogs": "Time spent",
    "merge_requests": "Merge requests",
    "merge_request_discussions": "Merge request discussions",
    "merge_request_approvals": "Merge request approvals",
    "merge_request_reviewers": "Merge request reviewers",
    "merge_request_versions": "Merge request versions",
    "merge_request_commits": "Merge request commits",
    "merge_request_pipelines": "Merge request pipelines",
    "merge_request_award_emoji": "Merge request reactions",
    "merge_request_label_events": "Merge request label changes",
    "merge_request_state_events": "Merge request state changes",
    "merge_request_milestone_events": "Merge request milestone changes",
    "commits": "Commits",
    "commit_discussions": "Commit discussions",
    "branches": "Branches",
    "tags": "Tags",
    "languages": "Languages",
    "pipelines": "Pipelines",
    "ci_jobs": "CI jobs",
    "environments": "Environments",
    "deployments": "Deployments",
    "releases": "Releases",
    "events": "Events",
}

# Classes of endpoints with a limit of their own (gitlab/limits).
ENDPOINTS = {
    "rest": "All endpoints",
    "members_all": "Members, inherited ones too",
    "jobs_list": "CI jobs of a project",
    "files": "Files of a repository",
    "search": "Search",
    "project_single": "One project",
    "projects_list": "List of projects",
    "group_projects": "Projects of a group",
    "group_single": "One group",
    "groups_list": "List of groups",
    "users_single": "One user",
}

# docs.gitlab.com/api/access_requests/#valid-access-levels
ROLES = {
    0: "",
    1: "Member",
    5: "Minimal",
    10: "Guest",
    15: "Planner",
    20: "Reporter",
    25: "Security manager",
    30: "Developer",
    40: "Maintainer",
    50: "Owner",
}


def resource_title(resource: str) -> str:
    """Return a resource's name as people write it."""
    return RESOURCES.get(resource) or resource.replace("_", " ").capitalize()


def kind_title(kind: str) -> str:
    """Return a kind of record as people write it."""
    return kind.replace("_", " ").capitalize().replace("Ci ", "CI ")


def endpoints_title(name: str) -> str:
    """Return a class of endpoints as people call it."""
    return ENDPOINTS.get(name) or name.replace("_", " ").capitalize()


def read_again(lists: int | None, most: int) -> str:
    """Return what a refill did, "" where there was none; `most` lists are opened at once."""
    if lists is None:
        return ""
    if not lists:
        return "No list is read again: what can be read again is being read already."
    told = "1 list is" if lists == 1 else f"{lists:,} lists are"
    rest = " Ask once more for the rest." if lists >= most else ""
    return f"{told} read again, as soon as a crawler is free.{rest}"


def explain(reason: str | None) -> Explanation:
    """Return what a reason means; an unknown one speaks for itself."""
    known = REASONS.get(reason or "")
    return known or Explanation((reason or "unknown").replace("_", " ").capitalize(), "")


def is_refusal(reason: str | None) -> bool:
    """Say whether GitLab does not give a list, so that no try can read it."""
    return reason in REFUSALS


def role_title(role: int) -> str:
    """Return the name of a GitLab access level."""
    return ROLES.get(role, f"Level {role}")


def in_order(resources: set[str]) -> list[str]:
    """Sort resources as the pages show them."""
    places = {name: place for place, name in enumerate(RESOURCES)}
    return sorted(resources, key=lambda name: (places.get(name, len(places)), name))
