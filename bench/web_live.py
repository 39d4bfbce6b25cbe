"""How soon a committed change is on a page, and what 100 viewers cost: `python -m bench.web_live`.

The website is served as it is run, in a process of its own that also writes, as crawlers' reports
are written there. First a real browser has the list of jobs open at 1,000 changes a second: a row
shows the number of its change, and the time until it does is counted from the commit. Then 100
viewers of that list, each with 50 rows on the screen, at 100 changes a second: the processor's time
of the website with them and without.
"""

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from playwright.sync_api import Page, sync_playwright

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.store import jobs
from labtrawl.store.engine import Connection, Store, open_store
from labtrawl.store.migrate import migrate
from labtrawl.store.sessions import create_session
from labtrawl.website.app import build
from labtrawl.website.serve import serve
from tests.integration.website import world
from tests.integration.website.running import Surroundings, site_of

LIMITS = {"p50_ms": 100.0, "p99_ms": 300.0, "share": 0.20}
ROWS = 50
BEAT_SECONDS = 0.01
SERVED = [sys.executable, "-m", "bench.web_live", "--serve"]
# Each number that comes to stand in a row, with the instant (ms).
OBSERVE = """() => {
  window.seen = new Map();
  const rows = document.querySelector('tbody');
  new MutationObserver(() => {
    const now = Date.now();
    for (const each of rows.querySelectorAll('.of')) {
      const number = Number(each.textContent.split('/')[0].replace(/[^0-9]/g, ''));
      if (number && !window.seen.has(number)) window.seen.set(number, now);
    }
  }).observe(rows, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


# ---------------------------------------------------------------- the website


def running_jobs(connection: Connection) -> list[int]:
    """Plan a crawl and have as many jobs running as a page shows; their numbers."""
    world.build(connection, projects=20)
    running = connection.exec_driver_sql("SELECT id FROM job WHERE state = 'running'").scalars()
    left = ROWS - len(running.all())
    connection.exec_driver_sql("UPDATE job SET run_after = NULL WHERE state = 'queued'")
    world.start(connection, left, "crawler-9")
    found = connection.exec_driver_sql("SELECT id FROM job WHERE state = 'running'").scalars()
    return [int(each) for each in found.all()][:ROWS]


async def write(store: Store, ids: Sequence[int], each_second: int, over: asyncio.Event) -> Any:
    """Commit so many changes a second until told; (number, instant of the commit in ms) of each."""
    commits: list[tuple[int, float]] = []
    began, number = time.monotonic(), 1_000_000

    async def change(which: int) -> None:
        job_id = ids[which % len(ids)]
        report = jobs.Progress(which, 9_000_000)
        await store.write(partial(jobs.progress, job_id=job_id, report=report))
        commits.append((which, time.time() * 1000))

    async with asyncio.TaskGroup() as tasks:
        while not over.is_set():
            due = 1_000_000 + int((time.monotonic() - began) * each_second)
            for which in range(number, due):
                tasks.create_task(change(which))
            number = max(number, due)
            await asyncio.sleep(BEAT_SECONDS)
    return commits


async def serving(folder: Path) -> None:
    """Serve; for a line with a number write so often, at the next line say what it took."""
    path = folder / "labtrawl.db"
    migrate(path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with open_store(path) as store:
            ids = await store.write(running_jobs)
            cookie = f"labtrawl_{urlsplit(url).port}={await store.write(create_session)}"
            around = Surroundings(base_url=url, data_dir=folder)
            stopping = asyncio.Event()
            served = asyncio.create_task(serve(build(site_of(store, around)), sock, stopping))
            say({"url": url, "cookie": cookie, "ids": ids})
            while each_second := int(await asyncio.to_thread(sys.stdin.readline) or 0):
                over = asyncio.Event()
                before, began = time.process_time(), time.monotonic()
                writing = asyncio.create_task(write(store, ids, each_second, over))
                await asyncio.to_thread(sys.stdin.readline)
                spent = (time.process_time() - before) / (time.monotonic() - began)
                over.set()
                say({"share": spent, "commits": await writing})
            stopping.set()
            await served


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


class Site:
    """The website in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [*SERVED, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.known = self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def begin(self, each_second: int) -> None:
        self._tell(str(each_second))

    def end(self) -> dict[str, Any]:
        self._tell("enough")
        return self._heard()

    def close(self) -> None:
        self._tell("0")
        self._process.wait(20)


# ---------------------------------------------------------------- those who look


def soon(site: Site, seconds: float) -> dict[str, float]:
    """How long a change takes to a real page, at 1,000 a second."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context()
        name, value = site.known["cookie"].split("=", 1)
        context.add_cookies([{"name": name, "value": value, "url": site.known["url"]}])
        page = context.new_page()
        page.goto(f"{site.known['url']}/jobs?state=running")
        page.locator("#live-state.on").wait_for()
        seen, commits = observed(page, site, seconds)
        browser.close()
    spent = sorted(max(0.0, at - commits[number]) for number, at in seen if number in commits)
    quantiles = statistics.quantiles(spent, n=100)
    return {"changes seen": len(spent), "p50_ms": quantiles[49], "p99_ms": quantiles[98]}


def observed(page: Page, site: Site, seconds: float) -> tuple[list[Any], dict[int, float]]:
    page.evaluate(OBSERVE)
    site.begin(1000)
    page.wait_for_timeout(seconds * 1000)
    commits = dict(site.end()["commits"])
    return page.evaluate("[...window.seen]"), commits


async def look_on(known: dict[str, Any], number: int) -> None:
    """One viewer: reads its stream and forgets it."""
    parts = urlsplit(known["url"])
    rows = ",".join(map(str, known["ids"]))
    path = f"/streams?watch={number}~~/live%3Fview=jobs%26state=running%26first=1%26ids={rows}"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {known['cookie']}\r\n\r\n".encode()
    )
    first = await reader.readline()
    assert b" 200 " in first, first
    while await reader.read(1 << 20):
        pass


async def share(site: Site, viewers: int, seconds: float) -> float:
    """The share of a core that the website takes at 100 changes a second."""
    looking = [asyncio.create_task(look_on(site.known, number)) for number in range(viewers)]
    await asyncio.sleep(2)
    assert not [each for each in looking if each.done()]
    await asyncio.to_thread(site.begin, 100)
    await asyncio.sleep(seconds)
    spent: float = (await asyncio.to_thread(site.end))["share"]
    for each in looking:
        each.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    return spent


def main() -> None:
    """Measure and tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", type=Path)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--viewers", type=int, default=100)
    given = options.parse_args()
    logs.set_up(Logs(level="error"))
    if given.serve:
        uvloop.run(serving(given.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        told = soon(site, given.seconds)
        alone = asyncio.run(share(site, 0, given.seconds))
        watched = asyncio.run(share(site, given.viewers, given.seconds))
        site.close()
    told |= {"share": watched - alone, "share with viewers": watched, "without": alone}
    for name, value in told.items():
        limit = LIMITS.get(name)
        print(f"{name:20} {value:10.3f}" + (f"   at most {limit}" if limit else ""))
    if any(told[name] > limit for name, limit in LIMITS.items()):
        sys.exit("slower or dearer than promised")


if __name__ == "__main__":
    main()
