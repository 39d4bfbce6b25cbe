"""What the checks judge: plain values, gathered by `sights` and handed in whole. Instants in ms."""

from collections.abc import Sequence
from dataclasses import dataclass

from labtrawl.store.backup import BackupRow
from labtrawl.store.care import AccountFacts
from labtrawl.store.discoveries import Unfinished
from labtrawl.store.seen import Fallen, SeenFields, SeenVersion


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """How the database is; `fault` is what is wrong with it, None where nobody looked yet."""

    answers: bool
    is_newest: bool
    bytes: int = 0
    wal_bytes: int = 0
    fault: str | None = None
    looked_at: int | None = None


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The file system of the data folder, and how fast the dataset grows."""

    free: int
    total: int
    grown_last_day: int
    is_writable: bool = True


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """A program of the supervisor; `reason` is why it does not work, "" where it does."""

    name: str
    state: str
    crashes: int
    reason: str


@dataclass(frozen=True, slots=True)
class CrawlerFacts:
    """A crawler and how long it has been silent."""

    name: str
    connected: bool
    silent_ms: int | None


@dataclass(frozen=True, slots=True)
class GitLabFacts:
    """What one request to a GitLab said; `offset_ms`: its clock is so far ahead of ours."""

    name: str
    looked_at: int | None
    problem: str = ""
    offset_ms: int | None = None
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What is set of backups, and the newest that is whole, or that failed after it."""

    is_scheduled: bool
    most_hours: float
    newest: BackupRow | None
    failed: BackupRow | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. None where it could not be looked at: labtrawl does not run, or has not yet."""

    now: int
    database: DatabaseFacts
    disk: DiskFacts | None
    key_problem: str
    open_files: Sequence[str]
    """Files that hold secrets, and that others may read."""
    missing_sockets: Sequence[str] | None
    programs: Sequence[ProgramFacts] | None
    crawlers: Sequence[CrawlerFacts] | None
    wanted_crawlers: int
    problems: Sequence[str]
    """What keeps an account from being collected, a sentence each."""
    gitlabs: Sequence[GitLabFacts]
    accounts: Sequence[AccountFacts]
    discoveries: Sequence[Unfinished]
    backup: BackupFacts
    versions: Sequence[SeenVersion]
    fields: Sequence[SeenFields]
    fallen: Sequence[Fallen]
    stop_requests: int
    failed_deliveries: int = 0
