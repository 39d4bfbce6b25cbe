"""How a connection becomes a client: who dialled is asked to prove itself, and proves us in turn.

Who listens says `challenge`, who dials says `register`, whichever of the two the website is.
"""

import asyncio
from dataclasses import dataclass

import msgspec

from labtrawl.dispatch.auth import DirectSocketAuth, Proved
from labtrawl.errors import ProtocolError
from labtrawl.protocol import messages as wire
from labtrawl.protocol import proof
from labtrawl.protocol.connection import PeerIdentity
from labtrawl.protocol.exchange import Caller

# The prefix of names that dialect-1 peers give themselves: none of them passes for a child of ours.
LEGACY = "dialect-1:"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A peer that may speak: who it is, what it holds, and the words to welcome it with."""

    caller: Caller
    owner: str
    version: str = ""
    hostname: str = ""
    max_jobs: int = 1
    holding: frozenset[tuple[str, int]] = frozenset()
    # What `registered` has to prove; None where there is nobody to tell.
    proof: str | None = None
    # What came before it was clear that no `register` would come.
    first: wire.Envelope | None = None

    @property
    def name(self) -> str:
        """Under which it holds its leases."""
        return self.caller.name


def legacy_arrival(first: wire.Envelope) -> Arrival:
    """Take a peer of dialect 1 by what it calls itself."""
    caller = Caller(f"{LEGACY}{first.origin}", dialect=1)
    return Arrival(caller, owner=LEGACY, first=first)


async def prove_dialler(
    auth: DirectSocketAuth, website: str, peer: PeerIdentity, register: wire.Register, nonce: str
) -> Arrival:
    """Check who dialled us; ProtocolError with the reason where it may not speak."""
    proved = await auth.authorize(peer, register, nonce)
    ours = proof.prove(proved.secret, register.nonce, nonce, proof.ROLE_WEBSITE, website)
    return Arrival(
        Caller(register.id),
        proved.owner,
        register.version,
        register.hostname,
        register.max_jobs,
        frozenset((one.task_id, one.epoch) for one in register.holding),
        ours,
    )


@dataclass(frozen=True, slots=True)
class Dialled:
    """The website's words to a crawler that listens, and how its answer is checked."""

    child: Proved
    website: str
    pid: int
    own_nonce: str
    their_nonce: str

    def register(self) -> wire.Register:
        """Return what the website says of itself, proved."""
        made = proof.prove(
            self.child.secret, self.their_nonce, self.own_nonce, proof.ROLE_WEBSITE, self.website
        )
        return wire.Register(
            id=self.website,
            pid=self.pid,
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
        return Arrival(Caller(said.client_id), self.child.owner, holding=holding)


async def first_of(inbox: asyncio.Queue[wire.Envelope | None], seconds: float) -> wire.Envelope:
    """Return the first message of a connection; ProtocolError where none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            envelope = await inbox.get()
    except TimeoutError:
        raise ProtocolError(f"no word within {seconds:g} s") from None
    if envelope is None:
        raise ProtocolError("it went away without a word")
    return envelope
