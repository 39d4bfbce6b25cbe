"""Running the look-alike: in this process until told to stop, or inside a test's event loop.

Entered by the command line, tests and benchmarks.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import uvicorn
import uvloop

from labtrawl.sandbox.app import App
from labtrawl.sandbox.model import World
from labtrawl.sandbox.options import Options

_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Server:
    """A running look-alike: `url` is its address without a slash at the end."""

    url: str
    port: int


class _Uvicorn(uvicorn.Server):
    """Uvicorn with an event for "now listening"; signals are the caller's affair."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End at once: idle connections are closed, answers under way are cut."""
        self.should_exit = True
        self.force_exit = True


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


def _config(world: World, address: str, options: Options) -> uvicorn.Config:
    base = (options.external_url or address).rstrip("/")
    return uvicorn.Config(
        App(world, base, options),
        http="httptools",
        loop="none",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=options.keep_alive_seconds,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
    )


@contextlib.contextmanager
def _torn_answers_unreported() -> Iterator[None]:
    """A torn answer is planned here; uvicorn would log it as an error of the application."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


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
    found = bind(host, port)
    url, number = _address(found)
    server = _Uvicorn(_config(world, url, options or Options()))
    with _torn_answers_unreported():
        task = asyncio.ensure_future(server.serve(sockets=[found]))
        try:
            await server.listening.wait()
            yield Server(url, number)
        finally:
            server.stop()
            await task
            found.close()
