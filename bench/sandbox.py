"""How fast the sandbox serves, and what its worlds cost: whether a crawl's figure is the crawler's.

    .venv/bin/python -m bench.sandbox [--seconds 5] [--connections 16] [--worlds w1,w2,w3,w3n]

*Pages*: one project of 20,000 issues (``w1``), its list read round and round over loopback, 100
issues a page (some 290 kB) and one; by wrk (Debian's package of that name) where it is installed,
else by a client of our own, which is the slower of the two ends. *Worlds*: seconds to make each,
the memory of a process that serves it with all rows written, and what 1 % of churn costs: the
change, and the lists of all projects read again after it. Load before a run is printed: compare only
figures of like load.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

_PAGES = 200
_LUA = """
local n = 0
request = function()
  n = n % {pages} + 1
  return wrk.format("GET", "{path}&page=" .. n)
end
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox in a process of its own."""

    url: str
    token: str
    pid: int

    def get(self, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        """The decoded answer of one request."""
        asked = urllib.request.Request(
            f"{self.url}/{path}", data=body, method=method, headers={"Private-Token": self.token}
        )
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def megabytes(self) -> int:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) // 1024


@contextlib.contextmanager
def sandbox(world: str, *flags: str) -> Iterator[Place]:
    """A sandbox that serves a world."""
    command = [sys.executable, "-m", "labtrawl.sandbox", "--world", world, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            url = process.stdout.readline().strip().removeprefix("listening on ")
            yield Place(url, process.stdout.readline().strip(), process.pid)
        finally:
            process.terminate()


class Reader(asyncio.Protocol):
    """One connection of our own client: asks for page after page and counts what comes."""

    def __init__(self, asked: bytes, pages: int, start: int) -> None:
        self.answers = self.bytes = 0
        self._asked, self._pages, self._page = asked, pages, start
        self._head, self._left = b"", 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first page."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self._page = self._page % self._pages + 1
        self._transport.write(self._asked % self._page)

    def data_received(self, data: bytes) -> None:
        """Count; at the end of an answer ask for the next."""
        self.bytes += len(data)
        if not self._left:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            found = re.search(rb"content-length: (\d+)", head)
            assert found
            self._left, data, self._head = int(found[1]), rest, b""
        self._left -= len(data)
        if not self._left:
            self.answers += 1
            self._ask()


async def read_round(place: Place, path: str, connections: int, seconds: float) -> list[float]:
    """Pages and megabytes a second by our own client."""
    loop = asyncio.get_running_loop()
    host, port = place.url.removeprefix("http://").split(":")
    asked = f"GET {path}&page=%d HTTP/1.1\r\nHost: {host}\r\nPrivate-Token: {place.token}\r\n\r\n"
    ends = [
        await loop.create_connection(
            partial(Reader, asked.encode(), _PAGES, index * 7), host, int(port)
        )
        for index in range(connections)
    ]
    before = [(reader.answers, reader.bytes) for _, reader in ends]
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    answers = sum(reader.answers for _, reader in ends) - sum(row[0] for row in before)
    read = sum(reader.bytes for _, reader in ends) - sum(row[1] for row in before)
    for transport, _ in ends:
        transport.abort()
    return [answers / took, read / took / 1e6]


def wrk(place: Place, path: str, connections: int, seconds: float) -> list[float]:
    """Pages and megabytes a second by wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA.format(pages=_PAGES, path=path))
        script.flush()
        command = [
            *("wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}", "-s", script.name),
            *("-H", f"Private-Token: {place.token}", place.url),
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        raise SystemExit(f"answers were no pages:\n{told}")
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", told)[0])
    size, unit = re.findall(r"Transfer/sec:\s+([\d.]+)(\w+)", told)[0]
    return [rate, float(size) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit] / 1e6]


def load(place: Place, path: str, connections: int, seconds: float) -> list[float]:
    """Pages and megabytes a second, after one round that fills the server's memory."""
    for page in range(1, _PAGES + 1):
        place.get(f"{path.lstrip('/')}&page={page}")
    if shutil.which("wrk"):
        return wrk(place, path, connections, seconds)
    return uvloop.run(read_round(place, path, connections, seconds))


def pages(connections: int, seconds: float) -> None:
    """The table of pages."""
    print(f"\npages of w1, {connections} connections, by {'wrk' if shutil.which('wrk') else 'us'}")
    print(f"{'page':<26}{'latency':>10}{'pages/s':>10}{'MB/s':>8}{'load':>7}")
    for latency_ms in (0, 50):
        with sandbox("w1", "--prepared", "--latency-ms", str(latency_ms)) as place:
            project = place.get("api/v4/projects?per_page=1")[0]["id"]
            # With a wait the number of connections decides; so many fill the server again.
            lines = connections if not latency_ms else connections * 32
            for rows in (100, 1):
                path = f"/api/v4/projects/{project}/issues?per_page={rows}"
                rate, megabytes = load(place, path, lines, seconds)
                what = f"{rows} issue{'s' * (rows > 1)}, {lines} lines"
                print(
                    f"{what:<26}{latency_ms:>7} ms{rate:>10,.0f}{megabytes:>8,.0f}"
                    f"{os.getloadavg()[0]:>7.1f}"
                )


_LISTS = ("issues", "merge_requests", "labels", "milestones", "members")


def read_lists(place: Place) -> int:
    """Read five lists of every project to their first page; how many answers."""
    numbers = []
    for page in range(1, 1000):
        found = place.get(f"api/v4/projects?membership=true&simple=true&per_page=100&page={page}")
        numbers += [row["id"] for row in found]
        if len(found) < 100:
            break
    for number in numbers:
        for name in _LISTS:
            place.get(f"api/v4/projects/{number}/{name}?per_page=100")
    return len(numbers) * len(_LISTS)


def worlds(names: list[str]) -> None:
    """The table of worlds."""
    print("\nworlds (seconds; the lists are five of each project, first pages, one caller)")
    columns = ("ready", "MB", "lists", "again", "1 % churn", "lists after", "load")
    print(f"{'world':<10}" + "".join(f"{name:>12}" for name in columns))
    for name in names:
        began = time.monotonic()
        with sandbox(name, "--prepared") as place:
            cells = [time.monotonic() - began, float(place.megabytes())]
            for step in ("lists", "lists", "churn", "lists"):
                began = time.monotonic()
                if step == "lists":
                    read_lists(place)
                else:
                    body = b'[{"kind": "churn", "share": 0.01}]'
                    place.get("-/sandbox/changes", "POST", body)
                cells.append(time.monotonic() - began)
            cells.append(os.getloadavg()[0])
        print(f"{name:<10}" + "".join(f"{cell:>12,.2f}" for cell in cells))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--worlds", default="w1,w2,w3,w3n")
    chosen = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    pages(chosen.connections, chosen.seconds)
    worlds([name for name in chosen.worlds.split(",") if name])


if __name__ == "__main__":
    main()
