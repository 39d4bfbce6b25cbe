"""The real programs on a data folder of their own, started as a user would, and killed at will.

The GitLab look-alike is a process beside the supervisor, so that it outlives every victim. What is
left on the disk is judged by `oracle`.
"""

import contextlib
import fcntl
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from labtrawl.cli.settings_file import Access, Draft
from labtrawl.config import Instance
from labtrawl.errors import StoreError
from labtrawl.store import summary
from labtrawl.store.engine import database_path, open_snapshots
from labtrawl.supervisor import linux
from tests.prove.lookalike import PROGRAM, RESOURCES, GitLab, environment

Planned = TypeVar("Planned")
Outcome = TypeVar("Outcome")

POLL_SECONDS = 0.02
# Asking the database takes more than a look at a file.
ASK_SECONDS = 0.1
# Crawls side by side: each waits more than it works.
AT_ONCE = 2
# An undisturbed crawl takes two to eight seconds; each kill adds a restart and at most a lease.
CRAWL_SECONDS = 90.0
START_SECONDS = 30.0
STOP_SECONDS = 20.0
VICTIMS = ("crawler", "website", "supervisor")
SETTINGS = """
[website]
port = 0
[lease]
seconds = 2.0
renew_seconds = 0.5
[heartbeat]
seconds = 1.0
silence_seconds = 5.0
[crawler]
jobs = {}
[segment]
max_bytes = {}
max_seconds = {}
[schedule]
resources = {}
"""


class Stuck(AssertionError):
    """Something did not happen in time; the text says what, and how things stand."""


def until(
    happened: Callable[[], bool], seconds: float, what: str, every_seconds: float = POLL_SECONDS
) -> None:
    """Look again and again until an outside process did something. Raises Stuck."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {seconds:g} s: {what}")
        time.sleep(every_seconds)  # other processes do it, and tell nobody here


@dataclass(slots=True)
class Crawl:
    """A data folder, and the supervisor that runs on it now.

    `command` starts the supervisor; `log` is what was done to it, for whoever must repeat it.
    """

    folder: Path
    runtime_dir: Path
    gitlab: GitLab
    jobs: int = 8
    segment_bytes: int = 8 << 20
    segment_seconds: float = 0.15
    command: Sequence[str] = (*PROGRAM, "start")
    log: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    _children: dict[int, str] = field(default_factory=dict)
    _supervisor: subprocess.Popen[bytes] | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def write_settings(self) -> None:
        """Write labtrawl.toml and the key as `labtrawl init` does, then the pace of the proof."""
        config = self.folder / "labtrawl.toml"
        instance = Instance(name="gitlab", url=self.gitlab.url, address_allow=("127.0.0.1/32",))
        draft = Draft(config, self.data_dir, "", instance, None, self.gitlab.username, 0)
        draft.write(Access(self.gitlab.token), overwrite=False)
        with config.open("a") as file:
            pace = (self.jobs, self.segment_bytes, self.segment_seconds)
            # A list of texts in JSON is one in TOML too.
            file.write(SETTINGS.format(*pace, json.dumps(RESOURCES)))

    # ------------------------------------------------------------ starting and stopping

    def start(self) -> None:
        """Start the supervisor; returns at once."""
        if not (self.folder / "labtrawl.toml").exists():
            self.write_settings()
        with (self.folder / "supervisor.out").open("ab") as output:
            self._supervisor = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**environment(), "XDG_RUNTIME_DIR": str(self.runtime_dir)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.note(f"start, supervisor {self._supervisor.pid}, in {self.folder}")

    def stop(self) -> None:
        """Stop as Ctrl+C does; everything must end by itself, in time."""
        assert self._supervisor is not None
        self._look()
        self._supervisor.send_signal(signal.SIGINT)
        try:
            code = self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.stuck("the supervisor did not stop") from None
        self.note(f"stop, exit code {code}")
        if code != 0:
            raise self.stuck(f"a clean stop ended with exit code {code}")
        self._supervisor = None
        if self.alive() or not self._is_free():
            raise self.stuck("a process was left behind after the stop")

    def _is_free(self) -> bool:
        """Say whether nobody holds the data folder, by the lock that all children inherit."""
        with (self.data_dir / "children.lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def end(self) -> None:
        """End what still runs, whatever happened before."""
        self._look()
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait()
            self._supervisor = None
        for pid in self.alive():
            linux.kill(pid, signal.SIGKILL)

    # ------------------------------------------------------------ looking

    def _look(self) -> dict[str, int]:
        """Find the supervisor's children; remember all that were ever seen."""
        if self._supervisor is None:
            return {}
        parent = self._supervisor.pid
        found = {
            name: entry.pid
            for entry in linux.processes()
            if entry.parent == parent and not entry.is_zombie and (name := _program(entry.pid))
        }
        self._children |= {pid: _birth(pid) for pid in found.values()}
        return found

    def alive(self) -> list[int]:
        """Return the children that still run, whoever is their parent now."""
        return [pid for pid, birth in self._children.items() if birth and _birth(pid) == birth]

    def progress(self) -> summary.Progress | None:
        """Read how far the crawl is; None before there is a database to ask."""
        path = database_path(self.data_dir)
        if not path.exists():
            return None
        with contextlib.suppress(StoreError), open_snapshots(path) as snapshots:
            return snapshots.read_now(summary.progress)
        return None

    def is_finished(self) -> bool:
        """Say whether every list was read to its end; a held job counts as not."""
        assert self._supervisor is not None
        if (code := self._supervisor.poll()) is not None:
            raise self.stuck(f"the supervisor ended by itself with exit code {code}")
        now = self.progress()
        return now is not None and now.finished and not now.jobs.get("held")

    def wait_until_finished(self, seconds: float = CRAWL_SECONDS) -> None:
        """Wait for the end of the crawl. Raises Stuck."""
        self.wait_until(self.is_finished, seconds, "the end of the crawl", ASK_SECONDS)

    def wait_for(self, program: str) -> int:
        """Wait until a program is there; return its pid. Raises Stuck."""
        pids: list[int] = []

        def look() -> bool:
            pids.extend(pid for name, pid in self._look().items() if name == program)
            return bool(pids)

        self.wait_until(look, START_SECONDS, f"a {program}")
        return pids[0]

    def wait_until(
        self,
        happened: Callable[[], bool],
        seconds: float,
        what: str,
        every_seconds: float = POLL_SECONDS,
    ) -> None:
        """Do as `until`; the failure tells how things stand. Raises Stuck."""
        try:
            until(happened, seconds, what, every_seconds)
        except Stuck as error:
            raise self.stuck(str(error)) from None

    # ------------------------------------------------------------ killing

    def kill(self, victim: str, *, with_children: bool = False) -> bool:
        """Kill -9 now; say whether there was somebody to kill.

        A dead supervisor is started again at once, while its children may still be ending;
        `with_children` kills those in the same moment, as the end of a container does.
        """
        assert self._supervisor is not None
        children = self._look()
        pid = self._supervisor.pid if victim == "supervisor" else children.get(victim)
        if pid is None:
            return False
        doomed = [pid, *(children.values() if with_children else ())]
        for each in doomed:
            linux.kill(each, signal.SIGKILL)
        self.kills[victim] += 1
        self.note(f"kill -9 {victim} {doomed}")
        if victim == "supervisor":
            self._supervisor.wait()
            self.start()
        return True

    def note(self, what: str) -> None:
        """Write down what happened, with the seconds since the beginning."""
        self.log.append(f"{time.monotonic() - self._began:7.3f} s  {what}")

    def stuck(self, what: str) -> Stuck:
        """Build the failure: what, what was done, how things stand, the last words of all."""
        words = [what, *self.log, f"progress: {self.progress()}", f"alive: {self.alive()}"]
        logs = [self.folder / "supervisor.out", *sorted(self.data_dir.glob("logs/*.log"))]
        for path in [path for path in logs if path.exists()]:
            words += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-25:]]
        return Stuck("\n".join(words))


def _program(pid: int) -> str:
    """Return which of our programs a pid is: "website", "crawler", or nothing."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((name for name in ("website", "crawler") if name.encode() in arguments), "")


def _birth(pid: int) -> str:
    """Return what tells a process from a later one with its number; empty where it has ended."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in {"Z", "X"} else others[18]  # proc(5): starttime, the 22nd field


@contextlib.contextmanager
def crawl(folder: Path, served: GitLab, **options: object) -> Iterator[Crawl]:
    """Give a crawl in a folder of its own below `folder`; nothing of it runs on afterwards.

    The folder stays only where something went wrong.
    """
    own = Path(tempfile.mkdtemp(prefix="a crawl ", dir=folder))
    # A socket's path is short (unix(7): 107 bytes); a test's folder need not be.
    with tempfile.TemporaryDirectory(prefix="labtrawl ") as runtime_dir:
        one = Crawl(own, Path(runtime_dir), served, **options)  # type: ignore[arg-type]
        try:
            yield one
        finally:
            one.end()
    shutil.rmtree(own)


def side_by_side(play: Callable[[Planned], Outcome], planned: Iterable[Planned]) -> list[Outcome]:
    """Play some crawls at once; the first failure, or Ctrl+C, lets no other begin."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return list(pool.map(play, planned))
        except BaseException:  # Ctrl+C too: the crawls that are planned would all still be played
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True)
class Blow:
    """One planned kill, `wait_seconds` after the one before."""

    victim: str
    wait_seconds: float
    with_children: bool


def blows(chance: Random, victims: Sequence[str]) -> list[Blow]:
    """Draw when each victim dies: sometimes in full work, sometimes while another comes back."""
    return [
        Blow(
            victim,
            chance.uniform(0.05, 0.6) if chance.random() < 0.25 else chance.uniform(0.6, 2.5),
            victim == "supervisor" and chance.random() < 0.5,
        )
        for victim in victims
    ]


def strike(one: Crawl, planned: Sequence[Blow]) -> None:
    """Start a crawl, carry out the blows as long as it lasts, and let it come to its end."""
    one.start()
    for blow in planned:
        time.sleep(blow.wait_seconds)  # any instant may be the last one
        if one.is_finished():
            one.note("finished before the next kill")
            return
        # Who died just now dies again as soon as it is back.
        deadly = partial(one.kill, blow.victim, with_children=blow.with_children)
        one.wait_until(deadly, START_SECONDS, f"a {blow.victim} to kill")
    one.wait_until_finished()
