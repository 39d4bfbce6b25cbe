"""Serves the website on a socket that listens already; who made the socket closes it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from labtrawl.website.app import Website

# Streams are told to end before; this is for requests that are stuck.
GRACE_SECONDS = 2


class _Server(uvicorn.Server):
    """Leaves signals to the program that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Website, sock: socket.socket, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then end within 3 s; `sock` stays open and listening."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as tasks:
        # The server closes what it is given: a copy.
        serving = tasks.create_task(server.serve([sock.dup()]))
        watching = tasks.create_task(_stop(app, server, stopping))
        await asyncio.wait({serving})
        watching.cancel()


async def _stop(app: Website, server: _Server, stopping: asyncio.Event) -> None:
    await stopping.wait()
    app.stop_streams()
    server.should_exit = True
