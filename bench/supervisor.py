"""How quickly a killed program runs again, and how large its supervisor is: ours, supervisord, pm2.

    .venv/bin/python bench/supervisor.py [--supervisord PATH] [--pm2 PATH] [--runs 5]

Each run starts each supervisor afresh over the same small program, kills the program with -9 and
waits for the first sign of the next one. Runs are interleaved, figures are medians. The time that
the program itself takes from its start to its first sign (its best of all runs) is taken off. Peers
that are not installed are left out, and said so: `pip install supervisor`, `npm install pm2`.
"""

import argparse
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from labtrawl import config
from labtrawl.cli.start import supervise
from labtrawl.supervisor.process import Program

SECONDS = 30.0
# The sign is the program's pid, written into a named pipe; then it waits to be killed.
PROGRAM = '#!/bin/sh\necho $$ >"{signs}"\nexec /bin/sleep 1000\n'
SUPERVISORD = """[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[program:child]
command={program}
"""


@dataclass
class Place:
    """A folder with the program, and the end of the pipe on which its signs arrive."""

    folder: Path
    program: Path
    signs: int

    def sign(self) -> int:
        """Wait for a start of the program; return its pid."""
        if not select.select([self.signs], [], [], SECONDS)[0]:
            raise TimeoutError("the program did not start")
        return int(os.read(self.signs, 64).split()[0])


@dataclass
class Figures:
    restart_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


@contextmanager
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        program, signs = folder / "child", folder / "signs"
        os.mkfifo(signs)
        program.write_text(PROGRAM.format(signs=signs))
        program.chmod(0o700)
        descriptor = os.open(signs, os.O_RDWR)
        try:
            yield Place(folder, program, descriptor)
        finally:
            os.close(descriptor)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes), after it has settled for a moment."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def foreground(command: list[str]) -> Iterator[Callable[[], int]]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield lambda: process.pid
        finally:
            process.terminate()


@contextmanager
def ours(at: Place) -> Iterator[Callable[[], int]]:
    command = [sys.executable, __file__, "--be-ours", str(at.folder), str(at.program)]
    with foreground(command) as pid:
        yield pid


def be_ours(folder: str, program: str) -> int:
    """The supervisor of `labtrawl start` over another program; the child's side is not used."""
    flags = {"data_dir": f"{folder}/data", "website.port": 0, "logs.format": "json"}
    settings = config.load(None, {}, flags)
    child = Program(name="child", argv=(program,), config=b"{}", grace_seconds=0.1)
    return supervise(settings, lambda _: [child])


@contextmanager
def supervisord(at: Place, path: str) -> Iterator[Callable[[], int]]:
    settings = at.folder / "supervisord.conf"
    settings.write_text(SUPERVISORD.format(folder=at.folder, program=at.program))
    with foreground([path, "-c", str(settings)]) as pid:
        yield pid


@contextmanager
def pm2(at: Place, path: str) -> Iterator[Callable[[], int]]:
    environ = {**os.environ, "PM2_HOME": str(at.folder / "pm2")}

    def tell(*words: str) -> None:
        subprocess.run([path, *words], env=environ, capture_output=True, check=True)

    tell("start", str(at.program), "--name", "child", "--interpreter", "none")
    try:
        yield lambda: int((at.folder / "pm2" / "pm2.pid").read_text())
    finally:
        tell("kill")


def measure(kind: Callable[[Place], object], figures: Figures) -> None:
    with place() as at, kind(at) as manager:  # type: ignore[attr-defined]
        first = at.sign()
        time.sleep(1.5)  # supervisord takes a program for started after one second
        killed_at = time.perf_counter()
        os.kill(first, signal.SIGKILL)
        at.sign()
        figures.restart_ms.append((time.perf_counter() - killed_at) * 1000)
        figures.rss_mb.append(rss_mb(manager()))


def own_start_ms() -> float:
    with place() as at:
        began = time.perf_counter()
        with subprocess.Popen([at.program]) as process:
            at.sign()
            taken = (time.perf_counter() - began) * 1000
            process.kill()
    return taken


def main() -> None:
    options = arguments()
    kinds: dict[str, Callable[[Place], object]] = {"labtrawl": ours}
    if options.supervisord:
        kinds["supervisord"] = lambda at: supervisord(at, options.supervisord)
    if options.pm2:
        kinds["pm2"] = lambda at: pm2(at, options.pm2)
    figures = {name: Figures() for name in kinds}
    starts = []
    for _ in range(options.runs):
        starts.append(own_start_ms())
        for name, kind in kinds.items():
            measure(kind, figures[name])
    report(figures, min(starts))


def report(figures: dict[str, Figures], start_ms: float) -> None:
    rows = {
        name: {
            "restart_beyond_own_start_ms": round(statistics.median(f.restart_ms) - start_ms, 1),
            "rss_mb": round(statistics.median(f.rss_mb), 1),
        }
        for name, f in figures.items()
    }
    print(json.dumps({"own_start_ms": round(start_ms, 1), **rows}, indent=2))
    mine = rows["labtrawl"]
    for name, row in rows.items():
        if name != "labtrawl":
            told = ", ".join(f"{key} {row[key] / mine[key]:.2f}" for key in mine)
            print(f"{name} / labtrawl: {told}")
    for absent in {"supervisord", "pm2"} - set(rows):
        print(f"{absent} is not installed: not measured")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--supervisord", default=shutil.which("supervisord"))
    parser.add_argument("--pm2", default=shutil.which("pm2"))
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--be-ours"]:
        sys.exit(be_ours(*sys.argv[2:]))
    main()
