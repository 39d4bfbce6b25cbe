"""A website's database with projects that are read again and again, told of by messages."""

from dataclasses import dataclass, field
from typing import Any

from labtrawl.dispatch import planner, reports
from labtrawl.domain.visit import Schedule
from labtrawl.protocol.messages import (
    DiscoveredArea,
    DiscoveredJob,
    LedgerReport,
    ProgressUpdate,
    SegmentReport,
)
from labtrawl.store import accounts, jobs, leases, visits
from labtrawl.store.engine import Connection, Store
from tests.integration.store.table import RETRY, rows

HOUR = 3_600_000
SCHEDULE = Schedule(
    every=HOUR, sweep_every=24 * HOUR, discover_every=6 * HOUR, most=100 * HOUR, resources=("*",)
)


@dataclass(slots=True)
class Site:
    """The database, and a crawler that claims one job at a time and reports as it is told to."""

    db: Store
    schedule: Schedule = SCHEDULE
    numbers: int = 0
    names: dict[int, str] = field(default_factory=dict)

    async def begin(self, user: int = 1) -> int:
        """Plan an account; return its number."""
        told = accounts.VerifiedAccount("main", "http://g", "17.0.0", user, f"u{user}", (), "t")
        return await self.db.write(lambda c: planner.plan_account(c, told))

    async def discovered(self, *resources: str) -> None:
        """An account found one project, with these jobs of it."""
        await self.begin()
        found = await self.claim("discovery")
        await self.discover(found, project())
        await self.propose(found, *(wish(name) for name in resources))
        await self.complete(found, ledger=LedgerReport(expected_by="end of list"))

    async def claim(self, resource: str | None = None) -> leases.ClaimedJob:
        self.numbers += 1
        claim_id = f"c{self.numbers}"
        (one,) = await self.db.write(lambda c: leases.claim(c, "a", claim_id, 1, 60, resource))
        return one

    async def report(self, one: leases.ClaimedJob, **fields: Any) -> None:
        self.numbers += 1
        told: dict[str, Any] = {"task_id": str(one.job_id), "epoch": one.fence, "timestamp": 0}
        update = ProgressUpdate(**(told | fields))
        origin = jobs.Origin("a", f"{self.numbers:026d}", one.fence)
        delay = reports.Delay(RETRY, 0.5, self.schedule)
        await self.db.write(lambda c: reports.apply(c, one.job_id, origin, update, delay))

    async def commit(self, one: leases.ClaimedJob, records: int, **counts: int) -> None:
        """Commit a segment."""
        self.numbers += 1
        name = f"i1/project-7/issues/j{one.job_id}-f{one.fence}-{self.numbers:06d}.jsonl.zst"
        segment = SegmentReport(name=name, length=1, sha256="0", records=records, **counts)
        await self.report(one, status="processing", cursor="c", segments=[segment])

    async def complete(self, one: leases.ClaimedJob, **fields: Any) -> None:
        told: dict[str, Any] = {"status": "completed", "ledger": LedgerReport()}
        await self.report(one, **(told | fields))

    async def visit(self, resource: str, **fields: Any) -> leases.ClaimedJob:
        """Claim a resource's job, and complete it."""
        one = await self.claim(resource)
        await self.complete(one, **fields)
        return one

    async def discover(self, one: leases.ClaimedJob, *found: DiscoveredArea) -> None:
        await self.report(one, status="processing", areas=list(found))

    async def propose(self, one: leases.ClaimedJob, *found: DiscoveredJob) -> int:
        """Propose jobs; return how many were queued."""

        def plan(c: Connection) -> int:
            return planner.queue_jobs(c, 1, one.job_id, found, self.schedule)

        return await self.db.write(plan)

    async def open_due(self) -> int:
        return await self.db.write(lambda c: visits.open_due(c, self.schedule, 100))

    async def pass_time(self, hours: float) -> None:
        """Let all that is written down be so much longer ago."""
        names = ("next_at", "sweep_at", "last_at", "last_changed_at", "wanted_at")
        told = ", ".join(f"{name} = {name} - {int(hours * HOUR)}" for name in names)
        await self.db.write(lambda c: c.exec_driver_sql(f"UPDATE visit SET {told}"))

    async def ask(self, what: str) -> list[tuple[Any, ...]]:
        return await self.db.read(lambda c: rows(c, what))

    async def set_clock_back(self, hours: float) -> None:
        """Let all be so much later that was written down, as it seems once a clock was set back."""
        for table, name in (("job", "started_at"), ("area_access", "seen_at")):
            told = f"UPDATE {table} SET {name} = {name} + {int(hours * HOUR)}"
            await self.db.write(lambda c, told=told: c.exec_driver_sql(told))  # type: ignore[misc]

    async def see_anew(self, *found: DiscoveredArea) -> None:
        """The discovery comes again and finds these, and nothing else that was seen before."""
        await self.pass_time(7)
        await self.open_due()
        again = await self.claim("discovery")
        earlier = "UPDATE area_access SET seen_at = seen_at - 60000"
        await self.db.write(lambda c: c.exec_driver_sql(earlier))
        await self.discover(again, *found)
        await self.complete(again)

    async def jobs(self) -> dict[str, tuple[str, str]]:
        """State and mode of each resource's job."""
        found = await self.ask("SELECT resource, state, mode FROM job ORDER BY id")
        return {row[0]: (row[1], row[2]) for row in found}


def project(number: int = 7, path: str = "lab/ocean", role: int = 30) -> DiscoveredArea:
    return DiscoveredArea(type="project", name="p", gitlab_id=number, full_path=path, role=role)


def group(number: int = 3, path: str = "lab", role: int = 30) -> DiscoveredArea:
    return DiscoveredArea(type="group", name="g", gitlab_id=number, full_path=path, role=role)


def wish(command: str, number: int = 7, kind: str = "project", mode: str = "full") -> DiscoveredJob:
    return DiscoveredJob(command=command, full_path="", gitlab_id=number, area_type=kind, mode=mode)
