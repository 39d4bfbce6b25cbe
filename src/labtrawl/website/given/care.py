"""What the cli hands to the pages of care: values of the settings, and questions about the rest."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labtrawl.config.care import KINDS
from labtrawl.website.given.facts import GitLabFacts


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """How backups are made by themselves; `path` is None where none is set."""

    path: Path | None = None
    every_hours: float = 0.0
    keep: int = 7
    most_hours: float = 0.0
    """A newest backup that is older is told of; 0: none is too old."""

    @property
    def is_scheduled(self) -> bool:
        """Whether the website makes backups by itself."""
        return self.path is not None and self.every_hours > 0


@dataclass(frozen=True, slots=True)
class AboutCrawl:
    """What the administrators of a GitLab may know of the crawl."""

    contact: str = ""
    basis: str = ""
    user_agent: str = ""
    requests_per_minute: int = 0
    reserved_share: float = 0.2
    crawlers: int = 1
    requests_at_once: int = 32
    quiet_hours: tuple[str, ...] = ()
    """Of one GitLab or all: whose they are is nobody's business."""


@dataclass(frozen=True, slots=True)
class Care:
    """What the checks, the backups and the public page need beyond the site's own."""

    wanted_crawlers: int = 1
    secret_files: tuple[Path, ...] = ()
    backup: BackupPlan = field(default_factory=BackupPlan)
    about: AboutCrawl = field(default_factory=AboutCrawl)
    channels: tuple[str, ...] = ()
    """What notices are sent over: webhook, mail."""
    kinds: frozenset[str] = frozenset(KINDS)
    """What notices may be about (`notices.kinds`)."""
    gitlabs: Callable[[], Sequence[GitLabFacts]] = tuple
    fault: Callable[[], tuple[str | None, int | None]] = lambda: (None, None)
    """What the last look through the database found, and when (ms); see `DatabaseFacts`."""
    backup_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to have a backup made now."""
    notice_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a notice was raised that shall not wait."""
