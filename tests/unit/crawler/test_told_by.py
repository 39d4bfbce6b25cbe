"""A row of a list that shows that the row's own list is empty: nothing is asked for then."""

import json

import msgspec
import pytest

from labtrawl.crawler.records import has_none
from labtrawl.gitlab.catalog import RESOURCES, find
from tests.unit.crawler.shelf import PROJECT, Row, Shelf, read, reader_of, rows

REQUESTS = f"{PROJECT}/merge_requests"


def _shelf(*shown: object) -> Shelf:
    """Merge requests whose rows show some reviewers each; every one of them has one in truth."""
    requests: list[Row] = [
        row | {"created_at": f"2026-01-0{row['iid']}T00:00:00Z", "reviewers": reviewers}
        for row, reviewers in zip(rows(*range(1, len(shown) + 1)), shown, strict=True)
    ]
    lists: dict[str, list[Row]] = {REQUESTS: requests}
    for iid in range(1, len(shown) + 1):
        lists[f"{REQUESTS}/{iid}/reviewers"] = [{"user": {"id": 70 + iid}}]
    return Shelf(lists)


async def test_list_that_the_row_shows_as_empty_is_not_asked_for() -> None:
    shelf = _shelf([], [{"id": 72}], [], [], [{"id": 75}])
    found, cursor = await read(reader_of(shelf, "merge_request_reviewers"))
    assert found == ["7/2/72", "7/5/75"]
    assert (cursor.ended, cursor.gone, cursor.items) == (True, 0, 2)
    asked = [request.partition("?")[0] for request in shelf.asked]
    assert [path for path in asked if path != REQUESTS] == [
        f"{REQUESTS}/2/reviewers",
        f"{REQUESTS}/5/reviewers",
    ]


@pytest.mark.parametrize("shown", [None, {}, "none", 0, [None]])
async def test_row_that_shows_anything_else_is_asked_for(shown: object) -> None:
    found, _ = await read(reader_of(_shelf(shown), "merge_request_reviewers"))
    assert found == ["7/1/71"]


def test_row_without_the_field_tells_nothing() -> None:
    resource = find("project", "merge_request_reviewers")
    assert resource is not None
    told = [{"iid": 1}, {"iid": 1, "reviewers": []}]
    assert [has_none(resource, msgspec.Raw(json.dumps(row).encode())) for row in told] == [
        False,
        True,
    ]


def test_only_what_is_certain_is_told_by_a_row() -> None:
    """Events are not: neither a date, nor a label, nor a state shows that there never was one."""
    assert {each.name: each.told_by for each in RESOURCES if each.told_by} == {
        "merge_request_reviewers": "reviewers"
    }
    issue = find("project", "issue_state_events")
    assert issue is not None
    assert not has_none(issue, msgspec.Raw(b'{"state":"opened","labels":[]}'))
