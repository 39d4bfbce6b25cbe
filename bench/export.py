"""What an export takes, and whether its memory follows the size: `make bench-export`.

A dataset of so many records is written by the real sink and committed to a real database: the lists
of the sandbox's world W3, over and over as other projects, every twentieth object in two versions.
Then `labtrawl dataset export` is run on it as a user does.
"""

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import SegmentPrefix, dataset_root
from labtrawl.dataset.policy import FetchedRecord, GatedRecord, apply
from labtrawl.dataset.sink import Folders, Segment, SegmentLimits, Sink
from labtrawl.domain.area import AreaKind, FoundArea
from labtrawl.sandbox import build_world
from labtrawl.sandbox.truth import truth
from labtrawl.store import accounts, areas, jobs, manifest
from labtrawl.store.engine import Connection, database_path, open_store
from labtrawl.store.migrate import migrate

FORMS = ("parquet", "duckdb", "csv", "jsonl")
COUNTS = (100_000, 1_000_000)
WORLD = "w3"
# A copy's numbers are those of the world and so many times this: no two copies share one.
STRIDE = 100_000_000
AGAIN = 20
FIRST, SECOND = "2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z"
LIMITS = SegmentLimits(max_seconds=1e9)
SAMPLE_SECONDS = 0.02
LOCAL = frozenset({"members", "commits", "branches"})


@dataclass(frozen=True, slots=True)
class Listed:
    """One list of one project of the world: bodies by what they are known by."""

    project: int
    resource: str
    bodies: list[tuple[int | str, dict[str, Any]]]


def lists() -> list[Listed]:
    found: dict[tuple[int, str], Listed] = {}
    for kind, area, resource, key, body in truth(build_world(WORLD)).items():
        if kind == "project" and isinstance(body, dict):
            one = found.setdefault((area, resource), Listed(area, resource, []))
            one.bodies.append((key, body))
    return list(found.values())


# ------------------------------------------------------------------ build


def build(data_dir: Path, count: int) -> None:
    """Write a data folder of `count` records."""
    migrate(database_path(data_dir))
    asyncio.run(_build(data_dir, count))


async def _build(data_dir: Path, count: int) -> None:
    world, folders, left = lists(), Folders(), count
    async with open_store(database_path(data_dir)) as store:
        instance_id = await store.write(_instance)
        for copy in itertools.count():
            for listed in world:
                if not left:
                    return
                records = list(itertools.islice(_records(listed, copy), left))
                left -= len(records)
                number = listed.project + copy * STRIDE
                place = await store.write(
                    partial(_planned, instance_id=instance_id, number=number, of=listed)
                )
                sink = Sink(
                    LocalDisk(), dataset_root(data_dir), place, limits=LIMITS, folders=folders
                )
                sink.write(records)
                closed = sink.close_segment()
                assert closed is not None
                await store.write(partial(_commit, place=place, made=closed))


def _records(listed: Listed, copy: int) -> Iterator[GatedRecord]:
    for index, (key, body) in enumerate(listed.bodies):
        number: int | str = key + copy * STRIDE if isinstance(key, int) else key
        told = {**body, "id": number} if "id" in body else body
        if listed.resource in LOCAL:
            number = f"{listed.project + copy * STRIDE}/{key}"
        yield _record(listed.resource, number, told, FIRST)
        if index % AGAIN == 0 and "id" in body:
            yield _record(listed.resource, number, {**told, "again": True}, SECOND)


def _record(resource: str, number: int | str, body: dict[str, Any], at: str) -> GatedRecord:
    raw, kind = msgspec.json.encode(body), resource.removesuffix("s")
    return apply("as_is", resource, FetchedRecord(number, kind, at, "/x", "ab" * 32, "19.3.0", raw))


def _instance(connection: Connection) -> int:
    account = accounts.VerifiedAccount("lab", "http://lab", "19.3.0", 5, "anna", ("api",), "enc")
    return accounts.record(connection, account)[0]


def _planned(connection: Connection, instance_id: int, number: int, of: Listed) -> SegmentPrefix:
    path = f"lab/project-{number}"
    area_id = areas.record(connection, instance_id, FoundArea(AreaKind.PROJECT, number, path, path))
    job_id = jobs.enqueue(connection, jobs.PlannedJob(area_id, of.resource))
    assert job_id is not None
    return SegmentPrefix(instance_id, "project", number, of.resource, job_id, 1)


def _commit(connection: Connection, place: SegmentPrefix, made: Segment) -> None:
    row = manifest.ClosedSegment(made.name, made.length, made.sha256, made.records)
    manifest.commit(connection, place.job_id, place.fence, [row])


# ---------------------------------------------------------------- measure


@dataclass(frozen=True, slots=True)
class Figures:
    """What one export took; sizes in MB, times in seconds."""

    records: int
    form: str
    wall: float
    cpu: float
    peak_mb: float
    out_mb: float
    spilled_mb: float


def measure(data_dir: Path, form: str, count: int, more: list[str]) -> Figures:
    out = data_dir / "exported"
    _remove(out)
    command = [sys.executable, "-m", "labtrawl", "dataset", "export", form]
    command += ["--data-dir", str(data_dir), "--out", str(out), *more]
    began, peak, spilled = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    ended = 0
    while not ended:
        time.sleep(SAMPLE_SECONDS)
        peak = max(peak, _peak_kb(process.pid))
        spilled = max(spilled, _spilled(data_dir))
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    wall, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    size = _size(out) / 1e6
    _remove(out)
    return Figures(count, form, wall, cpu, peak * 1024 / 1e6, size, spilled / 1e6)


def _peak_kb(pid: int) -> int:
    """The most that was resident so far (proc(5), VmHWM); not getrusage, which counts the parent's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _spilled(data_dir: Path) -> int:
    return sum(_size(path) for path in data_dir.glob(".exported.*/work"))


def _size(path: Path) -> int:
    total = 0
    for each in [path, *path.rglob("*")]:
        try:
            total += each.stat().st_size if each.is_file() else 0
        except OSError:
            continue  # it was there a moment ago
    return total


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def table(found: list[Figures]) -> Iterator[str]:
    yield "| records | format | wall s | CPU s | peak MB | written MB | work files MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    keys = dict.fromkeys((one.records, one.form) for one in found)
    for records, form in keys:
        runs = [one for one in found if (one.records, one.form) == (records, form)]
        wall, cpu, peak, out, spilled = (
            statistics.median(getattr(one, name) for one in runs)
            for name in ("wall", "cpu", "peak_mb", "out_mb", "spilled_mb")
        )
        yield (
            f"| {records:,} | {form} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {out:.0f}"
            f" | {spilled:.0f} |"
        )


def main() -> None:
    options = arguments()
    if options.build:
        build(options.build, options.counts[0])
        return
    found: list[Figures] = []
    if options.folder is not None:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-export-", dir=options.folder) as folder:
        for count in options.counts:
            data_dir = Path(folder) / str(count)
            command = [sys.executable, "-m", "bench.export", "--build", str(data_dir)]
            subprocess.run([*command, "--records", str(count)], check=True)
            for _ in range(options.runs):
                for form in options.forms:
                    found.append(measure(data_dir, form, count, options.more))
                    print(json.dumps(found[-1], default=msgspec.to_builtins), flush=True)
    print("\n".join(["", *table(found)]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--records", type=int, action="append", dest="counts", help="how many; repeatable")
    add("--form", choices=FORMS, action="append", dest="forms", help="only this one; repeatable")
    add("--runs", type=int, default=1, help="rounds; the figures are medians")
    add("--folder", help="where the data folders go (some 400 MB), instead of the place for such")
    add("--build", type=Path, metavar="DIR", help="only write a data folder")
    add("more", nargs="*", help="further options of the export, behind --")
    options = parser.parse_args()
    options.counts = options.counts or list(COUNTS)
    options.forms = options.forms or list(FORMS)
    return options


if __name__ == "__main__":
    main()
