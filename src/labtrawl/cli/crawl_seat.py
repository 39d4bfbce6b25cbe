"""What a crawler of `labtrawl crawl` is told, and what both ends of its socket keep to."""

import hashlib
import secrets
from datetime import datetime
from pathlib import Path

import msgspec

from labtrawl.domain.failure import RetryPolicy

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 5.0
RETRY = RetryPolicy()


class Reading(msgspec.Struct, frozen=True):
    """What a crawler has to know of a crawl; GitLab's token comes with each of its tasks."""

    instance_url: str
    data_dir: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    resources: tuple[str, ...]
    members: bool
    since: datetime | None
    jobs: int
    ca_file: str | None
    contact: str
    graphql: bool


class Seat(msgspec.Struct, frozen=True):
    """One crawler: its name, the secret it shows at the socket, and what it reads."""

    name: str
    secret: str
    path: str
    reading: Reading

    @property
    def fingerprint(self) -> str:
        """What the other end knows of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def new_seat(name: str, path: Path, reading: Reading) -> Seat:
    """Return a seat with a secret of its own."""
    return Seat(name, secrets.token_hex(32), str(path), reading)
