"""How GitLab 19.3 writes labels, milestones, issues and notes.

Entered by `listing`. Field names and order follow the API's entities (OpenAPI 19.3).
"""

import re

from labtrawl.sandbox.entities import Body, People
from labtrawl.sandbox.model import Issue, Label, Milestone, Note, Project

Noteable = tuple[str, int | None, int | None]
_DONE = re.compile(r"^\s*[-*+] \[[xX]\] ", re.MULTILINE)
_TASK = re.compile(r"^\s*[-*+] \[[ xX]\] ", re.MULTILINE)


def label_basic(label: Label) -> Body:
    """A label inside an event."""
    return {
        "id": label.id,
        "name": label.name,
        "description": label.description,
        "description_html": label.description or "",
        "text_color": label.text_color,
        "color": label.color,
        "archived": False,
    }


def label_body(label: Label, counts: tuple[int, int, int]) -> Body:
    """A row of a group's labels; `counts`: open issues, closed issues, open merge requests."""
    return label_basic(label) | {
        "open_issues_count": counts[0],
        "closed_issues_count": counts[1],
        "open_merge_requests_count": counts[2],
        "subscribed": False,
    }


def project_label_body(label: Label, counts: tuple[int, int, int], own: bool) -> Body:
    """A row of a project's labels; `own` = the label is the project's, not its group's."""
    return label_body(label, counts) | {"priority": label.priority, "is_project_label": own}


def milestone_body(base: str, milestone: Milestone, place_path: str) -> Body:
    """A milestone; `place_path` is the path of its project, or of its group."""
    owner: Body = {"project_id": milestone.project_id}
    place = place_path
    if milestone.project_id is None:
        owner = {"group_id": milestone.group_id}
        place = f"groups/{place_path}"
    return (
        {"id": milestone.id, "iid": milestone.iid}
        | owner
        | {
            "title": milestone.title,
            "description": milestone.description,
            "state": milestone.state,
            "created_at": milestone.created_at,
            "updated_at": milestone.updated_at,
            "due_date": milestone.due_date,
            "start_date": milestone.start_date,
            "expired": milestone.expired,
            "web_url": f"{base}/{place}/-/milestones/{milestone.iid}",
        }
    )


def task_status(text: str | None) -> tuple[int, int]:
    """Number of task list items in a text, and of those done."""
    if not text or "[" not in text:
        return 0, 0
    return len(_TASK.findall(text)), len(_DONE.findall(text))


def time_stats(estimate: int, spent: int) -> Body:
    """Times in seconds, and as GitLab writes them for people."""
    return {
        "time_estimate": estimate,
        "total_time_spent": spent,
        "human_time_estimate": human_time(estimate),
        "human_total_time_spent": human_time(spent),
    }


def human_time(seconds: int) -> str | None:
    """Seconds in working days of 8 hours, for example ``1d 2h 30m``; None for zero."""
    minutes = seconds // 60
    parts = ((minutes // 480, "d"), (minutes % 480 // 60, "h"), (minutes % 60, "m"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or None


def references_body(project: Project, mark: str, iid: int) -> Body:
    """How text refers to the object: ``#1``, ``group/project#1``."""
    return {
        "short": f"{mark}{iid}",
        "relative": f"{mark}{iid}",
        "full": f"{project.full_path}{mark}{iid}",
    }


def issue_body(people: People, project: Project, issue: Issue, milestone: Body | None) -> Body:
    """A row of a project's issues."""
    base = people.base
    self_url = f"{base}/api/v4/projects/{project.id}/issues/{issue.iid}"
    assignees = [people.basic(user) for user in issue.assignees]
    tasks, done = task_status(issue.description)
    return {
        "id": issue.id,
        "iid": issue.iid,
        "project_id": project.id,
        "title": issue.title,
        "description": issue.description,
        "state": issue.state,
        "created_at": issue.created_at,
        "updated_at": issue.updated_at,
        "closed_at": issue.closed_at,
        "closed_by": people.basic(issue.closed_by),
        "labels": list(issue.labels),
        "milestone": milestone,
        "assignees": assignees,
        "author": people.basic(issue.author),
        "type": issue.issue_type.upper(),
        "assignee": assignees[0] if assignees else None,
        "user_notes_count": sum(not note.system for note in issue.notes),
        "merge_requests_count": issue.merge_requests_count,
        "upvotes": issue.upvotes,
        "downvotes": issue.downvotes,
        "start_date": None,
        "due_date": issue.due_date,
        "confidential": issue.confidential,
        "discussion_locked": issue.discussion_locked,
        "issue_type": issue.issue_type,
        "web_url": f"{base}/{project.full_path}/-/issues/{issue.iid}",
        "time_stats": time_stats(issue.time_estimate, issue.total_time_spent),
        "task_completion_status": {"count": tasks, "completed_count": done},
        "weight": issue.weight,
        "blocking_issues_count": 0,
        "has_tasks": tasks > 0,
        "task_status": f"{done} of {tasks} checklist items completed",
        "_links": {
            "self": self_url,
            "notes": f"{self_url}/notes",
            "award_emoji": f"{self_url}/award_emoji",
            "project": f"{base}/api/v4/projects/{project.id}",
            "closed_as_duplicate_of": None,
        },
        "references": references_body(project, "#", issue.iid),
        "severity": "UNKNOWN",
        "moved_to_id": issue.moved_to_id,
        "imported": issue.imported,
        "imported_from": "gitlab_project" if issue.imported else "none",
        "service_desk_reply_to": None,
    }


def note_body(people: People, project: Project, note: Note, noteable: Noteable) -> Body:
    """A row of notes; `noteable` is the type, number and iid of what it was written on."""
    body: Body = {
        "id": note.id,
        "type": note.type,
        "body": note.body,
        "author": people.basic(note.author),
        "created_at": note.created_at,
        "updated_at": note.updated_at,
        "system": note.system,
        "noteable_id": noteable[1],
        "noteable_type": noteable[0],
        "project_id": project.id,
    }
    if note.commit_id:
        body["commit_id"] = note.commit_id
    if note.position is not None:
        body["position"] = note.position
    body["resolvable"] = note.resolvable
    if note.resolvable:
        body["resolved"] = note.resolved
        body["resolved_by"] = people.basic(note.resolved_by)
        body["resolved_at"] = note.resolved_at
    return body | {
        "confidential": note.internal,
        "internal": note.internal,
        "imported": note.imported,
        "imported_from": "gitlab_project" if note.imported else "none",
        "noteable_iid": noteable[2],
        "commands_changes": {},
    }
