"""Who may speak: a connection is trusted for what the kernel and a proof say, never for a header."""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from labtrawl import logs
from labtrawl.errors import ProtocolError
from labtrawl.protocol import proof
from labtrawl.protocol.connection import PeerIdentity
from labtrawl.protocol.messages import PROTOCOL, Register

log = logs.get("auth.direct-socket")


@dataclass(frozen=True, slots=True)
class AuthorizedClient:
    """A crawler that proved itself on its present connection."""

    name: str
    pid: int
    version: str
    connected_at: float
    hostname: str = ""
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Proved:
    """A credential that a peer has: the secret of both ends, and whose it is."""

    name: str
    owner: str
    secret: bytes = field(repr=False)
    pid: int = 0


HINT = "only crawlers of this labtrawl, or with an API token of scope crawler, may register"
SUPERVISOR = "supervisor"
"""The owner of the names that the supervisor gave its children."""

TokenSecrets = Callable[[], Awaitable[Sequence[tuple[str, str]]]]
"""Asks for the API tokens that crawlers may use: owner and SHA-256 in hex of each."""


async def no_tokens() -> Sequence[tuple[str, str]]:
    """Answer that there is no API token."""
    return ()


@dataclass(slots=True)
class DirectSocketAuth:
    """Knows the children that the supervisor started, by name: pid and the hash of the token."""

    # How long a peer may be ahead of the supervisor's word about it, in seconds.
    announced_within_seconds: float = 2.0
    # Users besides ours whose processes may speak (uid).
    allowed_users: frozenset[int] = frozenset()
    token_secrets: TokenSecrets = no_tokens
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

    def is_allowed_user(self, uid: int) -> bool:
        """Say whether a process of this user may speak at all."""
        return uid == os.getuid() or uid in self.allowed_users

    async def authorize(self, peer: PeerIdentity, register: Register, nonce: str) -> Proved:
        """Return the credential that a peer proved to have; ProtocolError says why it may not speak.

        A child is known by the pid that its supervisor announced; who has an API token by that.
        """
        if not self.is_allowed_user(peer.uid):
            raise ProtocolError("another user's process")
        for token in await self._tokens():
            if _is_proved(register, nonce, token.secret):
                return self._named(token, register.id)
        announced = await self._announcement(register.id, peer.pid)
        if announced is None:
            raise ProtocolError("not a process that this supervisor started")
        if not _is_proved(register, nonce, announced):
            raise ProtocolError("no valid proof")
        return Proved(register.id, SUPERVISOR, announced)

    def _named(self, token: Proved, name: str) -> Proved:
        if name in self._announced:
            raise ProtocolError(f"{name} is the name of a process that this supervisor started")
        return Proved(name, token.owner, token.secret)

    async def _tokens(self) -> list[Proved]:
        return [
            Proved("", owner, bytes.fromhex(sha256)) for owner, sha256 in await self.token_secrets()
        ]

    async def _announcement(self, name: str, pid: int) -> bytes | None:
        """Wait a moment for the supervisor's word: the child may be faster than it."""
        try:
            async with asyncio.timeout(self.announced_within_seconds):
                while self._announced.get(name, (0, b""))[0] != pid:
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._announced[name][1]

    async def only_child(self) -> Proved:
        """Return the one crawler that the supervisor started, as soon as there is one."""
        while not self._announced:
            await self._changed.wait()
        name, (pid, secret) = next(iter(self._announced.items()))
        return Proved(name, SUPERVISOR, secret, pid)

    def is_child(self, name: str) -> bool:
        """Say whether the supervisor started a crawler of this name."""
        return name in self._announced

    def child_of(self, token_sha256: str) -> str | None:
        """Return the name of the live child whose per-start token has this hash (hex)."""
        for name, (_, secret) in self._announced.items():
            if hmac.compare_digest(secret.hex(), token_sha256):
                return name
        return None

    def refused(self, pid: int, why: str) -> None:
        """Log that a peer may not speak, and what to look at."""
        log.warning("client_refused", pid=pid, reason=why, hint=HINT)

    def admit(self, client: AuthorizedClient) -> None:
        """Record an authorised connection."""
        self._clients[client.name] = client
        log.info("client_authorized", client=client.name, pid=client.pid, protocol=client.protocol)

    def dismiss(self, name: str) -> None:
        """Forget a connection that ended."""
        self._clients.pop(name, None)

    def get_authorized_clients(self) -> Sequence[AuthorizedClient]:
        """Return who is connected now."""
        return list(self._clients.values())


def _is_proved(register: Register, nonce: str, secret: bytes) -> bool:
    return proof.is_proved(
        register.proof, secret, nonce, register.nonce, proof.ROLE_CRAWLER, register.id
    )
