"""`labtrawl crawl`: one GitLab, group or project into a folder, without a website or a supervisor.

The same crawler, store and rules as with a website, in one process: what ends in the middle goes on
when the same is run again, and what is complete is brought up to date.
"""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from labtrawl import logs
from labtrawl.cli.crawl_place import Target, find_target, keep_target, kept_target, parse_url
from labtrawl.cli.crawl_run import Embedded, Plan
from labtrawl.cli.demo_screen import Screen, open_screen
from labtrawl.cli.demo_words import check_place
from labtrawl.cli.token_input import read_token
from labtrawl.cli.whole_file import write_whole
from labtrawl.clock import system_clock
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, GitLabError
from labtrawl.store import summary
from labtrawl.store.engine import Snapshots, database_path, open_snapshots
from labtrawl.supervisor.listeners import make_private_folder


class UnusableTarget(GitLabError):
    """What the URL names is not there, or not for this account."""


INCOMPLETE_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

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
    yes: bool = False


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
@click.option("--every", default=3600.0, metavar="SECONDS", help="How often to look for changes.")
@click.option("--once", is_flag=True, help="End when all is there instead of following changes.")
@click.option("--summary", type=Path, metavar="FILE", help="Write the figures as JSON.")
@click.option("--ca-file", type=Path, help="Certificates (PEM) to trust besides the system's.")
@click.option("--contact", default="", help="Where GitLab's administrators reach you.")
@click.option("--jobs", default=16, type=click.IntRange(1, 256), help="Lists read at once.")
@click.option("--yes", is_flag=True, help="Do not ask, however much the token can see.")
def crawl(**flags: Any) -> int:
    """Collect a GitLab, a group or a project into a folder.

    \b
    labtrawl crawl https://gitlab.example.org/group/project --token-file token.txt
    labtrawl crawl https://gitlab.example.org/group --resources issues,issue_discussions --once
    labtrawl dataset ls --data-dir gitlab.example.org-group

    Run again it goes on where it was, and then reads what changed. Of a GitLab's own address it
    takes what the account is a member of. The exit code is 1 where something is missing and nobody
    knows why, or a list failed; `labtrawl ledger` tells more.
    """  # noqa: D301 - click reads \b
    wish = Wish(**flags)
    check_place(wish.summary)
    token = read_token(wish.token_file, is_terminal=sys.stdin.isatty())
    out = (wish.out or Path(parse_url(wish.url).folder)).absolute()
    make_private_folder(out)
    _log_into(out)
    target = kept_target(out, wish.url)
    if target is None:
        target = asyncio.run(find_target(wish.url, token, wish.ca_file, wish.contact))
        _confirm(target, wish)
        keep_target(out, target)
    return _Crawl(wish, out, target, token).run()


def _log_into(out: Path) -> None:
    """The terminal shows how far it is; what happened stands in a file."""
    file = (out / "crawl.log").open("a", encoding="utf-8")
    logs.set_up(stream=file)


def _confirm(target: Target, wish: Wish) -> None:
    """A first crawl says how much it would collect; a large one is asked for twice."""
    if target.path or wish.yes:
        return
    click.echo(f"@{target.username} is a member of {target.projects:,} projects")
    if target.projects > 1000:
        raise ConfigError(
            f"these are {target.projects:,} projects, and a crawl of all takes long: give --yes to "
            "go on, or the URL of a group"
        )


@dataclass(slots=True)
class _Crawl:
    """One run of the command."""

    wish: Wish
    out: Path
    target: Target
    token: Secret
    began_at: float = 0.0

    def run(self) -> int:
        """Crawl, tell how it went, and return the exit code."""
        import uvloop

        self.began_at = time.monotonic()
        plan = Plan(
            target=self.target,
            token=self.token,
            data_dir=self.out,
            resources=tuple(filter(None, self.wish.resources.replace(" ", "").split(","))),
            include=self.wish.include,
            exclude=self.wish.exclude,
            since=self.wish.since and self.wish.since.replace(tzinfo=UTC),
            every_seconds=None if self.wish.once else self.wish.every,
            jobs=self.wish.jobs,
            ca_file=self.wish.ca_file,
            contact=self.wish.contact,
        )
        with open_screen() as screen:
            screen.say("folder", str(self.out))
            is_done = uvloop.run(self._follow(plan, screen))
        with open_snapshots(database_path(self.out)) as db:
            return self._verdict(db, is_done=is_done)

    async def _follow(self, plan: Plan, screen: Screen) -> bool:
        """Show how far it is until all is there; False where it was ended before."""
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        embedded = Embedded(plan, system_clock(), stopping)
        async with embedded.running() as store:
            was_complete = False
            async for now in embedded.progress(store):
                screen.show_open(now, time.monotonic() - self.began_at)
                if now.finished and not was_complete:
                    was_complete = True
                    if self.wish.once:
                        break
                    screen.say("complete", "following changes; Ctrl-C ends it")
            screen.finish()
            return was_complete

    def _verdict(self, db: Snapshots, *, is_done: bool) -> int:
        now = db.read_now(summary.progress)
        gaps = db.read_now(summary.gaps)
        unexplained = [gap for gap in gaps if gap.reason in (None, "failed")]
        seconds = round(time.monotonic() - self.began_at, 2)
        click.echo(
            f"{now.records:,} records in {seconds:,.1f} s with {now.requests:,} requests"
            f" ({len(gaps) - len(unexplained)} lists with a reason for less)"
        )
        for gap in unexplained[:10]:
            said = gap.detail or "not complete, and nobody knows why"
            click.echo(f"gap: {gap.full_path} {gap.resource}: {said}")
        self._write_summary(db, seconds, is_done=is_done)
        if (failure := db.read_now(summary.discovery_failure)) is not None:
            raise UnusableTarget(
                f"{self.wish.url} could not be read: {failure}; is the path right, and may"
                f" @{self.target.username} see it?"
            )
        if not is_done:
            click.echo("ended before all was there; run the same again to go on")
            return INTERRUPTED_EXIT_CODE
        return INCOMPLETE_EXIT_CODE if unexplained else 0

    def _write_summary(self, db: Snapshots, seconds: float, *, is_done: bool) -> None:
        if self.wish.summary is None:
            return
        now = db.read_now(summary.progress)
        told = {
            "complete": is_done,
            "areas": now.areas,
            "jobs": now.jobs,
            "records": db.read_now(summary.records_by_resource),
            "requests": now.requests,
            "retries": now.retries,
            "gaps": [
                {
                    "area": g.full_path,
                    "resource": g.resource,
                    "reason": g.reason,
                    "detail": g.detail,
                }
                for g in db.read_now(summary.gaps)
            ],
            "seconds": seconds,
            "dataset": str(self.out / "dataset"),
        }
        write_whole(self.wish.summary, json.dumps(told, indent=2).encode() + b"\n")
