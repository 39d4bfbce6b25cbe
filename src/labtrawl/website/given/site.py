"""What the cli hands to the website: values and questions, no objects of other rooms but the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from labtrawl.clock import Clock
from labtrawl.domain.quiet import Window
from labtrawl.domain.traffic import Spent
from labtrawl.protocol.exchange import Exchange
from labtrawl.protocol.messages import Heartbeat, Register
from labtrawl.store.audit import Keys
from labtrawl.store.engine import Store
from labtrawl.website.given.care import Care
from labtrawl.website.given.entrance import Entrance
from labtrawl.website.given.keeping import Accounts, Nobody
from labtrawl.website.given.programs import Alone, Programs
from labtrawl.website.given.sheet import SettingsDesk


@dataclass(frozen=True, slots=True)
class CrawlerView:
    """A crawler as `dispatch` sees it; `last_heartbeat_at` is aware, UTC."""

    name: str
    pid: int | None
    connected: bool
    status: str
    active_jobs: int
    last_heartbeat_at: datetime | None
    requests_per_minute: int
    wanted: str = "run"
    """What an admin wants of it: run, pause or drain."""


class Crawling(Protocol):
    """What the website asks of those who speak with the crawlers, and of the crawlers by them."""

    def connection(self) -> dict[str, Any]:
        """Say whether a crawler is connected, by which role, over which path, since when."""

    async def clients(self) -> list[dict[str, Any]]:
        """Describe each crawler that is there, by socket or by HTTP."""

    async def statistics(self) -> dict[str, Any]:
        """Return the figures of the communication, by section."""

    async def command(
        self, action: str, crawler: str | None, task_id: int | None
    ) -> dict[str, Any]:
        """Do heartbeat, ping, pause, resume, drain or cancel; Missing, Conflict where it cannot be.

        Returns {"crawlers": names, "jobs": how many}.
        """

    def tell(self, action: str, crawler: str, job_id: int) -> None:
        """Tell a crawler, if it is there, of a command that is in the database already."""

    async def hear(self, name: str, heartbeat: Heartbeat, register: Register | None = None) -> None:
        """Take a sign of life that came by HTTP, with what its crawler said when it registered."""

    def child_of(self, token_sha256: str) -> str | None:
        """Return the name of the supervised crawler whose token of this start has this hash."""


@dataclass(frozen=True, slots=True)
class Site:
    """All that the website needs to know of the rest."""

    store: Store
    clock: Clock
    crawlers: Callable[[], Sequence[CrawlerView]]
    ready: Callable[[], bool]
    contact: str
    base_url: str
    exchange: Exchange
    crawling: Crawling
    audit_keys: Callable[[], Keys]
    data_dir: Path
    sockets: Mapping[str, Path]
    """The sockets that other programs reach the website by, by what they are for."""
    settings: SettingsDesk
    programs: Programs = field(default_factory=Alone)
    """What the supervisor keeps."""
    care: Care = field(default_factory=Care)
    """What the checks, the backups and the public page need."""
    accounts: Accounts = field(default_factory=Nobody)
    """Who keeps the accounts signed in."""
    name: str = "copilot-study"
    """The website's name on the wire."""
    heartbeat_seconds: float = 5.0
    accepts_legacy: bool = False
    """Whether peers of dialect 1 may claim jobs without a proof, over the local socket."""
    shared_token_sha256: str = ""
    """Of the token that crawlers of earlier systems share; empty where there is none."""
    problems: Callable[[], Sequence[str]] = tuple
    """What keeps an account from being collected, a sentence each."""
    notices: Callable[[], Sequence[str]] = tuple
    """What works and could be safer, a sentence each."""
    spent: Callable[[], Sequence[Spent]] = tuple
    """What each crawler that is there told of its requests."""
    is_sampled: bool = False
    """Whether what happens is written down by the minute: by one process for each database."""
    quiet: Sequence[Window] = ()
    """The quiet hours of all instances together, for what is said of the time that is left."""
    most_requests_per_minute: int = 0
    """How many requests an account is used for, beside what GitLab allows; 0 leaves it to GitLab."""
    reserved_share: float = 0.2
    """The part of GitLab's limit that is never granted, for the same."""
    mode: str = "team"
    """What the data folder is for: team or study."""
    entrance: Entrance | None = None
    """The GitLabs that people sign in with; without it one comes by links from the console."""
    admins: frozenset[str] = frozenset()
    """Who is an admin: INSTANCE:USER-ID each, compared as it stands."""
    operators: frozenset[str] = frozenset()
    """Who is an operator, in the same form."""

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the site over TLS."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def cookie(self) -> str:
        """The session cookie's name; with the port, for cookies of one host share all its ports."""
        name = f"labtrawl_{urlsplit(self.base_url).port or 443}"
        return f"__Host-{name}" if self.is_https else name
