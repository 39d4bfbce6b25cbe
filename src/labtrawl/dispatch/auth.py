"""Who may speak: a connection is trusted for what the kernel and a proof say, never for a header."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from labtrawl import logs
from labtrawl.protocol import proof
from labtrawl.protocol.connection import PeerIdentity
from labtrawl.protocol.messages import Register

log = logs.get("auth.direct-socket")


@dataclass(frozen=True, slots=True)
class AuthorizedClient:
    """A crawler that proved itself on its present connection."""

    name: str
    pid: int
    version: str
    connected_at: float


@dataclass(slots=True)
class DirectSocketAuth:
    """Knows the children that the supervisor started, by name: pid and the hash of the token."""

    # How long a peer may be ahead of the supervisor's word about it, in seconds.
    announced_within_seconds: float = 2.0
    # With these one could pass for a child: they are shown to nobody.
    _announced: dict[str, tuple[int, bytes]] = field(default_factory=dict, repr=False)
    _clients: dict[str, AuthorizedClient] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def announce(self, name: str, pid: int, token_sha256: str) -> None:
        """The supervisor started a child with this token."""
        self._announced[name] = (pid, bytes.fromhex(token_sha256))
        self._changed.set()
        self._changed = asyncio.Event()

    def withdraw(self, name: str, pid: int) -> bool:
        """The supervisor says that this child is dead; say whether it was the newest of its name.

        A newer one stays announced.
        """
        if name in self._announced and self._announced[name][0] != pid:
            return False
        self._announced.pop(name, None)
        return True

    async def authorize(
        self, peer: PeerIdentity, register: Register, nonce: str
    ) -> tuple[bytes | None, str]:
        """Return the shared secret of a proved peer, or None and the reason of the refusal."""
        if peer.uid != os.getuid():
            return None, "another user's process"
        announced = await self._announcement(register.id, peer.pid)
        if announced is None:
            return None, "not a process that this supervisor started"
        if not proof.is_proved(
            register.proof, announced, nonce, register.nonce, proof.ROLE_CRAWLER, register.id
        ):
            return None, "no valid proof"
        return announced, ""

    async def _announcement(self, name: str, pid: int) -> bytes | None:
        """Wait a moment for the supervisor's word: the child may be faster than it."""
        try:
            async with asyncio.timeout(self.announced_within_seconds):
                while self._announced.get(name, (0, b""))[0] != pid:
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._announced[name][1]

    def admit(self, client: AuthorizedClient) -> None:
        """Record an authorised connection."""
        self._clients[client.name] = client
        log.info("client_authorized", client=client.name, pid=client.pid)

    def dismiss(self, name: str) -> None:
        """Forget a connection that ended."""
        self._clients.pop(name, None)

    def get_authorized_clients(self) -> Sequence[AuthorizedClient]:
        """Return who is connected now."""
        return list(self._clients.values())
