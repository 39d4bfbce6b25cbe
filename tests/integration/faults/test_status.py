"""Statuses of HTTP that are no success: waited for, tried again, or a gap with its reason."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from labtrawl.sandbox import Fault
from labtrawl.store import summary
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, OTHER, Crawl, crawl, path_of

# A single object, two flat lists, and the search for areas.
PLACES = (
    rf"/projects/{ONE.id}\?",
    path_of("labels"),
    path_of("issues", OTHER.id),
    "/api/v4/projects\\?",
)
LABELS = (ONE.full_path, "labels")


@pytest.mark.parametrize("kind", ["304", "408", "500", "502_html", "503"])
async def test_failure_that_passes_costs_a_try_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    faults = [Fault(path=path, kind=kind) for path in PLACES]  # type: ignore[arg-type]
    async with crawl(tmp_path, *faults) as one:
        await one.run()
        await one.assert_equals_truth()
        assert (await one.site.store.read(summary.progress)).retries >= len(PLACES)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("304", "failed"),
        ("403", "forbidden"),
        ("404", "forbidden"),
        ("408", "failed"),
        ("500", "failed"),
        ("502_html", "failed"),
        ("503", "failed"),
    ],
)
async def test_failure_that_stays_is_a_gap_of_its_list_alone(
    tmp_path: Path, kind: str, reason: str
) -> None:
    fault = Fault(path=path_of("labels"), kind=kind, times=0, retry_after_seconds=0)  # type: ignore[arg-type]
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_only_gaps({LABELS: reason})
        assert kind.partition("_")[0] in await one.detail(LABELS)


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


WAITS = {
    "none": "",
    "zero": "0",
    "negative": "-5",
    "seconds": "2",
    "date": "date+3",
    "past": "date-3",
    "nonsense": "soon",
}


@pytest.mark.parametrize("wait", WAITS)
async def test_429_is_a_wait_and_loses_nothing(tmp_path: Path, wait: str) -> None:
    text = WAITS[wait]
    if text.startswith("date"):
        text = _in(float(text.removeprefix("date")))
    told = Fault(path=path_of("labels"), kind="429_http", times=2, retry_after=text)
    also = Fault(path=path_of("milestones", OTHER.id), kind="429_bare", times=2, retry_after=text)
    if not text:
        # GitLab's own limits of an endpoint say nothing (lib/api/helpers/rate_limiter.rb).
        told = Fault(path=path_of("labels"), kind="429_bare", times=2)
    async with crawl(tmp_path, told, also) as one:
        await one.run()
        await one.assert_equals_truth()


@pytest.mark.parametrize(
    ("kind", "times"), [("429_http", 10), ("429_app", 4), ("503", 4), ("403_spent", 4)]
)
async def test_wait_however_often_is_never_a_failed_try(
    tmp_path: Path, kind: str, times: int
) -> None:
    """Once more often than a request, or even a job, is tried."""
    fault = Fault(path=path_of("labels"), kind=kind, times=times, retry_after_seconds=1)  # type: ignore[arg-type]
    async with crawl(tmp_path, fault) as one:
        await one.run()
        await one.assert_equals_truth()


async def test_429_of_a_year_is_waited_for_a_day_and_nothing_is_said_to_be_complete(
    tmp_path: Path,
) -> None:
    fault = Fault(path=path_of("labels"), kind="429_http", retry_after="31536000")
    async with crawl(tmp_path, fault) as one:
        async with one.crawling():
            await _put_off(one)
            assert (await one.gaps())[LABELS] is None
            one.time.leapt_seconds += 86_401
            await one.site.store.write(_a_day_later)
            await one.site.finished(30)
        await one.assert_equals_truth()


def _a_day_later(connection: Connection) -> None:
    connection.exec_driver_sql(
        "UPDATE job SET run_after = run_after - 86401000 WHERE run_after IS NOT NULL"
    )


async def _put_off(one: Crawl) -> None:
    """Wait until every open job waits for a later time."""
    async with asyncio.timeout(30):
        while True:
            ticket = one.site.store.changes.ticket()
            if await one.site.store.read(_is_put_off):
                return
            await ticket.wait()


def _is_put_off(connection: Connection) -> bool:
    rows = connection.exec_driver_sql(
        "SELECT state, run_after FROM job WHERE state IN ('queued', 'running', 'held')"
    ).all()
    return bool(rows) and all(state == "queued" and after is not None for state, after in rows)


async def test_item_that_is_gone_after_its_row_was_listed_is_a_deletion_of_its_list_alone(
    tmp_path: Path,
) -> None:
    """By REST: the list of one issue answers 404, in a GitLab without GraphQL."""
    iid = ONE.issues[0].iid
    faults = (
        Fault(path="/api/graphql", kind="404", times=0),
        Fault(path=rf"/projects/{ONE.id}/issues/{iid}/discussions", kind="404", times=0),
    )
    async with crawl(tmp_path, *faults) as one:
        await one.run()
        talk = (ONE.full_path, "issue_discussions")
        without = {(project.full_path, "timelogs"): "forbidden" for project in (ONE, OTHER)}
        await one.assert_only_gaps({talk: "deleted"} | without)
