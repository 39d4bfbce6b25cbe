"""The states of a supervised program and what is told of it; a leaf that the other rooms share."""

from datetime import datetime
from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a program is in its life."""

    PENDING = "pending"
    """It waits for another program or for credentials; `reason` says for which."""
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    """It crashed and starts again after a short wait."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """It crashed too often, or cannot work with its settings; tried again every few minutes."""


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `labtrawl status` says of one program."""

    name: str
    state: State
    since: datetime
    pid: int | None = None
    reason: str = ""
    starts: int = 0
    crashes: int = 0
    exit_code: int | None = None
    """How it ended last: an exit code, or a signal as a negative number."""
    details: dict[str, str] = {}


class CredentialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the website said of credentials: that they are there, never which."""

    present: bool = False
    verified_at: str = ""
    expires_at: str | None = None
    in_environment: bool = False
    """Whether crawlers have a token in their environment (`credentials = "environment"`)."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `labtrawl status` says of the whole."""

    pid: int
    data_dir: str
    address: str
    started_at: datetime
    credentials: CredentialStatus
    programs: tuple[ProgramStatus, ...]
