"""Running the look-alike: in this process until told to stop, or inside a test's event loop.

Entered by the command line, tests and benchmarks.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import uvloop

from labtrawl.sandbox.app import App
from labtrawl.sandbox.changes import Change
from labtrawl.sandbox.connection import Connection, Dates
from labtrawl.sandbox.living import LivingWorld
from labtrawl.sandbox.model import World
from labtrawl.sandbox.options import Options
from labtrawl.sandbox.truth import Truth

# Of the loop, until what was accepted is a connection: a task makes it, and is told of it.
ACCEPTING_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Server:
    """A running look-alike: `url` is its address without a slash at the end."""

    url: str
    port: int
    living: LivingWorld = field(repr=False)

    def change(self, *changes: Change) -> list[dict[str, object]]:
        """Change the world at once, as ``POST /-/sandbox/changes`` does. Raises Unfit."""
        return self.living.change(changes)

    def truth(self, username: str | None = None, *, commit_discussions: bool = False) -> Truth:
        """What a perfect crawl would hold now. Raises KeyError for an unknown account."""
        return self.living.truth(username, commit_discussions=commit_discussions)

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.living.world


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Port 0 takes a free one. Raises OSError if the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sees a TCP socket and sends answers without delay.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(512)
    except OSError:
        found.close()
        raise
    found.setblocking(False)
    return found


def _address(found: socket.socket) -> tuple[str, int]:
    host, port = found.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", port


def serve(
    world: World,
    host: str = "127.0.0.1",
    port: int = 0,
    options: Options | None = None,
    announce: Callable[[Server], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then end within a second; blocks.

    `announce` is called with the address once connections are accepted. Raises OSError if the
    port is in use.
    """
    # A large world is no garbage: the collector need not look through it again and again.
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(world, host, port, options, announce))


async def _serve(
    world: World,
    host: str,
    port: int,
    options: Options | None,
    announce: Callable[[Server], None] | None,
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(world, options, host, port) as server:
        if announce:
            announce(server)
        await ended.wait()


@contextlib.asynccontextmanager
async def running(
    world: World, options: Options | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Server]:
    """Serve in this event loop while the context is open. Raises OSError if the port is in use."""
    options = options or Options()
    found = bind(host, port)
    url, number = _address(found)
    app = App(world, (options.external_url or url).rstrip("/"), options)
    dates, lines = Dates(options.now), set[Connection]()
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(app.answer, dates, lines, options.keep_alive_seconds), sock=found
    )
    try:
        yield Server(url, number, app.living)
    finally:
        # asyncio of Python 3.11 leaves open what it is just accepting when the server closes.
        asyncio.get_running_loop().remove_reader(found)
        for _ in range(ACCEPTING_ROUNDS):
            await asyncio.sleep(0)
        listening.close()
        for line in list(lines):
            line.end()
        found.close()
