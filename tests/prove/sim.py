"""The core in one process, without a socket: a job's run on a disk that can lose power.

Real parts: the run of a job, its line, the handlers, the database, the gate and the sink. GitLab is
a list of pages; the disk is `VolatileDisk`. A crash ends an attempt wherever it happens; the next
one gets a new lease and goes on from what was committed.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec

from labtrawl.clock import system_clock
from labtrawl.crawler.cursor import decode_cursor
from labtrawl.crawler.known import Known, load
from labtrawl.crawler.line import Line
from labtrawl.crawler.reader import Reader
from labtrawl.crawler.run import JobRun
from labtrawl.crawler.visit import Visit
from labtrawl.dataset.disk import Disk
from labtrawl.dataset.layout import SegmentPrefix, dataset_root
from labtrawl.dataset.reader import read_segment
from labtrawl.dataset.sink import SegmentLimits, Sink
from labtrawl.dispatch.credentials import Credentials
from labtrawl.dispatch.desk import Desk
from labtrawl.dispatch.handlers import HANDLERS
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.gitlab.catalog import find
from labtrawl.gitlab.client import GitLab
from labtrawl.http import Answer, Http
from labtrawl.protocol.exchange import Caller
from labtrawl.protocol.messages import Envelope, Record
from labtrawl.store import accounts, areas, jobs, leases, ledger, manifest
from labtrawl.store.engine import Connection, Store, database_path, open_store
from labtrawl.store.migrate import migrate

RETRY = RetryPolicy(attempts=3, base_seconds=0.0, ceiling_seconds=0.0)
PROJECT = 7


class Pages:
    """A GitLab with one list, in pages."""

    def __init__(self, rows: int, size: int) -> None:
        self.rows = [{"id": number, "iid": number, "title": "ü" * 40} for number in range(rows)]
        self._size = size

    async def get(self, path_and_query: str, _headers: dict[str, str]) -> Answer:
        page = int(path_and_query.rpartition("page=")[2]) if "&page=" in path_and_query else 1
        start = (page - 1) * self._size
        headers = {"content-type": "application/json", "x-total": str(len(self.rows))}
        if start + self._size < len(self.rows):
            headers["x-next-page"] = str(page + 1)
        rows = self.rows[start : start + self._size]
        return Answer(200, headers, json.dumps(rows).encode(), path_and_query)


class Crash(BaseException):
    """The crawler's process ends here."""


@dataclass(slots=True)
class Sim:
    """One project with one list of issues, and a website that can be asked."""

    data_dir: Path
    store: Store
    desk: Desk
    pages: Pages
    # So far are the clocks of crawlers ahead of the website's.
    ahead: timedelta = timedelta()
    sent: list[Envelope] = field(default_factory=list)
    numbers: int = 0

    async def claim(self, holder: str) -> leases.ClaimedJob:
        """Lease the job to a crawler; the one before it is known to be dead."""
        await self.store.write(lambda c: leases.rescue_holder(c, holder, RETRY))
        self.numbers += 1
        claim_id = f"claim-{self.numbers}"
        return (await self.store.write(lambda c: leases.claim(c, holder, claim_id, 1, 60)))[0]

    async def send(self, holder: str, key: str, payload: Record) -> dict[str, Any]:
        """Deliver an event as a door would, and return what was answered."""
        self.numbers += 1
        envelope = Envelope(
            origin=holder,
            type="message",
            key=key,
            id=f"{self.numbers:026d}",
            payload=msgspec.Raw(msgspec.json.encode(payload)),
        )
        self.sent.append(envelope)
        return await self.deliver(holder, envelope)

    async def deliver(self, holder: str, envelope: Envelope) -> dict[str, Any]:
        """Deliver a message, for the first time or again."""
        reply = await HANDLERS[envelope.key](self.desk, Caller(holder), envelope)
        answer: dict[str, Any] = msgspec.json.decode(reply.payload) if reply else {}
        return answer

    async def ask(self, type_: str, key: str, payload: Record, _seconds: float) -> Envelope:
        """Ask the website as a crawler does, and return its answer."""
        envelope = Envelope(
            origin="crawler-1",
            type=type_,
            key=key,
            payload=msgspec.Raw(msgspec.json.encode(payload)),
        )
        reply = await HANDLERS[key](self.desk, Caller("crawler-1"), envelope)
        assert reply is not None
        return Envelope(origin="website", type=reply.type, key=reply.key, payload=reply.payload)

    def run(
        self,
        claimed: leases.ClaimedJob,
        disk: Disk,
        before_event: Callable[[], None] = lambda: None,
        limits: SegmentLimits | None = None,
    ) -> JobRun:
        """Build the run of a claimed job; `before_event` may raise `Crash`."""
        holder = "crawler-1"

        async def send_event(
            key: str, payload: Record, _task_id: str
        ) -> asyncio.Future[dict[str, Any]]:
            before_event()
            answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            answer.set_result(await self.send(holder, key, payload))
            return answer

        line = Line(
            str(claimed.job_id), claimed.fence, send_event, lambda *_: None, lambda: self.numbers
        )
        return self._job_run(claimed, disk, line, limits or SegmentLimits(max_bytes=1))

    def _job_run(
        self, claimed: leases.ClaimedJob, disk: Disk, line: Line, limits: SegmentLimits
    ) -> JobRun:
        resource = find("project", "issues")
        assert resource is not None
        ahead, right = self.ahead, system_clock()
        clock = replace(right, now=lambda: right.now() + ahead)
        gitlab = GitLab(cast("Http", self.pages), lambda: Secret("t"), clock, RETRY, lambda: 0.0)
        prefix = SegmentPrefix(
            claimed.instance_id, "project", PROJECT, "issues", claimed.job_id, claimed.fence
        )
        root = dataset_root(self.data_dir)
        return JobRun(
            reader=Reader(gitlab, resource, PROJECT, "19.3.0", (17, 0), _instant(claimed.since)),
            sink=Sink(disk, root, prefix, claimed.next_segment, limits),
            line=line,
            policy="as_is",
            clock=clock,
            checkpoint_seconds=0.0,
            stopping=lambda: False,
            visit=Visit(claimed.mode),
            known=Known(lambda: load(self.ask, str(claimed.job_id), claimed.fence, root)),
            cursor=decode_cursor(claimed.cursor),
        )

    async def state(self) -> str:
        """Return the state of the job."""
        return await self.store.read(
            lambda c: str(c.exec_driver_sql("SELECT state FROM job").scalar_one())
        )

    async def collected(self) -> list[int | str]:
        """Read every committed segment back; raises where one is torn or missing."""
        rows = await self.store.read(manifest.segments)
        root = dataset_root(self.data_dir)
        return [record.id for row in rows for record in read_segment(root, row)]

    async def everything(self) -> list[list[tuple[Any, ...]]]:
        """Return the rows of all tables that a message can change."""

        def dump(connection: Connection) -> list[list[tuple[Any, ...]]]:
            return [
                [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").all()]
                for table in ("job", "segment", "ledger", "area", "area_access")
            ]

        return await self.store.read(dump)


def _instant(since: int | None) -> datetime | None:
    return None if since is None else datetime.fromtimestamp(since / 1000, UTC)


@contextlib.asynccontextmanager
async def sim(data_dir: Path, rows: int = 12, page: int = 3) -> AsyncIterator[Sim]:
    """Open a database with one queued job over a list of `rows` issues."""
    migrate(database_path(data_dir))
    dataset_root(data_dir).mkdir(parents=True)
    async with open_store(database_path(data_dir)) as store:
        credentials = Credentials(store, lambda stored: Secret(stored.encrypted))
        desk = Desk(store, credentials, RETRY, 60.0, system_clock(), lambda: 0.0)
        await store.write(plant_job)
        yield Sim(data_dir, store, desk, Pages(rows, page))


def plant_job(connection: Connection) -> int:
    """Record an account that sees one project, and queue its issues."""
    account = accounts.VerifiedAccount("main", "http://gitlab", "17.0.0", 1, "ann", (), "token")
    instance_id, account_id = accounts.record(connection, account)
    area_id = areas.record(
        connection, instance_id, FoundArea(AreaKind.PROJECT, PROJECT, "lab/ocean", "ocean")
    )
    areas.grant(connection, area_id, account_id, 30)
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, "issues"))
    ledger.open_row(connection, area_id, "issues", job_id)
    return int(job_id or 0)
