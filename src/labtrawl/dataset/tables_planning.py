"""Tables of issues, what belongs to them, and notes. Fields: GitLab 19.3, doc/api/issues.md, discussions.md, resource_*_events.md."""

from collections.abc import Iterator

from labtrawl.dataset.tables_shape import (
    Body,
    Column,
    Origin,
    Table,
    Type,
    day,
    flag,
    instant,
    number,
    numbers,
    person,
    text,
    texts,
)

_OF_ITEMS = ("issue", "merge_request")


def _notes(_origin: Origin, body: Body) -> Iterator[tuple[int | str, Body]]:
    """Take the notes out of a discussion; a `note` record of an older dataset is one itself."""
    for each in body["notes"] if isinstance(body.get("notes"), list) else [body]:
        if isinstance(each, dict) and isinstance(each.get("id"), int):
            yield each["id"], each


def _happened() -> tuple[Column, ...]:
    """Return what all events of labels, states and milestones have."""
    return (
        *person("user", "who did it"),
        instant("created_at", "when"),
        text("resource_type", "Issue or MergeRequest"),
        number("resource_id", "id of the issue or merge request"),
    )


def planned() -> tuple[Column, ...]:
    """Return what issues and merge requests have alike."""
    return (
        number("iid", "number inside the project"),
        number("project_id", "the project"),
        text("title", "title"),
        text("description", "description, in Markdown"),
        text("state", "opened, closed, locked or merged"),
        *person("author", "who opened it"),
        numbers("assignee_ids", "who is assigned: user ids", "assignees.*.id"),
        texts("labels", "names of the labels"),
        number("milestone_id", "the milestone", "milestone.id"),
        instant("created_at", "when it was opened"),
        instant("updated_at", "when it last changed"),
        instant("closed_at", "when it was closed"),
        *person("closed_by", "who closed it"),
        number("user_notes_count", "notes of people, without those of the system"),
        number("upvotes", "thumbs up"),
        number("downvotes", "thumbs down"),
        number("time_estimate", "estimate", "time_stats.time_estimate", "seconds"),
        number("time_spent", "time spent", "time_stats.total_time_spent", "seconds"),
        number("tasks", "checklist items", "task_completion_status.count"),
        number("tasks_done", "checklist items done", "task_completion_status.completed_count"),
        flag("discussion_locked", "whether only members may comment"),
        flag("imported", "whether it was imported"),
        text("web_url", "address of its page"),
    )


PLANNING = (
    Table(
        "issues",
        "Issues, tasks and incidents, one row each.",
        ("issues",),
        Type.BIGINT,
        (
            *planned(),
            text("issue_type", "issue, task, incident, …"),
            flag("confidential", "whether only members see it"),
            day("start_date", "planned begin"),
            day("due_date", "planned end"),
            number("weight", "weight"),
            text("severity", "severity of an incident"),
            number("merge_requests_count", "merge requests that would close it"),
            number("blocking_issues_count", "issues that it blocks"),
            number("moved_to_id", "the issue that it was moved to"),
        ),
    ),
    Table(
        "discussions",
        "Threads on issues, merge requests and commits, and single notes (`individual_note`).",
        ("issue_discussions", "merge_request_discussions", "commit_discussions"),
        Type.VARCHAR,
        (
            text("discussion_id", "GitLab's id of the thread", "id"),
            flag("individual_note", "whether it is one note that nobody can answer"),
            text("noteable_type", "Issue, MergeRequest or Commit", "notes.0.noteable_type"),
            number("noteable_id", "id of the issue or merge request", "notes.0.noteable_id"),
            number("noteable_iid", "its number inside the project", "notes.0.noteable_iid"),
            instant("created_at", "when its first note was written", "notes.0.created_at"),
            numbers("note_ids", "its notes", "notes.*.id"),
        ),
    ),
    Table(
        "notes",
        "Notes, taken out of the discussions: comments of people and, with `system`, what GitLab"
        " noted. A note that its discussion no longer holds is gone.",
        (
            "issue_discussions",
            "merge_request_discussions",
            "commit_discussions",
            "issue_notes",
            "merge_request_notes",
        ),
        Type.BIGINT,
        (
            text("discussion_id", "the thread that it stands in", "@parent.id"),
            text("type", "DiscussionNote, DiffNote or NULL"),
            text("text", "what it says, in Markdown (GitLab's `body`)", "body"),
            *person("author", "who wrote it"),
            instant("created_at", "when it was written"),
            instant("updated_at", "when it last changed"),
            flag("system", "whether GitLab wrote it"),
            text("noteable_type", "Issue, MergeRequest or Commit"),
            number("noteable_id", "id of the issue or merge request"),
            number("noteable_iid", "its number inside the project"),
            flag("resolvable", "whether it can be resolved"),
            flag("resolved", "whether it is resolved"),
            instant("resolved_at", "when it was resolved"),
            *person("resolved_by", "who resolved it"),
            flag("internal", "whether only members see it"),
            text("path", "the file that it is about", "position.new_path"),
            number("line", "the line that it is about", "position.new_line"),
        ),
        parts=_notes,
    ),
    Table(
        "labels",
        "Labels of groups and projects; `area_kind` and `area_id` name the owner.",
        ("labels",),
        Type.BIGINT,
        (
            text("name", "name"),
            text("description", "description"),
            text("color", "colour, as #RRGGBB"),
            number("priority", "priority inside the project"),
            flag("archived", "whether it is archived"),
        ),
    ),
    Table(
        "milestones",
        "Milestones of groups and projects.",
        ("milestones",),
        Type.BIGINT,
        (
            number("iid", "number inside the group or project"),
            number("project_id", "the project, for one of a project"),
            number("group_id", "the group, for one of a group"),
            text("title", "title"),
            text("description", "description, in Markdown"),
            text("state", "active or closed"),
            day("start_date", "planned begin"),
            day("due_date", "planned end"),
            flag("expired", "whether its end was past when it was fetched"),
            instant("created_at", "when it was made"),
            instant("updated_at", "when it last changed"),
            text("web_url", "address of its page"),
        ),
    ),
    Table(
        "issue_links",
        "Links between issues, as seen from one of the two.",
        ("issue_links",),
        Type.VARCHAR,
        (
            number("project_id", "project of the issue", "@id.1"),
            number("issue_iid", "the issue, by its number inside the project", "@id.2"),
            number("issue_link_id", "the link; both ends have the same"),
            text("link_type", "relates_to, blocks or is_blocked_by"),
            number("target_issue_id", "the other issue", "id"),
            number("target_project_id", "its project", "project_id"),
            number("target_issue_iid", "its number inside its project", "iid"),
            instant("link_created_at", "when the link was made"),
            instant("link_updated_at", "when the link last changed"),
        ),
    ),
    Table(
        "award_emoji",
        "Reactions to issues and merge requests.",
        tuple(f"{item}_award_emoji" for item in _OF_ITEMS),
        Type.BIGINT,
        (
            text("name", "name of the emoji"),
            *person("user", "who gave it"),
            text("awardable_type", "Issue or MergeRequest"),
            number("awardable_id", "id of the issue or merge request"),
            instant("created_at", "when it was given"),
        ),
    ),
    Table(
        "label_events",
        "Labels put on and taken off issues and merge requests.",
        tuple(f"{item}_label_events" for item in _OF_ITEMS),
        Type.BIGINT,
        (
            *_happened(),
            text("action", "add or remove"),
            number("label_id", "the label; NULL once it is deleted", "label.id"),
            text("label_name", "its name", "label.name"),
        ),
    ),
    Table(
        "state_events",
        "Issues and merge requests closed, reopened and merged.",
        tuple(f"{item}_state_events" for item in _OF_ITEMS),
        Type.BIGINT,
        (
            *_happened(),
            text("state", "the state from then on"),
            text("source_commit", "the commit that caused it"),
            number("source_merge_request_id", "the merge request that caused it"),
        ),
    ),
    Table(
        "milestone_events",
        "Milestones set and removed.",
        tuple(f"{item}_milestone_events" for item in _OF_ITEMS),
        Type.BIGINT,
        (
            *_happened(),
            text("action", "add or remove"),
            number("milestone_id", "the milestone", "milestone.id"),
            text("milestone_title", "its title", "milestone.title"),
        ),
    ),
    Table(
        "timelogs",
        "Time that people logged on issues and merge requests.",
        ("timelogs",),
        Type.BIGINT,
        (
            number("time_spent", "time spent; negative where some was taken back", unit="seconds"),
            instant("spent_at", "when it was spent"),
            text("summary", "what was done"),
            *person("user", "who logged it"),
            number("project_id", "the project", "@area"),
            number("issue_id", "the issue, for time on one", "issue.id"),
            number("issue_iid", "its number inside the project", "issue.iid"),
            number("merge_request_id", "the merge request, for time on one", "merge_request.id"),
            number("merge_request_iid", "its number inside the project", "merge_request.iid"),
        ),
    ),
)
