"""A history without its oldest commits: read twice once, and again only where others are missing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labtrawl.crawler.reader import Reader
from labtrawl.crawler.run import JobRun
from labtrawl.dataset.disk import LocalDisk
from labtrawl.domain.visit import Mode
from labtrawl.gitlab.catalog import find
from labtrawl.store import jobs
from tests.prove.sim import Sim, sim
from tests.prove.test_invariants_readings import LIMITS, _states
from tests.unit.crawler.shelf import PROJECT, Shelf, gitlab_of

COMMITS = f"{PROJECT}/repository/commits"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def _history(count: int) -> list[Row]:
    """Commits, the newest first; the parent of the oldest is nowhere."""
    return [{"id": f"c{n}", "parent_ids": [f"c{n - 1}"]} for n in range(count, 0, -1)]


def _commented(count: int) -> Shelf:
    """The same, each with a discussion."""
    numbers = range(1, count + 1)
    said = {f"{COMMITS}/c{n}/discussions": [{"id": f"on-c{n}"}] for n in numbers}
    return Shelf({COMMITS: _history(count), **said}, total=False)


async def _pages(world: Sim, shelf: Shelf, mode: Mode, name: str = "commits") -> list[int]:
    """Run a visit to its end; return the pages of commits that it asked for."""
    if mode is not Mode.FULL:
        assert await world.store.write(lambda c: jobs.reopen(c, 1, "issues", mode))
    job = await _job(world, shelf, mode, name)
    await job.run()
    assert await world.state() == "completed"
    return _asked(shelf)


async def _job(world: Sim, shelf: Shelf, mode: Mode, name: str) -> JobRun:
    job = world.run(await world.claim("crawler-1"), LocalDisk(), limits=LIMITS)
    resource = find("project", name)
    assert resource is not None
    since = SINCE if mode is Mode.CHANGES else None
    job.reader = Reader(gitlab_of(shelf), resource, 7, "19.3.0", (19, 3), since)
    shelf.asked.clear()
    return job


def _asked(shelf: Shelf) -> list[int]:
    shelf.asked = [each for each in shelf.asked if each.startswith(f"{COMMITS}?")]
    return shelf.pages()


@pytest.mark.parametrize(("count", "reading"), [(8, [1, 2, 3]), (2, [1])])
async def test_history_that_is_cut_off_is_read_twice_only_once(
    tmp_path: Path, count: int, reading: list[int]
) -> None:
    shelf = Shelf({COMMITS: _history(count)}, total=False)
    async with sim(tmp_path, rows=0) as world:
        assert await _pages(world, shelf, Mode.FULL) == reading * 2
        for _ in range(2):
            assert await _pages(world, shelf, Mode.SWEEP) == reading
            assert await _pages(world, shelf, Mode.CHANGES) == reading
        assert await _states(world) == {f"7/c{n}": "present" for n in range(1, count + 1)}


async def test_discussions_of_a_history_that_is_cut_off_are_read_twice_only_once(
    tmp_path: Path,
) -> None:
    shelf = _commented(8)
    visits = [Mode.FULL, Mode.SWEEP, Mode.CHANGES, Mode.SWEEP]
    async with sim(tmp_path, rows=0) as world:
        pages = [await _pages(world, shelf, mode, "commit_discussions") for mode in visits]
        assert pages == [[1, 2, 3] * 2, *[[1, 2, 3]] * 3]
        assert await _states(world) == {f"on-c{n}": "present" for n in range(1, 9)}


async def test_commit_that_is_passed_over_is_noticed_where_a_history_is_cut_off(
    tmp_path: Path,
) -> None:
    """The newest commit goes once the first page is read: a new one of the next page moves to it."""

    def push_by_force(shelf: Shelf, request: str) -> None:
        if "page=2" in request.split("&"):
            shelf.lists[COMMITS] = grown[1:]

    shelf = Shelf({COMMITS: _history(5)}, total=False)
    async with sim(tmp_path, rows=0) as world:
        assert await _pages(world, shelf, Mode.FULL) == [1, 2] * 2
        grown = _history(10)
        shelf.lists[COMMITS], shelf.before = grown, push_by_force
        assert await _pages(world, shelf, Mode.SWEEP) == [1, 2, 3] * 3
        present = {f"7/c{n}": "present" for n in range(1, 10)}
        assert await _states(world) == present | {"7/c10": "gone"}
        assert await _pages(world, shelf, Mode.SWEEP) == [1, 2, 3]


async def test_commit_that_is_passed_over_while_nobody_reads_keeps_its_discussions(
    tmp_path: Path,
) -> None:
    """The crawler stops on the second page, and two commits go: one of it moves to the first page."""
    shelf, whole = _commented(9), _history(9)
    del whole[-1]["parent_ids"]
    shelf.lists[COMMITS] = whole
    async with sim(tmp_path, rows=0) as world:
        job = await _job(world, shelf, Mode.FULL, "commit_discussions")
        job.stopping = lambda: any("page=2" in each for each in shelf.asked)
        await job.run()
        assert (await world.state(), _asked(shelf)) == ("queued", [1, 2])
        shelf.lists[COMMITS] = whole[2:]
        assert await _pages(world, shelf, Mode.FULL, "commit_discussions") == [2, 3, *[1, 2, 3] * 2]
        present = {f"on-c{n}": "present" for n in range(1, 8)}
        assert await _states(world) == present | {"on-c8": "gone", "on-c9": "gone"}
