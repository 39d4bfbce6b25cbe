"""Either end killed with -9 under load: what was acknowledged is there, and nothing is there twice."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from labtrawl.protocol.backoff import SETTLED_SECONDS
from labtrawl.store.engine import Connection, Snapshots, database_path, open_engine
from labtrawl.store.migrate import migrate
from tests.integration.protocol.wire import plant

pytestmark = pytest.mark.long

CRAWLERS = ("crawler-1", "crawler-2")
JOBS = 16
PER_SECOND = 1000
# A crawler that could not connect for a while waits up to 30 s before it tries again.
SECONDS = 90.0
PROGRAM = (sys.executable, "-m", "tests.integration.protocol.ends")
Process = subprocess.Popen[str]


@dataclass(slots=True)
class Stage:
    """A listener that outlives all, a website and two crawlers behind it, and their database."""

    folder: Path
    path: Path
    held: socket.socket
    snapshots: Snapshots
    website: Process | None = None
    crawlers: dict[str, Process] = field(default_factory=dict)
    refused: int = 0
    fresh: set[str] = field(default_factory=set)

    def start_website(self) -> None:
        """Start it and wait until it listens; it hears who is there."""
        descriptor = self.held.fileno()
        self.website = subprocess.Popen(
            (*PROGRAM, "website", str(self.folder), str(descriptor)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(descriptor,),
        )
        for name, process in self.crawlers.items():
            self.tell("announce", name, process.pid)

    def tell(self, word: str, name: str, pid: int) -> None:
        """Say what a supervisor says; a website that is dead hears it at its next start."""
        if self.website is not None and self.website.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.website.stdin.write(json.dumps([word, name, pid]) + "\n")
                self.website.stdin.flush()

    def start_crawler(self, name: str) -> None:
        self.crawlers[name] = subprocess.Popen(
            (*PROGRAM, "crawler", str(self.path), name, str(PER_SECOND)),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.fresh.add(name)
        self.tell("announce", name, self.crawlers[name].pid)

    def kill_crawler(self, name: str) -> float:
        """Kill it and start its successor; return after how long the other had its jobs."""
        self.settle()
        held = self.read(lambda c: _held(c, name))
        dead = self.crawlers[name]
        killed_at = time.monotonic()
        dead.kill()
        dead.communicate()
        self.tell("gone", name, dead.pid)
        self.until(lambda c: _run_again(c, held))
        taken = time.monotonic() - killed_at
        self.start_crawler(name)
        return taken

    def settle(self) -> None:
        """Wait until all crawlers are connected."""
        for name in self.fresh:
            wait_until_ready(self.crawlers[name])
        self.fresh.clear()

    def busiest(self) -> str:
        """The crawler with the most jobs."""
        return max(CRAWLERS, key=lambda name: len(self.read(lambda c: _held(c, name))))

    def kill_website(self) -> None:
        """Kill it and start it again; whoever connects meanwhile is not refused."""
        assert self.website is not None
        self.website.kill()
        self.website.communicate()
        self.knock()
        self.start_website()
        self.knock()
        wait_until_ready(self.website)

    def knock(self) -> None:
        with socket.socket(socket.AF_UNIX) as guest:
            try:
                guest.connect(str(self.path))
            except ConnectionError:
                self.refused += 1

    def read(self, work: Callable[[Connection], Any]) -> Any:
        return self.snapshots.read_now(work)

    def until(self, happened: Callable[[Connection], bool]) -> None:
        """Look again and again until other processes did something."""
        deadline = time.monotonic() + SECONDS
        while not self.read(happened):
            assert time.monotonic() < deadline, "the crawlers do not get on"
            time.sleep(0.005)  # other processes write the database, and tell nobody here

    def grow(self, events: int) -> None:
        """Wait for so many commits more."""
        wanted = self.read(_count) + events
        self.until(lambda c: _count(c) >= wanted)

    def end(self) -> dict[str, int]:
        """Let the crawlers come to an end; return how far they say that each job is."""
        told: dict[str, int] = {}
        self.settle()
        for process in self.crawlers.values():
            process.send_signal(signal.SIGTERM)
        for process in self.crawlers.values():
            said, _ = process.communicate(timeout=SECONDS)
            told |= json.loads(said)
        return told

    def clean_up(self) -> None:
        for process in [self.website, *self.crawlers.values()]:
            if process is not None:
                process.kill()
                process.communicate()


def wait_until_ready(process: Process | None) -> None:
    assert process is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    path = database_path(folder)
    migrate(path)
    writer, reader = open_engine(path, read_only=False), open_engine(path, read_only=True)
    with writer.begin() as connection:
        plant(connection, JOBS)
    writer.dispose()
    with (
        tempfile.TemporaryDirectory(prefix="labtrawl-") as short,
        socket.socket(socket.AF_UNIX) as held,
    ):
        held.bind(f"{short}/api.sock")
        held.listen()
        stage = Stage(folder, Path(short) / "api.sock", held, Snapshots(reader))
        try:
            stage.start_website()
            wait_until_ready(stage.website)
            for name in CRAWLERS:
                stage.start_crawler(name)
            stage.until(lambda c: _held_by_anybody(c) == JOBS)
            yield stage
        finally:
            stage.clean_up()
            reader.dispose()


def _count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT COUNT(*) FROM segment").scalar_one())


def _held(connection: Connection, name: str) -> dict[int, int]:
    rows = connection.exec_driver_sql(
        "SELECT id, fence FROM job WHERE state = 'running' AND lease_holder = ?", (name,)
    ).all()
    return {row[0]: row[1] for row in rows}


def _held_by_anybody(connection: Connection) -> int:
    return sum(len(_held(connection, name)) for name in CRAWLERS)


def _run_again(connection: Connection, held: dict[int, int]) -> bool:
    rows = connection.exec_driver_sql("SELECT id, fence FROM job WHERE state = 'running'").all()
    now = {row[0]: row[1] for row in rows}
    return all(now.get(job, 0) > fence for job, fence in held.items())


def _applied(connection: Connection) -> dict[str, list[int]]:
    """The numbers of each job's events, in the order of their commit."""
    found: dict[str, list[int]] = {}
    for job, number in connection.exec_driver_sql(
        "SELECT job_id, length FROM segment ORDER BY id"
    ).all():
        found.setdefault(str(job), []).append(number)
    return found


def _cursors(connection: Connection) -> dict[str, int]:
    rows = connection.exec_driver_sql("SELECT id, cursor FROM job").all()
    return {str(job): json.loads(cursor)["items"] for job, cursor in rows}


def judge(stage: Stage, told: dict[str, int]) -> None:
    """Each job has its events 1 … n once and in order, n being what its crawler was told."""
    applied = stage.read(_applied)
    assert applied == {job: list(range(1, len(each) + 1)) for job, each in applied.items()}
    reached = {job: len(each) for job, each in applied.items()}
    assert stage.read(_cursors) == reached
    assert {job: reached[job] for job in told} == told
    assert stage.refused == 0


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n  {text}")


def kill_websites(folder: Path, kills: int, chance: Random) -> str:
    with staged(folder) as stage:
        for _ in range(kills):
            stage.grow(100)
            # Shorter connections count as failed, and after five of them a crawler tries less often.
            time.sleep(SETTLED_SECONDS + chance.uniform(0.0, 0.2))
            stage.kill_website()
        stage.grow(100)
        judge(stage, stage.end())
        return f"{kills} kills of the website, {stage.read(_count)} events: 0 lost, 0 twice, 0 refused connects"


def kill_crawlers(folder: Path, kills: int, chance: Random) -> tuple[str, float]:
    with staged(folder) as stage:
        waits = []
        for _ in range(kills):
            stage.grow(100)
            time.sleep(chance.uniform(0.0, 0.05))  # any instant may be the last one
            waits.append(stage.kill_crawler(stage.busiest()))
        stage.grow(100)
        judge(stage, stage.end())
        waits.sort()
        p99 = waits[math.ceil(0.99 * len(waits)) - 1]
        text = f"{kills} kills of a crawler, {stage.read(_count)} events: 0 lost, 0 twice"
        return f"{text}; its jobs ran again after {p99:.3f} s (p99)", p99


def test_events_of_a_website_that_is_killed_are_there_once(tmp_path: Path) -> None:
    kill_websites(tmp_path, 2, Random(1))


def test_events_of_crawlers_that_are_killed_are_there_once(tmp_path: Path) -> None:
    kill_crawlers(tmp_path, 2, Random(1))


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_hundred_kills_of_the_website_under_load_lose_and_double_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(capsys, kill_websites(tmp_path, 100, Random(os.getpid())))


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_hundred_kills_of_crawlers_under_load_lose_and_double_nothing_and_jobs_run_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, p99 = kill_crawlers(tmp_path, 100, Random(os.getpid()))
    tell(capsys, text)
    assert p99 <= 0.5
