"""The website of `bench/web.py`, and the crawler that reports to it: a process of its own each.

As in production: the website's process serves the pages, takes the reports that come over its
socket, and is the one that writes; the crawler's process sends them, an event each, as a list's
pages are committed, and waits for no answer before the next.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from starlette.types import Message, Receive, Scope, Send

from labtrawl import logs
from labtrawl.cli.allocator import share_arenas
from labtrawl.config import Logs
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.domain.credential import Secret
from labtrawl.protocol import messages as wire
from labtrawl.store.engine import Database, Store, open_store
from labtrawl.store.sessions import create_session
from labtrawl.website.app import Website, build
from labtrawl.website.serve import serve
from tests.integration.protocol.wire import Website as Dispatch
from tests.integration.protocol.wire import crawler
from tests.integration.website.running import Surroundings, site_of

CRAWLER, TOKEN = "crawler-1", "token-of-the-bench"
# Paced a little above, so that less than 200 a second is more than a rounding.
PACE = 204
RUNNING = """
SELECT j.id, 'i1/' || a.kind || '-' || a.gitlab_id || '/' || j.resource
FROM job AS j JOIN area AS a ON a.id = j.area_id WHERE j.state = 'running' ORDER BY j.id
"""
# A job, and the folder of its segments.
Work = tuple[int, str]


# ---------------------------------------------------------------- the website


@dataclass
class Timed:
    """The website, and for how long (ms) it had each request of the list of jobs in hand."""

    website: Website
    spent: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                kind = "json" if scope["path"].startswith("/api") else "html"
                self.spent[kind].append((time.perf_counter() - began) * 1000)

        await self.website(scope, receive, sending)

    def stop_streams(self) -> None:
        self.website.stop_streams()


def listening(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def reported_to(store: Store, folder: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Take reports over a socket; yields the process of the crawler that will send them."""
    path = Path(folder) / "api.sock"
    with listening(socket.AF_UNIX, str(path)) as held:
        dispatch = Dispatch(path, held, store, flood=FloodLimits(1e9))
        async with dispatch.serving():
            work = await store.read(lambda c: c.exec_driver_sql(RUNNING).all())
            told = [sys.executable, "-m", "bench.web_site", "--crawl", str(path)]
            pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            process = await asyncio.create_subprocess_exec(*told, **pipes)  # type: ignore[arg-type]
            dispatch.announce(CRAWLER, TOKEN, process.pid)
            assert process.stdin is not None
            process.stdin.write(json.dumps([tuple(each) for each in work]).encode() + b"\n")
            yield process
            await process.wait()


async def serving(database: Database) -> None:
    """Serve until the end of standard input; tell where, then at each line what it took till then."""
    with (
        tempfile.TemporaryDirectory() as folder,
        listening(socket.AF_INET, ("127.0.0.1", 0)) as web,
    ):
        url = f"http://127.0.0.1:{web.getsockname()[1]}"
        async with open_store(database) as store, reported_to(store, folder) as crawling:
            cookie = f"labtrawl_{url.rpartition(':')[2]}={await store.write(create_session)}"
            site = Timed(build(site_of(store, Surroundings(base_url=url))))
            stopping = asyncio.Event()
            served = asyncio.create_task(serve(site, web, stopping))  # type: ignore[arg-type]
            assert crawling.stdin is not None
            assert crawling.stdout is not None
            await crawling.stdout.readline()
            say({"url": url, "cookie": cookie, "pid": os.getpid()})
            while await asyncio.to_thread(sys.stdin.readline):
                crawling.stdin.write(b"\n")
                writes = json.loads(await crawling.stdout.readline())
                say({"writes": writes, "processor": time.process_time(), "spent": dict(site.spent)})
                site.spent.clear()
            crawling.stdin.close()
            stopping.set()
            await served


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


# ---------------------------------------------------------------- the crawler


@dataclass
class Reports:
    """How many reports were made durable."""

    answered: int = 0


def event(work: Work, number: int) -> wire.ProgressUpdate:
    """One page of a list that was written: a segment, and the cursor behind it."""
    job_id, folder = work
    segment = wire.SegmentReport(
        name=f"{folder}/j{job_id}-f1-{number:06d}.jsonl.zst",
        length=1 << 20,
        sha256="0" * 64,
        records=100,
    )
    return wire.ProgressUpdate(
        task_id=str(job_id),
        epoch=1,
        status="processing",
        timestamp=time.time_ns() // 1_000_000,
        processed_items=100 * number,
        total_items=1_000_000,
        cursor=f'{{"items":{100 * number}}}',
        stage=f"page {number}",
        segments=[segment],
    )


async def report(client: Any, work: list[Work], reports: Reports) -> None:
    """Send an event for one job after the other, `PACE` a second, whatever the answers take."""

    async def one(number: int) -> None:
        update = event(work[number % len(work)], 1 + number // len(work))
        await (await client.send_event("PROGRESS_UPDATE", update, update.task_id))
        reports.answered += 1

    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        number = 0
        while True:
            tasks.create_task(one(number))
            number += 1
            due = began + number / PACE
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def crawl(path: Path) -> None:
    """Report until the end of standard input; tell the number of durable ones at each line."""
    work = json.loads(await asyncio.to_thread(sys.stdin.readline))
    held = [wire.Holding(task_id=str(job_id), epoch=1) for job_id, _ in work]
    client, reports = crawler(path, CRAWLER, TOKEN, lambda: held), Reports()
    async with client.running():
        reporting = asyncio.create_task(report(client, work, reports))
        say({})
        while await asyncio.to_thread(sys.stdin.readline):
            if reporting.done():
                await reporting
            print(reports.answered, flush=True)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def main() -> None:
    """Be one of the two."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--crawl", type=Path)
    options.add_argument("--sqlite", type=Path)
    given = options.parse_args()
    logs.set_up(Logs())
    share_arenas()
    gc.freeze()
    if given.crawl:
        uvloop.run(crawl(given.crawl))
    else:
        uvloop.run(serving(given.sqlite or Secret(sys.stdin.readline().strip())))


if __name__ == "__main__":
    main()
