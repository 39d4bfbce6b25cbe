"""Lists that hang on one issue, merge request or commit, on the same shelf as the rest.

Entered by the routes and by `truth`. Each function takes the shelf that keeps its rows.
"""

from collections.abc import Iterator

from msgspec import Raw

from labtrawl.sandbox import entities_items as items
from labtrawl.sandbox.access import Viewer, sees_issue, sees_note
from labtrawl.sandbox.entities import Body
from labtrawl.sandbox.entities_planning import Noteable, note_body
from labtrawl.sandbox.listing import Listing, Row, encoded
from labtrawl.sandbox.model import (
    Award,
    Commit,
    Discussion,
    Issue,
    MergeRequest,
    Note,
    Project,
    in_discussions,
)
from labtrawl.sandbox.shelf import Shelf

Item = Issue | MergeRequest
NOTHING = Listing([])


def noteable_of(item: Item) -> Noteable:
    """Type, number and iid of an issue or merge request."""
    return (type(item).__name__, item.id, item.iid)


def discussions(shelf: Shelf, viewer: Viewer, project: Project, item: Item) -> Listing:
    """Discussions, the first opened first; holes for those of which nothing may be read."""
    if not item.notes:
        return NOTHING
    notes = shelf.notes(viewer, project, item)
    if any(row.body is None for row in notes.rows):
        return Listing(list(_discussion_rows(item.notes, notes)))
    key = ("discussions", project.id, type(item).__name__, item.id)
    return shelf.keep(key, lambda: Listing(list(_discussion_rows(item.notes, notes))))


def _discussion_rows(found: tuple[Note, ...], notes: Listing) -> Iterator[Row]:
    bodies = {row.item.id: row.body for row in notes.rows}
    for discussion in in_discussions(found):
        seen = tuple(note for note in discussion.notes if bodies[note.id] is not None)
        if seen:
            readable = Discussion(id=discussion.id, notes=seen)
            raw = [Raw(bodies[note.id] or b"") for note in seen]
            (row,) = encoded([(readable, items.discussion_body(readable, raw))]).rows
            yield row
        else:
            yield Row(discussion, None)


def commit_discussions(shelf: Shelf, project: Project, commit: Commit) -> Listing:
    """Discussions of a commit."""
    if not commit.notes:
        return NOTHING

    def make() -> Listing:
        notes = encoded(
            (note, note_body(shelf.people, project, note, ("Commit", None, None)))
            for note in commit.notes
        )
        return Listing(list(_discussion_rows(commit.notes, notes)))

    return shelf.keep(("discussions", project.id, "Commit", commit.sha), make)


def readable_note(viewer: Viewer, project: Project, item: Item, number: int) -> Note | None:
    """The note of that number, if the item has it and the viewer may read it."""
    for note in item.notes:
        if note.id == number:
            return note if sees_note(viewer, project, note) else None
    return None


def awards(
    shelf: Shelf, project: Project, found: tuple[Award, ...], on: tuple[str, int]
) -> Listing:
    """Emoji by number; `on` is the type and number of what they were given to."""
    if not found:
        return NOTHING
    return shelf.keep(
        ("awards", project.id, *on),
        lambda: encoded((award, items.award_body(shelf.people, award, on)) for award in found),
    )


def label_events(shelf: Shelf, project: Project, item: Item) -> Listing:
    """Labels put on and taken off."""
    if not item.label_events:
        return NOTHING
    return shelf.keep(
        ("label_events", project.id, type(item).__name__, item.id),
        lambda: encoded(
            (event, items.label_event_body(shelf.people, event, noteable_of(item)))
            for event in item.label_events
        ),
    )


def state_events(shelf: Shelf, project: Project, item: Item) -> Listing:
    """Changes of state."""
    if not item.state_events:
        return NOTHING
    return shelf.keep(
        ("state_events", project.id, type(item).__name__, item.id),
        lambda: encoded(
            (event, items.state_event_body(shelf.people, event, noteable_of(item)))
            for event in item.state_events
        ),
    )


def milestone_events(shelf: Shelf, project: Project, item: Item) -> Listing:
    """Milestones set and taken away."""
    if not item.milestone_events:
        return NOTHING

    def make() -> Listing:
        return encoded(
            (
                event,
                items.milestone_event_body(
                    shelf.people,
                    event,
                    shelf.milestone_body(event.milestone) if event.milestone else None,
                    noteable_of(item),
                ),
            )
            for event in item.milestone_events
        )

    return shelf.keep(("milestone_events", project.id, type(item).__name__, item.id), make)


def links(shelf: Shelf, viewer: Viewer, issue: Issue) -> Listing:
    """The issues that an issue is linked with, as far as the viewer may read them."""
    if not issue.links:
        return NOTHING
    rows = []
    for link in issue.links:
        home = shelf.access.projects.get(link.project_id)
        if home is None or shelf.access.gate_resource(viewer, home, "issues"):
            continue
        other = next((found for found in home.issues if found.id == link.issue_id), None)
        if other is not None and sees_issue(viewer, home, other):
            rows.append((link, items.link_body(shelf.issue_body(home, other), link)))
    return encoded(rows)


def timelogs(shelf: Shelf, viewer: Viewer, project: Project) -> Listing:
    """Working times on all items that the viewer may see, the oldest first.

    REST has no such list (GraphQL's ``Project.timelogs`` does); the rows are as REST would write it.
    """
    pairs: list[tuple[object, Body]] = []
    items_of_project: tuple[Item, ...] = (*project.issues, *project.merge_requests)
    for item in items_of_project:
        hidden = isinstance(item, Issue) and not sees_issue(viewer, project, item)
        pairs += [
            (log, items.timelog_body(shelf.people, project, log, item))
            for log in (() if hidden else item.timelogs)
        ]
    return encoded(pairs)


def approvals_body(shelf: Shelf, viewer: Viewer, project: Project, item: MergeRequest) -> Body:
    """Who approved a merge request, and whether the viewer did or could.

    An Enterprise Edition says beside which merge request it is, and what its rules ask for
    (doc/api/merge_request_approvals.md; lib/api/entities/merge_request_approvals.rb has neither).
    No world has rules of approval.
    """
    level = viewer.level(project)
    of_approvals = items.approvals_body(shelf.people, item, viewer.user, level)
    if not shelf.enterprise:
        return of_approvals
    of_request: Body = {"id": item.id, "iid": item.iid, "project_id": project.id}
    of_request |= {"title": item.title, "state": item.state, "created_at": item.created_at}
    of_request |= {"updated_at": item.updated_at, "approvals_required": 0, "approvals_left": 0}
    return of_request | of_approvals


def reviewers(shelf: Shelf, project: Project, item: MergeRequest) -> Listing:
    """Reviewers with their states."""
    if not item.reviews:
        return NOTHING
    return shelf.keep(
        ("reviewers", project.id, item.id),
        lambda: encoded((r, items.review_body(shelf.people, r)) for r in item.reviews),
    )


def versions(shelf: Shelf, project: Project, item: MergeRequest) -> Listing:
    """Versions, the newest first."""
    if not item.versions:
        return NOTHING
    return shelf.keep(
        ("versions", project.id, item.id),
        lambda: encoded((v, items.version_body(v, item)) for v in reversed(item.versions)),
    )
