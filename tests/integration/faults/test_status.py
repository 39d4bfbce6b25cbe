"""Statuses of HTTP that are no success: waited for, tried again, or a gap with its reason."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest

from labtrawl.dispatch import visiting
from labtrawl.sandbox import Add, Fault, Planned, Remove
from labtrawl.store import gaps, summary
from labtrawl.store.engine import Connection
from tests.integration.faults.crawling import ONE, OTHER, SCHEDULE, Crawl, crawl, path_of

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


async def test_429_in_a_list_keeps_the_pages_before_it_and_asks_for_none_twice(
    tmp_path: Path,
) -> None:
    """Whoever waits long gives the list away: it goes on behind what was committed."""
    fault = Fault(path=rf"/projects/{ONE.id}/labels\?.*page=3", kind="429_http", retry_after="7200")
    async with crawl(tmp_path, fault) as one:
        one.server.change(
            *(Add(what="label", project=ONE.id, fields={"name": f"m{n:03}"}) for n in range(230))
        )
        async with one.crawling():
            await _put_off(one)
            items, _ = await one.items()
            assert len([key for key in items if key[1:3] == (ONE.id, "labels")]) == 200
            one.time.leapt_seconds += 86_401
            await one.site.store.write(_a_day_later)
            await one.site.finished(30)
        await one.assert_equals_truth()
        # Three pages, one of them refused once, and the other project's only one.
        assert (await one.asked())["projects/:id/labels"] == 5


async def test_gap_that_is_refilled_costs_the_requests_of_its_list(tmp_path: Path) -> None:
    fault = Fault(path=path_of("labels"), kind="500", times=0)
    async with crawl(tmp_path, fault) as one:
        async with one.crawling():
            await one.site.finished(30)
            await one.assert_only_gaps({LABELS: "failed"})
            await one.control("DELETE", "faults")
            await one.control("DELETE", "requests")
            assert await one.site.store.write(lambda c: gaps.refill(c, gaps.Wanted())) == 1
            await one.site.finished(30)
        await one.assert_equals_truth()
        assert await one.asked() == {"projects/:id/labels": 1}


async def test_list_that_moved_and_fails_when_it_is_read_again_is_a_gap_at_last(
    tmp_path: Path,
) -> None:
    """Each try asks for what is behind its first page, for fewer rows each time."""
    fault = Fault(path=rf"/projects/{ONE.id}/labels\?.*&page=\d", kind="500", times=0, skip=1)
    plan = Planned(
        changes=(Remove(what="label", project=ONE.id, key=ONE.labels[0].id),),
        matching=path_of("labels"),
    )
    async with crawl(tmp_path, fault) as one:
        one.server.change(
            *(Add(what="label", project=ONE.id, fields={"name": f"m{n:03}"}) for n in range(130))
        )
        one.server.living.script.add((plan,))
        await one.run()
        assert await one.gaps() == {LABELS: "failed"}
        assert (await one.asked())["projects/:id/labels"] < 60


SWEPT = {
    "first page": Fault(path=path_of("labels"), kind="500", times=0),
    "later page": Fault(path=rf"/projects/{ONE.id}/labels\?.*page=2", kind="500", times=0),
    "forbidden": Fault(path=path_of("labels"), kind="403", times=0),
    "missing": Fault(path=path_of("labels"), kind="404", times=0),
    "no list": Fault(path=path_of("labels"), kind="wrong_type", times=0),
}


@pytest.mark.parametrize("name", SWEPT)
async def test_sweep_that_fails_buries_nothing(tmp_path: Path, name: str) -> None:
    """Something is gone, and the list that would show it cannot be read."""
    fault = json.loads(msgspec.json.encode(SWEPT[name]))
    made = (Add(what="label", project=ONE.id, fields={"name": f"m{n:03}"}) for n in range(130))
    async with crawl(tmp_path) as one:
        gone = one.server.change(*made)[0]["key"]
        async with one.crawling():
            await one.site.finished(30)
            before = one.truth()
            await one.control("POST", "faults", [fault])
            one.server.change(Remove(what="label", project=ONE.id, key=int(str(gone))))
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
            assert await one.now() == before
            assert (await one.gaps()).keys() == {LABELS}
            await one.control("DELETE", "faults")
            await one.site.store.write(_sweep_all)
            await one.site.finished(30)
        assert await one.now() == one.truth()
        assert await one.gaps() == {}


def _sweep_all(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE visit SET sweep_at = 1, next_at = 1")
    visiting.open_all(connection, SCHEDULE)


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
