"""Rows that vanish while as many come: totals stand still, and yet others move past the reader."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Add, Planned, Remove, Server, build_world
from labtrawl.sandbox.changes import Change
from tests.integration.faults.crawling import SIZES, Key, crawl, path_of
from tests.rig.compare import expected_items

SIZES_HERE = {"projects": 1, "pipelines": 330, "issues": 2, "notes": 600, "merge_requests": 1}
WORLD = build_world("small", 2, SIZES | SIZES_HERE)
HOME = WORLD.projects[0]
PIPELINES = [each.id for each in HOME.pipelines]
LOUD = max(HOME.issues, key=lambda issue: len(issue.notes))
DISCUSSIONS = f"issues/{LOUD.iid}/discussions"
TICK = Add(what="label", project=HOME.id)
BEGAN = 1_795_000_000


@dataclass(slots=True)
class Ticking:
    """A clock that goes on by a minute with each label: while two pages are answered."""

    servers: list[Server] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since 1970."""
        ticks = sum(len(one.world.projects[0].labels) - len(HOME.labels) for one in self.servers)
        return BEGAN + 60 * ticks


# Behind the answer to a first page, and before that to a second one.
BETWEEN = datetime.fromtimestamp(BEGAN + 90, UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a crawl knows, what is true, the gaps, and the requests for pages of the list."""

    found: dict[Key, object]
    truth: dict[Key, object]
    gaps: dict[tuple[str, str], str | None]
    pages: int


async def _crawled(folder: Path, name: str, place: str, *changes: Change) -> Seen:
    """Read one list for the first time while it changes between its first page and its second."""
    matching, clock = path_of(place, HOME.id), Ticking()
    script = (
        Planned(changes=(TICK, *changes), matching=matching),
        Planned(changes=(TICK,), matching=matching, after_requests=2),
    )
    schedule = Schedule(resources=(name,))
    async with crawl(folder, world=WORLD, schedule=schedule, script=script, now=clock.now) as one:
        one.site.graphql = False
        clock.servers.append(one.server)
        await one.site.plan(WORLD)
        async with one.site.crawler():
            await one.site.finished(30)
        truth = expected_items(one.server.truth())
        asked = await one.asked()
        return Seen(
            await one.now(),
            {key: body for key, body in truth.items() if key[2] == name},
            await one.gaps(),
            sum(count for way, count in asked.items() if way.endswith(place.rpartition("/")[2])),
        )


@pytest.mark.parametrize(("gone", "come"), [(1, 1), (2, 3), (120, 130)])
async def test_pipelines_that_vanish_while_others_come_hide_none(
    tmp_path: Path, gone: int, come: int
) -> None:
    """As where GitLab clears up old ones of a project that goes on."""
    went = [Remove(what="pipeline", project=HOME.id, key=key) for key in PIPELINES[:gone]]
    came = [Add(what="pipeline", project=HOME.id, at=BETWEEN) for _ in range(come)]
    seen = await _crawled(tmp_path, "pipelines", "pipelines", *went, *came)
    assert (seen.found, seen.gaps) == (seen.truth, {})


async def test_pipelines_that_come_alone_cost_no_second_reading(tmp_path: Path) -> None:
    came = [Add(what="pipeline", project=HOME.id, at=BETWEEN) for _ in range(5)]
    seen = await _crawled(tmp_path, "pipelines", "pipelines", *came)
    assert (seen.found, seen.gaps, seen.pages) == (seen.truth, {}, 4)


def _said(count: int) -> list[Change]:
    return [Add(what="note", project=HOME.id, iid=LOUD.iid, at=BETWEEN) for _ in range(count)]


@pytest.mark.parametrize(("gone", "come"), [(1, 1), (3, 5)])
async def test_comments_that_vanish_while_others_come_hide_none(
    tmp_path: Path, gone: int, come: int
) -> None:
    """Each of the first ones is a thread of its own, and goes with it."""
    threads = Counter(note.discussion_id for note in LOUD.notes)
    alone = [note.id for note in LOUD.notes if threads[note.discussion_id] == 1][:gone]
    went = [Remove(what="note", project=HOME.id, iid=LOUD.iid, key=key) for key in alone]
    seen = await _crawled(tmp_path, "issue_discussions", DISCUSSIONS, *went, *_said(come))
    assert seen.truth.items() <= seen.found.items()
    assert (len(seen.found) - len(seen.truth), seen.gaps) == (gone, {})


async def test_comments_that_come_alone_cost_no_second_reading(tmp_path: Path) -> None:
    seen = await _crawled(tmp_path, "issue_discussions", DISCUSSIONS, *_said(3))
    others = len(HOME.issues) - 1
    assert (seen.found, seen.gaps, seen.pages) == (seen.truth, {}, 4 + others)
