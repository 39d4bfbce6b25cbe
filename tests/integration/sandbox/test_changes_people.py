"""Changes of people, and comments on commits."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from labtrawl.sandbox import Add, Edit, Remove, Truth, Unfit, World, running, truth
from labtrawl.sandbox.model import Commit, Project
from tests.integration.sandbox.caller import Caller

FRESH = {"username": "another.name", "name": "Another Name"}


def shown(found: Truth) -> set[tuple[int, str]]:
    """Id and username of everybody who stands in a record."""
    seen: set[tuple[int, str]] = set()

    def gather(value: object) -> None:
        if isinstance(value, dict):
            if {"id", "username", "name"} <= value.keys():
                seen.add((value["id"], value["username"]))
            for inner in value.values():
                gather(inner)
        elif isinstance(value, list):
            for inner in value:
                gather(inner)

    for *_, body in found.items():
        gather(body)
    return seen


def dated(found: Truth) -> list[object]:
    return [body.get("updated_at") for *_, body in found.items()]


async def test_renamed_user_has_the_new_name_everywhere_and_no_date_moves(world: World) -> None:
    me = world.accounts[0]
    async with running(world) as server, Caller(server.url, me.token) as caller:
        before = server.truth()
        (row,) = server.change(Edit(what="user", key=me.username, fields=FRESH))
        after = server.truth()
        assert after == truth(server.world, external_url=server.url)
        told = (await caller.get("user")).json
    assert row == {"kind": "edit", "what": "user", "key": me.user_id}
    assert (told["id"], told["username"], told["name"]) == (me.user_id, *FRESH.values())
    assert shown(after) == (shown(before) - {(me.user_id, me.username)}) | {
        (me.user_id, FRESH["username"])
    }
    assert dated(after) == dated(before)


async def test_project_of_a_renamed_user_moves_along(world: World) -> None:
    own = next(project for project in world.projects if project.owner is not None)
    me = world.accounts[0]
    assert own.owner is not None
    async with running(world) as server, Caller(server.url, me.token) as caller:
        server.change(Edit(what="user", key=own.owner.username, fields=FRESH))
        fresh = f"{FRESH['username']}/{own.path}"
        found = await caller.get(f"projects/{quote(fresh, safe='')}")
        old = await caller.get(f"projects/{quote(own.full_path, safe='')}")
    assert (found.json["id"], found.json["namespace"]["path"]) == (own.id, FRESH["username"])
    assert (old.status, old.headers["location"].endswith(f"/projects/{own.id}")) == (301, True)


async def test_name_in_use_and_nobody_are_unfit(world: World) -> None:
    one, other = world.users[:2]
    async with running(world) as server:
        with pytest.raises(Unfit, match=f"there is a user {other.username} already"):
            server.change(Edit(what="user", key=one.username, fields={"username": other.username}))
        with pytest.raises(Unfit, match="no user nobody in this world"):
            server.change(Edit(what="user", key="nobody", fields=FRESH))
        assert server.world == world


def noted(world: World) -> tuple[Project, Commit]:
    return next(
        (project, commit)
        for project in world.projects
        if project.full_path.startswith("fjordlab/")
        for commit in project.commits
        if commit.notes
    )


async def test_comments_of_a_commit_are_made_changed_and_deleted(world: World) -> None:
    project, commit = noted(world)
    place: dict[str, Any] = {"project": project.id, "on": "commit", "iid": commit.sha}
    path = f"projects/{project.id}/repository/commits/{commit.sha}/discussions"
    async with (
        running(world) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        (made,) = server.change(Add(what="note", fields={"body": "new"}, **place))
        first: Any = made["key"]
        server.change(
            Edit(what="note", key=commit.notes[0].id, fields={"body": "changed"}, **place),
            Edit(what="note", key=first, fields={"body": "newer"}, **place),
        )
        bodies = {note["id"]: note["body"] for row in await rows(caller, path) for note in row}
        server.change(Remove(what="note", key=first, **place))
        left = {note["id"] for row in await rows(caller, path) for note in row}
        with pytest.raises(Unfit, match="no award hangs on a commit"):
            server.change(Add(what="award", **place))
        assert server.truth(commit_discussions=True) == truth(
            server.world, external_url=server.url, commit_discussions=True
        )
    assert bodies == {note.id: note.body for note in commit.notes} | {
        commit.notes[0].id: "changed",
        first: "newer",
    }
    assert left == {note.id for note in commit.notes}


async def rows(caller: Caller, path: str) -> list[Any]:
    found = await caller.rows(f"{path}?per_page=100")
    assert isinstance(found, list), json.dumps(found)
    return [row["notes"] for row in found]
