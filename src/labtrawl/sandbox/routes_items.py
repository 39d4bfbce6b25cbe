"""What hangs on one issue, merge request or commit: discussions, emoji, events, links, reviews.

Entered by `routes`. Every list here needs a token, even where the project is public.
"""

from collections.abc import Callable

from labtrawl.sandbox import shelf_builds, shelf_items
from labtrawl.sandbox.call import Call
from labtrawl.sandbox.listing import Listing
from labtrawl.sandbox.model import Project
from labtrawl.sandbox.paging import join_rows
from labtrawl.sandbox.routes_code import one_request
from labtrawl.sandbox.routes_lists import discussion_page, item_page
from labtrawl.sandbox.routes_projects import one_issue
from labtrawl.sandbox.shelf import Shelf
from labtrawl.sandbox.shelf_items import Item
from labtrawl.sandbox.wire import Refused, Reply, json_reply

_Answer = Callable[[Call], Reply]
_Lister = Callable[[Shelf, Project, Item], Listing]
_RequestLister = Callable[..., Listing]
_NO_AWARD = {"message": "404 Award Emoji Not Found"}


def _item(call: Call) -> tuple[Project, Item]:
    """The issue or merge request that the path names."""
    found, row = one_issue(call) if call.word(2) == "issues" else one_request(call)
    item: Item = row.item
    return found, item


def discussions(call: Call) -> Reply:
    """``GET .../discussions`` of an issue or merge request."""
    found, item = _item(call)
    rows = shelf_items.discussions(call.shelf, call.viewer, found, item).rows
    return discussion_page(call, item, rows)


def commit_discussions(call: Call) -> Reply:
    """``GET /projects/:id/repository/commits/:sha/discussions``, by the full sha."""
    found = call.project("commit_discussions")
    for commit in found.commits:
        if commit.sha == call.word(4):
            return item_page(call, shelf_items.commit_discussions(call.shelf, found, commit).rows)
    raise Refused(404, {"message": "404 Commit Not Found"})


def awards(call: Call) -> Reply:
    """``GET .../award_emoji`` of an issue or merge request."""
    found, item = _item(call)
    on = (type(item).__name__, item.id)
    return item_page(call, shelf_items.awards(call.shelf, found, item.awards, on).rows)


def note_awards(call: Call) -> Reply:
    """``GET .../notes/:note_id/award_emoji``."""
    found, item = _item(call)
    number = call.place_number(5)
    note = shelf_items.readable_note(call.viewer, found, item, number)
    if note is None:
        raise Refused(404, _NO_AWARD)
    rows = shelf_items.awards(call.shelf, found, note.awards, ("Note", number)).rows
    return item_page(call, rows)


def _listed(lister: _Lister) -> _Answer:
    """The function of a path whose rows `lister` makes of an issue or merge request."""

    def answer(call: Call) -> Reply:
        found, item = _item(call)
        return item_page(call, lister(call.shelf, found, item).rows)

    return answer


def _of_request(lister: _RequestLister) -> _Answer:
    """The function of a path whose rows `lister` makes of a merge request."""

    def answer(call: Call) -> Reply:
        found, row = one_request(call)
        return item_page(call, lister(call.shelf, found, row.item).rows)

    return answer


def links(call: Call) -> Reply:
    """``GET /projects/:id/issues/:iid/links``: all of them, in one answer without pages."""
    call.me()
    _, row = one_issue(call)
    rows = shelf_items.links(call.shelf, call.viewer, row.item).rows
    return Reply(200, join_rows(rows))


def approvals(call: Call) -> Reply:
    """``GET /projects/:id/merge_requests/:iid/approvals``: one object."""
    found, row = one_request(call)
    call.me()
    return json_reply(shelf_items.approvals_body(call.shelf, call.viewer, found, row.item))


_ISSUE = "projects/:id/issues/:iid"
_REQUEST = "projects/:id/merge_requests/:iid"
_OF_BOTH: dict[str, _Answer] = {
    "discussions": discussions,
    "award_emoji": awards,
    "notes/:note_id/award_emoji": note_awards,
    "resource_label_events": _listed(shelf_items.label_events),
    "resource_state_events": _listed(shelf_items.state_events),
    "resource_milestone_events": _listed(shelf_items.milestone_events),
}
TABLE: dict[str, _Answer] = {
    **{f"{_ISSUE}/{last}": answer for last, answer in _OF_BOTH.items()},
    **{f"{_REQUEST}/{last}": answer for last, answer in _OF_BOTH.items()},
    f"{_ISSUE}/links": links,
    f"{_REQUEST}/approvals": approvals,
    f"{_REQUEST}/reviewers": _of_request(shelf_items.reviewers),
    f"{_REQUEST}/versions": _of_request(shelf_items.versions),
    f"{_REQUEST}/commits": _of_request(shelf_builds.request_commits),
    f"{_REQUEST}/pipelines": _of_request(shelf_builds.request_pipelines),
    "projects/:id/repository/commits/:sha/discussions": commit_discussions,
}
