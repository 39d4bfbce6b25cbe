"""What `labtrawl crawl` says before it begins: never more than it then costs, and of that order."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labtrawl.cli.main import labtrawl
from labtrawl.domain.area import AreaKind
from labtrawl.gitlab.catalog import RESOURCES
from labtrawl.sandbox import Fault, Options, World, build_world
from tests.integration.http.wire import listening
from tests.integration.init import program
from tests.integration.init.gitlab import NOT_FOUND, TOKEN, FakeGitLab, said
from tests.integration.init.program import ALLOW, init, one_sentence
from tests.rig.private import write_private
from tests.rig.served import Served, served

SIZES = {"groups": 3, "projects": 6, "issues": 60, "merge_requests": 30, "commits": 40}
WORLD: World = build_world("small", 3, SIZES)
LAB = "fjordlab"
# What is not asked for before it begins: further pages, and what items have.
MOST_TIMES = 2.0


def least_lists(groups: int, projects: int) -> int:
    """The lists of areas of which nobody knows more than that they are there."""
    always = [
        one.area_kind
        for one in RESOURCES
        if one.kind and not (one.feature or one.features or one.needs_repository)
    ]
    return groups * always.count(AreaKind.GROUP) + projects * always.count(AreaKind.PROJECT)


@pytest.fixture(scope="module")
def gitlab() -> Iterator[Served]:
    """One that no test changes."""
    with served(WORLD, Options(enterprise=False, version="18.5.0")) as there:
        yield there


def crawl(folder: Path, there: Served, path: str, *flags: str) -> tuple[Result, dict[str, Any]]:
    """Run a first crawl to its end; return what it said and its summary."""
    write_private(folder / "token", there.token)
    summary = folder / "summary.json"
    words = ["crawl", there.url + path, "--token-file", str(folder / "token"), "--once"]
    words += ["--out", str(folder / "out"), "--summary", str(summary), *flags]
    done = CliRunner().invoke(labtrawl, words, standalone_mode=False)
    assert (done.exception, done.return_value) == (None, 0), done.output
    return done, json.loads(summary.read_text())


def lines(done: Result) -> list[str]:
    """The forecast, its spaces made one."""
    told = done.stdout.split("folder ")[0].splitlines()
    return [" ".join(line.split()) for line in told if line]


@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("", ()),
        (f"/{LAB}", ("--yes",)),
        (f"/{WORLD.projects[0].full_path}", ()),
        (f"/{LAB}", ("--rest-only",)),
        (f"/{LAB}", ("--exclude", WORLD.projects[1].full_path)),
        (f"/{WORLD.projects[0].full_path}", ("--include", WORLD.projects[1].full_path)),
        (f"/{LAB}", ("--resources", "issues,labels,issue_label_events")),
        (f"/{LAB}", ("--since", "2026-06-01")),
    ],
)
def test_forecast_is_a_lower_bound_of_the_right_order(
    tmp_path: Path, gitlab: Served, path: str, flags: tuple[str, ...]
) -> None:
    done, told = crawl(tmp_path, gitlab, path, *flags)
    forecast = told["forecast"]
    areas = {kind: forecast[f"{kind}s"] for kind in ("group", "project") if forecast[f"{kind}s"]}
    assert areas == told["areas"]
    assert forecast["lists"] == sum(each["lists"] for each in told["resources"].values())
    assert forecast["requests"] <= told["new_requests"] <= MOST_TIMES * forecast["requests"]
    assert f"at least {forecast['requests']:,} requests" in lines(done)[0]
    assert forecast["seconds"] is None


def test_forecast_is_told_in_two_lines_and_once_only(tmp_path: Path, gitlab: Served) -> None:
    only = ("--resources", "labels,members")
    done, told = crawl(tmp_path, gitlab, f"/{LAB}", *only)
    lists = 2 * sum(told["areas"].values())
    count = f"{told['areas']['project']} projects and {told['areas']['group']} groups"
    assert lines(done) == [
        f"forecast {count}: {lists} lists, at least {lists + 2} requests",
        "GitLab tells no limit of requests; at 600 a minute that is 2 s",
    ]
    again, told = crawl(tmp_path, gitlab, f"/{LAB}", *only)
    assert (lines(again), told["forecast"]) == ([], None)


def test_time_is_told_by_gitlabs_own_limit(tmp_path: Path) -> None:
    with served(WORLD, Options(rate_limit_per_minute=1000)) as there:
        done, told = crawl(tmp_path, there, f"/{LAB}", "--resources", "labels")
    assert lines(done)[1:] == [
        "of GitLab's limit of 1,000 a minute it may use 800: no wait is foreseen"
    ]
    assert told["forecast"]["seconds"] == 0.0


def test_forecast_costs_a_handful_of_requests(tmp_path: Path, gitlab: Served) -> None:
    place = f"{gitlab.url}/-/sandbox/requests"
    urllib.request.urlopen(urllib.request.Request(place, method="DELETE")).close()
    _, told = crawl(tmp_path, gitlab, f"/{LAB}", "--resources", "labels")
    with urllib.request.urlopen(place) as answer:
        asked = sum(json.loads(answer.read())["by_endpoint"].values())
    # Four find out whose token it is; the group, those below it, the projects, and two counts.
    assert asked - told["new_requests"] == 4 + 5


def test_counts_that_gitlab_refuses_leave_a_smaller_forecast(tmp_path: Path) -> None:
    refused = Fault(path=r"groups/[^/]+/(issues|merge_requests)\?", kind="500", times=0)
    with served(WORLD, Options(faults=(refused,))) as there:
        _, told = crawl(tmp_path, there, f"/{LAB}", "--resources", "issue_label_events")
    opened = sum(issue.state == "opened" for one in WORLD.projects for issue in one.issues)
    lists = told["areas"]["project"]
    assert told["forecast"]["requests"] == 2 + lists + opened


async def test_more_than_a_thousand_projects_are_told_and_need_a_yes(tmp_path: Path) -> None:
    async with listening(FakeGitLab(projects=1001)) as wire:
        flags = ("crawl", wire.base(), "--token-file", "-", "--out", "out")
        ended = await program.labtrawl(tmp_path, *flags, stdin=TOKEN)
    lists = least_lists(12, 1001)
    # A page of groups and eleven of projects.
    assert re.sub(r" +", " ", ended.out).startswith(
        f"forecast 1,001 projects and 12 groups: at least {lists:,} lists, at least"
        f" {lists + 12:,} requests\n"
    )
    assert one_sentence(ended) == (
        "these are 1,001 projects, and a crawl of all takes long: give --yes to go on, or the URL"
        " of a group, or --exclude or --resources for less"
    )
    assert not (tmp_path / "out").exists()


async def test_group_of_more_than_a_thousand_projects_needs_a_yes_too(tmp_path: Path) -> None:
    group = said({"id": 5, "full_path": "lab"})
    inside = {"groups/lab": group, "groups/lab/descendant_groups": said([], "X-Total: 0")}
    inside["groups/lab/projects"] = said([], "X-Total: 1001")
    async with listening(FakeGitLab(changed=inside)) as wire:
        flags = ("crawl", f"{wire.base()}/lab", "--token-file", "-", "--out", "out")
        ended = await program.labtrawl(tmp_path, *flags, stdin=TOKEN)
    assert one_sentence(ended).startswith("these are 1,001 projects, and a crawl of all takes long")


async def test_scope_that_gitlab_does_not_tell_needs_a_yes(tmp_path: Path) -> None:
    async with listening(FakeGitLab(changed={"projects": NOT_FOUND})) as wire:
        flags = ("crawl", wire.base(), "--token-file", "-", "--out", "out")
        ended = await program.labtrawl(tmp_path, *flags, stdin=TOKEN)
    assert one_sentence(ended) == (
        "GitLab did not tell how many projects these are: try again later, or give --yes to begin"
        " all the same"
    )


async def test_init_forecasts_what_its_settings_would_collect(tmp_path: Path) -> None:
    limited = said([], "X-Total: 60", "RateLimit-Limit: 50")
    async with listening(FakeGitLab(changed={"projects": limited})) as wire:
        ended = await init(tmp_path, wire, *ALLOW)
    said_so = [" ".join(line.split()) for line in ended.out.splitlines()]
    lists = least_lists(12, 60)
    start = said_so.index("Member of 12 groups, 60 projects")
    assert said_so[start + 1 : start + 3] == [
        f"Forecast 60 projects and 12 groups: at least {lists} lists, at least {lists + 2} requests",
        f"of GitLab's limit of 50 a minute it may use 40: at least {(lists + 2 - 50) // 40} min",
    ]
