"""Rows that a reading by page numbers passes over: what hangs on them is not buried for that."""

from dataclasses import replace
from pathlib import Path

from labtrawl.crawler.nested import may_pass_over
from labtrawl.crawler.reader import Reader
from labtrawl.dataset.disk import LocalDisk
from labtrawl.domain.visit import Mode
from labtrawl.gitlab.catalog import find
from labtrawl.store import jobs
from tests.prove.sim import Sim, sim
from tests.prove.test_invariants_readings import LIMITS, _states
from tests.unit.crawler.shelf import PROJECT, Shelf, gitlab_of

COMMITS = f"{PROJECT}/repository/commits"
HASHES = [f"c{number:02d}" for number in range(9)]


def _shelf() -> Shelf:
    """Nine commits in three pages that nobody counts, each with a discussion."""
    lists = {COMMITS: [{"id": each} for each in HASHES]}
    lists |= {f"{COMMITS}/{each}/discussions": [{"id": f"on-{each}"}] for each in HASHES}
    return Shelf(lists, total=False)


async def _run(world: Sim, shelf: Shelf) -> None:
    job = world.run(await world.claim("crawler-1"), LocalDisk(), limits=LIMITS)
    resource = find("project", "commit_discussions")
    assert resource is not None
    job.reader = Reader(gitlab_of(shelf), resource, 7, "19.3.0", (19, 3))
    job.visit = replace(job.visit, may_pass_over=may_pass_over(resource))
    await job.run()


def _pushed_by_force(shelf: Shelf) -> None:
    """The newest commit goes once the first page is read: one of the next page moves to it."""

    def before(shelf: Shelf, request: str) -> None:
        if request.startswith(f"{COMMITS}?") and "page=2" in request.split("&"):
            shelf.lists[COMMITS] = [{"id": each} for each in HASHES[1:]]

    shelf.before = before


async def test_commit_that_a_page_passes_over_keeps_its_discussions(tmp_path: Path) -> None:
    async with sim(tmp_path, rows=0) as world:
        await _run(world, _shelf())
        assert await world.store.write(lambda c: jobs.reopen(c, 1, "issues", Mode.SWEEP))
        shelf = _shelf()
        _pushed_by_force(shelf)
        await _run(world, shelf)
        expected = {f"on-{each}": "present" for each in HASHES}
        assert await _states(world) == expected


def test_lists_of_items_that_are_read_along_an_instant_pass_over_none() -> None:
    names = ("issues", "commits", "commit_discussions", "issue_discussions")
    found = {name: may_pass_over(resource) for name in names if (resource := find("project", name))}
    assert found == {
        "issues": True,
        "commits": True,
        "commit_discussions": True,
        "issue_discussions": False,
    }
