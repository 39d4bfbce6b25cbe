"""A crawl of a small world with faults, and what is held against it afterwards."""

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.domain.visit import Schedule
from labtrawl.http import Limits
from labtrawl.sandbox import Fault, Options, Server, World, build_world, running
from labtrawl.sandbox.truth import Truth
from labtrawl.store import manifest, summary
from tests.integration.sandbox.caller import Caller
from tests.rig.clocks import Leaping
from tests.rig.compare import AsPart, collected_items, expected_items
from tests.rig.crawl import Clocks, Rig, rig

RESOURCES = (
    "project",
    "labels",
    "milestones",
    "issues",
    "merge_requests",
    "issue_discussions",
    "timelogs",
)
SCHEDULE = Schedule(resources=RESOURCES)
SIZES = {
    "groups": 1,
    "projects": 2,
    "issues": 12,
    "merge_requests": 4,
    "notes": 20,
    "commits": 8,
    "pipelines": 4,
    "ci_jobs": 8,
    "branches": 4,
    "timelogs": 6,
}
WORLD: World = build_world("small", 2, SIZES)
ONE, OTHER = WORLD.projects
Key = tuple[str, int, str, str]
Cell = tuple[str, str]
"""Full path and resource."""


def path_of(resource: str, project: int = ONE.id) -> str:
    """The requests of one list, as a fault matches them."""
    return rf"/projects/{project}/{resource}(\?|$)"


@dataclass(slots=True)
class Crawl:
    """A look-alike, a website's side, and the time of both."""

    site: Rig
    server: Server
    time: Leaping

    async def run(self, *usernames: str) -> None:
        """Crawl until no job is open any more."""
        async with self.crawling(*usernames):
            await self.site.finished(30)

    @contextlib.asynccontextmanager
    async def crawling(self, *usernames: str) -> AsyncIterator[None]:
        """Crawl while the block runs."""
        await self.site.plan(WORLD, *usernames)
        async with self.site.crawler() as engine, self.time.leaping(engine.requests):
            yield

    async def gaps(self) -> dict[Cell, str | None]:
        """Every list that is not complete, and why."""
        found = await self.site.store.read(summary.gaps)
        return {(gap.full_path, gap.resource): gap.reason for gap in found}

    async def detail(self, cell: Cell) -> str:
        """What the ledger says of a gap."""
        found = await self.site.store.read(summary.gaps)
        told = {(gap.full_path, gap.resource): str(gap.detail) for gap in found}
        return told[cell]

    async def items(self) -> tuple[dict[Key, object], list[Key]]:
        """Everything that was collected, and what was collected twice."""
        rows = list(await self.site.store.read(manifest.segments))
        return collected_items(dataset_root(self.site.data_dir), rows)

    async def now(self) -> dict[Key, object]:
        """What the dataset says is there: the newest line of each identity, without what is gone."""
        newest: dict[Key, object] = {}
        for row in await self.site.store.read(manifest.segments):
            for record in read_segment(dataset_root(self.site.data_dir), row):
                key = (row.area_kind, row.gitlab_id, row.resource, str(record.id))
                body = json.loads(bytes(record.body))
                newest[key] = AsPart(body) if "/graphql" in record.request else body
                if record.state != "present":
                    del newest[key]
        return newest

    def path(self, area_id: int) -> str:
        """The full path of an area."""
        return next(path for path, number in ids.items() if number == area_id)

    def truth(self) -> dict[Key, object]:
        """What there is now, of the resources that are collected."""
        return expected_of(self.server.truth())

    async def asked(self) -> Counter[str]:
        """The requests so far, by endpoint."""
        told: dict[str, Any] = json.loads(await self.control("GET", "requests"))
        return Counter(told["by_endpoint"])

    async def control(self, method: str, name: str, body: object = None) -> bytes:
        """Speak to the look-alike's own side."""

        raw = json.dumps(body).encode() if body is not None else b""
        async with Caller(self.server.url) as caller:
            return (await caller.call(method, f"/-/sandbox/{name}", raw)).body

    async def assert_equals_truth(self) -> None:
        """All is there, as it is, once, and nothing is said to be missing."""
        items, twice = await self.items()
        assert (items, twice) == (self.truth(), [])
        assert await self.gaps() == {}

    async def assert_only_gaps(self, expected: dict[Cell, str]) -> None:
        """These lists have gaps with these reasons, and may have less; all others are whole."""
        items, twice = await self.items()
        truth = self.truth()
        spoilt = {(ids[path], resource) for path, resource in expected}
        assert await self.gaps() == expected
        assert twice == []
        assert _without(items, spoilt) == _without(truth, spoilt)
        assert all(truth.get(key) == AsPart(_body(body)) for key, body in items.items())


ids = {one.full_path: one.id for one in WORLD.projects}
ids |= {one.full_path: one.id for one in WORLD.groups}


def _body(found: object) -> dict[str, object]:
    assert isinstance(found, dict)
    return found


def _without(items: dict[Key, object], cells: set[tuple[int, str]]) -> dict[Key, object]:
    return {key: body for key, body in items.items() if (key[1], key[2]) not in cells}


def expected_of(truth: Truth) -> dict[Key, object]:
    """A truth as far as the crawl collects it."""
    return {key: body for key, body in expected_items(truth).items() if key[2] in RESOURCES}


@contextlib.asynccontextmanager
async def crawl(
    data_dir: Path,
    *faults: Fault,
    world: World = WORLD,
    http: Limits | None = None,
    schedule: Schedule = SCHEDULE,
    **options: Any,
) -> AsyncIterator[Crawl]:
    """Open a look-alike that misbehaves and a website's side; waits cost no time."""
    time = Leaping()
    clocks = Clocks(time.crawler(), time.website(), time.hurried())
    told = Options(faults=faults, **options)
    async with (
        running(world, told) as server,
        rig(data_dir, server.url, schedule=schedule, clocks=clocks) as site,
    ):
        site.http = http or Limits()
        yield Crawl(site, server, time)
