"""`labtrawl run crawler`: wires socket, GitLab and dataset together in a supervised process."""

import asyncio
import contextlib
import os
import random
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import click
import uvloop

from labtrawl import config, logs
from labtrawl.cli.allocator import share_arenas
from labtrawl.cli.origins import http_to, user_agent
from labtrawl.cli.scope import included
from labtrawl.clock import system_clock
from labtrawl.config import Settings
from labtrawl.crawler.discovery import Scope
from labtrawl.crawler.engine import Engine, Pace, token_in
from labtrawl.crawler.purse import Purse
from labtrawl.crawler.work import Tools, Worker
from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import RetryPolicy
from labtrawl.errors import ConfigError
from labtrawl.gitlab.traffic import Endpoints
from labtrawl.http import Heard, Http, Limits, Origin, open_http
from labtrawl.protocol.backoff import BackoffLimits
from labtrawl.protocol.by_http import FallBack
from labtrawl.protocol.client import Chance, DirectCommunicationClient
from labtrawl.protocol.meeting import AwaitCall, Dialler, DialSocket, Meeting
from labtrawl.protocol.messages import Task
from labtrawl.supervisor.child import Child
from labtrawl.supervisor.handover import Handover
from labtrawl.supervisor.listeners import reachable

SPARE_THREADS = 4
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@click.command()
def run() -> None:
    """Take and run jobs; the supervisor starts this."""
    share_arenas()
    uvloop.run(run_crawler())


async def run_crawler() -> None:
    """Take jobs until the supervisor says stop, then drain to a checkpoint."""
    async with Child.from_environment() as child:
        settings = config.restore(child.begin.settings)
        logs.set_up(settings.logs)
        # Files of several lists wait for the disk at once.
        workers = ThreadPoolExecutor(settings.crawler.jobs + SPARE_THREADS, "disk")
        asyncio.get_running_loop().set_default_executor(workers)
        async with contextlib.AsyncExitStack() as stack:
            asked = Endpoints()
            doors = await _open_doors(settings, asked.heard, stack)
            meeting = await _meeting(child, settings, stack)
            engine, purse = _engine(child, settings, doors, meeting)
            engine.token_of = _token_of(settings)
            engine.traffic = asked.counted
            engine.concurrency = lambda: max(
                (door.concurrency for door in doors.values()), default=0
            )
            await stack.enter_async_context(engine.client.running())
            await stack.enter_async_context(purse.running())
            await child.ready()
            stop = asyncio.create_task(_pass_on(child.stopping, engine.stopping))
            await engine.run()
            stop.cancel()


def _token_of(settings: Settings) -> Callable[[Task], Secret]:
    """Return where a task's token is: in the task, or in the environment for that GitLab alone."""
    handed = Handover.taken_from(os.environ)
    if handed is None:
        return token_in
    logs.conceal(handed.token)
    urls = [instance.url for instance in settings.instances]

    def token_of(task: Task) -> Secret:
        came_bare = not task.credentials.access_token
        is_ours = came_bare and handed.is_for(task.gitlab_api_url, urls)
        return handed.token if is_ours else token_in(task)

    return token_of


async def _pass_on(asked: asyncio.Event, stopping: asyncio.Event) -> None:
    await asked.wait()
    stopping.set()


async def _open_doors(
    settings: Settings, heard: Heard, stack: contextlib.AsyncExitStack
) -> dict[str, Http]:
    """Open one door for each instance, by its URL; `heard` hears of all their requests."""
    limits = Limits(connections=settings.crawler.requests, is_adaptive=True)
    agent = user_agent(settings)
    return {
        instance.url: await stack.enter_async_context(
            open_http(http_to(instance), limits, agent, heard=heard)
        )
        for instance in settings.instances
    }


def _engine(
    child: Child, settings: Settings, doors: dict[str, Http], meeting: Meeting
) -> tuple[Engine, Purse]:
    clock = system_clock()
    engine: Engine

    client = DirectCommunicationClient(
        meeting,
        Dialler(
            name=child.begin.name,
            token=child.begin.token,
            pid=os.getpid(),
            hostname=socket.gethostname(),
            version=version("labtrawl"),
            max_jobs=settings.crawler.jobs,
            holding=lambda: engine.holding(),  # noqa: PLW0108 - made after its client
        ),
        clock,
        Chance(lambda: secrets.token_hex(16), secrets.randbits, random.random),
        lambda envelope: engine.command(envelope),  # noqa: PLW0108 - as above
        BackoffLimits(
            failures=settings.breaker.failures, open_seconds=settings.breaker.open_seconds
        ),
    )
    tools = _tools(settings, doors, lambda: engine.stopping.is_set())  # noqa: PLW0108
    purse = Purse(client.request, clock)
    worker = Worker(tools, client.send_event, client.send_state, purse, client.request)
    engine = Engine(client, worker.run, _pace(settings), clock, _memory_bytes, worker.requests)
    engine.retries = worker.retries
    return engine, purse


def _pace(settings: Settings) -> Pace:
    return Pace(
        settings.crawler.jobs,
        settings.lease.seconds,
        settings.lease.renew_seconds,
        settings.heartbeat.seconds,
    )


async def _meeting(child: Child, settings: Settings, stack: contextlib.AsyncExitStack) -> Meeting:
    """Where the website is met: at the socket, else by HTTP; or here, where it is told to dial."""
    most = settings.socket.max_message_bytes
    if settings.socket.role == "dial":
        return AwaitCall(child.listener("api"), most)
    by_socket = DialSocket(settings.socket.path, most)
    if not settings.website.port:
        return by_socket  # nobody listens for a website yet
    host = reachable(settings.website.host)
    origin = Origin(f"http://{host}:{settings.website.port}", address_allow=(host.strip("[]"),))
    door = await stack.enter_async_context(open_http(origin, Limits(), user_agent(settings)))
    return FallBack(
        by_socket,
        door,
        Secret(child.begin.token),
        system_clock(),
        lambda is_http: child.tell(transport="http" if is_http else ""),
    )


def _tools(settings: Settings, doors: dict[str, Http], stopping: Callable[[], bool]) -> Tools:
    def http_of(url: str) -> Http:
        if url not in doors:
            raise ConfigError(f"no instance with the URL {url} is configured any more")
        return doors[url]

    return Tools(
        http_of=http_of,
        disk=LocalDisk(),
        dataset_root=dataset_root(settings.data_dir),
        segment=SegmentLimits(settings.segment.max_bytes, settings.segment.max_seconds),
        scope=Scope(included(settings.scope.include), settings.scope.exclude),
        retry=RetryPolicy(
            settings.retry.attempts, settings.retry.base_seconds, settings.retry.ceiling_seconds
        ),
        clock=system_clock(),
        jitter=random.random,
        stopping=stopping,
        graphql=settings.crawler.graphql == "auto",
    )


def _memory_bytes() -> int:
    """Resident memory of this process (proc(5), statm, second field)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
