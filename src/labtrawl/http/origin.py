"""What the operator says about a GitLab and about how much of us it may take: values only."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """A GitLab as the operator named it.

    `url` is the base with its sub-path. `address_allow` holds networks, addresses or host names that
    may be private, loopback or spoken to without TLS. `proxy` is trusted as the operator's own: it
    resolves the host's name itself, so only addresses written as numbers are checked then.
    """

    url: str
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)  # it may hold a password
    address_allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one origin may take of us; `body_bytes` counts for the raw and the inflated body.

    `is_adaptive`: fewer than `connections` are used while it answers slowly or fails.
    """

    connections: int = 16
    is_adaptive: bool = False
    connect_seconds: float = 10
    total_seconds: float = 90
    body_bytes: int = 64 * 1024 * 1024
    inflation_ratio: int = 200
