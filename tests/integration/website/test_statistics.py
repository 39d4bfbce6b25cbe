"""What happened over time: written once a minute, told by the page, its twin and the statistics of the API."""

import asyncio
import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labtrawl.clock import Clock
from labtrawl.domain.sample import MINUTE_MS, Figures, Grain, Sample
from labtrawl.domain.traffic import Spent, Traffic
from labtrawl.errors import StoreError
from labtrawl.store import samples
from labtrawl.store.engine import Connection
from labtrawl.website.figures.sampling import Sampler
from labtrawl.website.figures.sums import Figures as Overviews
from tests.integration.website.conftest import Client
from tests.integration.website.running import site_of

Work = Callable[[Connection], object]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sampled(minutes: int = 30, step: int = 1) -> list[Sample]:
    """The last minutes, or some of them, with a disk that fills."""
    now = int(datetime.now(UTC).timestamp() * 1000) // MINUTE_MS * MINUTE_MS
    return [
        Sample(
            now - at * MINUTE_MS,
            Figures(
                60.0,
                {"requests": 120, "retries": 2},
                {"issues": 40},
                {"projects/:id/issues": Traffic(120, 1, 0, 1 << 20, {8: 120})},
                {"active_jobs": 3.0, "job_places": 4.0, "budget": 1600.0},
                {"jobs_queued": 5, "disk_free": (500 + at) << 30},
            ),
        )
        for at in range(minutes, 0, -step)
    ]


async def write(client: Client, found: list[Sample]) -> None:
    def all_of_them(connection: Connection) -> None:
        for one in found:
            samples.write(connection, one.at, one.figures)

    await client.write(all_of_them)


@pytest.mark.seed("S2.39", "S2.74", "S2.107")
async def test_page_twin_and_statistics_of_the_api_tell_the_same(admin: Client) -> None:
    await write(admin, sampled())
    status, told = await admin.json("GET", "/api/v1/statistics?span=hour")
    assert status == 200
    _, older = await admin.json("GET", "/api/admin/statistics?span=hour")
    assert older["overTime"] == told["over_time"]
    sums = told["over_time"]["sums"]
    assert (sums["requests"], sums["requests_per_minute"], sums["used_share"]) == (
        3600,
        120.0,
        0.75,
    )
    assert told["over_time"]["endpoints"][0]["endpoint"] == "projects/:id/issues"
    page = await admin.get("/statistics?span=day")
    assert page.status == 200
    assert "<code>projects/:id/issues</code>" in page.text
    assert "3,600" in page.text
    assert 'aria-current="page">The last day</a>' in page.text


async def test_statistics_without_samples_say_so_and_wrong_spans_are_refused(
    admin: Client,
) -> None:
    page = await admin.get("/statistics")
    assert page.status == 200
    assert "No request was counted in this time." in page.text
    assert (await admin.get("/statistics?span=century")).status == 422


async def test_overview_tells_budget_disk_slow_areas_and_causes(admin: Client) -> None:
    await write(admin, sampled())
    _, told = await admin.json("GET", "/api/v1/overview")
    assert [chart["id"] for chart in told["charts"]] == ["requests", "records", "jobs", "disk"]
    # One GiB a minute, and at most what the disk of the test has.
    assert told["overview"]["disk"]["full_at"] is not None
    page = await admin.get("/")
    assert "At the pace of the last hours it is full at" in page.text
    assert 'id="chart-requests"' in page.text


async def weight(client: Client, path: str) -> int:
    """The bytes of a first view, packed: the page and all that it names."""
    page = await client.get(path, accept_encoding="gzip")
    names = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', gzip.decompress(page.body).decode()))
    parts = [await client.get(name, accept_encoding="gzip") for name in sorted(names)]
    return len(page.body) + sum(len(part.body) for part in parts)


async def test_only_pages_with_charts_load_what_draws_them_and_none_is_heavy(
    admin: Client,
) -> None:
    await write(admin, [*sampled(24 * 60, 20), *sampled(60)])
    for path in ("/", "/statistics?span=hour", "/statistics?span=day", "/statistics?span=week"):
        assert await weight(admin, path) <= 70_000
    jobs = await admin.get("/jobs")
    assert "uplot" not in jobs.text
    assert await weight(admin, "/jobs") <= 45_000


class Hour:
    """A clock on which a sleep takes no time; it stops when the test has seen enough."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > 130:
            self.over.set()
            await asyncio.Event().wait()

    def clock(self) -> Clock:
        return Clock(
            lambda: NOON + timedelta(seconds=self.seconds), lambda: self.seconds, self.sleep
        )


async def test_records_of_a_minute_that_could_not_be_written_are_in_the_next_row(
    stranger: Client,
) -> None:
    hour, store = Hour(), stranger.store
    site = replace(site_of(store, stranger.around), clock=hour.clock())
    refused: list[str] = []

    class Told:
        async def statistics(self) -> dict[str, dict[str, int]]:
            return {
                "records": {"issues": int(hour.seconds)},
                "messages": {"sent": int(hour.seconds)},
            }

    class Full:
        read = store.read

        async def write(self, work: Work) -> object:
            if not refused:
                refused.append("the disk is full")
                raise StoreError(refused[0])
            return await store.write(work)

    failing = replace(site, crawling=Told(), store=Full())  # type: ignore[arg-type]
    task = asyncio.create_task(Sampler(failing, Overviews(site)).run())
    await hour.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    begin = int(NOON.timestamp() * 1000)
    (one,) = await store.read(
        lambda c: samples.read(c, Grain.MINUTE, begin, begin + 10 * MINUTE_MS)
    )
    figures = one.figures
    assert (figures.seconds, figures.records, figures.counts["sent"]) == (
        120.0,
        {"issues": 120},
        120,
    )


async def test_sampler_writes_a_row_a_minute_of_what_it_saw(
    stranger: Client, tmp_path: Path
) -> None:
    hour = Hour()

    def spent() -> list[Spent]:
        requests = int(hour.seconds)
        traffic = {"graphql": Traffic(requests, 0, 0, 10 * requests, {4: requests})}
        return [Spent("crawler-1", 7, 900.0 + hour.seconds, 2, 8, endpoints=traffic)]

    site = replace(site_of(stranger.store, stranger.around), clock=hour.clock(), spent=spent)
    task = asyncio.create_task(Sampler(site, Overviews(site)).run())
    await hour.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    begin = int(NOON.timestamp() * 1000)
    found = await stranger.store.read(
        lambda c: samples.read(c, Grain.MINUTE, begin, begin + 10 * MINUTE_MS)
    )
    assert [(one.at - begin, one.figures.seconds) for one in found] == [
        (0, 60.0),
        (MINUTE_MS, 60.0),
    ]
    for one in found:
        assert one.figures.counts["requests"] == 60
        assert one.figures.endpoints == {"graphql": Traffic(60, 0, 0, 600, {4: 60})}
        assert one.figures.means["job_places"] == 8.0
        assert one.figures.last["jobs_queued"] == 0
        assert one.figures.last["disk_free"] > 0
