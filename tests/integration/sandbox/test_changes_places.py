"""Changes of projects and groups: paths, members, settings, the end; and who sees what then."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from labtrawl.sandbox import Add, Edit, Grant, Move, Remove, Server, Unfit, World, running, truth
from labtrawl.sandbox.model import Group, Project
from tests.integration.sandbox.caller import Caller


class Town:
    """A served world, its main account's caller, a group of it and a project in that group."""

    def __init__(self, server: Server, caller: Caller, world: World) -> None:
        self.server, self.caller, self.world = server, caller, world
        me = world.accounts[0].user_id
        # A top-level group of private projects, in each of which the account is through the group.
        self.group: Group = next(g for g in world.groups if g.full_path == "fjordlab")
        inside = {g.id for g in world.groups if g.full_path.startswith("fjordlab/")}
        self.project: Project = next(
            p
            for p in world.projects
            if p.namespace_id in inside
            and p.visibility == "private"
            and len(p.issues) > 1
            and not p.archived
            and p.feature("issues") == "enabled"
            and me not in {m.user.id for m in p.members}
        )

    @property
    def username(self) -> str:
        return self.world.accounts[0].username

    async def status(self, path: str) -> int:
        return (await self.caller.get(path)).status


@pytest.fixture
async def town(world: World) -> AsyncIterator[Town]:
    async with running(world) as server, Caller(server.url, world.accounts[0].token) as caller:
        yield Town(server, caller, world)
        assert server.truth() == truth(server.world, external_url=server.url)


async def test_renamed_project_answers_at_its_old_path_with_301(town: Town) -> None:
    old, number = town.project.full_path, town.project.id
    before = await town.caller.rows(f"projects/{number}/issues")
    town.server.change(Move(what="project", key=number, path="another-name"))
    moved = await town.caller.get(f"projects/{quote(old, safe='')}/issues?per_page=5")
    assert moved.status == 301
    location = f"{town.server.url}/api/v4/projects/{number}/issues?per_page=5"
    assert moved.headers["location"] == location
    fresh = f"{old.rpartition('/')[0]}/another-name"
    found = await town.caller.get(f"projects/{quote(fresh, safe='')}")
    assert (found.status, found.json["path_with_namespace"]) == (200, fresh)
    after = await town.caller.rows(f"projects/{number}/issues")
    assert [row["web_url"] for row in after] == [  # type: ignore[union-attr]
        row["web_url"].replace(old, fresh)
        for row in before  # type: ignore[union-attr]
    ]


async def test_transferred_project_lies_in_the_other_group(town: Town) -> None:
    number = town.project.id
    town.server.change(Move(what="project", key=number, to=town.group.id))
    inside = await town.caller.rows(f"groups/{town.group.id}/projects?per_page=100")
    assert number in [row["id"] for row in inside]  # type: ignore[union-attr]
    old = await town.caller.get(f"projects/{quote(town.project.full_path, safe='')}")
    assert old.status == 301


async def test_renamed_group_takes_its_projects_along(town: Town) -> None:
    town.server.change(Move(what="group", key=town.group.id, path="fjord-lab", name="Fjord Lab"))
    fresh = town.project.full_path.replace("fjordlab/", "fjord-lab/", 1)
    found = await town.caller.get(f"projects/{town.project.id}")
    assert found.json["path_with_namespace"] == fresh
    assert await town.status(f"projects/{quote(town.project.full_path, safe='')}") == 301
    assert await town.status("groups/fjordlab") == 404
    assert (await town.caller.get("groups/fjord-lab")).json["full_name"] == "Fjord Lab"


async def test_transferred_group_gives_its_projects_other_paths(town: Town) -> None:
    (target,) = [g for g in town.world.groups if g.full_path == "city-council"]
    home = next(g for g in town.world.groups if g.id == town.project.namespace_id)
    town.server.change(Move(what="group", key=home.id, to=target.id))
    paths = {p.id: p.full_path for p in town.server.world.projects}
    assert paths[town.project.id] == f"city-council/{home.path}/{town.project.path}"
    groups = {g.id: (g.full_path, g.parent_id) for g in town.server.world.groups}
    assert groups[home.id] == (f"city-council/{home.path}", target.id)


async def test_path_in_use_and_a_circle_are_unfit(town: Town) -> None:
    other = next(
        p
        for p in town.world.projects
        if p.namespace_id == town.project.namespace_id and p is not town.project
    )
    with pytest.raises(Unfit, match=r"there is a project .* already"):
        town.server.change(Move(what="project", key=town.project.id, path=other.path))
    with pytest.raises(Unfit, match="lies in group"):
        town.server.change(Move(what="group", key=town.group.id, to=town.project.namespace_id))
    assert town.server.world == town.world


async def test_member_taken_out_loses_all_that_is_private(town: Town) -> None:
    number = town.project.id
    assert await town.status(f"projects/{number}/issues") == 200
    grants = [
        Grant(what="group", key=g.id, user=town.username, level=0)
        for g in town.world.groups
        if g.full_path.startswith("fjordlab")
        and town.world.accounts[0].user_id in {m.user.id for m in g.members}
    ]
    town.server.change(*grants)
    assert await town.status(f"projects/{number}/issues") == 404
    scope = await town.caller.rows("projects?membership=true&per_page=100")
    assert number not in [row["id"] for row in scope]  # type: ignore[union-attr]
    town.server.change(Grant(what="project", key=number, user=town.username, level=30))
    assert await town.status(f"projects/{number}/issues") == 200


async def test_lowered_role_hides_code_and_a_raised_one_shows_it(town: Town) -> None:
    number = town.project.id
    out = [
        Grant(what="group", key=g.id, user=town.username, level=0)
        for g in town.world.groups
        if town.world.accounts[0].user_id in {m.user.id for m in g.members}
    ]
    seen = []
    for level in (10, 20):
        grant = Grant(what="project", key=number, user=town.username, level=level)
        town.server.change(*out, grant)
        out = []
        seen.append(await town.status(f"projects/{number}/merge_requests"))
    assert seen == [403, 200]


@pytest.mark.parametrize(
    ("feature", "path", "status"),
    [("issues", "issues", 200), ("merge_requests", "merge_requests", 403), ("builds", "jobs", 403)],
)
async def test_feature_switched_off_and_on(
    town: Town, feature: str, path: str, status: int
) -> None:
    number = town.project.id
    before = await town.caller.rows(f"projects/{number}/{path}")
    answers = []
    for level in ("disabled", "enabled"):
        fields = {"features": {feature: level}}
        town.server.change(Edit(what="project", project=number, fields=fields))
        answer = await town.caller.get(f"projects/{number}/{path}")
        answers.append((answer.status, answer.json == []))
    assert answers == [(status, status == 200), (200, before == [])]


async def test_private_and_archived_projects(town: Town) -> None:
    number = town.project.id
    async with Caller(town.server.url) as stranger:
        seen = []
        for visibility in ("public", "private"):
            fields = {"visibility": visibility}
            town.server.change(Edit(what="project", project=number, fields=fields))
            seen.append((await stranger.get(f"projects/{number}")).status)
    town.server.change(Edit(what="project", project=number, fields={"archived": True}))
    live = await town.caller.rows("projects?membership=true&archived=false&per_page=100")
    found = await town.caller.get(f"projects/{number}")
    assert (seen, found.json["archived"]) == ([200, 404], True)
    assert number not in [row["id"] for row in live]  # type: ignore[union-attr]


async def test_deleted_project_and_group_answer_404(town: Town) -> None:
    number, home = town.project.id, town.project.namespace_id
    total = int((await town.caller.get("projects")).headers["x-total"])
    town.server.change(Remove(what="project", project=number))
    assert await town.status(f"projects/{number}/issues") == 404
    assert int((await town.caller.get("projects")).headers["x-total"]) == total - 1
    town.server.change(Remove(what="group", group=home))
    assert await town.status(f"groups/{home}") == 404
    assert not [p for p in town.server.world.projects if p.namespace_id == home]


async def test_added_project_is_found_and_can_be_filled(town: Town) -> None:
    (made,) = town.server.change(Add(what="project", group=town.group.id, fields={"path": "tide"}))
    number = made["key"]
    assert isinstance(number, int)
    town.server.change(Add(what="issue", project=number))
    inside = await town.caller.rows(f"groups/{town.group.id}/projects?per_page=100")
    assert number in [row["id"] for row in inside]  # type: ignore[union-attr]
    rows = await town.caller.rows("projects/fjordlab%2Ftide/issues")
    assert [row["iid"] for row in rows] == [1]  # type: ignore[union-attr]
