"""`labtrawl crawl`: one GitLab, group or project into a folder, without a website or a supervisor.

The same crawler, store and rules as with a website, in one process: what ends in the middle goes on
when the same is run again, and what is complete is brought up to date.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from labtrawl import logs
from labtrawl.cli.crawl_place import (
    Kept,
    Target,
    find_again,
    find_target,
    keep,
    kept_in,
    mark_of,
    parse_url,
)
from labtrawl.cli.crawl_run import Embedded, Plan
from labtrawl.cli.crawl_verdict import Outcome, as_json, in_words, look
from labtrawl.cli.crawl_wish import Wish, chosen
from labtrawl.cli.demo_screen import Screen, open_screen
from labtrawl.cli.demo_words import check_place
from labtrawl.cli.signals import end_by_signals
from labtrawl.cli.token_input import read_token
from labtrawl.cli.whole_file import write_whole
from labtrawl.clock import system_clock
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import GapReason
from labtrawl.domain.job import HoldReason
from labtrawl.errors import (
    ConfigError,
    DiskFull,
    GitLabError,
    LabtrawlError,
    Unauthorized,
)
from labtrawl.gitlab import catalog
from labtrawl.store import summary
from labtrawl.store.engine import Store, database_path, open_snapshots
from labtrawl.supervisor.instance import holder_of
from labtrawl.supervisor.listeners import make_private_folder
from labtrawl.supervisor.output import LogFile, LogStream

UNUSABLE_EXIT_CODE = 2
MANY_PROJECTS = 1000
# How the request path tells a 404.
NOTHING_THERE = "has nothing at"
# How long `--once` waits for room on a full disk.
GIVE_UP_SECONDS = 5.0


class UnusableTarget(GitLabError):
    """What the URL names is not there, or not for this account."""


@click.command()
@click.argument("url")
@click.option("--token-file", type=Path, help="File that holds the token; - reads the input.")
@click.option("--out", type=Path, metavar="DIR", help="Folder to write; named after the URL.")
@click.option(
    "--resources",
    default="",
    metavar="NAMES",
    help="Only these, like issues,merge_requests,*_discussions; all if left out.",
)
@click.option("--include", multiple=True, metavar="PATH", help="A group or project besides.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave these paths out.")
@click.option("--since", type=click.DateTime(), help="Only what changed from this day (UTC) on.")
@click.option(
    "--every",
    default=3600.0,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="How often to look for changes.",
)
@click.option("--once", is_flag=True, help="End when all is there instead of following changes.")
@click.option("--summary", type=Path, metavar="FILE", help="Write the figures as JSON.")
@click.option("--ca-file", type=Path, help="Certificates (PEM) to trust besides the system's.")
@click.option("--contact", default="", help="Where GitLab's administrators reach you.")
@click.option("--jobs", default=16, type=click.IntRange(1, 256), help="Lists read at once.")
@click.option(
    "--crawlers", default=1, type=click.IntRange(1, 64), help="Processes that read at once."
)
@click.option(
    "--rest-only", is_flag=True, help="No GraphQL where REST has it: all fields, more requests."
)
@click.option("--yes", is_flag=True, help="Do not ask, however much the token can see.")
def crawl(**flags: Any) -> int:
    """Collect a GitLab, a group or a project into a folder.

    \b
    labtrawl crawl https://gitlab.example.org/group/project --token-file token.txt
    labtrawl crawl https://gitlab.example.org/group --resources issues,issue_discussions --once
    labtrawl dataset ls --data-dir gitlab.example.org-group

    Run again it goes on where it was, and then reads what changed. Of a GitLab's own address it
    takes what the account is a member of. Exit code: 0 all is there, or a reason for what is not;
    1 a list failed, or misses something without a reason; 2 it could not begin or go on; 130 it was
    ended before all was there.
    """  # noqa: D301 - click reads \b
    _fill_standard_files()
    wish = Wish(**flags)
    check_place(wish.summary)
    resources = chosen(wish.resources, (each.name for each in catalog.RESOURCES if each.kind))
    out = (wish.out or Path(parse_url(wish.url).folder)).absolute()
    _check_is_free(out)
    kept = kept_in(out, wish.url, wish.bounds)
    token = read_token(wish.token_file, is_terminal=sys.stdin.isatty())
    target = asyncio.run(_target(wish, kept, token))
    make_private_folder(out)
    logs.set_up(stream=LogStream(LogFile(out / "crawl.log")))
    keep(out, _kept(wish, kept, target, token))
    return _Crawl(wish, resources, out, target, token).run()


def _fill_standard_files() -> None:
    """Where a standard file is closed, a database would get its number, and what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - until the exit
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115


def _check_is_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is no folder: choose another one with --out")
    if (holder := holder_of(out)) is not None:
        raise ConfigError(
            f"another labtrawl (pid {holder.pid}) works in {out}: wait for it or end it, or choose"
            " another folder with --out"
        )


async def _target(wish: Wish, kept: Kept | None, token: Secret) -> Target:
    """Find out what the URL means, and say how much a first crawl of a whole GitLab would be."""
    if kept is not None:
        return await find_again(kept, token, wish.ca_file, wish.contact, time.time())
    target = await find_target(wish.url, token, wish.ca_file, wish.contact)
    if not (target.path or wish.yes):
        click.echo(f"@{target.username} is a member of {target.projects:,} projects")
        if target.projects > MANY_PROJECTS:
            raise ConfigError(
                f"these are {target.projects:,} projects, and a crawl of all takes long: give --yes"
                " to go on, or the URL of a group"
            )
    return target


def _kept(wish: Wish, before: Kept | None, target: Target, token: Secret) -> Kept:
    is_known = before is not None and before.target is target
    checked_at = before.checked_at if before and is_known else int(time.time())
    return Kept(target, wish.bounds, mark_of(token), checked_at)


@dataclass(slots=True)
class _Crawl:
    """One run of the command."""

    wish: Wish
    resources: tuple[str, ...]
    out: Path
    target: Target
    token: Secret
    began_at: float = 0.0
    before: int = 0
    failure: LabtrawlError | None = None
    full_since: float | None = None

    def run(self) -> int:
        """Crawl, tell how it went, and return the exit code; raises what ended it for good."""
        import uvloop

        self.began_at = time.monotonic()
        with open_screen() as screen:
            _tell(lambda: screen.say("folder", str(self.out)))
            is_done = uvloop.run(self._follow(screen))
        with open_snapshots(database_path(self.out)) as database:
            outcome = look(database, self.before, round(self._seconds(), 2), is_done=is_done)
        if outcome.failed is not None and not outcome.now.areas:
            self.failure = self._unusable(outcome.failed)
        self._report(outcome)
        if self.failure is not None:
            raise self.failure
        return outcome.exit_code

    def _plan(self) -> Plan:
        wish = self.wish
        return Plan(
            target=self.target,
            token=self.token,
            data_dir=self.out,
            resources=self.resources,
            include=wish.include,
            exclude=wish.exclude,
            since=wish.since_utc,
            every_seconds=None if wish.once else wish.every,
            jobs=wish.jobs,
            ca_file=wish.ca_file,
            contact=wish.contact,
            rest_only=wish.rest_only,
            crawlers=wish.crawlers,
        )

    def _seconds(self) -> float:
        return time.monotonic() - self.began_at

    async def _follow(self, screen: Screen) -> bool:
        """Show how far it is until all is there; False where it was ended before."""
        stopping = asyncio.Event()
        end_by_signals(stopping, lambda words: _tell(lambda: screen.say("ending", words)))
        embedded = Embedded(self._plan(), system_clock(), stopping)
        was_complete = False
        async with embedded.running() as store:
            self.before = (await store.read(summary.progress)).records
            async for now in embedded.progress(store):
                still = await embedded.left(store)
                _tell(
                    lambda now=now, left=still: screen.show_open(now, self._seconds(), left)  # type: ignore[misc]
                )
                if not now.finished or await self._is_held_up(store, screen):
                    if self.failure is not None:
                        break
                    continue
                if self.wish.once:
                    was_complete = True
                    break
                if not was_complete:
                    was_complete = True
                    _tell(lambda: screen.say("complete", "following changes; Ctrl-C ends it"))
            _tell(screen.finish)
        return was_complete and self.failure is None

    async def _is_held_up(self, store: Store, screen: Screen) -> bool:
        """Say whether what is left waits for a person; what nobody is waited for is a failure."""
        held = await store.read(summary.held)
        if held.get(HoldReason.CREDENTIAL):
            self.failure = Unauthorized(
                f"GitLab refuses the token of @{self.target.username}: what was collected is kept;"
                " run the same again with a token that is good"
            )
            return True
        if not held.get(HoldReason.DISK):
            self.full_since = None
            return False
        words = (
            f"less than {SegmentLimits().min_free_bytes >> 20} MiB are free in {self.out}: free"
            " some space"
        )
        if self.full_since is None:
            self.full_since = self._seconds()
            _tell(lambda: screen.say("disk full", f"{words}; it then goes on by itself", "yellow"))
        if self.wish.once and self._seconds() - self.full_since > GIVE_UP_SECONDS:
            self.failure = DiskFull(f"{words}, then run the same again; it goes on where it was")
        return True

    def _unusable(self, failed: summary.Failure) -> LabtrawlError:
        hint = ""
        if failed.reason == GapReason.FORBIDDEN or NOTHING_THERE in failed.message:
            hint = (
                f"; give the URL of a group or project (not of a person) that @"
                f"{self.target.username} may see"
            )
        return UnusableTarget(f"{self.wish.url} could not be read: {failed.message}{hint}")

    def _report(self, outcome: Outcome) -> None:
        for line in in_words(outcome, self.out) if self.failure is None else ():
            _tell(lambda line=line: click.echo(line))  # type: ignore[misc]
        if self.wish.summary is not None:
            told = as_json(outcome, self.out)
            if self.failure is not None:
                told |= {"complete": False, "exit_code": UNUSABLE_EXIT_CODE}
            write_whole(self.wish.summary, json.dumps(told, indent=2).encode() + b"\n")


def _tell(say: Callable[[], None]) -> None:
    """Say it where somebody reads; a reader that went away (`| head`) ends no crawl."""
    try:
        say()
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
