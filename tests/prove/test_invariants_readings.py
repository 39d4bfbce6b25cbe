"""Invariants of readings: what changed is read, what is gone is buried, and nothing is written twice."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from labtrawl.dataset.disk import LocalDisk
from labtrawl.dataset.layout import dataset_root
from labtrawl.dataset.policy import GONE, PRESENT, UNKNOWN
from labtrawl.dataset.reader import newest, read
from labtrawl.dataset.sink import SegmentLimits
from labtrawl.domain.visit import Mode
from labtrawl.http import Answer
from labtrawl.store import jobs, manifest
from tests.prove.sim import Crash, Sim, sim

pytestmark = pytest.mark.prove

JSON = {"content-type": "application/json"}
PAGE = 3
SEEDS = 16


class LivingPages:
    """A GitLab whose one list changes: between visits, and in the middle of one.

    Its clock goes on by a second with each request. `meddle` may change the list before a request.
    `is_counted`: each page tells how many rows there are, which GitLab does up to 10,000; without
    that a count of its own does.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.rows: list[dict[str, Any]] = []
        self.numbers = 0
        self.meddle: Callable[[], None] = lambda: None
        self.is_counted = True
        for _ in range(rows):
            self.add()

    def add(self) -> None:
        self.numbers += 1
        row = {
            "id": self.numbers,
            "iid": self.numbers,
            "title": "first",
            "updated_at": self._stamp(),
        }
        self.rows.append({**row, "created_at": row["updated_at"]})

    def edit(self, silently: bool = False) -> None:
        if not self.rows:
            return
        row = self.chance.choice(self.rows)
        row["title"] = f"edited {self.chance.random()}"
        if not silently:
            row["updated_at"] = self._stamp()

    def delete(self) -> None:
        if self.rows:
            self.rows.remove(self.chance.choice(self.rows))

    def change(self, times: int) -> None:
        for _ in range(times):
            self.chance.choice([self.add, self.edit, self.edit, self.delete])()

    def _stamp(self) -> str:
        self.now += timedelta(milliseconds=7)
        return self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def get(self, request: str, _headers: dict[str, str]) -> Answer:
        self.meddle()
        self.now += timedelta(seconds=1)
        if "issues_statistics" in request:
            counts = {"statistics": {"counts": {"all": len(self.rows)}}}
            return Answer(200, JSON, json.dumps(counts).encode(), request)
        told = {name: values[0] for name, values in parse_qs(request.partition("?")[2]).items()}
        rows = list(self.rows)
        for name in ("created", "updated"):
            if since := told.get(f"{name}_after"):
                began = datetime.fromisoformat(since)
                rows = [row for row in rows if datetime.fromisoformat(row[f"{name}_at"]) >= began]
        rows.sort(key=lambda row: (row[told.get("order_by", "id")], row["id"]))
        start = (int(told.get("page", 1)) - 1) * PAGE
        headers = {
            **JSON,
            "date": format_datetime(self.now, usegmt=True),
        }
        if self.is_counted:
            headers["x-total"] = str(len(rows))
        if start + PAGE < len(rows):
            headers["x-next-page"] = str(start // PAGE + 2)
        return Answer(200, headers, json.dumps(rows[start : start + PAGE]).encode(), request)


async def _visit(world: Sim, mode: Mode, crash_at: int | None = None) -> None:
    """Open the job in a mode and run it to its end, through a crash where one is asked for."""
    if mode is not Mode.FULL:
        opened = await world.store.write(lambda c: jobs.reopen(c, 1, "issues", mode))
        assert opened is not None
    if crash_at is not None:
        left = crash_at

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        try:
            await world.run(await world.claim("crawler-1"), LocalDisk(), count, LIMITS).run()
        except Crash:
            pass
        else:
            return
    await world.run(await world.claim("crawler-1"), LocalDisk(), limits=LIMITS).run()
    assert await world.state() == "completed"


LIMITS = SegmentLimits(max_bytes=1)


async def _present(world: Sim) -> dict[int | str, Any]:
    rows = await world.store.read(manifest.segments)
    return {
        record.id: json.loads(bytes(record.body))
        for record in newest(dataset_root(world.data_dir), rows)
        if record.state == PRESENT
    }


async def _states(world: Sim) -> dict[int | str, str]:
    rows = await world.store.read(manifest.segments)
    return {record.id: record.state for record in newest(dataset_root(world.data_dir), rows)}


async def _nothing_twice(world: Sim) -> None:
    """A body that was committed is not committed again by a visit that finds it unchanged."""
    rows = await world.store.read(manifest.segments)
    versions = list(read(dataset_root(world.data_dir), rows))
    assert sum(row.records for row in rows) == len(versions)


def _truth(pages: LivingPages) -> dict[int | str, Any]:
    return {row["id"]: row for row in pages.rows}


async def _ledger(world: Sim) -> tuple[int, int | None, str | None]:
    return await world.store.read(
        lambda c: tuple(c.exec_driver_sql("SELECT collected, expected, reason FROM ledger").one())
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_visits_with_crashes_end_with_what_gitlab_has(tmp_path: Path, seed: int) -> None:
    """Whatever the clocks of the crawlers say."""
    chance = random.Random(seed)
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(chance.randrange(14), seed)  # type: ignore[assignment]
        await _visit(world, Mode.FULL, chance.choice([None, 1, 2, 3]))
        for _ in range(3):
            pages.now += timedelta(hours=chance.randrange(2))
            pages.change(chance.randrange(6))
            world.ahead = timedelta(hours=chance.choice([0, 0, -5, 5]))
            mode = chance.choice([Mode.CHANGES, Mode.SWEEP])
            await _visit(world, mode, chance.choice([None, None, 1, 2, 3]))
            if mode is Mode.SWEEP:
                assert await _present(world) == _truth(pages)
            else:
                assert _truth(pages).items() <= (await _present(world)).items()
        await _visit(world, Mode.SWEEP)
        assert await _present(world) == _truth(pages)
        assert await _ledger(world) == (len(pages.rows), len(pages.rows), None)
        await _nothing_twice(world)


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_list_that_changes_while_it_is_read_loses_nothing(
    tmp_path: Path, seed: int, is_counted: bool
) -> None:
    """What was there all the time is there once, whatever vanished or came meanwhile."""
    chance = random.Random(seed)
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(12, seed)  # type: ignore[assignment]
        pages.is_counted = is_counted
        before = _truth(pages)
        left = [3]

        def meddle() -> None:
            if left[0] and chance.random() < 0.5:
                left[0] -= 1
                chance.choice([pages.delete, pages.add, pages.delete])()

        pages.meddle = meddle
        await _visit(world, Mode.FULL)
        left[0] = 0
        stayed = {key: row for key, row in _truth(pages).items() if key in before}
        assert stayed.items() <= (await _present(world)).items()
        await _visit(world, Mode.SWEEP)
        assert await _present(world) == _truth(pages)
        await _nothing_twice(world)


async def test_list_that_lost_all_at_once_says_that_nobody_knows_why(tmp_path: Path) -> None:
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(4, 1)  # type: ignore[assignment]
        await _visit(world, Mode.FULL)
        pages.rows.clear()
        await _visit(world, Mode.SWEEP)
        assert await _states(world) == dict.fromkeys((1, 2, 3, 4), UNKNOWN)


async def test_object_that_comes_back_is_there_again(tmp_path: Path) -> None:
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(4, 1)  # type: ignore[assignment]
        await _visit(world, Mode.FULL)
        hidden = pages.rows.pop(1)
        await _visit(world, Mode.SWEEP)
        assert (await _states(world))[2] == GONE
        pages.rows.insert(1, hidden)
        await _visit(world, Mode.SWEEP)
        assert await _present(world) == _truth(pages)
        assert await _ledger(world) == (4, 4, None)


async def test_unchanged_visit_writes_no_segment(tmp_path: Path) -> None:
    async with sim(tmp_path, rows=0) as world:
        world.pages = LivingPages(7, 1)  # type: ignore[assignment]
        await _visit(world, Mode.FULL)
        before = await world.store.read(manifest.segments)
        await _visit(world, Mode.CHANGES)
        await _visit(world, Mode.SWEEP)
        assert await world.store.read(manifest.segments) == before


async def test_change_that_gitlab_does_not_date_is_found_by_a_sweep(tmp_path: Path) -> None:
    """Labels that were renamed, emoji, deleted notes leave `updated_at` alone."""
    async with sim(tmp_path, rows=0) as world:
        pages = world.pages = LivingPages(7, 1)  # type: ignore[assignment]
        await _visit(world, Mode.FULL)
        pages.now += timedelta(hours=1)
        await _visit(world, Mode.CHANGES)
        pages.edit(silently=True)
        await _visit(world, Mode.CHANGES)
        assert await _present(world) != _truth(pages)
        await _visit(world, Mode.SWEEP)
        assert await _present(world) == _truth(pages)
