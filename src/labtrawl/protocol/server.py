"""The listening end of the stream: takes connections on a socket that somebody else holds."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from labtrawl.protocol.codec import MAX_BYTES
from labtrawl.protocol.connection import Connection, Listener


@contextlib.asynccontextmanager
async def listening(
    held: socket.socket, attach: Callable[[Connection], Listener], max_bytes: int = MAX_BYTES
) -> AsyncIterator[None]:
    """Accept connections on `held` while the block runs; the socket file is never unlinked here."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Connection(attach, max_bytes), sock=held)
    try:
        yield
    finally:
        server.close()
