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


@pytest.mark.parametrize(
    ("shape", "item"),
    [
        (shapes.discussions, _request(discussions=None)),
        (shapes.approvals, _request(approved=True, approvedBy=None)),
        (shapes.approvals, _request(approved=True, approvedBy=_connection(info=MORE))),
        (shapes.reviewers, _request(reviewers=None)),
        (shapes.commits, _request(commits=None)),
        (shapes.pipelines, _request(pipelines=None)),
        (shapes.emoji_of_request, _request(awardEmoji=None)),
        (shapes.emoji_of_request, _request(awardEmoji=_connection({"name": "tada"}))),
        (shapes.emoji_of_request, _request(awardEmoji=_connection(None))),
        (shapes.emoji_of_issue, {"widgets": None}),
        (shapes.emoji_of_issue, {"widgets": [{"awardEmoji": None}]}),
    ],
)
def test_null_is_never_empty(shape: Any, item: dict[str, Any]) -> None:
    assert shape(item, 12) == UNREAD


def test_item_without_emoji_has_nothing_to_be_read() -> None:
    assert shapes.emoji_of_request(_request(awardEmoji=_connection()), 12) == Found([])
    assert shapes.emoji_of_issue({"widgets": [{}, {"awardEmoji": _connection()}]}, 12) == Found([])
    assert shapes.emoji_of_issue({"widgets": []}, 12) == Found([])


def test_approvals_have_the_shape_of_the_edition() -> None:
    item = _request(approved=True, approvedBy=_connection(ANN))
    people = {"approved": True, "approved_by": [{"user": ANN_BY_REST}]}
    assert shapes.approvals(item, 12) == Found([people])
    item |= {"title": "T", "state": "opened", "createdAt": WHEN, "updatedAt": LATER}
    item |= {"approvalsRequired": 2, "approvalsLeft": 1}
    told = {"id": 70, "iid": 7, "project_id": 12, "title": "T", "state": "opened"}
    told |= {"created_at": WHEN, "updated_at": LATER}
    told |= {"approvals_required": 2, "approvals_left": 1}
    assert shapes.approvals(item, 12) == Found([told | people])


def test_reviewers_have_the_state_of_their_review() -> None:
    reviewed = {**ANN, "mergeRequestInteraction": {"reviewState": "REQUESTED_CHANGES"}}
    unknown = {**ANN, "mergeRequestInteraction": None}
    found = shapes.reviewers(_request(reviewers=_connection(reviewed, unknown)), 12)
    assert found.rows == [
        {"user": ANN_BY_REST, "state": "requested_changes"},
        {"user": ANN_BY_REST},
    ]


def test_commits_are_told_as_far_as_the_schema_knows_them() -> None:
    node = {"sha": "abcd", "shortId": "ab", "title": "T", "message": "T\n"}
    node |= {"authorName": "Ann", "authorEmail": "a@b.test", "authoredDate": WHEN, "webUrl": "w"}
    told = {"id": "abcd", "short_id": "ab", "title": "T", "message": "T\n", "author_name": "Ann"}
    told |= {"author_email": "a@b.test", "authored_date": WHEN, "web_url": "w"}
    newer = {"committerName": "Bo", "committerEmail": "b@b.test", "committedDate": LATER}
    both = _connection(node, node | newer, info=MORE)
    committer = {"committer_name": "Bo", "committer_email": "b@b.test"}
    dates = {"committed_date": LATER, "created_at": LATER}
    assert shapes.commits(_request(commits=both), 12) == Found(
        [told, told | committer | dates], after="x"
    )


def test_pipelines_have_the_address_and_the_project_that_they_run_in() -> None:
    own = {"id": "gid://gitlab/Ci::Pipeline/5", "iid": "2", "sha": "s", "ref": "r"}
    own |= {"status": "WAITING_FOR_RESOURCE", "createdAt": WHEN, "updatedAt": LATER}
    own |= {"path": "/sub/a/b/-/pipelines/5"}
    forked = own | {"path": "/sub/ann/b/-/pipelines/5", "source": "push"}
    item = _request(
        webUrl="https://gitlab.test/sub/a/b/-/merge_requests/7",
        sourceProjectId=99,
        pipelines=_connection(own, forked),
    )
    told = {"id": 5, "iid": 2, "project_id": 12, "sha": "s", "ref": "r"}
    told |= {"status": "waiting_for_resource", "created_at": WHEN, "updated_at": LATER}
    told |= {"web_url": "https://gitlab.test/sub/a/b/-/pipelines/5"}
    elsewhere = {"project_id": 99, "source": "push"}
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
