"""What was asked of `labtrawl crawl`, and whether it can be meant."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import click

from labtrawl.cli.crawl_place import Bounds
from labtrawl.cli.scope import included
from labtrawl.domain.visit import NOT, Schedule
from labtrawl.errors import ConfigError

LEAST_SECONDS = 0.1
# A year: what is looked for less often has its own run with --once.
MOST_SECONDS = 31_536_000


def read_day(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001 - click's signature
    value: str | None,
) -> datetime | None:
    """Return a day or an instant in ISO 8601, aware; in UTC where it names no offset.

    click's error, with one that would do, for what is none.
    """
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no day; give one like 2026-06-01") from None


def read_paths(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001 - click's signature
    value: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the paths of groups and projects; ConfigError for a pattern."""
    return included(value, "--include")


@dataclass(frozen=True, slots=True)
class Wish:
    """The flags of the command."""

    url: str
    token_file: Path | None = None
    out: Path | None = None
    resources: str | None = None
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
        if self.resources is not None and not self.resources.strip(", "):
            raise ConfigError("--resources: no name is given; leave the flag out for all")
        _check_paths("--include", self.include, "path; give one like group/project")
        _check_paths("--exclude", self.exclude, "pattern; give one like group/old-*")
        if not (self.contact.isascii() and self.contact.isprintable()):
            raise ConfigError(
                "--contact: it goes into each request; give an e-mail address or a URL, in ASCII"
            )
        if self.since is not None and self.since > datetime.now(UTC):
            raise ConfigError("--since: that day is still to come; nothing changed since then")

    @property
    def bounds(self) -> Bounds:
        """What is kept of the wish beside the data: it decides what they can hold."""
        since = self.since.isoformat() if self.since else ""
        return Bounds(self.include, self.exclude, since)


def _check_paths(flag: str, paths: tuple[str, ...], wanted: str) -> None:
    for path in paths:
        if "://" in path or not path.strip("/ "):
            raise ConfigError(f"{flag}: {path!r} is no {wanted}, without the address of the GitLab")


def chosen(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of a list like `issues,*_discussions,!commits`; empty for all.

    ConfigError, which names the nearest resource, for one that stands for none of `names`, and for a
    list that leaves none.
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
    schedule = Schedule(resources=patterns)
    if patterns and not any(map(schedule.has, known)):
        raise ConfigError(f"--resources: {text} leaves nothing; name what to collect")
    return patterns
