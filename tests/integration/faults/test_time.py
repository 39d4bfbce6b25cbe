"""Clocks that are wrong: no watermark passes what was not read.

A change that is made while a list is read, behind the reader, is found by the next visit for
changes; nothing is swept between.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from labtrawl.dispatch import visiting
from labtrawl.sandbox import Edit, Planned
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, SCHEDULE, Crawl, crawl, path_of

MINUTES, DAY = 600.0, 86_400.0
ISSUE, REQUEST = ONE.issues[0].iid, ONE.merge_requests[0].iid


@dataclass(slots=True)
class Server:
    """GitLab's clock: so far from the right one."""

    ahead_seconds: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_seconds


def _late(title: str) -> tuple[Edit, Edit]:
    """Changes of two lists that are read by what changed."""
    issue = Edit(what="issue", project=ONE.id, key=ISSUE, fields={"title": title})
    return issue, Edit(what="merge_request", project=ONE.id, key=REQUEST, fields={"title": title})


def _visit_changes(connection: Connection) -> None:
    """Open all lists that can tell what changed; none is swept."""
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 4102444800000")
    visiting.open_all(connection, SCHEDULE)


async def _crawl_with_late_change(one: Crawl, between: Callable[[], None] = lambda: None) -> None:
    """Crawl while something changes behind the reader, then let `between` happen and visit."""
    for resource, change in zip(("issues", "merge_requests"), _late("late"), strict=True):
        plan = Planned(changes=(change,), matching=path_of(resource))
        one.server.living.script.add((plan,))
    async with one.crawling():
        await one.site.finished(30)
        assert await _titles(one) == {ONE.issues[0].title, ONE.merge_requests[0].title}
        between()
        await one.site.store.write(_visit_changes)
        await one.site.finished(30)


async def _titles(one: Crawl) -> set[object]:
    keys = {
        ("issues", str(ONE.issues[0].id)),
        ("merge_requests", str(ONE.merge_requests[0].id)),
    }
    found = (await one.now()).items()
    return {body["title"] for key, body in found if key[2:] in keys}  # type: ignore[index]


@pytest.mark.parametrize("ahead", [0.0, MINUTES, -MINUTES, DAY, -DAY])
async def test_change_during_a_crawl_is_found_whatever_gitlabs_clock_says(
    tmp_path: Path, ahead: float
) -> None:
    async with crawl(tmp_path, now=Server(ahead).now) as one:
        await _crawl_with_late_change(one)
        assert await _titles(one) == {"late"}


@pytest.mark.parametrize("ahead", [MINUTES, DAY])
async def test_clock_of_gitlab_that_is_set_back_hides_no_change(
    tmp_path: Path, ahead: float
) -> None:
    """It went before, was set right, and then something changed: that is older than what was read."""
    clock = Server(ahead)
    async with crawl(tmp_path, now=clock.now) as one:

        def set_right() -> None:
            clock.ahead_seconds = 0.0
            one.server.change(*_late("later"))

        await _crawl_with_late_change(one, set_right)
        assert await _titles(one) == {"later"}


async def test_answers_whose_clocks_differ_hide_no_change(tmp_path: Path) -> None:
    """Nodes behind a balancer: each second answer comes from one that goes before by ten minutes."""
    asked = [0]

    def now() -> float:
        asked[0] += 1
        return time.time() + MINUTES * (asked[0] % 2)

    async with crawl(tmp_path, now=now) as one:
        await _crawl_with_late_change(one)
        assert await _titles(one) == {"late"}


@pytest.mark.parametrize("jump", [MINUTES, -MINUTES, DAY, -DAY])
async def test_own_clock_that_jumps_hides_no_change(tmp_path: Path, jump: float) -> None:
    async with crawl(tmp_path) as one:

        def leap() -> None:
            one.time.wall_seconds += jump

        one.time.wall_seconds = -jump
        await _crawl_with_late_change(one, leap)
        assert await _titles(one) == {"late"}


@pytest.mark.parametrize("slept", [DAY])
async def test_host_that_was_suspended_goes_on(tmp_path: Path, slept: float) -> None:
    """What was granted and waited for has lapsed; nothing is read twice or lost."""
    async with crawl(tmp_path) as one:
        async with one.crawling():
            one.time.leapt_seconds += slept
            await one.site.finished(30)
        await one.assert_equals_truth()
