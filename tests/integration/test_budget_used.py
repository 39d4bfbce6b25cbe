"""The budget is used to its end while there is work, over real sockets; nothing is refused or lost."""

import asyncio
import contextlib
import json
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from labtrawl.dataset.layout import dataset_root
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Options, build_world, running, truth
from labtrawl.store import manifest
from tests.rig.compare import collected_items, expected_items
from tests.rig.crawl import rig

# Requests a minute, and what of them is the crawl's: a fifth is left to people.
LIMIT, BUDGET = 600, 480
MINUTE = 60
# More of them share one event loop here with the look-alike: `make bench-crawl ARGS=limited` has 16.
CRAWLERS = 4
LISTS = (
    *("members", "labels", "milestones", "issues", "merge_requests"),
    *("commits", "branches", "pipelines", "issue_discussions", "merge_request_discussions"),
)
# At its end a crawl waits for its last lists, whose pages come one after the other.
TAIL = 15


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_crawlers_use_the_whole_budget_of_each_minute_and_are_never_refused(
    tmp_path: Path,
) -> None:
    world = build_world("w3n@0.3")
    options = Options(latency_ms=50, rate_limit_per_minute=LIMIT)
    schedule = Schedule(resources=LISTS)
    async with (
        running(world, options) as server,
        rig(tmp_path, server.url, lease_seconds=30, schedule=schedule) as website,
    ):
        await website.plan(world)
        async with contextlib.AsyncExitStack() as fleet:
            for number in range(CRAWLERS):
                await fleet.enter_async_context(website.crawler(f"crawler-{number}"))
            await website.finished(600)
        asked = await asyncio.to_thread(_tally, server.url, "requests")
        seconds = await asyncio.to_thread(_tally, server.url, "requests/seconds")
        rows = list(await website.store.read(manifest.segments))
        items, twice = collected_items(dataset_root(website.data_dir), rows)
        expected = expected_items(truth(world, external_url=website.url))
        wanted = {key: body for key, body in expected.items() if key[2] in LISTS}
        assert (items, twice) == (wanted, [])
    assert set(asked["by_status"]) == {"200"}
    used = _each_minute(Counter({int(at): number for at, number in seconds.items()}))
    assert len(used) > MINUTE
    assert min(used) >= 0.97 * BUDGET
    assert max(used) <= LIMIT


def _each_minute(seconds: Counter[int]) -> list[int]:
    """The requests of any 60 seconds between the first request and the tail, wherever they begin."""
    begins = range(min(seconds), max(seconds) - TAIL - MINUTE + 1)
    return [sum(seconds[at] for at in range(begin, begin + MINUTE)) for begin in begins]


def _tally(url: str, name: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"{url}/-/sandbox/{name}") as answer:
        told: dict[str, dict[str, int]] = json.loads(answer.read())
    return told
