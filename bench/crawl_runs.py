"""One run of one side against a served world: wall, CPU, memory, requests, and whether it is whole."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import urlopen

LABTRAWL = Path(sys.executable).parent / "labtrawl"
SAMPLE_SECONDS = 0.05
# Times as long as a look at the memory took is left until the next one.
SAMPLED_SHARE = 30


@dataclass(frozen=True)
class Served:
    """A sandbox that is up: one for all sides, so that it is equally warm for each."""

    world: str
    latency_ms: int
    rate_limit: int
    url: str
    token_file: Path

    def tally(self) -> dict[str, Any]:
        """The requests so far, as the sandbox counted them."""
        with urlopen(f"{self.url}/-/sandbox/requests") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def seconds(self) -> dict[str, int]:
        """The requests of each second (Unix time) that had any."""
        with urlopen(f"{self.url}/-/sandbox/requests/seconds") as answer:
            found: dict[str, int] = json.load(answer)
        return found


@contextlib.contextmanager
def served(world: str, latency_ms: int, rate_limit: int, folder: Path) -> Iterator[Served]:
    command = [str(LABTRAWL), "sandbox", "serve", "--world", world]
    command += ["--latency-ms", str(latency_ms), "--rate-limit", str(rate_limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said:
                raise SystemExit(f"the sandbox cannot serve {world}")
            url = said.removeprefix("listening on ").strip()
            token_file = folder / f"token-{process.pid}"
            token_file.write_text(process.stdout.readline().split(": ")[1])
            token_file.chmod(0o600)
            yield Served(world, latency_ms, rate_limit, url, token_file)
        finally:
            process.terminate()


@cache
def _cells(world: str) -> list[dict[str, Any]]:
    command = [str(LABTRAWL), "sandbox", "truth", "--world", world, "--json"]
    said = subprocess.run(command, capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(said.stdout)["areas"]
    return found


def truth(world: str) -> dict[str, int]:
    """How many rows each list of the world's projects holds, as the sandbox itself says."""
    counts: dict[str, int] = {}
    for cell in _cells(world):
        if cell["area_kind"] == "project":
            counts[cell["resource"]] = counts.get(cell["resource"], 0) + cell["count"]
    return counts


def places(world: str) -> Counter[str]:
    """How many groups and how many projects a world has."""
    found = {(str(cell["area_kind"]), cell["area_id"]) for cell in _cells(world)}
    return Counter(kind for kind, _ in found)


@dataclass
class Run:
    """What one run took. `missing` are the lists whose rows are not as many as in truth."""

    side: str
    world: str
    latency_ms: int
    wall: float
    cpu: float
    rss_mb: float
    requests: int
    refused: int
    items: int
    missing: list[str] = field(default_factory=list)
    failed: str = ""
    # Processes that wanted a core when it began (getloadavg(3), 1 minute).
    load: float = 0.0
    estimated: bool = False
    # One of the small copies that an estimate was drawn from.
    is_copy: bool = False
    by_endpoint: dict[str, int] = field(default_factory=dict)
    # The requests of each whole minute of the clock, where there is a limit.
    minutes: list[int] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.failed


def run_side(
    name: str, command: list[str], at: Served, limit_seconds: float, environ: dict[str, str]
) -> Run:
    """Run a side to its end; its items are for the caller to count.

    What the run before left to be written is written first: a side that waits for the disk would
    wait for that too.
    """
    os.sync()
    before, load = at.tally(), os.getloadavg()[0]
    began = time.perf_counter()
    log = at.token_file.with_name(f"{name.replace(' ', '-')}.log")
    with log.open("ab") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **environ})
        with _watched(process.pid) as peak:
            timer = threading.Timer(limit_seconds, process.kill)
            timer.start()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            in_time = timer.is_alive()
            timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    after = at.tally()
    return Run(
        side=name,
        world=at.world,
        latency_ms=at.latency_ms,
        wall=wall,
        cpu=used.ru_utime + used.ru_stime,
        rss_mb=peak[0] / 1e6,
        requests=after["total"] - before["total"],
        refused=after["by_status"].get("429", 0) - before["by_status"].get("429", 0),
        items=0,
        failed=_failure(process.returncode, in_time, log),
        load=round(load, 2),
        by_endpoint=_difference(before["by_endpoint"], after["by_endpoint"]),
    )


def _failure(code: int, in_time: bool, log: Path) -> str:
    if not in_time:
        return "over the time limit"
    if code == 0:
        return ""
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"exit {code}: {lines[-1][:160] if lines else ''}"


def _difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    each = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in each.items() if count}


@contextlib.contextmanager
def _watched(root: int) -> Iterator[list[int]]:
    """Sample the memory of a process and all below it; yields the peak in bytes."""
    peak = [0]
    over = threading.Event()

    def watch() -> None:
        pause = SAMPLE_SECONDS
        while not over.wait(pause):
            began = time.perf_counter()
            peak[0] = max(peak[0], sum(map(_memory, _tree(root))))
            # The kernel holds a process up while it counts its pages.
            pause = max(SAMPLE_SECONDS, SAMPLED_SHARE * (time.perf_counter() - began))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _tree(root: int) -> Iterator[int]:
    yield root
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Resident memory that belongs to this process, shared pages by their share (proc(5))."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
