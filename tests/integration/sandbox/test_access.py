"""Who is refused what, in GitLab's words."""

from typing import Any

import pytest

from labtrawl.sandbox import World, running
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Caller


def project(world: World, path: str) -> Project:
    return next(found for found in world.projects if found.path == path)


async def asked(world: World, token: str, path: str) -> tuple[int, Any]:
    async with running(world) as server, Caller(server.url, token) as caller:
        answer = await caller.get(path)
        return answer.status, answer.json


async def test_user_without_token_gets_401(world: World) -> None:
    assert await asked(world, "", "user") == (401, {"message": "401 Unauthorized"})


async def test_user_with_unknown_token_gets_401(world: World) -> None:
    assert await asked(world, "glpat-x", "user") == (401, {"message": "401 Unauthorized"})


async def test_expired_token_gets_invalid_token(world: World) -> None:
    status, body = await asked(world, world.spoilt_tokens[0].token, "user")
    assert (status, body["error"], body["error_description"][:16]) == (
        401,
        "invalid_token",
        "Token is expired",
    )


async def test_revoked_token_gets_invalid_token(world: World) -> None:
    status, body = await asked(world, world.spoilt_tokens[1].token, "groups")
    assert (status, body["error_description"][:17]) == (401, "Token was revoked")


async def test_read_user_token_reads_user_but_no_groups(world: World) -> None:
    token = world.spoilt_tokens[2].token
    assert (await asked(world, token, "user"))[0] == 200
    status, body = await asked(world, token, "groups")
    assert (status, body["error"], body["scope"]) == (403, "insufficient_scope", "api read_api")


async def test_bearer_header_is_a_token(world: World) -> None:
    account = world.accounts[0]
    async with running(world) as server, Caller(server.url) as caller:
        answer = await caller.get("user", Authorization=f"Bearer {account.token}")
    assert answer.json["username"] == account.username


async def test_hidden_private_project_gets_404(world: World) -> None:
    hidden = project(world, "tariffs")
    answer = await asked(world, world.accounts[0].token, f"projects/{hidden.id}")
    assert answer == (404, {"message": "404 Project Not Found"})


async def test_public_project_outside_scope_is_readable_but_no_membership(world: World) -> None:
    public = project(world, "map-tiles")
    token = world.accounts[0].token
    assert (await asked(world, token, f"projects/{public.id}"))[0] == 200
    _, members = await asked(world, token, "projects?membership=true&per_page=100")
    _, everything = await asked(world, token, "projects?per_page=100")
    assert public.id not in {row["id"] for row in members}
    assert public.id in {row["id"] for row in everything}


async def test_forbidden_group_is_listed_and_answers_403(world: World) -> None:
    group = next(found for found in world.groups if found.forbidden)
    token = world.accounts[0].token
    _, groups = await asked(world, token, "groups?min_access_level=10&per_page=100")
    assert group.id in {row["id"] for row in groups}
    for below in ("", "/members", "/labels", "/milestones", "/projects"):
        answer = await asked(world, token, f"groups/{group.id}{below}")
        assert answer == (403, {"message": "403 Forbidden"})


@pytest.mark.parametrize(
    ("path", "resource", "expected"),
    [
        ("boat-log", "merge_requests", (403, {"message": "403 Forbidden"})),
        ("boat-log", "pipelines", (403, {"message": "403 Forbidden"})),
        ("boat-log", "jobs", (403, {"message": "403 Forbidden"})),
        ("backup-jobs", "issues", (200, [])),
        ("mooring-design", "repository/commits", (404, {"message": "404 Repository Not Found"})),
        ("mooring-design", "repository/branches", (404, {"message": "404 Repository Not Found"})),
        ("mooring-design", "repository/tags", (403, {"message": "403 Forbidden"})),
        ("incident-feed", "issues", (403, {"message": "403 Forbidden"})),
        ("flood-committee", "merge_requests", (403, {"message": "403 Forbidden"})),
    ],
)
async def test_special_project_refuses_as_gitlab(
    world: World, path: str, resource: str, expected: tuple[int, Any]
) -> None:
    found = project(world, path)
    assert (
        await asked(world, world.accounts[0].token, f"projects/{found.id}/{resource}") == expected
    )


async def test_renamed_project_answers_301_to_its_number(world: World) -> None:
    renamed = project(world, "swash")
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as caller:
        old = await caller.get("projects/fjordlab%2Fmodels%2Fshoreline/issues?page=2")
        now = await caller.get("projects/fjordlab%2Fmodels%2Fswash")
    assert (old.status, now.json["id"]) == (301, renamed.id)
    assert old.headers["location"] == f"{server.url}/api/v4/projects/{renamed.id}/issues?page=2"


async def test_word_as_number_gets_400(world: World) -> None:
    status, _ = await asked(world, world.accounts[0].token, "users/me")
    assert status == 400


async def test_guest_sees_no_confidential_issue_and_no_internal_note(world: World) -> None:
    guest = world.accounts[2]
    secret = next(
        (p, i) for p in world.projects for i in p.issues
        if i.confidential and p.full_path.startswith("fjordlab/") and i.author.id != guest.user_id
        and guest.user_id not in {u.id for u in i.assignees}
        and guest.user_id not in {m.user.id for m in p.members}
        and not any(m.user.id == guest.user_id for g in world.groups for m in g.members
                    if g.id == p.namespace_id and "/" in g.full_path)
    )  # fmt: skip
    path = f"projects/{secret[0].id}/issues/{secret[1].iid}"
    assert (await asked(world, guest.token, path))[0] == 404
    assert (await asked(world, world.accounts[0].token, path))[0] == 200


async def test_notes_of_public_project_without_token_get_401(world: World) -> None:
    public = project(world, "map-tiles")
    assert (await asked(world, "", f"projects/{public.id}/issues/1"))[0] == 200
    assert (await asked(world, "", f"projects/{public.id}/issues/1/notes"))[0] == 401
