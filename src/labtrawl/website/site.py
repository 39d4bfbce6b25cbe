"""What the cli hands to the website: values and questions, no objects of other rooms but the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from labtrawl.clock import Clock
from labtrawl.store.engine import Store


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


@dataclass(frozen=True, slots=True)
class Site:
    """All that the website needs to know of the rest."""

    store: Store
    clock: Clock
    crawlers: Callable[[], Sequence[CrawlerView]]
    ready: Callable[[], bool]
    contact: str
    base_url: str
    problems: Callable[[], Sequence[str]] = tuple
    """What keeps an account from being collected, a sentence each."""

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the site over TLS."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def cookie(self) -> str:
        """The session cookie's name; with the port, for cookies of one host share all its ports."""
        name = f"labtrawl_{urlsplit(self.base_url).port or 443}"
        return f"__Host-{name}" if self.is_https else name
