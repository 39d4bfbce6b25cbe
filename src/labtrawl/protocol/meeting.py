"""How a crawler and its website find each other and prove who they are, before anything else.

Who dialled changes nothing afterwards.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from labtrawl.errors import ProtocolError
from labtrawl.protocol import proof
from labtrawl.protocol.codec import MAX_BYTES
from labtrawl.protocol.connection import Connection
from labtrawl.protocol.link import Link
from labtrawl.protocol.messages import (
    PROTOCOL,
    Challenge,
    Envelope,
    Holding,
    Record,
    Register,
    Registered,
    Rejected,
)

HANDSHAKE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Dialler:
    """The crawler's end: its name and token, and what it holds at the time of a (re)connect."""

    name: str
    token: str
    pid: int
    hostname: str
    version: str
    max_jobs: int
    holding: Callable[[], Sequence[Holding]]

    def __repr__(self) -> str:
        return f"Dialler({self.name})"


@dataclass(frozen=True, slots=True)
class Introduction:
    """The words of a crawler that introduces itself; `envelope` puts them into messages."""

    dialler: Dialler
    nonce: Callable[[], str]
    envelope: Callable[[str, str, Record], Envelope]

    def registration(self, their_nonce: str) -> Register:
        """Return who this is, proved for the one who said this nonce."""
        own_nonce, dialler = self.nonce(), self.dialler
        secret = proof.secret_of(dialler.token)
        return Register(
            id=dialler.name,
            pid=dialler.pid,
            version=dialler.version,
            protocol=PROTOCOL,
            hostname=dialler.hostname,
            max_jobs=dialler.max_jobs,
            nonce=own_nonce,
            proof=proof.prove(secret, their_nonce, own_nonce, proof.ROLE_CRAWLER, dialler.name),
            holding=list(dialler.holding()),
        )

    async def register(self, link: Link) -> Registered:
        """Dialled: answer the challenge; ProtocolError where the other end is not our website."""
        challenge = msgspec.json.decode((await link.next("challenge")).payload, type=Challenge)
        register = self.registration(challenge.nonce)
        link.connection.send(self.envelope("command", "register", register))
        answer = await link.next("registered", "rejected")
        if answer.key == "rejected":
            rejected = msgspec.json.decode(answer.payload, type=Rejected)
            raise ProtocolError(f"the website refused the connection: {rejected.reason}")
        registered = msgspec.json.decode(answer.payload, type=Registered)
        self.check(registered.proof, register.nonce, challenge.nonce, registered.client_id)
        return registered

    async def be_called(self, link: Link) -> Registered:
        """Listened: challenge who dialled; ProtocolError where it is not our website."""
        nonce = self.nonce()
        link.connection.send(self.envelope("command", "challenge", Challenge(nonce=nonce)))
        register = msgspec.json.decode((await link.next("register")).payload, type=Register)
        self.check(register.proof, nonce, register.nonce, register.id)
        secret, name = proof.secret_of(self.dialler.token), self.dialler.name
        registered = Registered(
            client_id=name,
            protocol=PROTOCOL,
            heartbeat_interval_ms=0,
            server_time=0,
            proof=proof.prove(secret, register.nonce, nonce, proof.ROLE_CRAWLER, name),
            holding=list(self.dialler.holding()),
        )
        link.connection.send(self.envelope("command", "registered", registered))
        return msgspec.structs.replace(registered, client_id=register.id)

    def check(self, said: str, own_nonce: str, their_nonce: str, name: str) -> None:
        """Raise ProtocolError unless the other end proved to be the website of this name."""
        secret = proof.secret_of(self.dialler.token)
        if not proof.is_proved(said, secret, own_nonce, their_nonce, proof.ROLE_WEBSITE, name):
            raise ProtocolError("the other end could not prove that it is our website")


class Meeting(Protocol):
    """Where the two ends meet."""

    async def meet(self, link: Link, words: Introduction) -> Registered:
        """Connect `link` and return once both ends are proved.

        Raises OSError, TimeoutError, PeerGone or ProtocolError where that fails.
        """


@dataclass(frozen=True, slots=True)
class DialSocket:
    """The website listens at `path`."""

    path: Path
    max_bytes: int = MAX_BYTES

    async def meet(self, link: Link, words: Introduction) -> Registered:
        """Dial, and register."""
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await self.connect(link)
            return await words.register(link)

    async def connect(self, link: Link) -> None:
        """Connect, and say nothing."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(
                lambda: Connection(link.attach, self.max_bytes), str(self.path)
            )
        except OSError as error:  # whoever reads the log wants to know where
            raise OSError(error.errno, error.strerror, str(self.path)) from error


@dataclass(frozen=True, slots=True)
class AwaitCall:
    """The crawler listens, on a socket that somebody else holds; the website dials."""

    held: socket.socket
    max_bytes: int = MAX_BYTES

    async def meet(self, link: Link, words: Introduction) -> Registered:
        """Wait for a call, however long, then make sure that it is the website's."""
        loop = asyncio.get_running_loop()
        self.held.setblocking(False)
        accepted, _ = await loop.sock_accept(self.held)
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await loop.connect_accepted_socket(
                lambda: Connection(link.attach, self.max_bytes), accepted
            )
            return await words.be_called(link)
