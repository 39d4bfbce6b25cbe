"""Both ends of the socket as programs of their own, so that a test can kill them.

    python -m tests.integration.protocol.ends website FOLDER DESCRIPTOR
    python -m tests.integration.protocol.ends crawler SOCKET NAME EVENTS_PER_SECOND

The website is told on standard input which crawlers live and die, as its supervisor would. A crawler
commits numbered checkpoints until SIGTERM, then says how far each of its jobs came.
"""

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from labtrawl import logs
from labtrawl.clock import system_clock
from labtrawl.config import Logs
from labtrawl.dataset.layout import parse_segment_prefix
from labtrawl.dispatch.flood import FloodLimits
from labtrawl.dispatch.manager import DirectCommunicationManager
from labtrawl.errors import LabtrawlError
from labtrawl.protocol import messages as wire
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import Dialler, DialSocket
from labtrawl.store.engine import database_path, open_store
from tests.integration.protocol.wire import TOKEN, Website

JOBS_EACH = 20


async def be_website(folder: str, descriptor: str) -> None:
    """Serve until killed, or until standard input ends."""
    with socket.socket(fileno=int(descriptor)) as held:
        held.setblocking(False)
        async with open_store(database_path(Path(folder))) as store:
            site = Website(Path(), held, store, flood=FloodLimits(1e9))
            async with site.serving() as manager:
                await follow(site, manager)


async def follow(site: Website, manager: DirectCommunicationManager) -> None:
    """Do as the supervisor says, a line a word."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        word, name, pid = json.loads(line)
        if word == "announce":
            site.announce(name, pid=pid)
        else:
            await manager.peer_gone(name, pid)


class Crawler:
    """Works on up to `JOBS_EACH` jobs; the number of an event is the length of its segment."""

    def __init__(self, path: str, name: str) -> None:
        self._fences: dict[str, int] = {}
        self._tasks: dict[str, wire.Task] = {}
        self._sent: dict[str, int] = {}
        self._acked: dict[str, int] = {}
        self._answers: set[asyncio.Task[None]] = set()
        dialler = Dialler(name, TOKEN, os.getpid(), "here", "0", JOBS_EACH, self._holding)
        chance = Chance(lambda: secrets.token_hex(16), secrets.randbits, random.random)
        self._client = DirectCommunicationClient(
            DialSocket(Path(path)), dialler, system_clock(), chance, lambda _: None
        )
        self._stopping = asyncio.Event()

    def _holding(self) -> list[wire.Holding]:
        return [wire.Holding(task_id=job, epoch=fence) for job, fence in self._fences.items()]

    async def run(self, per_second: float) -> None:
        """Commit until SIGTERM; print how far each job is that this crawler still has."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        async with self._client.running(), asyncio.TaskGroup() as group:
            nothing = wire.RenewLeases(leases=[])
            await self._client.request("jobRequest", "renew_leases", nothing, 30)
            print("ready", flush=True)
            asking = group.create_task(self._ask())
            pacing = group.create_task(self._pace(per_second, group))
            await self._stopping.wait()
            asking.cancel()
            await asyncio.wait([pacing])
            while self._answers:
                await asyncio.wait(self._answers)
            print(json.dumps({job: self._acked[job] for job in self._tasks}), flush=True)

    async def _ask(self) -> None:
        while True:
            room = JOBS_EACH - len(self._tasks)
            if room <= 0:
                # Room comes when a job ends, which is hundreds of commits away.
                await asyncio.sleep(0.02)
                continue
            with contextlib.suppress(TimeoutError, LabtrawlError):
                asked = wire.RequestJobs(request_id=self._client.make_id(), limit=room)
                answer = await self._client.request("jobRequest", "request_jobs", asked, 30)
                for task in msgspec.json.decode(answer.payload, type=list[wire.Task]):
                    self._begin(task)

    def _begin(self, task: wire.Task) -> None:
        done = json.loads(task.custom_parameters.resume_state or '{"items": 0}')["items"]
        self._tasks[task.task_id], self._fences[task.task_id] = task, task.lease.epoch
        self._sent[task.task_id] = self._acked[task.task_id] = done

    async def _pace(self, per_second: float, group: asyncio.TaskGroup) -> None:
        """Send what is due, a job after the other; what a full window held up is sent later."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while not self._stopping.is_set():
            due = int((loop.time() - began) * per_second)
            while sent < due and self._tasks:
                sent += 1
                job = list(self._tasks)[sent % len(self._tasks)]
                await self._commit(job, group)
            sent = max(sent, due)
            # The pace itself: what is due by then is sent at once.
            await asyncio.sleep(0.005)

    async def _commit(self, job: str, group: asyncio.TaskGroup) -> None:
        task, number = self._tasks[job], self._sent[job] + 1
        self._sent[job] = number
        prefix = parse_segment_prefix(task.segments.prefix)
        assert prefix is not None
        name = prefix.name(number)
        segment = wire.SegmentReport(name=name, length=number, sha256="0" * 64, records=1)
        update = wire.ProgressUpdate(
            task_id=job,
            epoch=task.lease.epoch,
            status="processing",
            timestamp=0,
            processed_items=number,
            cursor=json.dumps({"items": number}),
            segments=[segment],
        )
        answer = await self._client.send_event("PROGRESS_UPDATE", update, job)
        note = group.create_task(self._note(job, task.lease.epoch, number, answer))
        self._answers.add(note)
        note.add_done_callback(self._answers.discard)

    async def _note(
        self, job: str, fence: int, number: int, answer: asyncio.Future[dict[str, object]]
    ) -> None:
        try:
            await answer
        except LabtrawlError:
            if self._fences.get(job) == fence:
                del self._fences[job], self._tasks[job]
                self._client.forget(job)
        else:
            if self._fences.get(job) == fence:
                self._acked[job] = number


def main() -> None:
    """Be the end that the command line names."""
    logs.set_up(Logs(level="error"))
    role, *rest = sys.argv[1:]
    if role == "website":
        uvloop.run(be_website(*rest))
    else:
        uvloop.run(Crawler(rest[0], rest[1]).run(float(rest[2])))


if __name__ == "__main__":
    main()
