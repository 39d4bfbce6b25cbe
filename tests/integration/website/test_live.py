"""The stream: what changed arrives, in order, coalesced; resumes; ends when it must."""

import asyncio
import functools
import re

import pytest

from labtrawl.domain.job import HoldReason
from labtrawl.store import jobs
from labtrawl.website.pages import live
from tests.integration.website import world
from tests.integration.website.conftest import Client


class Stream:
    """Reads server-sent events."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = ""
        self.events = 0

    async def until(self, pattern: str) -> str:
        """Read on until the pattern appears; return the id of the event that holds it."""
        async with asyncio.timeout(10):
            while True:
                *events, self._text = self._text.split("\n\n")
                self.events += len(events)
                for event in events:
                    if re.search(pattern, event.replace("\ndata: ", "\n")):
                        return str(re.findall(r"^id: (\d+)$", event, re.MULTILINE)[-1])
                chunk = await self._reader.read(65536)
                assert chunk, "the stream ended"
                self._text += chunk.decode().replace("\r\n", "\n")

    async def to_its_end(self) -> str:
        async with asyncio.timeout(10):
            return self._text + (await self._reader.read()).decode()


async def open_stream(admin: Client, query: str, **headers: str) -> Stream:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Stream(await admin.send("GET", f"/live?{query}", named))


async def test_stream_of_the_list_sends_visible_rows_only(admin: Client) -> None:
    seen = await admin.write(world.one_job)
    hidden = await admin.write(lambda c: world.one_job(c, "commits"))
    stream = await open_stream(admin, f"view=jobs&since=2&ids={seen}")
    await admin.write(lambda c: jobs.progress(c, hidden, jobs.Progress(7, 9)))
    await admin.write(lambda c: jobs.progress(c, seen, jobs.Progress(3, 9)))
    await stream.until(rf'hx-target="#job-{seen}" hx-swap="outerMorph">\s*<tr id="job-{seen}"')
    await admin.write(lambda c: jobs.hold(c, seen, HoldReason.DISK))
    await stream.until("Disk is full")
    assert f"job-{hidden}" not in stream._text


async def test_stream_resumes_after_the_last_event_seen(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=jobs&since=1&ids={job_id}")
    await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(3, 9)))
    last = await stream.until("3 / 9")
    await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(8, 9)))
    resumed = await open_stream(admin, f"view=jobs&since=1&ids={job_id}", Last_Event_ID=last)
    assert int(await resumed.until("8 / 9")) == int(last) + 1


async def test_stream_of_the_first_page_tells_of_new_jobs(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=jobs&since=1&first=1&ids={job_id}")
    await admin.write(lambda c: world.one_job(c, "commits"))
    await stream.until("1 new job in this list")


async def test_stream_of_a_job_follows_its_children(admin: Client) -> None:
    parent = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=job&since=1&job={parent}")
    child = await admin.write(
        lambda c: jobs.enqueue(c, jobs.PlannedJob(1, "commits", parent_id=parent))
    )
    await stream.until(rf'<tr id="job-{child}"')


async def test_stream_of_the_overview_tells_of_problems_without_a_commit(admin: Client) -> None:
    stream = await open_stream(admin, "view=overview")
    await stream.until("Nothing is planned yet")
    admin.around.problems = ("example: the token <expired>",)
    await stream.until("example: the token &lt;expired&gt;")


async def test_streams_of_a_burst_are_coalesced(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=jobs&since=1&ids={job_id}")
    reports = [jobs.Progress(number, 200) for number in range(1, 201)]
    for report in reports:
        await admin.write(functools.partial(jobs.progress, job_id=job_id, report=report))
    await stream.until("200 / 200")
    assert stream.events < 30


async def test_stream_of_who_signed_out_shows_nothing_more(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RECOGNISE_SECONDS", 0.0)
    job_id = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=jobs&since=1&ids={job_id}")
    await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(3, 9)))
    await stream.until("3 / 9")
    await admin.post("/sign-out")
    await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(8, 9)))
    rest = await stream.to_its_end()
    assert "signed out" in rest
    assert "8 / 9" not in rest


async def test_site_that_stops_ends_open_streams_within_three_seconds(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    streams = [await open_stream(admin, f"view=jobs&since=1&ids={job_id}") for _ in range(5)]
    for stream in streams:
        await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(1, 2)))
        await stream.until("1 / 2")
    async with asyncio.timeout(3):
        admin.stopping.set()
        await admin.serving


async def test_socket_is_still_open_after_the_site_stopped(admin: Client) -> None:
    admin.stopping.set()
    await admin.serving
    reader, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rpartition(":")[2]))
    assert not reader.at_eof()
    writer.close()
    await writer.wait_closed()
