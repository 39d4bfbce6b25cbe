"""The programs that the supervisor keeps, as the website shows them; `cli` asks the supervisor."""

from datetime import datetime
from typing import Protocol

import msgspec

from labtrawl.errors import Conflict

RESTARTING = "the website itself restarts; load the page again in a moment"


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program, as the supervisor tells; instants are aware, UTC."""

    name: str
    state: str
    """pending, starting, ready, backoff, stopping, stopped or failed."""
    since: datetime
    pid: int | None = None
    memory_bytes: int | None = None
    """What it holds in memory (VmRSS of proc(5)); None where nobody can tell."""
    starts: int = 0
    crashes: int = 0
    exit_code: int | None = None
    """How it ended last: an exit code, or a signal as a negative number."""
    reason: str = ""
    details: dict[str, str] = {}


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor and all that it keeps."""

    pid: int
    started_at: datetime
    memory_bytes: int | None = None
    programs: tuple[Program, ...] = ()


class Programs(Protocol):
    """What the website asks of the supervisor."""

    async def status(self) -> Whole | None:
        """Say how everything is; None where no supervisor keeps this website.

        PeerGone where there is one that does not answer.
        """

    async def restart(self, name: str) -> str:
        """Stop and start one program; return what came of it, one sentence.

        Conflict where there is no such program or no supervisor, PeerGone as above.
        """


class Alone:
    """For a website that nobody keeps."""

    async def status(self) -> Whole | None:
        """Say that there is no supervisor."""
        return None

    async def restart(self, name: str) -> str:
        """Refuse: there is nobody to do it."""
        raise Conflict(f"no supervisor keeps {name}: restart it where you started it")
