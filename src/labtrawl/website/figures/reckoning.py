"""Keeps the answers of the insights: made in a process of their own, one at a time, when they are due.

The answers of a state of the dataset lie in a folder named after it, so a restart finds them again.
"""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from labtrawl import logs
from labtrawl.dataset.insights import ANSWERS, RESOURCES, Answers, Order, Part
from labtrawl.dataset.layout import dataset_root
from labtrawl.errors import DatasetError, LabtrawlError, StoreError
from labtrawl.store import manifest
from labtrawl.store.engine import Connection
from labtrawl.website.given.site import Site

log = logs.get("website")

# How long a page waits for answers: those of a small dataset come at once.
PATIENCE_SECONDS = 3.0
# The longest that one making may take; then it is ended.
MOST_SECONDS = 1800.0
# Of one core: a dataset that changes all the time is not read all the time.
SHARE = 20
LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reckoned:
    """What there is to show: answers, of an older state maybe, and what is being done."""

    mark: str
    records: int
    """How many records there are to answer from by now."""
    answers: Answers | None = None
    is_current: bool = False
    is_being_made: bool = False
    failure: str = ""


class Reckoning:
    """The answers of one dataset."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = site.data_dir / "cache" / "insights"
        self._task: asyncio.Task[None] | None = None
        self._kept: tuple[str, Answers] | None = None
        self._failure = ""
        self._due = 0.0

    async def look(self) -> Reckoned:
        """Return what is known; answers that are due begin to be made, and are waited for a little."""
        mark, records = await self._site.store.read(lambda c: manifest.mark(c, RESOURCES))
        if self._kept is None:
            self._kept = await asyncio.to_thread(self._found)
        is_current = self._kept is not None and self._kept[0] == mark
        if records and not is_current and self._is_due():
            self._task = asyncio.create_task(self._make(mark), name="insights")
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=PATIENCE_SECONDS)
        return self._told(mark, records)

    def _is_due(self) -> bool:
        is_busy = self._task is not None and not self._task.done()
        return not is_busy and self._site.clock.monotonic() >= self._due

    def _told(self, mark: str, records: int) -> Reckoned:
        kept = self._kept
        return Reckoned(
            mark=mark,
            records=records,
            answers=kept[1] if kept else None,
            is_current=kept is not None and kept[0] == mark,
            is_being_made=self._task is not None and not self._task.done(),
            failure=self._failure,
        )

    def parquet(self, insight: str) -> Path | None:
        """Return the file with an answer, as Parquet; None where there is none."""
        if self._kept is None:
            return None
        path = self._folder / self._kept[0] / f"{insight}.parquet"
        return path if path.is_file() else None

    def stop(self) -> None:
        """End what is being made."""
        if self._task is not None:
            self._task.cancel()

    async def _make(self, mark: str) -> None:
        began = self._site.clock.monotonic()
        try:
            rows = await self._site.store.read(_rows)
            await self._run(mark, rows)
            self._failure = ""
        except (LabtrawlError, OSError) as error:
            self._failure = str(error)
            log.warning("insights_not_made", error=str(error))
        now = self._site.clock.monotonic()
        self._due = now + max(LEAST_SECONDS, SHARE * (now - began))
        self._kept = await asyncio.to_thread(self._found, mark) or self._kept

    async def _run(self, mark: str, rows: Sequence[manifest.SegmentRow]) -> None:
        out = self._folder / mark
        order = Order(
            root=str(dataset_root(self._site.data_dir)),
            parts=[Part(one.name, one.length, one.sha256, one.records) for one in rows],
            out=str(out),
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "labtrawl.dataset.reckon"),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # What the website was started with is nothing to it.
            env={},
        )
        try:
            async with asyncio.timeout(MOST_SECONDS):
                said = await _answer_of(process, msgspec.json.encode(order) + b"\n")
        except TimeoutError as error:
            raise DatasetError(
                f"the answers took longer than {MOST_SECONDS / 60:.0f} minutes; export the dataset and"
                " ask there"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise StoreError(said or f"it ended with {process.returncode}")

    def _found(self, mark: str = "") -> tuple[str, Answers] | None:
        """Return the answers on the disk, the newest ones first; all others go."""
        there = [
            path for path in self._folder.glob("*/" + ANSWERS) if mark in ("", path.parent.name)
        ]
        for path in sorted(there, key=lambda each: each.stat().st_mtime, reverse=True):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                answers = msgspec.json.decode(path.read_bytes(), type=Answers)
                self._sweep(path.parent)
                return path.parent.name, answers
        return None

    def _sweep(self, kept: Path) -> None:
        for folder in self._folder.iterdir():
            if folder != kept and (folder / ANSWERS).is_file():
                shutil.rmtree(folder, ignore_errors=True)


def _rows(connection: Connection) -> list[manifest.SegmentRow]:
    return [row for row in manifest.segments(connection) if row.resource in RESOURCES]


async def _answer_of(process: asyncio.subprocess.Process, order: bytes) -> str:
    """Hand over the order and wait for the end; what it said last. Its stdin stays open meanwhile."""
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(order)
        await process.stdin.drain()
    said = await process.stderr.read()
    await process.wait()
    process.stdin.close()
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
