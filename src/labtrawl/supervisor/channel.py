"""The control channel between the supervisor and one child: the frames, and a socket that carries them.

One JSON object a line over an inherited socketpair. Both ends are ours and of one version, so
unknown frames are errors, not tolerated. `process` holds one end, `child` the other.
"""

import asyncio
import hashlib
import socket
from typing import Generic, Self, TypeVar

import msgspec

from labtrawl.config import CONTROL_VARIABLE
from labtrawl.errors import BadMessage

VARIABLE = CONTROL_VARIABLE
"""The only variable in a child's environment: the number of its end of the channel."""

MAX_FRAME_BYTES = 4 * 1024 * 1024


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Down, first: everything that the child needs to know, secrets included."""

    name: str
    token: str
    """32 random bytes in hex, new for every start; proves the child on the data socket."""
    settings: msgspec.Raw
    """JSON as the program's start was given it; `config.restore` reads that of website and crawler."""
    listeners: dict[str, int] = {}
    """Inherited listening sockets, name to file descriptor: "web" (TCP), "api" and "http" (Unix)."""
    auth_socket: str = ""
    grace_seconds: float = 10.0
    """How long the child may drain after `Stop`, or after the supervisor went away."""
    heartbeat_seconds: float = 5.0
    holds: tuple[int, ...] = ()
    """Descriptors that stay open as long as the child lives: the mark that its data are in use."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Down: finish what is in hand, then exit."""


class Peer(msgspec.Struct, frozen=True, kw_only=True, tag="peer"):
    """Down, to the website: a crawler was started, and this is how it will prove itself."""

    name: str
    pid: int
    token_sha256: str
    """`fingerprint` of the crawler's token; both sides can make it, nobody else."""


class PeerGone(msgspec.Struct, frozen=True, kw_only=True, tag="peer_gone"):
    """Down, to the website: this crawler is dead; what it leased is free."""

    name: str
    pid: int


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Up, first: the child runs and has read its `Begin`."""

    pid: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Up: the child does its work from now on; `details` are shown by `labtrawl status`."""

    details: dict[str, str] = {}


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Up: the child's event loop turns."""


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """Up: a detail for `labtrawl status` changed; an empty one is shown no more."""

    details: dict[str, str]


class Stopping(msgspec.Struct, frozen=True, tag="stopping"):
    """Up: the child has begun to drain."""


def fingerprint(token: str) -> str:
    """Return what the website is told of a crawler's token: SHA-256 of its text, in hex."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


Down = Begin | Stop | Peer | PeerGone
Up = Hello | Ready | Heartbeat | Told | Stopping
Received = TypeVar("Received", bound=Down | Up)


class Channel(Generic[Received]):
    """One end: sends any frame, receives those of one direction."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.json.Decoder[Received],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    @classmethod
    async def open(cls, sock: socket.socket, decoder: msgspec.json.Decoder[Received]) -> Self:
        """Take over a connected socket."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_FRAME_BYTES)
        return cls(reader, writer, decoder)

    def send(self, frame: Down | Up) -> None:
        """Queue a frame; without effect once the other end is gone (`receive` tells of that)."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(frame) + b"\n")

    async def receive(self) -> Received | None:
        """Return the next frame, None when the other end is gone; BadMessage for what is no frame."""
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        except ValueError as error:
            raise BadMessage(f"a control frame is longer than {MAX_FRAME_BYTES} bytes") from error
        if not line.endswith(b"\n"):
            return None
        try:
            return self._decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise BadMessage(f"a control frame could not be read: {error}") from error

    async def close(self) -> None:
        """Send what is queued and close; a dead other end is no error."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


UP_DECODER: msgspec.json.Decoder[Up] = msgspec.json.Decoder(Up)
DOWN_DECODER: msgspec.json.Decoder[Down] = msgspec.json.Decoder(Down)
