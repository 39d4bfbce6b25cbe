"""Tokens that end, shrink or are taken away while they are used."""

import asyncio
from pathlib import Path

import pytest

from labtrawl.dispatch import visiting
from labtrawl.sandbox import Fault
from labtrawl.store import summary
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, SCHEDULE, Crawl, crawl, path_of

REST = "/api/v4/projects/"


async def _held(one: Crawl) -> None:
    """Wait until nothing can go on without a person."""
    async with asyncio.timeout(30):
        while True:
            ticket = one.site.store.changes.ticket()
            now = await one.site.store.read(summary.progress)
            if now.jobs.get("held", 0) and not now.open_jobs:
                return
            await ticket.wait()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=path_of("labels"), kind="401"),
        Fault(path=rf"/projects/{ONE.id}/issues\?.*", kind="401"),
        Fault(path="/api/graphql", kind="401"),
        Fault(path="/api/v4/", kind="401", skip=5, times=40),
    ],
    ids=["list", "issues", "graphql", "everything"],
)
async def test_token_that_expires_on_the_way_holds_the_work_and_no_gap_is_made(
    tmp_path: Path, fault: Fault
) -> None:
    """It goes on where it was as soon as the account is connected again."""
    await _goes_on_when_connected_again(tmp_path, fault)


async def _goes_on_when_connected_again(tmp_path: Path, fault: Fault) -> None:
    """A refusal holds the work without a gap, until the account is connected again."""
    async with crawl(tmp_path, fault) as one:
        async with one.crawling():
            await _held(one)
            assert set((await one.gaps()).values()) == {None}
            await one.control("DELETE", "faults")
            await one.site.plan(one.server.world)
            await one.site.finished(30)
        await one.assert_equals_truth()


async def test_token_that_is_revoked_keeps_what_was_read_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    fault = Fault(path="/api/", kind="401", skip=12, times=0)
    async with crawl(tmp_path, fault) as one:
        async with one.crawling():
            await _held(one)
        items, twice = await one.items()
        truth = one.truth()
        assert (twice, {key for key in items if items[key] != truth.get(key)}) == ([], set())
        gaps = await one.gaps()
        missing = {(one.path(key[1]), key[2]) for key in truth.keys() - items.keys()}
        assert missing <= gaps.keys()
        assert set(gaps.values()) == {None}
        assert (await one.site.store.read(summary.progress)).jobs.get("failed", 0) == 0


SHUT_OUT = {
    "403_scope": ": the token lacks the scope read_api; ",
    "403_blocked": ": GitLab lets this account read nothing; ",
}


@pytest.mark.parametrize("kind", SHUT_OUT)
async def test_account_that_may_read_nothing_any_more_is_the_trouble_and_no_list_is(
    tmp_path: Path, kind: str
) -> None:
    """A smaller scope, a blocked user: the work waits for a person, and nothing is deleted."""
    async with crawl(tmp_path) as one:
        async with one.crawling():
            await one.site.finished(30)
            await one.assert_equals_truth()
            await one.control("POST", "faults", [{"path": "/api/", "kind": kind, "times": 0}])
            await one.site.store.write(_sweep_all)
            await _held(one)
            assert await one.now() == one.truth()
            assert await one.gaps() == {}
            assert all(SHUT_OUT[kind] in why for why in await _why_held(one))
            await one.control("DELETE", "faults")
            await one.site.plan(one.server.world)
            await one.site.finished(30)
        assert await one.now() == one.truth()
        assert await one.gaps() == {}


async def _why_held(one: Crawl) -> set[str]:
    """What is said of the jobs that were tried; the others wait without a try."""
    told = await one.site.store.read(
        lambda c: c.exec_driver_sql(
            "SELECT error_message FROM job WHERE state = 'held' AND hold_reason = 'credential'"
        ).all()
    )
    assert told
    return {error for (error,) in told if error}


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1")
    visiting.open_all(connection, SCHEDULE)


async def test_scope_that_shrinks_in_the_middle_keeps_what_was_read_and_goes_on_later(
    tmp_path: Path,
) -> None:
    fault = Fault(path=REST, kind="403_scope", skip=6, times=0)
    await _goes_on_when_connected_again(tmp_path, fault)


async def test_right_that_a_fine_grained_token_lacks_is_a_gap_of_that_list(tmp_path: Path) -> None:
    fault = Fault(path=path_of("labels"), kind="403_granular", times=0)
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps({(ONE.full_path, "labels"): "forbidden"})
