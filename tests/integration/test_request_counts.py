"""The requests of a crawl, list by list: as many as there are pages, and what else is asked and why.

W3 at a twentieth: one group and ten projects, eight lists each.
"""

import asyncio
import json
import math
import urllib.request
from collections import Counter
from pathlib import Path

from labtrawl.dispatch import visiting
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Truth, build_world, running, truth
from tests.rig.crawl import rig

PER_PAGE = 100
# Issues are read by keyset, which tells no total: a longer list is counted, to prove its end.
COUNTED_ABOVE = 300
ENDPOINTS = {
    "members": "members",
    "labels": "labels",
    "milestones": "milestones",
    "issues": "issues",
    "merge_requests": "merge_requests",
    "commits": "repository/commits",
    "branches": "repository/branches",
    "pipelines": "pipelines",
}
# Of groups, the last page of a list by numbers is known as such; by keyset it is an empty one.
DISCOVERY = Counter({"groups": 1, "projects": 2})


def _pages(told: Truth) -> Counter[str]:
    """The pages of all lists, by endpoint: nobody can read them with fewer requests."""
    pages: Counter[str] = Counter()
    for cell in told.cells:
        if cell.resource in ENDPOINTS:
            endpoint = f"{cell.area_kind}s/:id/{ENDPOINTS[cell.resource]}"
            pages[endpoint] += max(1, math.ceil(len(cell.items) / PER_PAGE))
            is_counted = cell.resource == "issues" and len(cell.items) > COUNTED_ABOVE
            pages["projects/:id/issues_statistics"] += is_counted
    return pages


async def _asked(url: str) -> Counter[str]:
    """The requests since this was asked last, by endpoint."""

    def ask() -> Counter[str]:
        place = f"{url}/-/sandbox/requests"
        with urllib.request.urlopen(place) as answer:
            told = Counter(json.loads(answer.read())["by_endpoint"])
        urllib.request.urlopen(urllib.request.Request(place, method="DELETE")).close()
        return told

    return await asyncio.to_thread(ask)


async def test_first_run_asks_for_each_page_once_and_second_for_each_filtered_list_once(
    tmp_path: Path,
) -> None:
    """Whatever `last_activity_at` says: no filtered list is left out, and no other one is asked."""
    world = build_world("w3@0.05")
    schedule = Schedule(resources=tuple(ENDPOINTS))
    async with running(world) as server, rig(tmp_path, server.url, schedule=schedule) as website:
        await website.plan(world)
        async with website.crawler():
            await website.finished()
            first = await _asked(server.url)
            await website.store.write(lambda c: visiting.open_all(c, schedule))
            await website.finished()
            second = await _asked(server.url)
    assert first == DISCOVERY + _pages(truth(world))
    projects, groups = len(world.projects), len(world.groups)
    assert second == DISCOVERY + Counter(
        {
            "groups/:id/issues": groups,
            "groups/:id/merge_requests": groups,
            "groups/:id/milestones": groups,
            "projects/:id/milestones": projects,
            "projects/:id/repository/commits": projects,
            "projects/:id/pipelines": projects,
        }
    )
