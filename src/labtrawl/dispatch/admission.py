"""How a connection becomes a client: who dialled is asked to prove itself, and proves us in turn.

Who listens says `challenge`, who dials says `register`, whichever of the two the website is.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from labtrawl import logs
from labtrawl.dispatch.auth import DirectSocketAuth, Proved
from labtrawl.dispatch.handout import task_number
from labtrawl.errors import PeerGone, ProtocolError
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.connection import PeerIdentity
from labtrawl.protocol.exchange import Caller
from labtrawl.store import commands, leases, tokens
from labtrawl.store.engine import Connection

log = logs.get("auth.direct-socket")

# The prefix of names that dialect-1 peers give themselves: none of them passes for a child of ours.
LEGACY = "dialect-1:"
LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Arrival:
    """A peer that may speak: who it is, what it holds, and the words to welcome it with."""

    caller: Caller
    owner: str
    version: str = ""
    hostname: str = ""
    holding: frozenset[tuple[str, int]] = frozenset()
    # What `registered` has to prove; None where there is nobody to tell.
    proof: str | None = None
    # The id of its `register`.
    reply_to: str | None = None
    # Where it is known otherwise than by the connection: who dials sees who holds the listener.
    pid: int = 0
    # What came before it was clear that no `register` would come.
    first: wire.Envelope | None = None

    @property
    def name(self) -> str:
        """Under which it holds its leases."""
        return self.caller.name


@dataclass(frozen=True, slots=True)
class _Call:
    """The website's words to a crawler that listens, and how its answer is checked."""

    child: Proved
    website: str
    own_nonce: str
    their_nonce: str

    def register(self) -> wire.Register:
        """Return what the website says of itself, proved."""
        made = proof.prove(
            self.child.secret, self.their_nonce, self.own_nonce, proof.ROLE_WEBSITE, self.website
        )
        return wire.Register(
            id=self.website,
            pid=os.getpid(),
            type=proof.ROLE_WEBSITE,
            protocol=wire.PROTOCOL,
            nonce=self.own_nonce,
            proof=made,
        )

    def arrival(self, answer: wire.Envelope) -> Arrival:
        """Take the crawler's answer; ProtocolError where it refuses or proves nothing."""
        if answer.key == "rejected":
            why = msgspec.json.decode(answer.payload, type=wire.Rejected).reason
            raise ProtocolError(f"the crawler refused this website: {why}")
        said = msgspec.json.decode(answer.payload, type=wire.Registered)
        if said.client_id != self.child.name or not proof.is_proved(
            said.proof,
            self.child.secret,
            self.own_nonce,
            self.their_nonce,
            proof.ROLE_CRAWLER,
            said.client_id,
        ):
            raise ProtocolError("the listening end could not prove that it is our crawler")
        holding = frozenset((one.task_id, one.epoch) for one in said.holding)
        pid = self.child.pid
        return Arrival(Caller(said.client_id), self.child.owner, holding=holding, pid=pid)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may take for its first word, and for those after it; seconds."""

    first_seconds: float
    next_seconds: float
    accepts_legacy: bool = False


Send = Callable[[str, str, object, str | None], None]
"""Type, key, body, and the id that it answers."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Takes one peer in, by its first words."""

    website: str
    auth: DirectSocketAuth
    nonce: Callable[[], str]
    patience: Patience
    inbox: asyncio.Queue[wire.Envelope | None]
    send: Send

    async def answer(self, peer: PeerIdentity) -> Arrival:
        """Let who dialled us prove itself; ProtocolError where it cannot."""
        nonce = self.nonce()
        self.send("command", "challenge", wire.Challenge(nonce=nonce), None)
        first = await self._first()
        register = _registration(first)
        if register is None:
            if not self.auth.is_allowed_user(peer.uid):
                raise ProtocolError("another user's process")
            return self._legacy(first)
        proved = await self.auth.authorize(peer, register, nonce)
        ours = proof.prove(proved.secret, register.nonce, nonce, proof.ROLE_WEBSITE, self.website)
        return Arrival(
            Caller(register.id),
            proved.owner,
            register.version,
            register.hostname,
            frozenset((one.task_id, one.epoch) for one in register.holding),
            ours,
            reply_to=first.id,
        )

    async def call(self) -> Arrival:
        """Register with a crawler that listens; one of dialect 1 never asks for that."""
        first = await self._first()
        if first.key != "challenge":
            return self._legacy(first)
        theirs = msgspec.json.decode(first.payload, type=wire.Challenge).nonce
        child = await self.auth.only_child()
        words = _Call(child, self.website, self.nonce(), theirs)
        self.send("command", "register", words.register(), None)
        return words.arrival(await self._word(self.patience.next_seconds))

    def _legacy(self, first: wire.Envelope) -> Arrival:
        """Take a peer of dialect 1 by what it calls itself."""
        if not self.patience.accepts_legacy:
            raise ProtocolError("register first, with a proof (socket.legacy_peers is off)")
        if len(first.origin) > LONGEST_NAME:
            raise ProtocolError(
                f"a name of {len(first.origin)} characters is too long; at most {LONGEST_NAME}"
            )
        caller = Caller(f"{LEGACY}{first.origin}", dialect=1)
        log.warning("legacy_peer_accepted", origin=first.origin, proof="none")
        return Arrival(caller, owner=LEGACY, first=first)

    async def _first(self) -> wire.Envelope:
        """Return the first word; who leaves without one only looked who is here."""
        return await self._word(self.patience.first_seconds, PeerGone)

    async def _word(
        self, seconds: float, gone: type[ProtocolError] = ProtocolError
    ) -> wire.Envelope:
        """Return what the peer says next; ProtocolError where nothing comes in time."""
        try:
            async with asyncio.timeout(seconds):
                envelope = await self.inbox.get()
        except TimeoutError:
            raise ProtocolError(f"no word within {seconds:g} s") from None
        if envelope is None:
            raise gone("it went away without a word")
        return envelope


def _registration(first: wire.Envelope) -> wire.Register | None:
    """Return what a peer says of itself, None where it speaks dialect 1."""
    if first.key != "register":
        return None
    register = msgspec.json.decode(first.payload, type=wire.Register)
    return register if register.protocol >= wire.PROTOCOL else None


def take_over(connection: Connection, arrival: Arrival) -> list[int]:
    """Note who came and free what it does not hold any more; a dialect-1 peer says nothing of it."""
    if arrival.owner.startswith(tokens.OWNER):
        tokens.take_name(connection, arrival.name, arrival.owner)
    else:
        commands.register(connection, arrival.name, arrival.owner)
    if arrival.caller.dialect == 1:
        return []
    held = {(task_number(task_id), epoch) for task_id, epoch in arrival.holding}
    return leases.release_unheld(connection, arrival.name, held)
