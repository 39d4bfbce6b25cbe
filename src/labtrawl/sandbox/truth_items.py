"""The part of the truth that hangs on issues, merge requests and commits.

Entered by `truth`. Natural ids are those of a crawl's records: GitLab's number where the instance
has no second one of its kind, else a text that begins with the project's number.
"""

from collections.abc import Iterator

from labtrawl.sandbox import shelf_builds, shelf_code, shelf_items
from labtrawl.sandbox.access import Viewer
from labtrawl.sandbox.listing import Listing, Row
from labtrawl.sandbox.model import Project
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.shelf_items import Item
from labtrawl.sandbox.wire import encode_json

ISSUE_RESOURCES = (
    "issue_discussions",
    "issue_award_emoji",
    "issue_label_events",
    "issue_state_events",
    "issue_milestone_events",
    "issue_links",
)
REQUEST_RESOURCES = (
    "merge_request_discussions",
    "merge_request_award_emoji",
    "merge_request_label_events",
    "merge_request_state_events",
    "merge_request_milestone_events",
    "merge_request_approvals",
    "merge_request_reviewers",
    "merge_request_versions",
    "merge_request_commits",
    "merge_request_pipelines",
)
RESOURCES = frozenset((*ISSUE_RESOURCES, *REQUEST_RESOURCES, "commit_discussions"))


def records(
    shelf: Shelf, viewer: Viewer, project: Project, resource: str
) -> Iterator[tuple[int | str, bytes]]:
    """Natural id and body of every record of one of the `RESOURCES` in a project."""
    if resource == "commit_discussions":
        for commit in reversed(project.commits):
            rows = shelf_items.commit_discussions(shelf, project, commit).rows
            yield from _named(rows, "commit_discussions", "")
        return
    of_issues = resource in ISSUE_RESOURCES
    part = resource.removeprefix("issue_" if of_issues else "merge_request_")
    listing = (
        shelf.issues(viewer, project) if of_issues else shelf_code.merge_requests(shelf, project)
    )
    for row in listing.rows:
        item: Item = row.item
        place = f"{project.id}/{item.iid}"
        if part == "approvals":
            yield place, encode_json(shelf_items.approvals_body(shelf, viewer, project, row.item))
        else:
            yield from _named(_rows(shelf, viewer, project, item, part), part, place)


def _rows(shelf: Shelf, viewer: Viewer, project: Project, item: Item, part: str) -> list[Row]:
    on = (type(item).__name__, item.id)
    if part == "discussions":
        return shelf_items.discussions(shelf, viewer, project, item).rows
    if part == "award_emoji":
        return shelf_items.awards(shelf, project, item.awards, on).rows
    if part == "links":
        return shelf_items.links(shelf, viewer, item).rows  # type: ignore[arg-type]
    lists = {
        "label_events": shelf_items.label_events,
        "state_events": shelf_items.state_events,
        "milestone_events": shelf_items.milestone_events,
        "reviewers": shelf_items.reviewers,
        "versions": shelf_items.versions,
        "commits": shelf_builds.request_commits,
        "pipelines": shelf_builds.request_pipelines,
    }
    found: Listing = lists[part](shelf, project, item)  # type: ignore[arg-type]
    return found.rows


def _named(rows: list[Row], part: str, place: str) -> Iterator[tuple[int | str, bytes]]:
    """The readable rows with their natural ids; `place` is project and iid of the parent."""
    for item, body in rows:
        if body is None:
            continue
        if part == "reviewers":
            yield f"{place}/{item.user.id}", body
        elif part == "commits":
            yield f"{place}/{item.sha}", body
        elif part in ("links", "pipelines"):
            yield f"{place}/{item.id}", body
        else:
            yield item.id, body
