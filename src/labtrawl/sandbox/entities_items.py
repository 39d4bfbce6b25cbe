"""How GitLab 19.3 writes what hangs on issues and merge requests.

Entered by the shelf. Field names and order follow the API's entities (OpenAPI 19.3).
"""

from collections.abc import Sequence

from labtrawl.sandbox.entities import Body, People
from labtrawl.sandbox.entities_planning import Noteable, label_basic
from labtrawl.sandbox.model import (
    DEVELOPER,
    Approval,
    Award,
    Discussion,
    Issue,
    IssueLink,
    LabelEvent,
    MergeRequest,
    MilestoneEvent,
    Project,
    RequestVersion,
    Review,
    StateEvent,
    Timelog,
    User,
)


def discussion_body(discussion: Discussion, notes: Sequence[object]) -> Body:
    """A row of discussions; `notes` are the bodies of its notes."""
    resolvable = [note for note in discussion.notes if note.resolvable]
    return {
        "id": discussion.id,
        "individual_note": discussion.notes[0].type is None,
        "resolvable": bool(resolvable),
        "resolved": bool(resolvable) and all(note.resolved for note in resolvable),
        "notes": notes,
    }


def award_body(people: People, award: Award, on: tuple[str, int]) -> Body:
    """A row of emoji; `on` is the type and number of what it was given to."""
    return {
        "id": award.id,
        "name": award.name,
        "user": people.basic(award.user),
        "created_at": award.created_at,
        "updated_at": award.updated_at,
        "awardable_id": on[1],
        "awardable_type": on[0],
        "url": None,
    }


def _event_start(
    people: People, event: LabelEvent | StateEvent | MilestoneEvent, on: Noteable
) -> Body:
    return {
        "id": event.id,
        "user": people.basic(event.user),
        "created_at": event.created_at,
        "resource_type": on[0],
        "resource_id": on[1],
    }


def label_event_body(people: People, event: LabelEvent, on: Noteable) -> Body:
    """A row of label events; the label is null once it is deleted."""
    label = label_basic(event.label) if event.label else None
    return _event_start(people, event, on) | {"label": label, "action": event.action}


def state_event_body(people: People, event: StateEvent, on: Noteable) -> Body:
    """A row of state events."""
    return _event_start(people, event, on) | {
        "source_commit": event.source_commit,
        "source_merge_request_id": event.source_merge_request_id,
        "state": event.state,
    }


def milestone_event_body(
    people: People, event: MilestoneEvent, milestone: Body | None, on: Noteable
) -> Body:
    """A row of milestone events."""
    changed = {"milestone": milestone, "action": event.action, "state": event.state}
    return _event_start(people, event, on) | changed


def link_body(issue: Body, link: IssueLink) -> Body:
    """A row of links: the other issue, and what binds it."""
    return issue | {
        "issue_link_id": link.id,
        "link_type": link.link_type,
        "link_created_at": link.created_at,
        "link_updated_at": link.updated_at,
    }


def timelog_body(
    people: People, project: Project, log: Timelog, item: Issue | MergeRequest
) -> Body:
    """A working time, as REST would write GraphQL's ``Timelog``."""
    place: Body = {"id": item.id, "iid": item.iid}
    of_issue = isinstance(item, Issue)
    return {
        "id": log.id,
        "project_id": project.id,
        "issue": place if of_issue else None,
        "merge_request": None if of_issue else place,
        "note_id": log.note_id,
        "user": people.basic(log.user),
        "time_spent": log.time_spent,
        "spent_at": log.spent_at,
        "summary": log.summary,
    }


def approvals_body(people: People, item: MergeRequest, me: User | None, level: int) -> Body:
    """``GET .../approvals``; `me` and `level` are those of the caller."""
    mine = me is not None and any(found.user.id == me.id for found in item.approvals)
    author = me is not None and me.id == item.author.id
    return {
        "user_has_approved": mine,
        "user_can_approve": level >= DEVELOPER and not (mine or author or item.merged_at),
        "approved": bool(item.approvals),
        "approved_by": [_approval(people, found) for found in item.approvals],
    }


def _approval(people: People, approval: Approval) -> Body:
    return {"user": people.basic(approval.user), "approved_at": approval.approved_at}


def review_body(people: People, review: Review) -> Body:
    """A row of reviewers."""
    return {
        "user": people.basic(review.user),
        "state": review.state,
        "created_at": review.created_at,
    }


def version_body(version: RequestVersion, item: MergeRequest) -> Body:
    """A row of versions."""
    return {
        "id": version.id,
        "head_commit_sha": version.head_commit_sha,
        "base_commit_sha": version.base_commit_sha,
        "start_commit_sha": version.start_commit_sha,
        "created_at": version.created_at,
        "merge_request_id": item.id,
        "state": version.state,
        "real_size": version.real_size,
        "patch_id_sha": version.patch_id_sha,
    }
