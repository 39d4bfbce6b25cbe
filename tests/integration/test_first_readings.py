"""First readings of lists that move meanwhile, over real sockets: nothing waits for the next look."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Add, Fault, Planned, Remove, World, build_world
from labtrawl.sandbox.changes import Change
from tests.integration.faults.crawling import SIZES, Crawl, Key, crawl, path_of
from tests.rig.compare import expected_items

WORLD = build_world("small", 2, SIZES | {"projects": 1, "commits": 330, "branches": 250})
STRAIGHT = build_world("small", 2, SIZES | {"projects": 1, "commits": 330, "branches": 1})
HOME = WORLD.projects[0]
BRANCHES = path_of("repository/branches", HOME.id)
NAMES = sorted(branch.name for branch in HOME.branches)
# GitLab counts no list of more than ten thousand rows.
UNCOUNTED = Fault(path=BRANCHES, kind="no_total", times=0)


async def _crawled(
    folder: Path,
    name: str,
    *changes: Change,
    after_requests: int = 1,
    faults: tuple[Fault, ...] = (),
    world: World = WORLD,
) -> "Seen":
    """Read one list for the first time; it changes behind its first page, or a later one."""
    listed = "commits" if name == "commit_discussions" else name
    place = path_of(f"repository/{listed}", HOME.id)
    plan = Planned(changes=changes, matching=place, after_requests=after_requests)
    schedule = Schedule(resources=(name,))
    async with crawl(folder, *faults, world=world, schedule=schedule, script=(plan,)) as one:
        await one.site.plan(world)
        async with one.site.crawler():
            await one.site.finished(30)
        return await Seen.of(one, name)


class Seen:
    """What a crawl left: what is known, what is true, what the ledger counts, what was asked."""

    found: dict[Key, object]
    truth: dict[Key, Any]
    collected: int
    gaps: dict[tuple[str, str], str | None]
    asked: Counter[str]

    @classmethod
    async def of(cls, one: Crawl, name: str) -> "Seen":
        """Look at what there is of one list."""
        self = cls()
        self.found = await one.now()
        truth = expected_items(one.server.truth(commit_discussions=True))
        self.truth = {key: body for key, body in truth.items() if key[2] == name}
        self.collected = await one.site.store.read(
            lambda c: c.exec_driver_sql(
                "SELECT collected FROM ledger WHERE resource = ?", (name,)
            ).scalar_one()
        )
        self.gaps = await one.gaps()
        self.asked = await one.asked()
        return self


async def test_row_that_changed_and_moved_to_the_next_page_is_kept_as_it_is_now(
    tmp_path: Path,
) -> None:
    added = Add(what="branch", project=HOME.id, fields={"name": "0-first"})
    pushed = Add(what="commit", project=HOME.id, key=NAMES[99])
    seen = await _crawled(tmp_path, "branches", added, pushed, faults=(UNCOUNTED,))
    late = ("project", HOME.id, "branches", f"{HOME.id}/0-first")
    del seen.truth[late]
    assert seen.found == seen.truth
    assert (seen.collected, seen.gaps) == (len(seen.truth), {})


@pytest.mark.parametrize(
    ("pushed", "after", "unread"), [(100, 1, 100), (100, 2, 100), (200, 1, 100)]
)
async def test_list_that_shifts_by_whole_pages_is_read_to_its_end(
    tmp_path: Path, pushed: int, after: int, unread: int
) -> None:
    """What was pushed before the reader is new, and belongs to the next visit."""
    push = tuple(Add(what="commit", project=HOME.id) for _ in range(pushed))
    seen = await _crawled(tmp_path, "commits", *push, after_requests=after)
    assert [key for key in seen.found if key not in seen.truth] == []
    missed = [body for key, body in seen.truth.items() if key not in seen.found]
    assert (len(missed), {body["title"] for body in missed}) == (unread, {"Another step"})
    assert (seen.collected, seen.gaps) == (len(seen.found), {})


@pytest.mark.parametrize(("after", "gone"), [(1, 1), (1, 30), (2, 7), (3, 120)])
async def test_push_by_force_behind_the_reader_hides_no_commit(
    tmp_path: Path, after: int, gone: int
) -> None:
    """What moves up over the edge of a page is named by commits that came before it."""
    newest = [commit.sha for commit in reversed(STRAIGHT.projects[0].commits)][:gone]
    force = [Remove(what="commit", project=HOME.id, key=sha) for sha in newest]
    seen = await _crawled(tmp_path, "commits", *force, after_requests=after, world=STRAIGHT)
    assert seen.found == seen.truth
    assert (seen.collected, seen.gaps) == (len(seen.truth), {})


@pytest.mark.parametrize(("after", "gone"), [(1, 1), (1, 30), (2, 7), (3, 120)])
async def test_push_by_force_behind_the_reader_hides_no_discussion_of_a_commit(
    tmp_path: Path, after: int, gone: int
) -> None:
    hashes = [commit.sha for commit in reversed(STRAIGHT.projects[0].commits)]
    said = [
        Add(what="note", project=HOME.id, on="commit", iid=sha) for sha in hashes[after * 100 :]
    ]
    force = [Remove(what="commit", project=HOME.id, key=sha) for sha in hashes[:gone]]
    name, world = "commit_discussions", STRAIGHT
    seen = await _crawled(tmp_path, name, *said, *force, after_requests=after, world=world)
    assert seen.found == seen.truth
    assert (seen.collected, seen.gaps) == (len(seen.truth), {})


async def test_repository_without_its_oldest_commits_is_read_twice_and_no_more(
    tmp_path: Path,
) -> None:
    """What is named and nowhere there looks like what a page passed over, until the next reading."""
    home = STRAIGHT.projects[0]
    shallow = replace(STRAIGHT, projects=(replace(home, commits=home.commits[1:]),))
    seen = await _crawled(tmp_path, "commits", world=shallow)
    assert (seen.found, seen.gaps) == (seen.truth, {})
    assert seen.asked["projects/:id/repository/commits"] == 2 * 4


@pytest.mark.parametrize("name", ["commits", "commit_discussions"])
@pytest.mark.parametrize("world", [WORLD, STRAIGHT], ids=["branches", "straight"])
async def test_still_repository_is_read_once(tmp_path: Path, name: str, world: World) -> None:
    seen = await _crawled(tmp_path, name, world=world)
    assert (seen.found, seen.gaps) == (seen.truth, {})
    assert seen.asked["projects/:id/repository/commits"] == 4
