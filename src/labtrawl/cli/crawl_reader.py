"""The reading half of `labtrawl crawl`: a crawler that finds its website at a Unix socket.

It is a process beside the command, or in that of the command itself.
"""

import contextlib
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from labtrawl.cli.allocator import giving_back
from labtrawl.cli.crawl_place import instance_of
from labtrawl.cli.crawl_seat import HEARTBEAT_SECONDS, LEASE_SECONDS, RETRY, Reading, Seat
from labtrawl.cli.origins import agent_of, http_to
from labtrawl.clock import Clock
from labtrawl.crawler.discovery import Scope
from labtrawl.crawler.engine import Engine, Pace
from labtrawl.crawler.purse import Purse
from labtrawl.crawler.work import Tools, Worker
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.http import Http, Limits, open_http
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import Dialler, DialSocket

RENEW_SECONDS = 5.0
# As many as one long list asks for at once (`crawler.windows`): with 32 a crawl of many projects
# needed some 4 MB more and was no faster.
CONNECTIONS = 24
# Soon enough for data within three seconds of the command, also where a list is long.
SEGMENT_SECONDS = 1.5


@contextlib.asynccontextmanager
async def crawler(seat: Seat, clock: Clock) -> AsyncIterator[Engine]:
    """Open a crawler at its seat; it takes jobs when its `run` is awaited."""
    reading = seat.reading
    origin = http_to(instance_of(reading.instance_url, _path(reading.ca_file)))
    limits = Limits(connections=CONNECTIONS, is_adaptive=True)
    async with open_http(origin, limits, agent_of(reading.contact)) as http:
        engine, purse = _engine(seat, clock, http)
        async with engine.client.running(), purse.running(), giving_back(clock):
            yield engine


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _engine(seat: Seat, clock: Clock, http: Http) -> tuple[Engine, Purse]:
    jobs = seat.reading.jobs
    engine: Engine
    client = DirectCommunicationClient(
        DialSocket(Path(seat.path)),
        Dialler(
            seat.name,
            seat.secret,
            os.getpid(),
            socket.gethostname(),
            "",
            jobs,
            lambda: engine.holding(),  # noqa: PLW0108 - made after its client
        ),
        clock,
        Chance(lambda: secrets.token_hex(16), secrets.randbits, random.random),
        lambda envelope: engine.command(envelope),  # noqa: PLW0108 - as above
    )
    tools = _tools(seat.reading, clock, http, lambda: engine.stopping.is_set())  # noqa: PLW0108
    purse = Purse(client.request, clock)
    worker = Worker(tools, client.send_event, client.send_state, purse, client.request)
    pace = Pace(jobs, LEASE_SECONDS, RENEW_SECONDS, HEARTBEAT_SECONDS)
    engine = Engine(client, worker.run, pace, clock, lambda: 0, worker.requests)
    return engine, purse


def _tools(reading: Reading, clock: Clock, http: Http, stopping: Callable[[], bool]) -> Tools:
    return Tools(
        http_of=lambda _url: http,
        disk=LocalDisk(),
        dataset_root=dataset_root(Path(reading.data_dir)),
        segment=SegmentLimits(max_seconds=SEGMENT_SECONDS),
        scope=Scope(reading.include, reading.exclude, reading.members, reading.resources),
        retry=RETRY,
        clock=clock,
        jitter=random.random,
        stopping=stopping,
        since=reading.since,
        graphql=reading.graphql,
    )
