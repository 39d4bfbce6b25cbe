"""Two participants of one GitLab, what each of them sees, and records that are really stored."""

import contextlib
import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import SegmentPrefix, dataset_root
from labtrawl.dataset.policy import FetchedRecord, apply_all
from labtrawl.dataset.sink import SegmentLimits, Sink
from labtrawl.domain.area import AreaKind
from labtrawl.domain.failure import GapReason
from labtrawl.store import areas, jobs, ledger, manifest, people
from labtrawl.store.sessions import Role, create_session
from tests.integration.website import world
from tests.integration.website.running import RunningSite

# So small that a segment has several frames.
LIMITS = SegmentLimits(max_bytes=4000, max_seconds=1e9, min_free_bytes=0)
OLD, NEW = "2026-03-04T05:06:07.000Z", "2026-03-05T05:06:07.000Z"
HOSTILE = '<script>alert(1)</script> \u202egnp.exe =HYPERLINK("x")\x07'
GROUP, SHARED, OWN, THEIRS = 1, 2, 3, 4


@dataclass(frozen=True)
class Own:
    """Ids of what was planted: accounts and cookies of A and B, areas by what they are."""

    site: RunningSite
    accounts: Mapping[str, int]
    cookies: dict[str, str]
    areas: Mapping[str, int]

    def ask(
        self, who: str, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask as somebody; status, headers by small names, body."""
        parts = urlsplit(self.site.url)
        sent = {"Cookie": self.cookies[who], "Sec-Fetch-Site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=20)) as asked:
            asked.request(method, path, body, sent)
            reply = asked.getresponse()
            named = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, named, reply.read()

    def page(self, who: str, path: str) -> str:
        status, _, body = self.ask(who, "GET", path)
        assert status == 200, (path, status, body[:300])
        return body.decode()

    def told(self, who: str, path: str) -> Any:
        status, _, body = self.ask(who, "GET", f"/api/v1{path}")
        assert status == 200, (path, status, body[:300])
        return json.loads(body)

    def status(self, who: str, method: str, path: str, body: str = "") -> int:
        return self.ask(who, method, path, body)[0]


def records(numbers: Sequence[int], *, at: str = OLD, kind: str = "issue") -> list[FetchedRecord]:
    return [
        record({"id": number, "title": f"Title {number}"}, at=at, kind=kind) for number in numbers
    ]


def record(
    body: dict[str, Any], *, at: str = OLD, kind: str = "issue", state: str = "present"
) -> FetchedRecord:
    text = json.dumps(body if state == "present" else {}, ensure_ascii=False)
    return FetchedRecord(
        body["id"],
        kind,
        at,
        "projects/1/issues?a=1&b=2",
        "ab" * 32,
        "19.3.0",
        msgspec.Raw(text.encode()),
        state,
    )


def store(
    connection: Connection,
    data_dir: Path,
    area_id: int,
    resource: str,
    parts: Sequence[Sequence[FetchedRecord]],
) -> int:
    """Store each part as a segment of a list that was read to its end; return its job."""
    found = connection.exec_driver_sql(
        "SELECT instance_id, kind, gitlab_id FROM area WHERE id = ?", (area_id,)
    ).one()
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, resource))
    assert job_id is not None
    ledger.open_row(connection, area_id, resource, job_id)
    place = SegmentPrefix(found[0], found[1], found[2], resource, job_id, 1)
    sink = Sink(LocalDisk(), dataset_root(data_dir), place, 1, LIMITS, monotonic=lambda: 0.0)
    count = 0
    for part in parts:
        sink.write(apply_all("as_is", resource, part))
        closed = sink.close_segment()
        assert closed is not None
        new = manifest.ClosedSegment(closed.name, closed.length, closed.sha256, closed.records)
        manifest.commit(connection, job_id, 1, [new])
        count += closed.records
    ledger.count(connection, area_id, resource, count)
    ledger.close_row(connection, area_id, resource, ledger.Entry(count, "x-total"))
    connection.exec_driver_sql(
        "UPDATE job SET state = 'completed', started_at = created_at, finished_at = updated_at"
        " WHERE id = ?",
        (job_id,),
    )
    return job_id


def _areas(connection: Connection, accounts: Mapping[str, int], instance_id: int) -> dict[str, int]:
    made = {
        "group": (AreaKind.GROUP, GROUP, "kelp", {"A": 50, "B": 50}),
        "shared": (AreaKind.PROJECT, SHARED, "kelp/labs", {"A": 40, "B": 20}),
        "own": (AreaKind.PROJECT, OWN, "kelp/labs-of-a", {"A": 40}),
        "theirs": (AreaKind.PROJECT, THEIRS, "reef/of-b", {"B": 40}),
    }
    found = {}
    for name, (kind, number, path, roles) in made.items():
        found[name] = areas.record(connection, instance_id, world.found(kind, number, path))
        for who, role in roles.items():
            areas.grant(connection, found[name], accounts[who], role)
    return found


def plant(site: RunningSite) -> Own:
    """Make the two, their areas and their records."""
    data_dir = site.around.data_dir

    def work(connection: Connection) -> tuple[dict[str, int], dict[str, str], dict[str, int]]:
        persons = {
            who: world.participant(connection, number) for who, number in (("A", 101), ("B", 102))
        }
        rows = connection.exec_driver_sql(
            "SELECT id, instance_id FROM account ORDER BY gitlab_user_id"
        ).all()
        accounts = dict(zip("AB", (row[0] for row in rows), strict=True))
        found = _areas(connection, accounts, rows[0][1])
        store(
            connection,
            data_dir,
            found["group"],
            "labels",
            [[record({"id": 7, "name": HOSTILE}, kind="label")]],
        )
        issues = [records(range(1, 101)), records(range(101, 141)), records([3], at=NEW)]
        issues[2].append(record({"id": 5}, at=NEW, state="gone"))
        store(connection, data_dir, found["shared"], "issues", issues)
        store(connection, data_dir, found["own"], "issues", [records(range(201, 204))])
        store(connection, data_dir, found["theirs"], "issues", [records(range(301, 303))])
        ledger.open_row(connection, found["own"], "pipelines", None)
        ledger.explain(
            connection,
            found["own"],
            "pipelines",
            ledger.Entry(reason=GapReason.FORBIDDEN, detail="403"),
        )
        port = urlsplit(site.url).port
        cookies = {
            who: f"labtrawl_{port}={create_session(connection, Role.PARTICIPANT, person)}"
            for who, person in persons.items()
        }
        cookies["O"] = f"labtrawl_{port}={create_session(connection, Role.OPERATOR)}"
        nobody = people.Identified("main", "http://g", 103, "user103")
        person = people.record(connection, nobody)
        cookies["N"] = f"labtrawl_{port}={create_session(connection, Role.PARTICIPANT, person)}"
        return accounts, cookies, found

    return Own(site, *site.write(work))
