"""One try of a crawler's end: first the words of the handshake, then messages.

Whatever comes late from an older connection reaches its own link only, never the next one's.
"""

import asyncio
from collections.abc import Callable

from labtrawl import logs
from labtrawl.errors import PeerGone
from labtrawl.protocol.codec import Refused
from labtrawl.protocol.connection import Sender
from labtrawl.protocol.messages import Envelope

log = logs.get("messaging.direct-client")


class Link:
    """The listener of one connection; messages wait until the handshake is over."""

    def __init__(self, deliver: Callable[[Envelope], None]) -> None:
        self._deliver = deliver
        self._waiting: asyncio.Queue[Envelope | None] = asyncio.Queue()
        self._open = False
        self._connection: Sender | None = None
        self.ended = asyncio.Event()

    def attach(self, connection: Sender) -> "Link":
        """Take over a connection that was just made."""
        self._connection = connection
        return self

    @property
    def connection(self) -> Sender:
        """The connection; raises PeerGone before there is one."""
        if self._connection is None:
            raise PeerGone("there is no connection")
        return self._connection

    async def next(self, *keys: str) -> Envelope:
        """Return the next message with one of these keys; raises PeerGone where none will come."""
        while (envelope := await self._waiting.get()) is not None:
            if envelope.key in keys:
                return envelope
        raise PeerGone("the website closed the connection")

    def begin(self) -> None:
        """End the handshake: deliver what came together with its last word, then all the rest."""
        self._open = True
        while not self._waiting.empty():
            if (envelope := self._waiting.get_nowait()) is not None:
                self._deliver(envelope)

    def message_received(self, envelope: Envelope) -> None:
        """Called by the connection."""
        if self._open:
            self._deliver(envelope)
        else:
            self._waiting.put_nowait(envelope)

    def refused(self, refusal: Refused) -> None:
        """Called by the connection for bytes that are no message.

        They may have been the answer to something: on a new connection it is asked for again.
        """
        log.warning("bad_bytes", reason=refusal.reason, detail=refusal.detail)
        self.close()

    def read_ended(self) -> None:
        """Called by the connection; nothing waits for it here."""

    def connection_ended(self) -> None:
        """Called by the connection."""
        self.ended.set()
        self._waiting.put_nowait(None)

    def close(self) -> None:
        """End the connection, where there is one."""
        if self._connection is not None:
            self._connection.close()
