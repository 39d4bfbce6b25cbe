"""`labtrawl demo`: a whole crawl of a GitLab look-alike, with a crash in the middle and a verdict."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from labtrawl import config
from labtrawl.cli.audited import audited
from labtrawl.cli.demo_screen import Screen, open_screen
from labtrawl.cli.demo_study import StudyDemo, as_study, study_folder
from labtrawl.cli.demo_verdict import Expected, Verdict, expect, judge, summarise
from labtrawl.cli.demo_words import check_place, count_of, last_words
from labtrawl.cli.options import read_settings, setting_flags
from labtrawl.cli.places import PLACE
from labtrawl.cli.sandbox import Look, read_fault, sandbox_program, sandbox_url
from labtrawl.cli.start import run_supervisor
from labtrawl.cli.whole_file import write_whole
from labtrawl.config import Account, Instance, Settings
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.domain.credential import Secret
from labtrawl.errors import ConfigError, DiskFull, LabtrawlError
from labtrawl.sandbox import World
from labtrawl.store import sessions, summary
from labtrawl.store.engine import Connection, Snapshots, database_path, open_snapshots
from labtrawl.store.secrets import account_place, create_key_file, key_path, open_cipher
from labtrawl.supervisor.listeners import make_private_folder
from labtrawl.supervisor.states import State
from labtrawl.supervisor.supervisor import Supervisor

LOOK_SECONDS = 0.2
# The crawler is killed once this share of the records is in.
KILL_AT = 0.35
# When nothing moved for so long, a full disk is told; after the second time nobody is waited for.
STILL_SECONDS = 3.0
GIVE_UP_SECONDS = 15.0
INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the demo."""

    once: bool
    chaos: bool
    summary: Path | None


@click.command()
@setting_flags("website.port", "crawler.count")
@click.option("--study", is_flag=True, help="A study: take part as people of the look-alike.")
@click.option("--once", is_flag=True, help="End after the verdict instead of serving the site.")
@click.option("--summary", type=PLACE, metavar="FILE", help="Write JSON.")
@click.option("--chaos/--no-chaos", default=True, help="Kill the crawler once in the middle.")
@click.option("--world", default="default", metavar="NAME", help="default, small or shared.")
@click.option("--seed", default=1, help="Another seed is another world.")
@click.option(
    "--import",
    "imports",
    multiple=True,
    type=PLACE,
    metavar="DIR",
    help="Crawl the tree of a GitLab export instead; repeatable.",
)
@click.option("--latency-ms", default=0.0, help="How slow the look-alike answers.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="JSON",
    help='Let it misbehave: {"path": "issues", "kind": "500", "times": 3}; repeatable.',
)
def demo(
    settings: Settings,
    study: bool,
    once: bool,
    chaos: bool,
    summary: Path | None,
    faults: tuple[str, ...],
    **look: Any,
) -> int:
    """Crawl a GitLab look-alike, survive a kill and prove the result.

    \b
    labtrawl demo
    labtrawl demo --once --summary summary.json
    labtrawl demo --study
    labtrawl demo --import project-export/tree

    It keeps everything below demo/ (a study: demo-study/) in the data folder and goes on there when
    run again.
    The exit code is 1 if anything is missing, doubled, or absent without a reason.
    """  # noqa: D301 - click reads \b
    check_place(summary)
    show = Look(faults=tuple(map(read_fault, faults)), **look)
    world = show.build()
    if study:
        return _play_study(settings, show, world, is_judged=once or summary is not None)
    own = _own_settings(settings, settings.data_dir / "demo")
    _keep_look(own.data_dir, show)
    run = _Demo(_connected(own, world), world, show, Wishes(once, chaos, summary))
    code = run_supervisor(
        run.settings,
        [sandbox_program(run.settings, show)],
        beside=run.beside,
        show_output=False,
    )
    return code or run.ended()


def _play_study(settings: Settings, look: Look, world: World, *, is_judged: bool) -> int:
    """Run a study until Ctrl+C; what it collects is no truth to be judged by."""
    if is_judged:
        raise ConfigError("a study has no verdict: leave --once and --summary out")
    own = _own_settings(settings, study_folder(settings.data_dir))
    _keep_look(own.data_dir, look)
    play = StudyDemo(as_study(own), world)
    programs = [sandbox_program(play.settings, look)]
    return run_supervisor(play.settings, programs, beside=play.beside, show_output=False)


def _own_settings(settings: Settings, data_dir: Path) -> Settings:
    """Keep the demo apart from what the user really collects: a folder of its own."""
    flags: dict[str, object] = {"data_dir": data_dir}
    own = read_settings(None, flags)
    kept = {"logs": settings.logs, "website": settings.website, "crawler": settings.crawler}
    return replace(own, named=settings.named, scope=config.Scope(), file=None, **kept)


def _keep_look(data_dir: Path, look: Look) -> None:
    """Remember the world of this folder: another one under the same address would be a lie."""
    path = data_dir / "config" / "demo.json"
    wanted = msgspec.json.encode(
        {"world": look.world, "seed": look.seed, "imports": [str(p) for p in look.imports]}
    )
    if path.exists() and path.read_bytes() != wanted:
        raise ConfigError(
            f"{data_dir} holds the demo of another world: remove it, or choose --data-dir"
        )
    make_private_folder(path.parent)
    write_whole(path, wanted)


def _connected(settings: Settings, world: World) -> Settings:
    """Return settings that know the sandbox and the main account, its token encrypted."""
    key = key_path(settings.data_dir)
    if not key.exists():
        create_key_file(key)
    url = sandbox_url(settings.data_dir)
    main = world.accounts[0]
    token = open_cipher(key).encrypt(Secret(main.token), account_place(url, main.user_id))
    sandbox = Instance(name="sandbox", url=url, address_allow=("127.0.0.1/32",))
    account = Account(instance="sandbox", token=token, user_id=main.user_id)
    # What the demo shows is one reading of everything.
    once = config.Timetable(every_hours=0)
    return replace(settings, instances=(sandbox,), accounts=(account,), schedule=once)


class _Demo:
    """One run: watches beside the supervisor, kills once, judges, and stops if asked to."""

    def __init__(self, settings: Settings, world: World, look: Look, wishes: Wishes) -> None:
        self.settings = settings
        self._world = world
        self._look = look
        self._wishes = wishes
        self._verdict: Verdict | None = None
        self._kills = 0
        self._goes_on = False
        self._began = time.monotonic()

    def ended(self) -> int:
        """Say how it ended and return the exit code."""
        if self._verdict is not None and self._wishes.once:
            return 0 if self._verdict.good else 1
        when = "" if self._verdict else " before the end"
        with contextlib.suppress(OSError):  # a terminal that was closed has nobody to tell
            click.echo(f"stopped{when}; run the same again to go on")
        if self._verdict is None:
            return INTERRUPTED_EXIT_CODE if self._wishes.once else 0
        return 0 if self._verdict.good else 1

    async def beside(self, supervisor: Supervisor, address: str) -> None:
        """Run next to the programs until there is a verdict."""
        expecting = asyncio.create_task(asyncio.to_thread(self._expect))
        await supervisor.wait_for("website", lambda status: status.state is State.READY)
        with open_screen() as screen, open_snapshots(database_path(self.settings.data_dir)) as db:
            screen.say("site", address)
            screen.say("sign in", f"{address}/sign-in?token={await self._link()}")
            expected = await expecting
            await self._watch(supervisor, db, screen, expected)
            screen.finish()
            screen.say("checking", "every record against what the look-alike really holds")
            verdict = await asyncio.to_thread(judge, db, self.settings.data_dir, expected)
            self._write_summary(db, verdict)
            self._tell(db, screen, verdict, address)
        self._verdict = verdict
        if self._wishes.once:
            supervisor.stop()

    def _expect(self) -> Expected:
        return expect(self._world, sandbox_url(self.settings.data_dir))

    async def _link(self) -> str:
        def make(connection: Connection) -> tuple[str, str, str]:
            return sessions.create_link(connection), "admin", "created"

        return await audited(self.settings, "admin link", make)

    async def _watch(
        self, supervisor: Supervisor, db: Snapshots, screen: Screen, expected: Expected
    ) -> None:
        """Show how far it is until nothing can go on by itself."""
        at_start = (await db.read(summary.progress)).records
        self._goes_on = at_start > 0
        stillness = Stillness()
        while True:
            now = await db.read(summary.progress)
            screen.show(now, expected.records, self._seconds())
            self._check(supervisor)
            if self._is_time_to_kill(now.records - at_start, expected.records - at_start):
                await self._kill(supervisor, db, screen)
            is_held = now.jobs.get("held", 0) > 0
            if now.finished and not is_held:
                return
            still_seconds = stillness.seconds(now, self._seconds())
            has_room = self._has_room(screen, stillness, still_seconds)
            if is_held and now.finished and has_room and still_seconds > GIVE_UP_SECONDS:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _has_room(self, screen: Screen, stillness: "Stillness", still_seconds: float) -> bool:
        """Tell once when everything waits for the disk; DiskFull when `--once` waited enough."""
        free, least = _free_bytes(self.settings.data_dir), SegmentLimits().min_free_bytes
        if free >= least or still_seconds < STILL_SECONDS:
            return free >= least
        words = (
            f"{free >> 20} MiB are free under {self.settings.data_dir} and {least >> 20} MiB are "
            "kept for the database: free some space"
        )
        if self._wishes.once and still_seconds > GIVE_UP_SECONDS:
            raise DiskFull(f"{words}, then run the same again; it goes on where it was")
        if not stillness.is_told:
            stillness.is_told = True
            screen.say("disk full", f"{words}; the crawl then goes on by itself", "yellow")
        return False

    def _check(self, supervisor: Supervisor) -> None:
        """A program that was given up will not bring the demo to its end."""
        for program in supervisor.status():
            if program.state is State.FAILED:
                log = self.settings.data_dir / "logs" / f"{program.name}.log"
                raise LabtrawlError(f"{program.name} failed ({program.reason}); {log} says why")

    def _is_time_to_kill(self, records: int, expected: int) -> bool:
        wanted = self._wishes.chaos and self._kills == 0 and expected > 0
        return wanted and records >= KILL_AT * expected

    async def _kill(self, supervisor: Supervisor, db: Snapshots, screen: Screen) -> None:
        """Kill -9 a crawler, and say when another is at work in its place."""
        name = "crawler-1"
        pid = next(one.pid for one in supervisor.status() if one.name == name)
        if pid is None:
            return
        before = (await db.read(summary.progress)).records
        self._kills += 1
        killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        back = await supervisor.wait_for(
            name,
            lambda status: (
                status.state is State.FAILED
                or (status.state is State.READY and status.pid not in (None, pid))
            ),
        )
        if back.state is State.FAILED:
            return
        seconds = time.monotonic() - killed_at
        lost = max(0, before - (await db.read(summary.progress)).records)
        screen.say(
            "chaos",
            f"crawler killed at {before:,} records, back in {seconds:.1f} s, {lost} records lost",
            "magenta",
        )

    def _tell(self, db: Snapshots, screen: Screen, verdict: Verdict, address: str) -> None:
        for label, sentence in verdict.sentences():
            is_bad = label != "gaps" and not verdict.good
            screen.say(label, sentence, "red" if is_bad else "green" if label == "verdict" else "")
        now = db.read_now(summary.progress)
        areas = ", ".join(count_of(now.areas.get(kind, 0), kind) for kind in ("group", "project"))
        asked = f"{now.requests:,} requests" + (" in all runs" if self._goes_on else "")
        screen.say("took", f"{self._seconds():.1f} s, {asked} for {areas}")
        site = None if self._wishes.once else address
        for label, sentence in last_words(self.settings.data_dir, site, is_good=verdict.good):
            screen.say(label, sentence)

    def _write_summary(self, db: Snapshots, verdict: Verdict) -> None:
        if self._wishes.summary is None:
            return
        dataset = self.settings.data_dir / "dataset"
        told = summarise(db, verdict, self._kills, round(self._seconds(), 2), dataset)
        write_whole(self._wishes.summary, json.dumps(told, indent=2).encode() + b"\n")


@dataclass(slots=True)
class Stillness:
    """Since when no figure of a crawl has moved, and whether that was told."""

    figures: tuple[int, int, int] = (-1, -1, -1)
    since: float = 0.0
    is_told: bool = False

    def seconds(self, now: summary.Progress, at: float) -> float:
        """Return for how long nothing has moved; `at` is the time, in seconds from any start."""
        figures = (now.records, now.requests, now.open_jobs)
        if figures != self.figures:
            self.figures, self.since, self.is_told = figures, at, False
        return at - self.since


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
