"""Serves the website on sockets that listen already; who made a socket closes it.

What comes over the Unix socket is marked with the process at its other end, as the kernel tells it.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from labtrawl import logs
from labtrawl.website.app import Website
from labtrawl.website.door.callers import PEER, Peer
from labtrawl.website.door.room import SILENT_SECONDS, Room, open_files, turn_away

log = logs.get("auth.direct-socket")

# Streams are told to end before; this is for requests that are stuck.
GRACE_SECONDS = 2
LARGEST_FRAME = 1 << 20


def peer_of(sock: Any) -> Peer:
    """Return who is at the other end of a Unix socket (SO_PEERCRED, unix(7))."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", raw)
    return Peer(pid, uid)


@dataclass(frozen=True, slots=True)
class LocalDoor:
    """The Unix socket that listens, and the users besides ours who may come by it."""

    sock: socket.socket
    users: frozenset[int] = frozenset()


class _Marked:
    """The app as one connection over the Unix socket sees it."""

    def __init__(self, app: ASGIApp, peer: Peer) -> None:
        self._app = app
        self._peer = peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PEER] = self._peer
        await self._app(scope, receive, send)


class _Connection(HttpToolsProtocol):
    """One connection, which may get another app than the others."""

    def lead_to(self, app: Any) -> None:
        """Let what comes over this connection, WebSockets too, be answered by this app."""
        make = self.ws_protocol_class

        def make_socket(**given: Any) -> Any:
            protocol = make(**given)
            protocol.app = app
            return protocol

        self.app = app
        self.ws_protocol_class: Any = make_socket


class _OverTcp(_Connection):
    """One connection over TCP, which gets an answer while there is room."""

    cycle: Any  # None until something is asked for

    def __init__(self, room: Room, **given: Any) -> None:
        super().__init__(**given)
        self._room = room

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._silence = self.loop.call_later(SILENT_SECONDS, self._close_silent)
        number = len(self.connections)
        if self._room.is_full(number):
            self._room.note(self.loop.time())
            self.lead_to(turn_away)
        if self._room.is_overrun(number):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence.cancel()
        super().connection_lost(exc)

    def _close_silent(self) -> None:
        """Close what asked for nothing; a WebSocket has left for a protocol of its own."""
        if self.cycle is None and self in self.connections:
            self.transport.close()


class _OverUnix(_Connection):
    """One connection over the Unix socket: of a process of ours or of an allowed user, or closed."""

    allowed_users: frozenset[int] = frozenset()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = peer_of(transport.get_extra_info("socket"))
        if peer.uid not in self.allowed_users:
            log.warning("peer_refused", pid=peer.pid, uid=peer.uid, why="another user's process")
            transport.abort()
            return
        self.lead_to(_Marked(self.app, peer))


class _Server(uvicorn.Server):
    """Leaves signals to the program that it is a part of; serves the Unix socket as well."""

    def __init__(self, config: uvicorn.Config, local: "LocalDoor | None") -> None:
        super().__init__(config)
        self._local = local

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on both."""
        await super().startup(sockets)
        if self._local is None:
            return
        # From Python 3.13 on asyncio would remove the file, which is not ours.
        keeps: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            self._over_unix, sock=self._local.sock.dup(), **keeps
        )
        self.servers.append(server)

    def _over_unix(self) -> asyncio.Protocol:
        assert self._local is not None
        protocol = _OverUnix(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        protocol.allowed_users = self._local.users | {os.getuid()}
        return protocol


async def serve(
    app: Website,
    sock: socket.socket,
    stopping: asyncio.Event,
    *,
    local: LocalDoor | None = None,
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serve until `stopping` is set, then end within 3 s; the sockets stay open and listening.

    Whoever comes by the `local` door is known by the connection. The process may open as many files
    as its hard limit allows from then on; half of them are for connections.
    """
    config = uvicorn.Config(
        app,
        http=partial(_OverTcp, Room(open_files())),  # type: ignore[arg-type] # makes one all the same
        ws="wsproto",
        ws_max_size=LARGEST_FRAME,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, local)
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
