"""One peer on one stream: bytes in, messages out, and who the kernel says is at the other end."""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from labtrawl.errors import PeerGone
from labtrawl.protocol.codec import MAX_BYTES, Decoder, Refused, encode
from labtrawl.protocol.messages import Envelope


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What SO_PEERCRED says (unix(7)): it cannot be forged by the peer."""

    pid: int
    uid: int


class Listener(Protocol):
    """Who gets what a connection brings."""

    def message_received(self, envelope: Envelope) -> None:
        """A whole message came."""

    def refused(self, refusal: Refused) -> None:
        """Bytes came that were no message."""

    def read_ended(self) -> None:
        """All messages of one read were handed over: a good time for answers."""

    def connection_ended(self) -> None:
        """The peer is gone; called once."""


class Sender(Protocol):
    """What a crawler needs of its end, by socket or by HTTP."""

    received_at: float
    open: bool

    def send(self, envelope: Envelope) -> None:
        """Hand a message over; raises PeerGone where there is nobody."""

    def is_writable(self) -> bool:
        """Say whether the peer takes what it is sent."""

    def close(self) -> None:
        """End the connection."""


class Connection(asyncio.Protocol):
    """A stream of messages. `open` says whether sending makes sense; sending never blocks."""

    def __init__(
        self, attach: Callable[["Connection"], Listener], max_bytes: int = MAX_BYTES
    ) -> None:
        self._attach = attach
        self._decoder = Decoder(max_bytes)
        self._listener: Listener | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self.received_at = 0.0
        self.open = False
        self.reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # uvloop's transports keep the interface without being subclasses.
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set()
        self.open = True
        self.received_at = asyncio.get_running_loop().time()
        self._listener = self._attach(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self.received_at = asyncio.get_running_loop().time()
        if (listener := self._listener) is None:
            return
        for found in self._decoder.feed(data):
            if not self.open:
                return
            if isinstance(found, Refused):
                listener.refused(found)
            else:
                listener.message_received(found)
        listener.read_ended()

    def connection_lost(self, _error: Exception | None) -> None:
        """Called by the event loop."""
        self.open = False
        self._writable.set()
        if self._listener is not None:
            self._listener.connection_ended()

    def pause_writing(self) -> None:
        """Called by the event loop when the peer reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writable.set()

    def send(self, envelope: Envelope) -> None:
        """Hand a message to the stream; raises PeerGone where there is none."""
        if not self.open or self._transport is None:
            raise PeerGone("the connection is closed")
        self._transport.write(encode(envelope))

    async def drained(self) -> None:
        """Wait until the peer takes more."""
        await self._writable.wait()

    def is_writable(self) -> bool:
        """Say whether the peer takes what it is sent, or lets it pile up."""
        return self.open and self._writable.is_set()

    def pause_reading(self) -> None:
        """Take nothing more from the peer for now: its own sending comes to a halt."""
        if self.reading and self.open and self._transport is not None:
            self.reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take what the peer sends again."""
        if not self.reading and self.open and self._transport is not None:
            self.reading = True
            self.received_at = asyncio.get_running_loop().time()
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection; what was handed over is still sent, unless the peer does not read."""
        is_stuck = not self._writable.is_set()
        self.open = False
        self._writable.set()
        if self._transport is None:
            return
        if is_stuck:
            # A peer that never reads would keep the connection and its bytes for ever.
            self._transport.abort()
        else:
            self._transport.close()

    def peer(self) -> PeerIdentity:
        """Return who is at the other end of a Unix socket, as the kernel tells."""
        if self._transport is None:
            raise PeerGone("the connection is closed")
        connected = self._transport.get_extra_info("socket")
        raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _gid = struct.unpack("3i", raw)
        return PeerIdentity(pid, uid)
