"""What was asked of `labtrawl crawl`, and whether it can be meant."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from labtrawl.cli.crawl_place import Bounds
from labtrawl.domain.visit import NOT
from labtrawl.errors import ConfigError

LEAST_SECONDS = 0.1
# A year: what is looked for less often has its own run with --once.
MOST_SECONDS = 31_536_000


@dataclass(frozen=True, slots=True)
class Wish:
    """The flags of the command."""

    url: str
    token_file: Path | None = None
    out: Path | None = None
    resources: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime | None = None
    every: float = 3600.0
    once: bool = False
    summary: Path | None = None
    ca_file: Path | None = None
    contact: str = ""
    jobs: int = 16
    crawlers: int | None = None
    rest_only: bool = False
    yes: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError for what has the form of a flag's value and cannot be meant."""
        if not LEAST_SECONDS <= self.every <= MOST_SECONDS:
            raise ConfigError(
                f"--every: {self.every} is no interval; give {LEAST_SECONDS} to {MOST_SECONDS:,}"
                " seconds"
            )
        for path in self.include:
            if "://" in path or not path.strip("/ "):
                raise ConfigError(
                    f"--include: {path!r} is no path; give one like group/project, without the"
                    " address of the GitLab"
                )
        if self.since_utc is not None and self.since_utc > datetime.now(UTC):
            raise ConfigError("--since: that day is still to come; nothing changed since then")

    @property
    def since_utc(self) -> datetime | None:
        """The day from which on changes count, aware."""
        return self.since and self.since.replace(tzinfo=UTC)

    @property
    def bounds(self) -> Bounds:
        """What is kept of the wish beside the data: it decides what they can hold."""
        since = self.since_utc.isoformat() if self.since_utc else ""
        return Bounds(self.include, self.exclude, since)


def chosen(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of a list like `issues,*_discussions,!commits`; empty for all.

    ConfigError, which names the nearest resource, for one that stands for none of `names`.
    """
    known = sorted(set(names))
    patterns = tuple(filter(None, (part.strip() for part in text.split(","))))
    for pattern in patterns:
        bare = pattern.removeprefix(NOT)
        if not any(fnmatchcase(name, bare) for name in known):
            nearest = difflib.get_close_matches(bare, known, n=1, cutoff=0.0)
            raise ConfigError(
                f"--resources: there is no {bare!r}; the nearest is {nearest[0]!r}, and all are: "
                + ", ".join(known)
            )
    return patterns
