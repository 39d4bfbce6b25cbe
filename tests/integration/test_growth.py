"""What a crawl keeps does not grow with the days, and is what GitLab holds after all of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Churn, Options, Server, World, build_world, running
from labtrawl.store import summary, visits
from labtrawl.store.engine import Connection
from tests.rig.crawl import Rig, open_jobs, rig
from tests.rig.crawled import assert_is_current
from tests.rig.days import DAY, Days

HOUR_MS = 3_600_000
SWEEP_DAYS = 7
RESOURCES = ("project", "issues", "merge_requests", "milestones")
SCHEDULE = Schedule(
    every=HOUR_MS,
    sweep_every=SWEEP_DAYS * 24 * HOUR_MS,
    discover_every=6 * HOUR_MS,
    most=24 * HOUR_MS,
    resources=RESOURCES,
)
# A turn of the website's care (`dispatch/leasing`): what it compacts and sweeps, it does so often.
TURN_SECONDS = 601
TURNS = 2
LOOK_SECONDS = 0.1
# No lease runs out when a day passes in an instant.
LEASE_SECONDS = 400 * DAY


@dataclass(frozen=True, slots=True)
class Scene:
    """How many areas, for how many days, and the share of all objects that changes on each."""

    groups: int
    projects: int
    days: int
    share: float

    def world(self) -> World:
        each = {"issues": 20, "merge_requests": 5, "milestones": 2, "branches": 1, "commits": 2}
        sizes = {name: count * self.projects for name, count in each.items()}
        nothing = dict.fromkeys(("notes", "pipelines", "ci_jobs", "releases", "environments"), 0)
        places = {"groups": self.groups, "projects": self.projects, "events": 0}
        return build_world("small", 1, sizes | nothing | places)


@dataclass(frozen=True, slots=True)
class Size:
    """What lies on the disk: bytes of the database, of the segments, and how many these are."""

    database: int
    segments: int
    files: int


@dataclass(slots=True)
class Life:
    """A crawl that goes on for days."""

    site: Rig
    server: Server
    time: Days
    day: int = 0
    sizes: dict[int, Size] = field(default_factory=dict)

    async def pass_day(self, share: float = 0.0) -> None:
        """Let a share of the world change and a day go by, and all that is due then be done."""
        self.day += 1
        if share:
            changes = Churn(
                share=share, seed=self.day, kinds=("issues", "merge_requests", "milestones")
            )
            self.server.change(changes)
        self.time.leapt_seconds += DAY - TURNS * TURN_SECONDS
        await self.settled()
        for _ in range(TURNS):
            self.time.leapt_seconds += TURN_SECONDS
            await self.settled()
        self.sizes[self.day] = await self._size()
        print(f"day {self.day}: {self.sizes[self.day]}", flush=True)

    async def settled(self) -> None:
        """Wait until the website's care had its turn, and nothing is open or due any more."""
        turns = self.time.turns + 2
        while self.time.turns < turns or await self.site.store.read(_is_busy):
            ticket = self.site.store.changes.ticket()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await ticket.wait()

    async def _size(self) -> Size:
        found = [path.stat().st_size for path in dataset_root(self.site.data_dir).rglob("*.zst")]
        pages = await self.site.store.read(_database_bytes)
        return Size(pages, sum(found), len(found))


def _is_busy(connection: Connection) -> bool:
    return bool(open_jobs(connection)) or visits.has_due(connection)


def _database_bytes(connection: Connection) -> int:
    pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return pages * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


@contextlib.asynccontextmanager
async def living(data_dir: Path, world: World) -> AsyncIterator[Life]:
    """Crawl a world once, then whatever is due."""
    time = Days()
    with time.in_databases():
        async with (
            running(world, Options(now=time.time)) as server,
            rig(data_dir, server.url, LEASE_SECONDS, schedule=SCHEDULE, clocks=time.clocks) as site,
        ):
            await site.plan(world)
            async with site.crawler(jobs=32):
                life = Life(site, server, time)
                await life.settled()
                yield life


@pytest.mark.parametrize(
    "scene",
    [
        # More changes, in fewer days: nearly each list changes on each of them.
        pytest.param(Scene(2, 8, 20, 0.15), id="10_areas"),
        pytest.param(
            Scene(40, 960, 90, 0.01),
            id="1000_areas",
            marks=[pytest.mark.proof, pytest.mark.timeout(4 * 3600)],
        ),
    ],
)
async def test_files_and_database_stay_small_over_the_days(tmp_path: Path, scene: Scene) -> None:
    async with living(tmp_path, scene.world()) as life:
        for _ in range(scene.days):
            await life.pass_day(scene.share)
        early, late = life.sizes[3], life.sizes[scene.days]
        for _ in range(SWEEP_DAYS + 1):
            await life.pass_day()
        gaps = await life.site.store.read(summary.gaps)
        truth = life.server.truth()
    assert gaps == []
    assert_is_current(tmp_path, truth, lambda key: key[2] in RESOURCES)
    assert late.database <= 2 * early.database
    assert late.segments <= 3 * early.segments
    assert late.files <= 3 * early.files
