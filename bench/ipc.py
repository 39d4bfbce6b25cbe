"""What a message between crawler and website costs: ours, aiohttp and gRPC over a Unix socket.

    .venv/bin/python -m bench.ipc [--runs 5]

*State*: a report that only shows something. Envelope, proof of who speaks, ids; effect and
de-duplication in memory, an answer to each. Round trip (one at a time, p50, both ends on one
processor) and rate (64 under way).
*Event*: a checkpoint that is durable before its answer, beside the same rows handed to the same
writer without a socket. Both ends are processes of their own, on uvloop; each run starts all of
them afresh, runs are interleaved, figures are medians. Peers that are not installed
(`requirements/proof.lock`) are left out, and said so.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench.ipc_peers import (
    JOBS,
    TOKEN,
    WINDOW,
    Call,
    Client,
    Serve,
    call_aiohttp,
    call_grpc,
    serve_aiohttp,
    serve_grpc,
    state,
)
from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.dispatch import reports
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.protocol import messages as wire
from labtrawl.protocol.ids import MessageIds
from labtrawl.store import jobs, leases
from tests.integration.protocol.wire import RETRY, crawler, website

TRIPS, STATES, EVENTS = 3000, 12_000, 1000
# Events over the socket and without it take turns: so often a run.
TURNS = 5
SECONDS = 300.0


def event(job: leases.ClaimedJob, number: int) -> wire.ProgressUpdate:
    """A checkpoint: one segment and the cursor behind it."""
    name = f"i1/project-7/{job.resource}/j{job.job_id}-f{job.fence}-{number:06d}.jsonl.zst"
    segment = wire.SegmentReport(name=name, length=8 << 20, sha256="0" * 64, records=100)
    return wire.ProgressUpdate(
        task_id=str(job.job_id),
        epoch=job.fence,
        status="processing",
        timestamp=1_760_000_000_000 + number,
        processed_items=100 * number,
        total_items=100_000,
        cursor=f'{{"items":{100 * number}}}',
        segments=[segment],
    )


# ---------------------------------------------------------------- ours


async def serve_labtrawl(
    folder: Path, run: Callable[[Path], Awaitable[dict[str, float]]]
) -> dict[str, float]:
    # How fast it could go is the question here, not how fast a client may.
    async with website(folder, flood=FloodLimits(1e9)) as site, site.serving():
        await site.plant(JOBS)
        await site.claim("crawler-1", JOBS)
        # Until the client's process is there, nobody knows its number.
        site.auth.announced_within_seconds = SECONDS
        STARTED.append(lambda pid: site.announce("crawler-1", TOKEN, pid))
        return await run(site.path)


STARTED: list[Callable[[int], None]] = []


@contextlib.asynccontextmanager
async def call_labtrawl(path: Path) -> AsyncIterator[Call]:
    held = [wire.Holding(task_id=str(1 + n), epoch=1) for n in range(JOBS)]
    client = crawler(path, token=TOKEN, holding=lambda: held)

    async def call(number: int) -> object:
        update = state(1 + number % JOBS, 1, number)
        return await (await client.send_event("PROGRESS_UPDATE", update, update.task_id))

    async with client.running():
        yield call


async def be_sender(path: str) -> None:
    """Commit so many events at each line on standard input; answer with their rate."""
    held = [wire.Holding(task_id=str(1 + n), epoch=1) for n in range(2 * JOBS)]
    client = crawler(Path(path), token=TOKEN, holding=lambda: held)

    async def call(number: int) -> object:
        update = event(claimed(1 + number % JOBS), 1 + number // JOBS)
        return await (await client.send_event("PROGRESS_UPDATE", update, update.task_id))

    async with client.running():
        for turn in range(TURNS + 1):
            await asyncio.to_thread(sys.stdin.readline)
            print(await rate(call, EVENTS, turn * EVENTS), flush=True)


def claimed(job_id: int) -> leases.ClaimedJob:
    """A job as `plant` made it: only what an event needs of it."""
    return leases.ClaimedJob(
        job_id, 1, 0, f"r{job_id - 1}", 0, 1, None, 1, 0, "project", 7, "", 1, "", "", 1
    )


async def events_in_turns(folder: Path) -> dict[str, float]:
    """Events over the socket, then the same rows by the same functions and writer without it, …"""
    ids = MessageIds(lambda: time.time_ns() // 1_000_000, secrets.randbits)
    delay = reports.Delay(RETRY, 0.0)
    async with website(folder, flood=FloodLimits(1e9)) as site, site.serving():
        await site.plant(2 * JOBS)
        await site.claim("crawler-1", 2 * JOBS)

        async def alone(number: int) -> object:
            job_id = 1 + JOBS + number % JOBS
            update, origin = (
                event(claimed(job_id), 1 + number // JOBS),
                jobs.Origin("crawler-1", ids(), 1),
            )
            return await site.store.write(lambda c: reports.apply(c, job_id, origin, update, delay))

        command = [sys.executable, "-m", "bench.ipc", "--send", str(site.path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(*command, **pipes)
        site.announce("crawler-1", TOKEN, process.pid)
        over, without = [], []
        for turn in range(TURNS + 1):
            process.stdin.write(b"\n")
            over.append(float(await process.stdout.readline()))
            without.append(await rate(alone, EVENTS, turn * EVENTS))
        await process.wait()
    # The first turn is the one in which everything is done for the first time.
    pairs = list(zip(over, without, strict=True))[1:]
    return {
        "event_rate": statistics.median(one for one, _ in pairs),
        "writer_rate": statistics.median(one for _, one in pairs),
        "share": statistics.median(one / other for one, other in pairs),
    }


# ---------------------------------------------------------------- measuring


async def rate(call: Call, count: int, first: int = 0) -> float:
    """Calls a second with so many under way."""
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WINDOW)))
    return count / (time.perf_counter() - began)


async def round_trips(call: Call, count: int) -> float:
    """The median, in microseconds."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        await call(number)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def measure_states(call: Call) -> dict[str, float]:
    await round_trips(call, TRIPS // 10)
    await rate(call, STATES // 10)
    with on_one_processor():
        trip_us = await round_trips(call, TRIPS)
    return {"trip_us": trip_us, "state_rate": await rate(call, STATES)}


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """Put both ends on one: to wake another that sleeps costs the same whatever is sent."""
    ends = (os.getpid(), os.getppid())
    before = os.sched_getaffinity(0)
    for end in ends:
        os.sched_setaffinity(end, {min(before)})
    try:
        yield
    finally:
        for end in ends:
            os.sched_setaffinity(end, before)


KINDS: dict[str, tuple[Serve, Client, Callable[[Call], Awaitable[dict[str, float]]]]] = {
    "labtrawl": (serve_labtrawl, call_labtrawl, measure_states),
    "aiohttp": (serve_aiohttp, call_aiohttp, measure_states),
    "grpc": (serve_grpc, call_grpc, measure_states),
}


async def be_client(kind: str, path: str) -> dict[str, float]:
    _, client, measure = KINDS[kind]
    async with client(Path(path)) as call:
        return await measure(call)


async def be_server(kind: str) -> dict[str, float]:
    """Serve in this process, call from another one."""

    async def run(path: Path) -> dict[str, float]:
        command = [sys.executable, "-m", "bench.ipc", "--call", kind, str(path)]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        for started in STARTED:
            started(process.pid)
        told, _ = await process.communicate()
        figures: dict[str, float] = json.loads(told)
        return figures

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        if kind == "events":
            return await events_in_turns(Path(name))
        return await KINDS[kind][0](Path(name), run)


def measure_once(kind: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.ipc", "--serve", kind]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=SECONDS)
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def main() -> None:
    options = arguments()
    peers = {"aiohttp": "aiohttp", "grpc": "grpc"}
    absent = {kind for kind, module in peers.items() if not importlib.util.find_spec(module)}
    kinds = [kind for kind in (*KINDS, "events") if kind not in absent]
    told: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(options.runs):
        for kind in kinds:
            told[kind].append(measure_once(kind))
    report(
        {
            kind: {name: statistics.median(one[name] for one in each) for name in each[0]}
            for kind, each in told.items()
        }
    )
    for kind in sorted(absent):
        print(f"{kind} is not installed: not measured")


def report(rows: dict[str, dict[str, float]]) -> None:
    shown = {kind: {name: round(one, 2) for name, one in row.items()} for kind, row in rows.items()}
    print(json.dumps({"processors": os.cpu_count(), **shown}, indent=2))
    for peer in ("aiohttp", "grpc"):
        if peer in rows:
            trips = rows[peer]["trip_us"] / rows["labtrawl"]["trip_us"]
            rates = rows["labtrawl"]["state_rate"] / rows[peer]["state_rate"]
            print(f"labtrawl beside {peer}: round trip 1/{trips:.1f}, rate with 64 x {rates:.1f}")
    print(f"events over the socket beside the writer alone: {rows['events']['share']:.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def be(part: Awaitable[Any]) -> None:
    logs.set_up(Logs(level="error"))
    print(json.dumps(uvloop.run(part)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--send"]:
        logs.set_up(Logs(level="error"))
        uvloop.run(be_sender(sys.argv[2]))
    elif sys.argv[1:2] == ["--call"]:
        be(be_client(*sys.argv[2:4]))
    elif sys.argv[1:2] == ["--serve"]:
        be(be_server(sys.argv[2]))
    else:
        main()
