"""labtrawl beside the tools that people use instead: `make bench-crawl ARGS="speed --quick"`.

    speed       wall, CPU, memory, requests: W3 at 0 ms, W1 and W2 at 50 ms
    limited     W3n at 50 ms and 2,000 requests a minute, with 1, 4 and 16 crawlers
    requests    a first run, then a second one on the unchanged world
    memory      W3 and a world ten times as large
    first-data  seconds until the first segment is committed

One sandbox serves all sides of a scenario; rounds are interleaved, figures are medians. Peers are
installed from requirements/bench/*.lock when they are first measured. A run whose rows are not
those of the sandbox's truth is marked incomplete. A side that would hold the machine for minutes is
run on two small copies of the world and drawn out linearly; such figures are marked est.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from bench.crawl_runs import Run, Served, places, run_side, served, truth
from bench.crawl_sides import FLOOR, PEER_SIDES, ROOT, Side, ours
from bench.crawl_verdicts import (
    RESERVED_SHARE,
    Rule,
    apart,
    first_rules,
    second_rules,
    used,
    whole_minutes,
)

RESULTS = ROOT / "bench" / "results"
EIGHT = [
    *("members", "labels", "milestones", "issues"),
    *("merge_requests", "commits", "branches", "pipelines"),
]
LISTS = {
    "w1": ["issues"],
    "w2": ["issues", "issue_discussions"],
    "w3": EIGHT,
    "w3n": [*EIGHT, "issue_discussions", "merge_request_discussions"],
}
# How small the larger one of the two copies is by which a slow side is estimated.
SLOW = {
    ("perceval", "w1"): 0.02,
    ("perceval", "w2"): 0.05,
    ("perceval", "w3"): 0.01,
    ("tap-gitlab", "w1"): 0.2,
    ("tap-gitlab", "w3"): 0.1,
    ("python-gitlab", "w2"): 0.2,
}
SCALED_W3N = 0.02
LIMIT_PER_MINUTE = 2000
# Whom a 429 ends: it is run for real, not estimated.
STOPS_AT_429 = {"gidgetlab"}


class Bench:
    """The wishes of the command line, a folder for the sides, and all runs so far."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.runs: list[Run] = []
        self.truth = cache(truth)
        self.outs: dict[str, Path] = {}
        # The names of all sides that were there to be chosen from.
        self.offered: set[str] = set()

    def new_folder(self, name: str) -> Path:
        """Return a new place for what a run leaves, in an empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder)) / "out"

    def chosen(self, sides: Iterable[Side]) -> list[Side]:
        named = self.options.sides
        sides = list(sides)
        self.offered |= {side.name for side in sides}
        found = [side for side in sides if not named or side.name in named]
        for side in found:
            side.install()
        return found

    def served(
        self, world: str, latency_ms: int = 0, rate: int = 0
    ) -> AbstractContextManager[Served]:
        return served(self.options.as_world.get(world, world), latency_ms, rate, self.folder)

    def run(self, side: Side, at: Served, lists: list[str], again: bool = False) -> Run:
        """Run a side once and count what it kept against the truth.

        Into a folder of its own, which stays until the end: ext4 looks for room among what was
        deleted a few seconds ago, so a run after a deletion pays for it (14 % of its time).
        """
        if not again:
            self.outs[side.name] = self.new_folder(side.name.replace(" ", "-"))
        out = self.outs[side.name]
        command = side.command(at, side.reads(lists), out)
        run = run_side(side.name, command, at, self.options.limit, side.environ)
        held = side.counts(out) if not run.failed else {}
        expected = self.truth(at.world)
        run.items = sum(held.get(name, 0) for name in lists)
        run.missing = [name for name in lists if held.get(name, 0) != expected.get(name, 0)]
        self.runs.append(run)
        print(line_of(run), flush=True)
        return run

    def rounds(self, sides: list[Side], world: str, latency_ms: int) -> None:
        quick = [side for side in sides if (side.name, world) not in SLOW]
        with self.served(world, latency_ms) as at:
            for _ in range(self.options.runs):
                for side in quick:
                    self.run(side, at, LISTS[world])
        for side in sides:
            if side not in quick:
                self.estimate(side, world, latency_ms, SLOW[side.name, world])

    def estimate(
        self, side: Side, world: str, latency_ms: int, factor: float, rate: int = 0
    ) -> None:
        """Draw the line through two small copies out to the whole world."""
        pair = []
        for share in (factor / 2, factor):
            with self.served(f"{world}@{share:g}", latency_ms) as at:
                pair.append(self.run(side, at, LISTS[world]))
                pair[-1].is_copy = True
        half, one = pair
        whole = drawn_out(half, one, factor, world)
        if rate:
            whole.wall = max(whole.wall, whole.requests / rate * 60)
        self.runs.append(whole)
        print(line_of(whole), flush=True)


def drawn_out(half: Run, one: Run, factor: float, world: str) -> Run:
    def line(small: float, large: float) -> float:
        return large + max(large - small, 0.0) / (factor / 2) * (1 - factor)

    return replace(
        one,
        world=world,
        wall=line(half.wall, one.wall),
        cpu=line(half.cpu, one.cpu),
        requests=round(line(half.requests, one.requests)),
        items=round(line(half.items, one.items)),
        estimated=True,
        is_copy=False,
    )


# ------------------------------------------------------------- scenarios


def speed(bench: Bench) -> None:
    sides = bench.chosen([FLOOR, ours(bench.options.labtrawl), *PEER_SIDES])
    for world, latency_ms in (("w3", 0), ("w1", 50), ("w2", 50)):
        if not bench.options.worlds or world in bench.options.worlds:
            bench.rounds(sides, world, latency_ms)


def limited(bench: Bench) -> None:
    """Who reads discussions, within a limit; shares are of whole minutes of the clock."""
    crews = [ours(bench.options.labtrawl, count) for count in (1, 4, 16)]
    peers = bench.chosen(side for side in PEER_SIDES if side.lists is None)
    at_once = [*(side for side in peers if side.name in STOPS_AT_429), *bench.chosen(crews)]
    patient = [side for side in peers if side not in at_once]
    if bench.options.whole:
        at_once += patient
        patient = []
    for side in patient:
        bench.estimate(side, "w3n", 50, SCALED_W3N, LIMIT_PER_MINUTE)
    for _ in range(bench.options.runs):
        for side in at_once:
            within_limit(bench, side, RESERVED_SHARE if side in crews else 0.0)


def within_limit(bench: Bench, side: Side, reserved_share: float) -> None:
    """A server of its own for each: nobody begins in a period that another has used up."""
    with bench.served("w3n", 50, LIMIT_PER_MINUTE) as at:
        run = bench.run(side, at, LISTS["w3n"])
        run.minutes = whole_minutes(at.seconds())
    told = used(run.minutes, LIMIT_PER_MINUTE, reserved_share)
    print(f"{side.name}: {run.refused} times 429; {told}", flush=True)


def requests(bench: Bench) -> None:
    mine = ours(bench.options.labtrawl)
    FLOOR.install()
    for world in ("w1", "w3"):
        with bench.served(world) as at:
            frugal = bench.run(FLOOR, at, LISTS[world])
            first = bench.run(mine, at, LISTS[world])
            second = bench.run(mine, at, LISTS[world], again=True)
        size = places(at.world)
        rules = [
            *first_rules(frugal.by_endpoint, first.by_endpoint),
            *second_rules(second.by_endpoint, size["project"], size["group"]),
        ]
        if world == "w1":
            rules.append(Rule("second run, all", second.requests, 6))
        print(*(f"{world}: {rule}" for rule in rules), sep="\n")
        print(f"{world}: {apart(first.by_endpoint)}")
        print(json.dumps({"first": first.by_endpoint, "second": second.by_endpoint}, indent=2))


def memory(bench: Bench) -> None:
    for world in ("w3", "w3@10"):
        LISTS[world] = EIGHT
        bench.rounds(bench.chosen([FLOOR, ours(bench.options.labtrawl)]), world, 0)


def first_data(bench: Bench) -> None:
    """The database is looked at from outside, as a reader: a row of `segment` is a promise kept."""
    side = ours(bench.options.labtrawl)
    for latency_ms in (0, 50):
        with bench.served("w3", latency_ms) as at:
            taken = [
                seconds_to_first(side.command(at, EIGHT, out), out)
                for out in (bench.new_folder("first") for _ in range(bench.options.runs))
            ]
        told = statistics.median(taken)
        print(f"first committed segment, {latency_ms} ms: {told:.2f} s (median of {len(taken)})")


def seconds_to_first(command: list[str], out: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            while running.poll() is None and not has_segment(out):
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            running.terminate()


def has_segment(out: Path) -> bool:
    for path in out.rglob("*.sqlite"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                return bool(database.execute("SELECT 1 FROM segment LIMIT 1").fetchone())
        except sqlite3.Error:
            continue  # not made yet
    return False


SCENARIOS = {
    "speed": speed,
    "limited": limited,
    "requests": requests,
    "memory": memory,
    "first-data": first_data,
}


# ---------------------------------------------------------------- report


def line_of(run: Run) -> str:
    mark = "est. " if run.estimated else ""
    state = "" if run.is_whole else f"  incomplete: {run.failed or ', '.join(run.missing)}"
    return (
        f"{run.world:>8} {run.latency_ms:>3} ms  {run.side:<26} {mark}{run.wall:8.2f} s"
        f"  CPU {run.cpu:7.2f} s  {run.rss_mb:6.0f} MB  {run.requests:>7,} requests"
        f"  {run.items:>8,} items{state}"
    )


def table(runs: list[Run]) -> Iterator[str]:
    """A line for each side of each world: medians, and the ratio of its wall to labtrawl's."""
    yield "| world | side | wall s | CPU s | peak MB | requests | items | wall : labtrawl | runs |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in [run for run in runs if not run.is_copy]:
        groups.setdefault((run.world, run.latency_ms, run.side), []).append(run)
    walls = {key: statistics.median(r.wall for r in found) for key, found in groups.items()}
    for (world, latency, side), found in groups.items():
        mine = walls.get((world, latency, "labtrawl"))
        ratio = f"{walls[world, latency, side] / mine:.2f}" if mine else ""
        middle = [
            statistics.median(getattr(run, name) for run in found)
            for name in ("wall", "cpu", "rss_mb", "requests", "items")
        ]
        wall, cpu, rss, asked, items = middle
        note = "" if all(run.is_whole for run in found) else " (incomplete)"
        est = "est. " if any(run.estimated for run in found) else ""
        yield (
            f"| {world}, {latency} ms | {side}{note} | {est}{wall:.2f} | {cpu:.2f} | {rss:.0f} "
            f"| {asked:,.0f} | {items:,.0f} | {ratio} | {len(found)} |"
        )


def machine() -> dict[str, object]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def keep(scenario: str, runs: list[Run]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{scenario}-{now:%Y%m%d-%H%M%S}.json"
    content = {"at": now.isoformat(), "machine": machine(), "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(content, indent=1))
    return path


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-crawl-") as folder:
        bench = Bench(options, Path(folder))
        SCENARIOS[options.scenario](bench)
    if options.scenario == "first-data":
        return  # it has told what it found
    if not bench.runs:
        known = ", ".join(sorted(bench.offered)) or "none for these worlds"
        sys.exit(f"nothing was measured: the sides of {options.scenario} are {known}")
    print("\n".join(["", *table(bench.runs)]))
    print(f"\nkept in {keep(options.scenario, bench.runs).relative_to(ROOT)}")


def pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-crawl",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS, default="speed")
    parser.add_argument("--runs", type=int, default=5, help="rounds; the figures are medians")
    parser.add_argument("--quick", action="store_const", const=1, dest="runs", help="one round")
    parser.add_argument("--side", action="append", dest="sides", help="only this one; repeatable")
    parser.add_argument("--world", action="append", dest="worlds", help="only this one; repeatable")
    parser.add_argument("--limit", type=float, default=900, help="seconds until a run is killed")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="limited: run slow peers to their end instead of estimating, with --limit 3600",
    )
    parser.add_argument(
        "--labtrawl", default="", metavar="COMMAND", help="another command line than its own"
    )
    parser.add_argument(
        "--as",
        action="append",
        type=pair,
        default=[],
        dest="as_world",
        metavar="W3=WORLD",
        help="take another world of the sandbox instead; repeatable",
    )
    options = parser.parse_args()
    options.as_world = {name.lower(): world for name, world in options.as_world}
    return options


if __name__ == "__main__":
    main()
