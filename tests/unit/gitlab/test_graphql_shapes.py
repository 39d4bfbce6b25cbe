"""From nodes to the bodies that REST would have sent: whole bodies, field by field."""

from typing import Any

import pytest

from labtrawl.gitlab import graphql_shapes as shapes
from labtrawl.gitlab.graphql_shapes import UNREAD, Found

WHEN, LATER = "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z"
NO_MORE = {"endCursor": "x", "hasNextPage": False}
MORE = {"endCursor": "x", "hasNextPage": True}
ANN = {
    "id": "gid://gitlab/User/4",
    "username": "ann",
    "name": "Ann",
    "state": "active",
    "avatarUrl": None,
    "webUrl": "https://gitlab.test/ann",
}
REVIEWERS, LINKS = shapes.has_none("reviewers"), shapes.widget_has_none("linkedItems")
ANN_BY_REST = {
    "id": 4,
    "username": "ann",
    "name": "Ann",
    "state": "active",
    "avatar_url": None,
    "web_url": "https://gitlab.test/ann",
}


def _connection(*nodes: Any, info: dict[str, Any] = NO_MORE) -> dict[str, Any]:
    return {"pageInfo": info, "nodes": list(nodes)}


def _note(gid: str, **fields: Any) -> dict[str, Any]:
    note = {"id": f"gid://gitlab/{gid}", "body": "said", "system": False, "internal": False}
    note |= {"createdAt": WHEN, "updatedAt": LATER, "resolvable": False, "resolved": False}
    return note | {"resolvedAt": None, "resolvedBy": None, "author": ANN, **fields}


def _thread(*notes: Any, id_: str = "abc", info: dict[str, Any] = NO_MORE) -> dict[str, Any]:
    told = {"id": f"gid://gitlab/Discussion/{id_}", "resolvable": True, "resolved": False}
    return {**told, "notes": _connection(*notes, info=info)}


def _request(**fields: Any) -> dict[str, Any]:
    return {"id": "gid://gitlab/MergeRequest/70", "iid": "7", **fields}


def _note_by_rest(id_: int, type_: str | None, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "type": type_,
        "body": "said",
        "author": ANN_BY_REST,
        "created_at": WHEN,
        "updated_at": LATER,
        "system": False,
        "noteable_id": 70,
        "noteable_type": "MergeRequest",
        "project_id": 12,
        "resolvable": False,
        "confidential": False,
        "internal": False,
        "noteable_iid": 7,
        **fields,
    }


def test_plain_note_is_a_discussion_alone() -> None:
    found = shapes.discussions(_request(discussions=_connection(_thread(_note("Note/1")))), 12)
    row = {"id": "abc", "individual_note": True, "resolvable": True, "resolved": False}
    assert found == Found([row | {"notes": [_note_by_rest(1, None)]}])


def test_note_on_a_diff_has_its_position_and_its_resolution() -> None:
    refs = {"baseSha": "b", "startSha": "s", "headSha": "h"}
    position: dict[str, Any] = {
        "positionType": "text",
        "oldPath": "a",
        "newPath": "b",
        "oldLine": None,
    }
    position |= {"newLine": 9, "width": None, "height": None, "x": None, "y": None}
    told = {"resolvable": True, "resolved": True, "resolvedAt": LATER, "resolvedBy": ANN}
    note = _note("DiffNote/3", position=position | {"diffRefs": refs}, **told)
    found = shapes.discussions(_request(discussions=_connection(_thread(note))), 12)
    by_rest = _note_by_rest(
        3,
        "DiffNote",
        resolvable=True,
        resolved=True,
        resolved_by=ANN_BY_REST,
        resolved_at=LATER,
        position={
            "base_sha": "b",
            "start_sha": "s",
            "head_sha": "h",
            "old_path": "a",
            "new_path": "b",
            "position_type": "text",
            "old_line": None,
            "new_line": 9,
        },
    )
    row = {"id": "abc", "individual_note": False, "resolvable": True, "resolved": False}
    assert found == Found([row | {"notes": [by_rest]}])


def test_note_on_an_image_has_its_place_in_it() -> None:
    refs = {"baseSha": "b", "startSha": "s", "headSha": "h"}
    position: dict[str, Any] = {
        "positionType": "image",
        "oldPath": "a",
        "newPath": "b",
        "diffRefs": refs,
    }
    position |= {"oldLine": None, "newLine": None, "width": 8, "height": 6, "x": 1, "y": 2}
    thread = _thread(_note("DiffNote/3", position=position))
    found = shapes.discussions(_request(discussions=_connection(thread)), 12)
    place = found.rows[0]["notes"][0]["position"]
    assert [place[name] for name in ("width", "height", "x", "y")] == [8, 6, 1, 2]
    assert "old_line" not in place


def test_discussions_that_are_cut_hidden_or_go_on_are_told_apart() -> None:
    whole = _thread(_note("DiscussionNote/1"), None, _note("DiscussionNote/2"), id_="whole")
    threads = [whole, None, _thread(None, id_="hidden"), _thread(id_="cut", info=MORE)]
    found = shapes.discussions(_request(discussions=_connection(*threads, info=MORE)), 12)
    assert [row["id"] for row in found.rows] == ["whole"]
    assert [note["id"] for note in found.rows[0]["notes"]] == [1, 2]
    assert (found.after, found.cut, found.unread) == ("x", ("cut",), False)


def _suggestion(id_: str, gid: str = "DiffNote/3") -> dict[str, Any]:
    """A discussion of a note on a diff with a suggestion in it."""
    return _thread(_note(gid, body="Better:\n```Suggestion:-0+1\nx = 1\n```"), id_=id_)


def test_note_with_a_suggestion_is_read_by_rest() -> None:
    plain = _thread(_note("Note/5"), id_="plain")
    found = shapes.discussions(_request(discussions=_connection(_suggestion("one"), plain)), 12)
    assert ([row["id"] for row in found.rows], found.cut, found.unread) == (
        ["plain"],
        ("one",),
        False,
    )
    # Elsewhere it is a word.
    told = _request(discussions=_connection(_suggestion("one", "DiscussionNote/3")))
    assert shapes.discussions(told, 12).cut == ()


def test_more_than_one_discussion_for_rest_is_one_list_for_rest() -> None:
    told = _request(discussions=_connection(_suggestion("one"), _suggestion("two")))
    assert shapes.discussions(told, 12) == UNREAD


@pytest.mark.parametrize(
    ("imported", "told"),
    [
        (False, {"imported": False, "imported_from": "none"}),
        (True, {"imported": True}),
        (None, {}),
    ],
)
def test_note_says_whether_it_was_imported(imported: bool | None, told: dict[str, Any]) -> None:
    note = _note("Note/1", imported=imported)
    found = shapes.discussions(_request(discussions=_connection(_thread(note))), 12)
    assert found.rows[0]["notes"] == [_note_by_rest(1, None, **told)]


@pytest.mark.parametrize(
    ("shape", "item"),
    [
        (shapes.discussions, _request(discussions=None)),
        (shapes.approvals, _request(approvedBy=None)),
        (shapes.approvals, _request(approvedBy=_connection(info=MORE))),
        (shapes.approvals, _request(approvedBy=_connection(None))),
        (shapes.approvals, _request(approvedBy=_connection(ANN))),
        (REVIEWERS, _request(reviewers=None)),
        (REVIEWERS, _request(reviewers=_connection(ANN))),
        (REVIEWERS, _request(reviewers=_connection(None))),
        (REVIEWERS, _request(reviewers=_connection(info=MORE))),
        (shapes.commits, _request(commits=None)),
        (shapes.pipelines, _request(pipelines=None)),
        (LINKS, {"widgets": None}),
        (LINKS, {"widgets": []}),
        (LINKS, {"widgets": [{}, None]}),
        (LINKS, {"widgets": [{"linkedItems": None}]}),
        (LINKS, {"widgets": [{"linkedItems": _connection({"linkId": "x"})}]}),
        (LINKS, {"widgets": [{"linkedItems": _connection(info=MORE)}]}),
    ],
)
def test_null_is_never_empty(shape: Any, item: dict[str, Any]) -> None:
    assert shape(item, 12) == UNREAD


def test_item_without_any_has_nothing_to_be_read() -> None:
    assert REVIEWERS(_request(reviewers=_connection()), 12) == Found([])
    assert LINKS({"widgets": [{}, None, {"linkedItems": _connection()}]}, 12) == Found([])


def test_nobody_approved_is_a_record_of_the_shape_of_the_edition() -> None:
    item = _request(approvedBy=_connection())
    nobody = {"user_has_approved": False, "approved": False, "approved_by": []}
    assert shapes.approvals(item, 12) == Found([nobody])
    item |= {"title": "T", "state": "opened", "createdAt": WHEN, "updatedAt": LATER}
    # No rule asks for any.
    item |= {"approvalsRequired": 0, "approvalsLeft": 0, "approved": True}
    told = {"id": 70, "iid": 7, "project_id": 12, "title": "T", "state": "opened"}
    told |= {"created_at": WHEN, "updated_at": LATER}
    told |= {"approvals_required": 0, "approvals_left": 0, "approved": True}
    assert shapes.approvals(item, 12) == Found([nobody | told])


def test_commits_are_told_as_rest_tells_them() -> None:
    node = {"sha": "abcd", "shortId": "ab", "title": "T", "message": "T\n"}
    node |= {"authorName": "Ann", "authorEmail": "a@b.test", "authoredDate": WHEN, "webUrl": "w"}
    node |= {"committerName": "Bo", "committerEmail": "b@b.test", "committedDate": LATER}
    told = {"id": "abcd", "short_id": "ab", "title": "T", "message": "T\n", "author_name": "Ann"}
    told |= {"author_email": "a@b.test", "authored_date": WHEN, "web_url": "w"}
    told |= {"committer_name": "Bo", "committer_email": "b@b.test"}
    told |= {"committed_date": LATER, "created_at": LATER}
    assert shapes.commits(_request(commits=_connection(node, info=MORE)), 12) == Found(
        [told], after="x"
    )


def test_pipelines_have_the_address_and_the_project_that_they_run_in() -> None:
    own = {"id": "gid://gitlab/Ci::Pipeline/5", "iid": "2", "sha": "s", "ref": "r"}
    own |= {"status": "WAITING_FOR_RESOURCE", "createdAt": WHEN, "updatedAt": LATER}
    own |= {"path": "/sub/a/b/-/pipelines/5", "source": "push"}
    forked = own | {"path": "/sub/ann/b/-/pipelines/5"}
    item = _request(
        webUrl="https://gitlab.test/sub/a/b/-/merge_requests/7",
        sourceProjectId=99,
        pipelines=_connection(own, forked),
    )
    told = {"id": 5, "iid": 2, "project_id": 12, "sha": "s", "ref": "r", "source": "push"}
    told |= {"status": "waiting_for_resource", "created_at": WHEN, "updated_at": LATER}
    told |= {"web_url": "https://gitlab.test/sub/a/b/-/pipelines/5"}
    elsewhere: dict[str, Any] = {"project_id": 99}
    elsewhere |= {"web_url": "https://gitlab.test/sub/ann/b/-/pipelines/5"}
    assert shapes.pipelines(item, 12) == Found([told, told | elsewhere])


def test_uploaded_avatar_gets_the_address_that_rest_gives_it() -> None:
    told = shapes.user(ANN | {"avatarUrl": "/sub/uploads/4.png"})
    assert told == ANN_BY_REST | {"avatar_url": "https://gitlab.test/sub/uploads/4.png"}
    elsewhere = "https://gravatar.test/4"
    assert shapes.user(ANN | {"avatarUrl": elsewhere}) == ANN_BY_REST | {"avatar_url": elsewhere}


def test_time_log_names_its_item_by_numbers() -> None:
    node = {"id": "gid://gitlab/Timelog/8", "timeSpent": 60, "spentAt": WHEN, "summary": None}
    node |= {"user": ANN, "project": {"id": "gid://gitlab/Project/12"}, "mergeRequest": None}
    node |= {"issue": {"id": "gid://gitlab/Issue/70", "iid": "7"}, "note": None}
    assert shapes.timelogs(node, 12).rows == [
        {
            "id": 8,
            "project_id": 12,
            "user": ANN_BY_REST,
            "time_spent": 60,
            "spent_at": WHEN,
            "summary": None,
            "issue": {"id": 70, "iid": 7},
            "merge_request": None,
            "note_id": None,
        }
    ]


@pytest.mark.parametrize("info", [{"endCursor": None, "hasNextPage": True}, {}, {"hasNextPage": 3}])
def test_list_never_ends_for_lack_of_a_cursor(info: dict[str, Any]) -> None:
    with pytest.raises((TypeError, KeyError)):
        shapes.commits(_request(commits=_connection(info=info)), 12)
