"""Changes in the middle of a paged list, and churn: the same ones every time."""

import json
from typing import Any

from labtrawl.sandbox import (
    Add,
    Churn,
    Options,
    Planned,
    Remove,
    World,
    build_world,
    running,
    truth,
)
from labtrawl.sandbox.model import Project
from tests.integration.sandbox.caller import Caller

ASCENDING = "per_page=5&order_by=created_at&sort=asc"


def busiest(world: World) -> Project:
    return max(
        (p for p in world.projects if p.full_path.startswith("fjordlab/")),
        key=lambda p: len(p.issues),
    )


def named(world: World, number: int) -> Project:
    return next(project for project in world.projects if project.id == number)


def by_age(project: Project) -> list[int]:
    return [i.iid for i in sorted(project.issues, key=lambda i: (i.created_at, i.id))]


async def iids(world: World, plan: Planned, query: str) -> tuple[list[int], list[int]]:
    """What a reader of the paged list collects while the plan strikes, and what is there after."""
    project = busiest(world)
    options = Options(script=(plan,))
    async with (
        running(world, options) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        rows: Any = await caller.rows(f"projects/{project.id}/issues?{query}")
        assert server.truth() == truth(server.world, external_url=server.url)
        return [row["iid"] for row in rows], by_age(named(server.world, project.id))


async def test_deletion_between_numbered_pages_hides_the_next_row(world: World) -> None:
    project = busiest(world)
    order = by_age(project)
    gone = Remove(what="issue", project=project.id, key=order[0])
    plan = Planned(changes=(gone,), matching=f"projects/{project.id}/issues")
    seen, after = await iids(world, plan, ASCENDING)
    assert seen == order[:5] + order[6:]
    assert after == order[1:]


async def test_deletion_between_keyset_pages_hides_nothing(world: World) -> None:
    project = busiest(world)
    order = [issue.iid for issue in project.issues]
    # The cursor's own row goes, too.
    gone = tuple(Remove(what="issue", project=project.id, key=iid) for iid in (order[0], order[4]))
    plan = Planned(changes=gone, matching="issues")
    query = "pagination=keyset&order_by=id&sort=asc&per_page=5"
    seen, after = await iids(world, plan, query)
    assert seen == order
    assert set(after) == set(order) - {order[0], order[4]}


async def test_addition_between_pages_repeats_a_row(world: World) -> None:
    project = busiest(world)
    order = by_age(project)[::-1]
    plan = Planned(
        changes=(Add(what="issue", project=project.id),), matching="page=2", after_requests=1
    )
    seen, after = await iids(world, plan, "per_page=5")
    assert seen == [*order[:10], *order[9:]]
    assert after[-1] == max(order) + 1


async def test_plan_can_be_given_and_taken_back_later(world: World) -> None:
    project = busiest(world)
    plan = Planned(
        changes=(Remove(what="issue", project=project.id, key=1),),
        matching="/user$",
        after_requests=2,
    )
    async with (
        running(world) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        one = f"projects/{project.id}/issues/1"
        script = json.dumps([plan_body(plan)]).encode()
        await caller.call("POST", "/-/sandbox/script", script)
        struck = [(await caller.get(path)).status for path in ("user", one, "user", one)]
        await caller.call("POST", "/-/sandbox/script", script)
        await caller.call("DELETE", "/-/sandbox/script")
        spared = [(await caller.get(path)).status for path in ("user", "user", "version")]
        wrong = await caller.call(
            "POST", "/-/sandbox/script", b'[{"matching": "(", "changes": []}]'
        )
    assert (struck, spared) == ([200, 200, 200, 404], [200, 200, 200])
    assert (wrong.status, "regular expression" in wrong.json["error"]) == (400, True)


def plan_body(plan: Planned) -> dict[str, Any]:
    (gone,) = plan.changes
    assert isinstance(gone, Remove)
    return {
        "changes": [{"kind": "remove", "what": "issue", "project": gone.project, "key": gone.key}],
        "matching": plan.matching,
        "after_requests": plan.after_requests,
    }


async def churned(world: World, *steps: Churn) -> tuple[list[dict[str, object]], World]:
    async with running(world, Options(now=lambda: 1_795_262_400.0)) as server:
        done = [row for step in steps for row in server.change(step)]
        assert server.truth() == truth(server.world, external_url=server.url)
        return done, server.world


async def test_churn_changes_its_share_and_the_same_objects_for_the_same_seed(
    world: World,
) -> None:
    objects = sum(len(p.issues) + len(p.merge_requests) for p in world.projects)
    step = Churn(share=0.1, seed=3, added=0.25, removed=0.25)
    done, once = await churned(world, step)
    count = round(objects * 0.1)
    quarter = round(count * 0.25)
    assert done == [
        {"kind": "churn", "edited": count - 2 * quarter, "added": quarter, "removed": quarter}
    ]
    assert await churned(world, step) == (done, once)
    _, other = await churned(world, Churn(share=0.1, seed=4, added=0.25, removed=0.25))
    assert other != once


async def test_churn_of_notes_and_builds_step_by_step(world: World) -> None:
    steps = [
        Churn(
            share=0.2,
            seed=seed,
            kinds=("issues", "merge_requests", "notes", "pipelines", "milestones"),
        )
        for seed in range(4)
    ]
    done, _ = await churned(world, *steps)
    assert len(done) == 4
    assert all(row["added"] and row["removed"] and row["edited"] for row in done)


async def test_churn_of_a_growing_world_only_adds(world: World) -> None:
    step = Churn(share=0.5, added=1.0, removed=0.0, kinds=("issues",))
    _, grown = await churned(world, step)
    before = sum(len(p.issues) for p in world.projects)
    assert sum(len(p.issues) for p in grown.projects) == before + round(before * 0.5)


async def test_change_of_one_project_leaves_the_answers_of_others_in_place() -> None:
    world = build_world("w3@0.05")
    first, second = [p for p in world.projects if len(p.issues) > 5][:2]
    async with (
        running(world) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        path = f"projects/{second.id}/issues"
        before = await caller.get(path)
        server.change(Remove(what="issue", project=first.id, key=1))
        after = await caller.get(path, If_None_Match=before.headers["etag"])
        assert after.status == 304
        assert server.truth() == truth(server.world, external_url=server.url)
