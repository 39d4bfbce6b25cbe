"""Discovery: scope, roles, features, old paths, and going on from every cursor."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from labtrawl.crawler.cursor import decode_cursor
from labtrawl.crawler.discovery import Scope
from labtrawl.errors import UnexpectedReply
from labtrawl.http import Answer
from labtrawl.protocol.messages import KnownArea, Record
from tests.unit.crawler.discovering import (
    API,
    GROUPS,
    PROJECTS,
    Site,
    Told,
    discover,
    group,
    project,
    site_of,
)


async def test_groups_and_projects_of_the_account_are_found_with_their_jobs() -> None:
    site = site_of([group(1, "lab")], [project(7, "lab/ocean")])
    told = await discover(site)
    assert told.paths() == ["lab", "lab/ocean"]
    assert [area.parent_path for area in told.areas()] == ["", "lab"]
    assert len(told.jobs()) == 7 + 35
    last = told.progress()[-1]
    assert (last.status, decode_cursor(last.cursor).ended) == ("completed", True)
    assert site.asked == [GROUPS, PROJECTS]


async def test_excluded_areas_are_neither_told_nor_given_jobs() -> None:
    site = site_of([group(1, "lab"), group(2, "lab/x")], [project(7, "lab/x/a"), project(8, "b")])
    told = await discover(site, Scope(exclude=("lab/x*",)))
    assert told.paths() == ["lab", "b"]
    assert {path for path, _ in told.jobs()} == {"lab", "b"}


async def test_included_group_is_read_with_all_below_it() -> None:
    site = site_of([], [])
    inside = "order_by=id&sort=asc&per_page=100"
    below = f"groups/5/projects?include_subgroups=true&with_shared=false&{inside}"
    site.put("groups/open%2Flab?with_projects=false", group(5, "open/lab"))
    site.put("groups/5?with_projects=false", group(5, "open/lab"))
    site.put(f"groups/5/descendant_groups?{inside}", [group(6, "open/lab/sub")])
    site.put(below, [project(9, "open/lab/sub/p")])
    told = await discover(site, Scope(include=("open/lab",)))
    assert told.paths() == ["open/lab", "open/lab/sub", "open/lab/sub/p"]


async def test_included_project_is_found_under_its_old_path_by_its_number() -> None:
    site = site_of([], [])
    site.put("projects/old%2Fp", {}, 301, location="https://elsewhere/api/v4/projects/9")
    site.put("projects/9", project(9, "new/p"))
    told = await discover(site, Scope(include=("old/p",)))
    assert told.paths() == ["new/p"]
    assert site.asked[-1] == "projects/9"


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (301, {"location": "https://elsewhere/sign_in"}, "failed"),
        (404, {}, "not_found"),
        (401, {}, "credential"),
    ],
)
async def test_included_place_that_cannot_be_found_fails_the_discovery(
    status: int, headers: dict[str, str], reason: str
) -> None:
    site = site_of([], [])
    site.put("projects/no%2Fp", {"message": "no"}, status, **headers)
    last = (await discover(site, Scope(include=("no/p",)))).progress()[-1]
    assert (last.status, last.reason) == ("failed", reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "403 Forbidden"}, "forbidden"),
        ({"error": "insufficient_granular_scope"}, "forbidden"),
        ({"error": "insufficient_scope"}, "credential"),
        ({"message": "403 Forbidden - Your account has been blocked."}, "credential"),
        (
            {
                "message": "403 Forbidden - You (@ann) must accept the Terms of Service in order to"
                " perform this action."
            },
            "credential",
        ),
    ],
)
async def test_forbidden_list_of_groups_fails_the_discovery_with_its_reason(
    body: dict[str, str], reason: str
) -> None:
    """Of an account that may read nothing at all the token or the account is the trouble."""
    site = site_of([], [project(7, "p")])
    site.put(GROUPS, body, 403)
    told = await discover(site)
    last = told.progress()[-1]
    assert (last.status, last.reason, last.retryable) == ("failed", reason, False)
    assert next(iter(body.values())) in last.error


async def test_included_group_that_was_renamed_is_asked_for_by_the_id_that_it_had() -> None:
    site, was = site_of([], []), KnownArea(full_path="old", type="group", gitlab_id=5)
    site.put("groups/5?with_projects=false", group(5, "new"))
    inside = "order_by=id&sort=asc&per_page=100"
    site.put(f"groups/5/descendant_groups?{inside}", [])
    site.put(f"groups/5/projects?include_subgroups=true&with_shared=false&{inside}", [])
    scope = Scope(include=("old",), members=False)
    told = await discover(site, scope, known=(was,))
    assert told.paths() == ["new"]
    assert (await discover(site, scope)).progress()[-1].status == "failed"
    # What has the path now wins.
    site.put("groups/old?with_projects=false", group(6, "old"))
    assert (await discover(site, scope, known=(was,))).paths() == ["old"]


@pytest.mark.parametrize(
    ("permissions", "role"),
    [
        ({"project_access": {"access_level": 30}, "group_access": None}, 30),
        ({"project_access": {"access_level": 30}, "group_access": {"access_level": 50}}, 50),
        ({"project_access": None, "group_access": None}, 0),
        ({"project_access": {"access_level": "40"}, "group_access": {}}, 0),
        (None, 1),
    ],
)
async def test_role_is_the_highest_that_the_project_tells(permissions: object, role: int) -> None:
    site = site_of([], [project(7, "p", permissions=permissions)])
    assert [area.role for area in (await discover(site)).areas()] == [role]


async def test_feature_that_is_off_is_told_and_gets_no_job() -> None:
    off = {"issues_access_level": "disabled", "builds_access_level": "private"}
    site = site_of([], [project(7, "p", empty_repo=True, **off)])
    told = await discover(site)
    (area,) = told.areas()
    assert (area.features, area.empty_repository) == (off, True)
    commands = {command for _, command in told.jobs()}
    assert commands.isdisjoint({"issues", "issue_discussions", "commits", "branches", "tags"})
    assert "pipelines" in commands


@pytest.mark.parametrize("bad", [None, True, "7", 0, -1, 2**63, 7.0])
async def test_area_without_a_number_of_its_own_is_refused(bad: object) -> None:
    site = site_of([group(1, "lab") | {"id": bad}], [])
    last = (await discover(site)).progress()[-1]
    assert (last.status, last.reason) == ("failed", UnexpectedReply.reason)


@pytest.mark.parametrize("missing", ["name", "full_path"])
async def test_area_without_a_name_is_refused(missing: str) -> None:
    row = group(1, "lab")
    del row[missing]
    last = (await discover(site_of([row], []))).progress()[-1]
    assert (last.status, last.reason) == ("failed", UnexpectedReply.reason)


def _paged() -> Site:
    site = site_of([group(1, "a")], [])
    site.put(GROUPS, [group(1, "a")], x_next_page="2")
    second = GROUPS.replace("groups?", "") + "&page=2"
    site.put(f"groups?{second}", [group(2, "b")])
    site.put(PROJECTS, [project(7, "p")], link='<https://other/x?id_after=7>; rel="next"')
    site.put("projects?id_after=7", [project(8, "q")])
    return site


async def test_discovery_goes_on_from_each_of_its_cursors() -> None:
    whole = await discover(_paged())
    assert whole.paths() == ["a", "b", "p", "q"]
    cursors = [decode_cursor(one.cursor) for one in whole.progress() if one.cursor]
    assert len(cursors) == 3
    for cursor in cursors[:-1]:
        rest = (await discover(_paged(), cursor=cursor)).paths()
        assert rest == whole.paths()[-len(rest) :]
        assert len(rest) < 4


@dataclass(slots=True)
class Shrinking(Site):
    """Groups by page numbers; before the second page is given, those in `vanish` go one by one."""

    groups: list[int] = field(default_factory=lambda: list(range(1, 103)))
    vanish: list[int] = field(default_factory=list)

    async def get(self, request: str, headers: dict[str, str]) -> Answer:
        asked = request.removeprefix(API)
        if not asked.startswith("groups?"):
            return await Site.get(self, request, headers)
        number = 2 if asked.endswith("&page=2") else 1
        if number == 2 and self.vanish:
            self.groups.remove(self.vanish.pop(0))
        rows = [group(each, f"g{each}") for each in self.groups[100 * number - 100 : 100 * number]]
        following = "2" if number == 1 else ""
        self.put(asked, rows, x_total=str(len(self.groups)), x_next_page=following)
        return await Site.get(self, request, headers)


def _shrinking(*vanish: int) -> Shrinking:
    site = Shrinking(vanish=list(vanish))
    site.put(PROJECTS, [])
    return site


async def test_group_that_slips_past_while_another_one_vanishes_is_found() -> None:
    site = _shrinking(5)
    told = await discover(site)
    assert told.progress()[-1].status == "completed"
    assert set(told.paths()) == {f"g{each}" for each in range(1, 103)}
    pages = [asked.endswith("&page=2") for asked in site.asked if asked.startswith("groups?")]
    assert pages == [False, True, False, True]


async def test_groups_that_never_stand_still_fail_the_discovery_to_be_tried_again() -> None:
    told = await discover(_shrinking(5, 6, 7))
    end = told.progress()[-1]
    assert (end.status, end.reason, end.retryable) == ("failed", "unexpected_reply", True)
    again = await discover(
        _shrinking(),
        cursor=[decode_cursor(one.cursor) for one in told.progress() if one.cursor][-1],
    )
    assert again.progress()[-1].status == "completed"


async def test_discovery_that_goes_on_elsewhere_knows_how_many_groups_there_were() -> None:
    whole = await discover(_shrinking())
    first = next(decode_cursor(one.cursor) for one in whole.progress() if one.cursor)
    site = _shrinking()
    site.groups.remove(5)
    rest = await discover(site, cursor=first)
    assert "g101" in rest.paths()
    assert rest.progress()[-1].status == "completed"


@pytest.mark.parametrize("stage", ["groups", "projects"])
async def test_list_of_areas_that_goes_in_a_circle_fails_the_discovery(stage: str) -> None:
    """Page 2 leads back to page 1, and page 1 to page 2."""
    site = _paged()
    first = GROUPS if stage == "groups" else PROJECTS
    second = next(one for one in site.answers if one.startswith(stage) and one != first)
    back = {
        **site.answers[second].headers,
        "link": f'<https://o/x?{first.partition("?")[2]}>; rel="next"',
    }
    site.answers[second] = Answer(200, back, site.answers[second].body, "/")
    last = (await discover(site)).progress()[-1]
    assert (last.status, last.retryable, "circle" in last.error) == ("failed", False, True)
    assert (site.asked.count(first), site.asked.count(second)) == (1, 1)


async def test_included_group_alone_asks_for_no_list_of_all_groups() -> None:
    """Of thousands of groups only the ones below it are read, and itself."""
    site = site_of([group(1, "other")], [project(7, "other/p")])
    inside = "order_by=id&sort=asc&per_page=100"
    below = f"groups/5/projects?include_subgroups=true&with_shared=false&{inside}"
    site.put("groups/lab?with_projects=false", group(5, "lab"))
    site.put(f"groups/5/descendant_groups?{inside}", [group(6, "lab/sub")])
    site.put(below, [project(9, "lab/p")])
    told = await discover(site, Scope(include=("lab",), members=False))
    assert told.paths() == ["lab", "lab/sub", "lab/p"]
    assert site.asked == [
        "groups/lab?with_projects=false",
        f"groups/5/descendant_groups?{inside}",
        below,
    ]


async def test_discovery_that_is_asked_to_stop_gives_its_job_back() -> None:
    told = await discover(_paged(), stop=True)
    assert [one.status for one in told.progress()] == ["paused"]


async def test_jobs_of_an_area_are_all_it_can_hold() -> None:
    told = await discover(site_of([group(1, "g")], []))
    assert [command for _, command in told.jobs()] == [
        *("group", "members", "inherited_members", "labels", "milestones"),
        *("changed_issues", "changed_merge_requests"),
    ]


async def test_jobs_of_a_crawl_are_what_it_wants_and_the_watches_of_it() -> None:
    site = site_of([group(1, "g")], [project(7, "g/p")])
    told = await discover(site, Scope(resources=("labels", "issues")))
    assert told.paths() == ["g", "g/p"]
    assert told.jobs() == [
        *(("g", "labels"), ("g", "changed_issues")),
        *(("g/p", "labels"), ("g/p", "issues")),
    ]


@dataclass(slots=True)
class Late(Told):
    """A website that answers after the crawler had time to send all that it has."""

    waiting: int = 0
    most: int = 0

    async def send(self, _key: str, payload: Record, _task: str) -> Any:
        self.updates.append(payload)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return asyncio.create_task(self._answer())

    async def _answer(self) -> dict[str, Any]:
        for _ in range(1_000):
            await asyncio.sleep(0)
        self.waiting -= 1
        return {}


async def test_what_is_on_its_way_is_one_page_at_most() -> None:
    told = await discover(_paged(), told=(late := Late()))
    assert told.paths() == ["a", "b", "p", "q"]
    # Its areas, its jobs, and the checkpoint behind it.
    assert late.most == 3
