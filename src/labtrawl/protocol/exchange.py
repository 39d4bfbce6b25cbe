"""What a door hands in and what it gets back: the same for socket, HTTP and WebSocket.

A door makes sure who speaks, decodes, asks, encodes. It holds no rule.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from labtrawl.protocol.messages import PROTOCOL, Ack, Envelope


class Tier(StrEnum):
    """How a caller was recognised, the most trusted first."""

    SOCKET = "authorised_socket"
    SESSION = "admin_session"
    TOKEN = "api_token"  # noqa: S105 - the name of a tier


class SecurityLevel(StrEnum):
    """What the audit log and the log call a tier."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


LEVELS = {
    Tier.SOCKET: SecurityLevel.HIGH,
    Tier.SESSION: SecurityLevel.MEDIUM,
    Tier.TOKEN: SecurityLevel.LOW,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a message, as its door made sure: its name holds the leases.

    `dialect` 1 is a peer of the ancestors': no ids, no epochs, no acknowledgements.
    """

    name: str
    tier: Tier = Tier.SOCKET
    dialect: int = PROTOCOL

    @property
    def is_admin(self) -> bool:
        """Whether a person with all rights asks, not a crawler."""
        return self.tier is Tier.SESSION


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back; `body` is anything that msgspec can encode."""

    type: str
    key: str
    body: object

    @property
    def ack(self) -> Ack | None:
        """The acknowledgement, where it is nothing else: several can go in one message."""
        return self.body if isinstance(self.body, Ack) else None

    @property
    def payload(self) -> msgspec.Raw:
        """The body as JSON."""
        return msgspec.Raw(msgspec.json.encode(self.body))


Exchange = Callable[[Caller, Envelope], Awaitable[Reply | None]]
"""Do what a message asks for; every failure is a LabtrawlError."""
