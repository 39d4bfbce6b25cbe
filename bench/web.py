"""What the list of jobs takes with a million of them and 200 writes a second beside: `make bench-web`.

The website is served as it is run, over loopback, and asked one request after the other for every
filter in every order that it offers, at its beginning and deep in, as JSON and as a page.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.web_world import fill
from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.domain.credential import Secret
from labtrawl.store.engine import Connection, Database, Store, open_engine, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import create_session
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from tests.integration.website.running import Surroundings, site_of
from tests.rig import postgresql

LIMITS_MS = {"json": 25.0, "html": 60.0}
WRITES = 200
# Paced a little above, so that less than 200 a second is more than a rounding.
PACE = 1.02 * WRITES
DEPTHS = 4
PROGRESS = """
UPDATE job SET processed_items = processed_items + 1, updated_at = updated_at + 1,
  change = (SELECT MAX(change) + 1 FROM job) WHERE id = ?
"""


@dataclass
class Figures:
    """Milliseconds of each answer with what was asked, and of the processor meanwhile.

    The processor's tell on a busy machine too; those who ask and write are in the same process.
    """

    spent: list[tuple[float, str]] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Return the time that this share of the answers kept within."""
        ordered = sorted(ms for ms, _ in self.spent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def told(self) -> dict[str, object]:
        """Return them for people."""
        return {
            "requests": len(self.spent),
            **{name: round(self.at(share), 1) for name, share in (("p50", 0.5), ("p99", 0.99))},
            "max": round(self.at(1.0), 1),
            "processor_p50": round(statistics.median(self.worked), 1),
            "processor_p99": round(sorted(self.worked)[int(0.99 * len(self.worked))], 1),
            "slowest": [[round(ms, 1), what] for ms, what in sorted(self.spent)[-5:]],
        }


def queries() -> Iterator[str]:
    """Yield every filter with one part or two, in each order that there may be for it."""
    parts = (
        *(f"state={state}" for state in ("queued", "running", "held", "completed", "failed")),
        *("resource=resource_3", "area=team-39%2F", "area=project", "kind=group", "account=7"),
        *("hold=disk", "error=tier"),
    )
    orders = ("", "sort=changed", "sort=priority", "sort=duration")
    for pair in itertools.chain(
        [()], ((part,) for part in parts), itertools.combinations(parts, 2)
    ):
        names = [part.split("=")[0] for part in pair]
        if len(set(names)) == len(names):
            yield from ("&".join(filter(None, (*pair, order))) for order in orders)


class Asker:
    """One connection that stays open, as a browser's does."""

    def __init__(self, url: str, cookie: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")
        self._cookie = cookie

    async def __aenter__(self) -> "Asker":
        self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, path: str) -> tuple[float, str]:
        """Return how long the answer took, in ms, and what it says."""
        asked = f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nCookie: {self._cookie}\r\n\r\n"
        started = time.perf_counter()
        self._writer.write(asked.encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        body = await self._reader.readexactly(length)
        spent = (time.perf_counter() - started) * 1000
        if " 200 " not in head.split("\r\n")[0]:
            raise SystemExit(f"{path}: {head.splitlines()[0]} {body[:300]!r}")
        return spent, body.decode()


def following(kind: str, body: str) -> str | None:
    """Return the address of the next page."""
    if kind == "json":
        found: str | None = json.loads(body)["pages"]["next"]
        return found
    link = re.search(r'id="page-next"[^>]* href="([^"]+)"', body)
    return link[1].replace("&amp;", "&") if link else None


async def measure(url: str, cookie: str, kind: str, rounds: int) -> Figures:
    """Ask for every filter, some pages deep, in an order of its own for each round."""
    figures = Figures()
    prefix = "/api/v1/jobs" if kind == "json" else "/jobs"
    async with Asker(url, cookie) as asker:
        for number in range(rounds + 1):
            asked = list(queries())
            random.Random(number).shuffle(asked)
            for query in asked:
                path: str | None = f"{prefix}?{query}"
                for _ in range(DEPTHS):
                    if path is None:
                        break
                    before = time.process_time()
                    spent, body = await asker.get(path)
                    worked = (time.process_time() - before) * 1000
                    if number:  # the first round fills the caches, as any first minute does
                        figures.spent.append((spent, path))
                        figures.worked.append(worked)
                    path = following(kind, body)
    return figures


@dataclass
class Beside:
    """What was written beside."""

    writes: int = 0
    began_at: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Writes a second until now."""
        return self.writes / (time.monotonic() - self.began_at)


async def write_beside(store: Store, total: int, beside: Beside) -> None:
    """Write as crawlers do, 200 a second, until cancelled."""
    rng = random.Random(5)
    due = time.monotonic()
    while True:
        job_id = rng.randrange(1, total)
        await store.write(lambda c, n=job_id: c.exec_driver_sql(PROGRESS, (n,)))  # type: ignore[misc]
        beside.writes += 1
        due += 1 / PACE
        await asyncio.sleep(max(0.0, due - time.monotonic()))


@contextlib.asynccontextmanager
async def served(database: Database) -> AsyncIterator[tuple[str, str, Store]]:
    """Serve a database; yields its address, a session's cookie, and the store."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with open_store(database) as store:
            token = await store.write(create_session)
            stopping = asyncio.Event()
            site = build(site_of(store, Surroundings(base_url=url)))
            serving = asyncio.create_task(serve(site, sock, stopping))
            yield url, f"labtrawl_{url.rpartition(':')[2]}={token}", store
            stopping.set()
            await serving


async def run(database: Database, total: int, rounds: int) -> dict[str, Any]:
    """Measure one database."""
    async with served(database) as (url, cookie, store):
        beside = Beside()
        writing = asyncio.create_task(write_beside(store, total, beside))
        told: dict[str, Any] = {}
        for kind in LIMITS_MS:
            told[kind] = (await measure(url, cookie, kind, rounds)).told()
        told["writes"], told["writes_a_second"] = beside.writes, round(beside.rate, 1)
        if not writing.cancel():
            # It goes on for ever: it has ended by an error, which is raised here.
            await writing
        await asyncio.gather(writing, return_exceptions=True)
    return told


def prepare(database: Database, total: int) -> None:
    """Fill a new database, and let it know its own rows."""
    migrate(database)
    engine = open_engine(database, read_only=False)

    def work(connection: Connection) -> None:
        fill(connection, total)
        if not isinstance(database, Path):
            connection.exec_driver_sql("ANALYZE")

    with engine.connect() as connection, connection.begin():
        work(connection)
    engine.dispose()


def main() -> None:
    """Measure, tell, and fail where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--on", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    # Each answer is logged: here into nothing, as a supervisor's pipe takes it.
    logs.set_up(Logs(level="error"))
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("sqlite", "postgresql") if options.on == "both" else (options.on,):
            database: Path | Secret = Path(folder) / "jobs.sqlite"
            if name == "postgresql":
                database = postgresql.server().fresh("template0")
            prepare(database, options.jobs)
            found[name] = asyncio.run(run(database, options.jobs, options.rounds))
    postgresql.stop()
    for name, told in found.items():
        print(f"{name}: {_summary(told)}")
    print(json.dumps(found, indent=1))
    faults = [f"{name} {fault}" for name, told in found.items() for fault in _faults(told)]
    print(f"web: {'; '.join(f'{name} {_summary(told)}' for name, told in found.items())}", end=": ")
    print(f"FAILED ({', '.join(faults)})" if faults else "all limits kept", flush=True)
    sys.exit(bool(faults))


def _summary(told: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{kind} p99 {told[kind]['p99']} ms (limit {most:g})" for kind, most in LIMITS_MS.items()
    )
    return f"{figures}, {told['writes_a_second']} writes/s beside"


def _faults(told: dict[str, Any]) -> list[str]:
    slow = [
        f"{kind} over the limit" for kind, most in LIMITS_MS.items() if told[kind]["p99"] > most
    ]
    return slow if told["writes_a_second"] >= WRITES else [*slow, f"below {WRITES} writes/s"]


if __name__ == "__main__":
    main()
