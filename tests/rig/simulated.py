"""A crawl that is only played: jobs in the order of the claim, a number at once, a rate that drifts.

What it shows at an instant is what the database would: sizes that are not known yet stay hidden.
"""

import math
import random
from dataclasses import dataclass, field

from labtrawl.domain.eta import Crawl, Part
from labtrawl.domain.learned import Kind, Queued, Running, Seen

ITEMS = ("issue_discussions", "issue_award_emoji", "issue_label_events", "issue_links")
LISTS = ("labels", "members", "commits", "branches", "pipelines", "releases")
NESTED = frozenset(ITEMS)
# Asked for item by item; the others are read in blocks of items.
COSTLY = frozenset({"issue_label_events"})
STEP_MS = 250
CHECKPOINT_MS = 2_000
CONNECTIONS = 32
BUCKETS = 64
NEWEST = 3000


@dataclass
class Job:
    """A list of an area: how large it is, and how far."""

    id: int
    area: int
    resource: str
    priority: int
    units: int
    requests: int
    spent: float = 0.0
    began_at: int | None = None
    ended_at: int | None = None
    told: float = 0.0


@dataclass
class Play:
    """One crawl by a seed; `limit` is the requests a minute that the budget gives."""

    seed: int
    areas: int = 60
    at_once: int = 16
    limit: int | None = None
    drift: float = 0.008
    now: int = 0
    done: int = 0
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._speed = 1.0
        kinds = ("project", "issues", *LISTS, *ITEMS)
        # Seconds a request, requests at once of one job, and requests a unit, of each kind.
        self._latency = {kind: 0.3 * math.exp(self._random.gauss(0.0, 0.5)) for kind in kinds}
        self._width = {kind: 8 if kind in ITEMS else self._random.choice((1, 8)) for kind in kinds}
        per_unit = {
            kind: 1.0 if kind in COSTLY else 1 / self._random.choice((25, 50)) for kind in ITEMS
        }
        for area in range(self.areas):
            issues = min(int(self._random.lognormvariate(4.5, 1.1)), 5000)
            self._add(area, "project", 5, 1, 1)
            self._add(area, "issues", 4, issues, 1 + issues // 100)
            for name in LISTS:
                size = min(int(self._random.lognormvariate(4, 1.3)), 20_000)
                self._add(area, name, 0, size, 1 + size // 100)
            for name in ITEMS:
                each = per_unit[name] * math.exp(self._random.gauss(0, 0.3))
                self._add(area, name, -1, issues, 1 + math.ceil(issues * each))
        self._queue = sorted(self.jobs, key=lambda one: (-one.priority, one.id))
        self._issues = {one.area: one for one in self.jobs if one.resource == "issues"}
        self._running: list[Job] = []
        self.total = sum(one.requests for one in self.jobs)

    def _add(self, area: int, name: str, priority: int, units: int, requests: int) -> None:
        self.jobs.append(Job(len(self.jobs) + 1, area, name, priority, units, requests))

    def step(self) -> bool:
        """Let a quarter of a second pass; False when all is done."""
        while self._queue and len(self._running) < self.at_once:
            job = self._queue.pop(0)
            job.began_at = self.now
            self._running.append(job)
        self._speed *= math.exp(self._random.gauss(0, self.drift))
        self._speed = min(max(self._speed, 0.4), 2.5)
        busy = sum(self._width[job.resource] for job in self._running)
        free = min(1.0, CONNECTIONS / max(busy, 1)) * self._speed * STEP_MS / 1000
        wanted = {
            job.id: free * self._width[job.resource] / self._latency[job.resource]
            for job in self._running
        }
        most = math.inf if self.limit is None else self.limit / 60_000 * STEP_MS
        granted = _evenly(wanted, most)
        self.now += STEP_MS
        for job in self._running:
            self._go_on(job, granted[job.id])
        self._running = [job for job in self._running if job.ended_at is None]
        return bool(self._running or self._queue)

    def _go_on(self, job: Job, requests: float) -> None:
        before, job.spent = job.spent, min(job.spent + requests, job.requests)
        self.done += int(job.spent) - int(before)
        if self.now % CHECKPOINT_MS == 0:
            # Those under way were sent, and nothing of them is read.
            job.told = max(0.0, job.spent - self._width[job.resource]) / job.requests
        if job.spent >= job.requests:
            job.ended_at = self.now

    def end_of(self, area: int) -> int:
        """When the last job of an area ended."""
        return max(one.ended_at or 0 for one in self._of(area))

    def share_of(self, area: int) -> float:
        """How much of an area is done, by its true size."""
        own = self._of(area)
        return sum(one.spent for one in own) / sum(one.requests for one in own)

    def is_open(self, area: int) -> bool:
        """Say whether something of an area is left."""
        return any(one.ended_at is None for one in self._of(area))

    def _of(self, area: int) -> list[Job]:
        each = len(self.jobs) // self.areas
        return self.jobs[area * each : (area + 1) * each]

    def look(self) -> Crawl:
        """What the database shows."""
        begun = [one for one in self.jobs if one.began_at is not None]
        begun.sort(key=lambda one: one.ended_at or self.now, reverse=True)
        seen = [self._seen(one) for one in begun[:NEWEST]]
        groups: dict[tuple[int, str, int], list[Job]] = {}
        size = max(1, len(self.jobs) // BUCKETS)
        for job in self._queue:
            groups.setdefault((job.priority, job.resource, job.id // size), []).append(job)
        return Crawl(
            now=self.now,
            seen=seen,
            running=[self._in_hand(one) for one in self._running],
            queued=[self._group(each) for each in groups.values()],
            done=self.done,
            nested=NESTED,
            costly=COSTLY,
            limit=self.limit,
            known_from=seen[-1].ended_at if len(begun) > NEWEST else 0,
        )

    def part(self, area: int) -> Part:
        """What the database shows of an area."""
        return Part(
            [self._in_hand(one) for one in self._running if one.area == area],
            [self._group([one]) for one in self._queue if one.area == area],
            sum(int(one.spent) for one in self._of(area)),
        )

    def _seen(self, job: Job) -> Seen:
        assert job.began_at is not None
        ended = job.ended_at if job.ended_at is not None else self.now
        is_done = job.ended_at is not None
        kind = Kind(job.resource)
        share = job.told or None
        return Seen(kind, int(job.spent), self._units(job), job.began_at, ended, is_done, share)

    def _in_hand(self, job: Job) -> Running:
        return Running(Kind(job.resource), int(job.spent), self._units(job), job.told or None)

    def _units(self, job: Job) -> int | None:
        """The items of an area are known when their list is read; a list's size by its first page."""
        if job.resource in NESTED:
            parent = self._issues[job.area]
            return job.units if parent.ended_at is not None else None
        return job.units if job.spent >= 1 else None

    def _group(self, jobs: list[Job]) -> Queued:
        known = [units for one in jobs if (units := self._units(one)) is not None]
        return Queued(
            Kind(jobs[0].resource),
            jobs[0].priority,
            min(one.id for one in jobs),
            max(one.id for one in jobs),
            len(jobs),
            len(known),
            sum(known),
            max(known, default=0),
        )


def _evenly(wanted: dict[int, float], most: float) -> dict[int, float]:
    """Share what the budget gives: who wants less than an even part leaves the rest to others."""
    granted: dict[int, float] = {}
    for number, (job, each) in enumerate(sorted(wanted.items(), key=lambda one: one[1])):
        granted[job] = min(each, most / (len(wanted) - number))
        most -= granted[job]
    return granted
