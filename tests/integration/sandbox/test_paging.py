"""Pages, headers and refusals of lists, as GitLab's documentation words them."""

from collections.abc import AsyncIterator

import pytest

from labtrawl.sandbox import Options, World, WorldPlan, generate, running
from tests.integration.sandbox.caller import Caller

BASE = "http://gitlab.test"


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    async with (
        running(world, Options(external_url=BASE)) as server,
        Caller(server.url, world.accounts[0].token) as found,
    ):
        yield found


def busiest(world: World) -> int:
    return max(world.projects, key=lambda p: len(p.issues)).id


async def test_offset_page_has_gitlabs_headers(world: World, caller: Caller) -> None:
    number = busiest(world)
    total = len(next(p for p in world.projects if p.id == number).issues)
    answer = await caller.get(f"projects/{number}/issues?per_page=2&page=2&state=all")
    url = f"{BASE}/api/v4/projects/{number}/issues?"
    pages = (total + 1) // 2
    assert {k: v for k, v in answer.headers.items() if k.startswith("x-") and "age" in k} == {
        "x-page": "2", "x-per-page": "2", "x-next-page": "3", "x-prev-page": "1",
        "x-total-pages": str(pages),
    }  # fmt: skip
    assert answer.headers["x-total"] == str(total)
    assert answer.headers["link"] == ", ".join(
        f'<{url}page={page}&per_page=2&state=all>; rel="{rel}"'
        for rel, page in (("prev", 1), ("next", 3), ("first", 1), ("last", pages))
    )


async def test_jobs_and_commits_never_tell_totals(world: World, caller: Caller) -> None:
    project = max(world.projects, key=lambda p: len(p.jobs))
    for path in ("jobs", "repository/commits"):
        answer = await caller.get(f"projects/{project.id}/{path}?per_page=1")
        assert "x-total" not in answer.headers
        assert 'rel="last"' not in answer.headers["link"]


async def test_full_last_page_of_commits_claims_an_empty_next_one(
    world: World, caller: Caller
) -> None:
    project = next(p for p in world.projects if p.path == "handbook")
    count = len(project.commits)
    path = f"projects/{project.id}/repository/commits?all=true&per_page=1"
    last = await caller.get(f"{path}&page={count}")
    after = await caller.get(f"{path}&page={count + 1}")
    assert (last.headers["x-next-page"], after.json) == (str(count + 1), [])


@pytest.mark.parametrize("query", ["per_page=0", "per_page=-1", "page=0", "per_page=ten"])
async def test_page_below_one_gets_400(world: World, caller: Caller, query: str) -> None:
    assert (await caller.get(f"projects/{busiest(world)}/issues?{query}")).status == 400


async def test_per_page_above_100_is_100(world: World, caller: Caller) -> None:
    answer = await caller.get(f"projects/{busiest(world)}/issues?per_page=500")
    assert answer.headers["x-per-page"] == "100"


@pytest.mark.parametrize(
    "path",
    [
        "merge_requests?pagination=keyset",
        "pipelines?pagination=keyset",
        "members?pagination=keyset",
        "labels?pagination=keyset",
        "jobs?pagination=keyset&sort=asc",
    ],
)
async def test_keyset_where_there_is_none_gets_405(world: World, caller: Caller, path: str) -> None:
    project = next(p for p in world.projects if p.path == "handbook")
    answer = await caller.get(f"projects/{project.id}/{path}")
    words = "Keyset pagination is not yet available for this type of request"
    assert (answer.status, answer.json) == (405, {"error": words})


async def test_projects_keyset_ends_with_an_empty_page_without_link(caller: Caller) -> None:
    query = "membership=true&order_by=id&sort=asc&pagination=keyset&per_page=60"
    first = await caller.get(f"projects?{query}")
    assert first.next_query is not None
    last = await caller.get(f"projects?{first.next_query}")
    assert (len(first.json), last.json, "link" in last.headers) == (60, [], False)


async def test_projects_keyset_by_name_gets_405(caller: Caller) -> None:
    assert (await caller.get("projects?pagination=keyset&order_by=name")).status == 405


async def test_deep_offset_of_groups_gets_405(caller: Caller) -> None:
    answer = await caller.get("groups?page=502&per_page=100")
    assert answer.status == 405
    assert answer.json["error"].startswith(
        "Offset pagination has a maximum allowed offset of 50000"
    )


@pytest.mark.parametrize("order_by", ["id", "title", "created_at", "updated_at", "due_date"])
@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_issue_keyset_gives_each_issue_once_in_order(
    world: World, caller: Caller, order_by: str, sort: str
) -> None:
    path = f"projects/{busiest(world)}/issues?order_by={order_by}&sort={sort}&per_page=7"
    by_keyset = await caller.rows(f"{path}&pagination=keyset")
    by_offset = await caller.rows(path)
    assert by_keyset == by_offset


async def test_issues_updated_after_is_inclusive(world: World, caller: Caller) -> None:
    number = busiest(world)
    issues = next(p for p in world.projects if p.id == number).issues
    bound = sorted(issue.updated_at for issue in issues)[len(issues) // 2]
    rows = await caller.rows(f"projects/{number}/issues?updated_after={bound}&per_page=100")
    assert isinstance(rows, list)
    assert {row["id"] for row in rows} == {i.id for i in issues if i.updated_at >= bound}


async def test_projects_updated_after_needs_its_order(caller: Caller) -> None:
    assert (await caller.get("projects?updated_after=2026-01-01")).status == 400


async def test_link_host_replaces_the_host_in_links_alone(world: World) -> None:
    options = Options(external_url=BASE, link_host="https://elsewhere.example")
    async with (
        running(world, options) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        answer = await caller.get("groups?per_page=1")
    assert answer.headers["link"].startswith("<https://elsewhere.example/api/v4/groups?")
    assert answer.json[0]["web_url"].startswith(BASE)


async def test_sub_path_of_external_url_is_served(world: World) -> None:
    async with (
        running(world, Options(external_url="http://gitlab.test/git")) as server,
        Caller(f"{server.url}/git", world.accounts[0].token) as caller,
    ):
        answer = await caller.get("groups?per_page=1")
    assert answer.headers["link"].startswith("<http://gitlab.test/git/api/v4/groups?")


async def test_known_etag_gets_304(caller: Caller) -> None:
    first = await caller.get("user")
    again = await caller.get("user", If_None_Match=first.headers["etag"])
    assert (first.headers["etag"][:3], again.status, again.body) == ('W/"', 304, b"")


async def test_issue_keyset_before_18_3_gets_405(world: World) -> None:
    async with (
        running(world, Options(version="18.2.4-ee")) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        answer = await caller.get(f"projects/{busiest(world)}/issues?pagination=keyset&order_by=id")
        version = await caller.get("version")
    assert (answer.status, version.json["version"]) == (405, "18.2.4-ee")


async def test_list_above_10000_rows_tells_no_totals_and_no_last_page() -> None:
    plan = WorldPlan(
        groups=1, projects=1, users=3, issues=10_001, merge_requests=0, notes=0, commits=2,
        pipelines=0, ci_jobs=0, events=0, milestones=0, releases=0, branches=1, accounts=1,
        specials=False, months=2,
    )  # fmt: skip
    world = generate(plan)
    async with (
        running(world) as server,
        Caller(server.url, world.accounts[0].token) as caller,
    ):
        answer = await caller.get(f"projects/{world.projects[0].id}/issues?per_page=100")
    assert {"x-total", "x-total-pages"} & set(answer.headers) == set()
    assert answer.headers["x-next-page"] == "2"
    assert 'rel="last"' not in answer.headers["link"]
