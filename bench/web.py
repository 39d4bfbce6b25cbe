"""What the list of jobs takes with a million of them and 200 writes a second beside: `make bench-web`.

Three processes, as in production: the website's, a crawler that reports to it, and this one, which
asks. It asks one request after the other, over loopback, for every filter in every order that the
list offers, at its beginning and deep in, as JSON and as a page; the limits are for what it waits.
"""

import argparse
import contextlib
import gzip
import http.client
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, cast

import psycopg

from bench.web_world import fill
from labtrawl.store.engine import Database, open_engine
from labtrawl.store.migrate import migrate
from tests.rig import postgresql

LIMITS_MS = {"json": 25.0, "html": 60.0}
WRITES = 200
DEPTHS = 4
COMMITS = 500
# As a browser asks; what is packed is unpacked when the time was taken.
ASKED = "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nAccept-Encoding: gzip\r\n\r\n"


def at(share: float, values: list[float]) -> float:
    """Return what this share of the values is not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@dataclass
class Figures:
    """Milliseconds that each answer was waited for, with what was asked."""

    spent: list[tuple[float, str]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return them for people."""
        waited = [ms for ms, _ in self.spent]
        return {
            "requests": len(waited),
            **{name: round(at(share, waited), 1) for name, share in (("p50", 0.5), ("p99", 0.99))},
            "max": round(max(waited), 1),
            "slowest": [[round(ms, 1), what] for ms, what in sorted(self.spent)[-5:]],
        }


def queries() -> Iterator[str]:
    """Yield every filter with one part or two, in each order that there may be for it."""
    parts = (
        *(f"state={state}" for state in ("queued", "running", "held", "completed", "failed")),
        *("resource=resource_3", "area=team-39%2F", "area=project", "kind=group", "account=7"),
        *("hold=disk", "error=tier", "message=7"),
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
        self._host, self._cookie = url.removeprefix("http://"), cookie
        host, port = self._host.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def get(self, path: str) -> tuple[float, str]:
        """Return how long the answer took, in ms, and what it says."""
        asked = ASKED.format(path=path, host=self._host, cookie=self._cookie).encode()
        began = time.perf_counter()
        self._socket.sendall(asked)
        status, headers = self._file.readline(), http.client.parse_headers(self._file)
        body = self._body(headers)
        spent = (time.perf_counter() - began) * 1000
        if headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        if b" 200 " not in status:
            raise SystemExit(f"{path}: {status!r} {body[:300]!r}")
        return spent, body.decode()

    def _body(self, headers: Message) -> bytes:
        return self._file.read(int(headers["content-length"]))


def following(kind: str, body: str) -> str | None:
    """Return the address of the next page."""
    if kind == "json":
        found: str | None = json.loads(body)["pages"]["next"]
        return found
    link = re.search(r'id="page-next"[^>]* href="([^"]+)"', body)
    return link[1].replace("&amp;", "&") if link else None


def measure(url: str, cookie: str, kind: str, number: int) -> Figures:
    """Ask for every filter, some pages deep, in an order of its own for each round."""
    figures = Figures()
    prefix = "/api/v1/jobs" if kind == "json" else "/jobs"
    asked = list(queries())
    random.Random(number).shuffle(asked)
    with contextlib.closing(Asker(url, cookie)) as asker:
        for query in asked:
            path: str | None = f"{prefix}?{query}"
            for _ in range(DEPTHS):
                if path is None:
                    break
                spent, body = asker.get(path)
                figures.spent.append((spent, path))
                path = following(kind, body)
    return figures


class Site:
    """The website in a process of its own, with a crawler that reports to it."""

    def __init__(self, database: Database) -> None:
        where = ["--sqlite", str(database)] if isinstance(database, Path) else []
        # What it logs is told where it ends.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.web_site", *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        if not isinstance(database, Path):
            self._say(database.reveal())
        known = self._heard()
        self.url, self.cookie = known["url"], known["cookie"]

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit("the website ended:\n" + "".join(self._log.readlines()[-200:]))
        return cast("dict[str, Any]", json.loads(line))

    def _say(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def so_far(self) -> dict[str, Any]:
        """Return what was written and what its processor did until now, and how long answers took
        since it was asked last."""
        self._say()
        return self._heard()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._log.close()


def commits(database: Database) -> dict[str, float]:
    """Milliseconds of a durable commit of one row, with nothing else: what the machine takes itself."""
    engine = open_engine(database, read_only=False)
    spent = []
    for number in range(COMMITS):
        began = time.perf_counter()
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE job SET retries = ? WHERE id = 1", (number,))
        spent.append((time.perf_counter() - began) * 1000)
    engine.dispose()
    return {"p50": round(at(0.5, spent), 1), "p99": round(at(0.99, spent), 1)}


def run(database: Database, rounds: int) -> dict[str, Any]:
    """Measure one database."""
    told: dict[str, Any] = {"commit_alone": commits(database)}
    with contextlib.closing(Site(database)) as site:
        for kind in LIMITS_MS:
            # The first round fills the caches, as any first minute does.
            measure(site.url, site.cookie, kind, 0)
            before, began = site.so_far(), time.monotonic()
            rounds_of = [measure(site.url, site.cookie, kind, 1 + each) for each in range(rounds)]
            after, passed = site.so_far(), time.monotonic() - began
            told[kind] = Figures([one for each in rounds_of for one in each.spent]).told()
            told[kind] |= _served(after["spent"][kind])
            told[kind]["writes_a_second"] = round((after["writes"] - before["writes"]) / passed, 1)
            worked = after["processor"] - before["processor"]
            # Of all that it does: the reports, the looks at the whole crawl.
            told[kind]["website_cores"] = round(worked / passed, 2)
            told[kind]["processor_ms"] = round(1000 * worked / told[kind]["requests"], 1)
            told[kind]["load"] = round(os.getloadavg()[0], 1)
    return told


def _served(spent: list[float]) -> dict[str, float]:
    """Return how long the website had a request in hand, without what the way to it took."""
    return {"served_p50": round(at(0.5, spent), 1), "served_p99": round(at(0.99, spent), 1)}


def prepare(database: Database, total: int) -> None:
    """Fill a new database; PostgreSQL then looks at its rows, as it does by itself after a while."""
    migrate(database)
    engine = open_engine(database, read_only=False)
    with engine.connect() as connection, connection.begin():
        fill(connection, total)
    if not isinstance(database, Path):
        with psycopg.connect(database.reveal(), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    engine.dispose()


def main() -> None:
    """Measure, tell, and fail where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--on", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("sqlite", "postgresql") if options.on == "both" else (options.on,):
            database: Database = Path(folder) / "jobs.sqlite"
            if name == "postgresql":
                database = postgresql.server().fresh("template0")
            prepare(database, options.jobs)
            found[name] = run(database, options.rounds)
    postgresql.stop()
    print(json.dumps(found, indent=1))
    faults = [f"{name} {fault}" for name, told in found.items() for fault in _faults(told)]
    print(f"web: {'; '.join(f'{name} {_summary(told)}' for name, told in found.items())}", end=": ")
    print(f"FAILED ({', '.join(faults)})" if faults else "all limits kept", flush=True)
    sys.exit(bool(faults))


def _summary(told: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{kind} p99 {told[kind]['p99']} ms (limit {most:g}, served {told[kind]['served_p99']},"
        f" {told[kind]['writes_a_second']} writes/s beside, load {told[kind]['load']})"
        for kind, most in LIMITS_MS.items()
    )
    return f"{figures}, a commit alone p99 {told['commit_alone']['p99']} ms"


def _faults(told: dict[str, Any]) -> Iterator[str]:
    for kind, most in LIMITS_MS.items():
        if told[kind]["p99"] > most:
            yield f"{kind} over the limit"
        if told[kind]["writes_a_second"] < WRITES:
            yield f"below {WRITES} writes/s beside {kind}"


if __name__ == "__main__":
    main()
