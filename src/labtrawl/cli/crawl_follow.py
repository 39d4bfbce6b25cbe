"""A crawl from its beginning to its exit code: what is shown meanwhile, and how it went.

Its imports are most of the time that a small crawl takes: `crawl` makes them while GitLab is asked.
"""

import asyncio
import gc
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop

from labtrawl.cli.crawl_beside import Beside
from labtrawl.cli.crawl_place import Target
from labtrawl.cli.crawl_run import Embedded, Plan
from labtrawl.cli.crawl_verdict import Outcome, as_json, in_words, look, unexplained
from labtrawl.cli.crawl_wish import Wish
from labtrawl.cli.database_file import check_is_database
from labtrawl.cli.demo_screen import Screen, elapsed, open_screen, tell
from labtrawl.cli.demo_words import command_name, count_of, near
from labtrawl.cli.forecast import Forecast
from labtrawl.cli.signals import end_by_signals
from labtrawl.cli.whole_file import write_whole
from labtrawl.clock import system_clock
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.domain.credential import Secret
from labtrawl.domain.failure import GapReason
from labtrawl.domain.job import HoldReason
from labtrawl.errors import DiskFull, GitLabError, LabtrawlError, Unauthorized
from labtrawl.store import summary
from labtrawl.store.engine import Store, database_path, open_snapshots

UNUSABLE_EXIT_CODE = 2
# How the request path tells a 404.
NOTHING_THERE = "has nothing at"
# How long `--once` waits for room on a full disk.
GIVE_UP_SECONDS = 5.0


class UnusableTarget(GitLabError):
    """What the URL names is not there, or not for this account."""


@dataclass(slots=True)
class Crawling:
    """One run of the command."""

    wish: Wish
    resources: tuple[str, ...]
    out: Path
    target: Target
    token: Secret
    beside: tuple[Beside, ...] = ()
    # None for a folder that was there already.
    forecast: Forecast | None = None
    began_at: float = 0.0
    before: summary.Progress | None = None
    failure: LabtrawlError | None = None
    full_since: float | None = None

    def run(self) -> int:
        """Crawl, tell how it went, and return the exit code; raises what ended it for good."""
        check_is_database(database_path(self.out))
        self.began_at = time.monotonic()
        gc.freeze()  # what was imported stays: to look at it again and again is dear
        try:
            with open_screen() as screen:
                tell(lambda: screen.say("folder", str(self.out)))
                is_done = uvloop.run(self._follow(screen))
        finally:
            gc.unfreeze()
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
            since=wish.since,
            every_seconds=None if wish.once else wish.every,
            jobs=wish.jobs,
            ca_file=wish.ca_file,
            contact=wish.contact,
            rest_only=wish.rest_only,
            beside=self.beside,
        )

    def _seconds(self) -> float:
        return time.monotonic() - self.began_at

    async def _follow(self, screen: Screen) -> bool:
        """Show how far it is until all is there; False where it was ended before."""
        stopping = asyncio.Event()
        end_by_signals(stopping, lambda words: tell(lambda: screen.say("ending", words)))
        embedded = Embedded(self._plan(), system_clock(), stopping)
        was_complete = False
        async with embedded.running() as store:
            self.before = await store.read(summary.progress)
            async for now in embedded.progress(store):
                still = "" if was_complete else await embedded.left(store)
                tell(
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
                    found_none = None if now.areas else await store.read(summary.discovery_failure)
                    if found_none is not None:
                        break  # what the URL names is not there: nothing to follow
                    was_complete = True
                    await self._say_that_it_follows(store, screen)
            tell(screen.finish)
        return was_complete and self.failure is None

    async def _say_that_it_follows(self, store: Store, screen: Screen) -> None:
        often = elapsed(self.wish.every)
        label, words = "complete", f"following changes, looked for every {often}; Ctrl-C ends it"
        lost = await store.read(summary.discovery_failure)
        if lists := len(unexplained(await store.read(summary.gaps))) + (lost is not None):
            label, place = "gaps", shlex.quote(near(self.out))
            why = f"{command_name(sys.argv[0])} ledger --gaps --data-dir {place}"
            words = f"in {count_of(lists, 'list')}, {why} says why; {words}"
        tell(lambda: screen.say(label, words))

    async def _is_held_up(self, store: Store, screen: Screen) -> bool:
        """Say whether what is left waits for a person; what nobody is waited for is a failure."""
        held = await store.read(summary.held)
        if held.get(HoldReason.CREDENTIAL):
            why = await store.read(summary.why_refused)
            self.failure = Unauthorized(
                f"GitLab refuses the token of @{self.target.username}: what was collected is kept;"
                f" run the same again with a token that is good{why and f' ({why})'}"
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
            tell(lambda: screen.say("disk full", f"{words}; it then goes on by itself", "yellow"))
        if self.wish.once and self._seconds() - self.full_since > GIVE_UP_SECONDS:
            self.failure = DiskFull(f"{words}, then run the same again; it goes on where it was")
        return True

    def _unusable(self, failed: summary.Failure) -> LabtrawlError:
        hint = ""
        if failed.reason == GapReason.FORBIDDEN or NOTHING_THERE in failed.message:
            hint = (
                f"; give the URL of a group or project (not of a person) that @"
                f"{self.target.username} may see; a renamed group is known by its new path only"
            )
        return UnusableTarget(f"{self.wish.url} could not be read: {failed.message}{hint}")

    def _report(self, outcome: Outcome) -> None:
        for line in in_words(outcome, self.out) if self.failure is None else ():
            tell(lambda line=line: click.echo(line))  # type: ignore[misc]
        if self.wish.summary is not None:
            told = as_json(outcome, self.out)
            told["forecast"] = self.forecast and self.forecast.as_json()
            if self.failure is not None:
                told |= {"complete": False, "exit_code": UNUSABLE_EXIT_CODE}
            write_whole(self.wish.summary, json.dumps(told, indent=2).encode() + b"\n")
