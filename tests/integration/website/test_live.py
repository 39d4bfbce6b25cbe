"""The stream: what changed arrives, in order, coalesced; resumes; ends when it must."""

import asyncio
import functools
import html
import re
import time
from urllib.parse import urlencode

import pytest

from labtrawl.domain.job import HoldReason, JobState
from labtrawl.store import jobs
from labtrawl.store.sessions import Role
from labtrawl.website.live import hub
from tests.integration.website import world
from tests.integration.website.conftest import Client


class Stream:
    """Reads server-sent events."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = ""
        self.all: list[str] = []

    @property
    def text(self) -> str:
        """All that came, as events."""
        return "\n\n".join(self.all)

    async def until(self, pattern: str) -> str:
        """Read on until the pattern appears; return the id of the event that holds it."""
        async with asyncio.timeout(10):
            while True:
                *events, self._text = self._text.split("\n\n")
                self.all += events
                for event in events:
                    if re.search(pattern, event.replace("\ndata: ", "\n"), re.MULTILINE):
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


async def open_shared(client: Client, *watches: str) -> Stream:
    """The stream of several pages, each KEY~LAST-EVENT-ID~ADDRESS."""
    query = urlencode([("watch", each) for each in watches])
    return Stream(await client.send("GET", f"/streams?{query}"))


async def tell(admin: Client, job_id: int, done: int, of: int = 9) -> None:
    """A crawler reports how far a job is."""
    await admin.write(lambda c: jobs.progress(c, job_id, jobs.Progress(done, of)))


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


FACET = r'id="facet-\w+"[^>]* href="([^"]+)"'


async def list_and_stream(admin: Client, path: str) -> tuple[str, str]:
    """A page of the list of jobs, and what its stream is asked with."""
    page = (await admin.get(path)).text
    watched = re.findall(r'data-watch="/live\?([^"]+)"', page)
    return page, html.unescape(watched[0])


async def test_chosen_number_of_rows_stays_with_a_look_at_one_state(admin: Client) -> None:
    await admin.write(lambda c: world.build(c, projects=8))
    page, query = await list_and_stream(admin, "/jobs?resource=issues&size=25")
    states = ("", *(f"state={state.value}&" for state in JobState))
    expected = [f"/jobs?{state}resource=issues&amp;size=25" for state in states]
    expected = [each.replace("&r", "&amp;r") for each in expected]
    stream = await open_stream(admin, re.sub(r"since=\d+", "since=1", query))
    await stream.until('hx-target="#facets"')
    assert sorted(re.findall(FACET, page)) == sorted(expected)
    assert re.findall(FACET, stream.text) == re.findall(FACET, page)


async def test_page_of_few_rows_takes_no_older_job_for_a_new_one(admin: Client) -> None:
    await admin.write(lambda c: world.build(c, projects=8))
    _, query = await list_and_stream(admin, "/jobs?size=25")
    stream = await open_stream(admin, query)
    await admin.write(lambda c: world.one_job(c, "commits", "kelp/new"))
    await stream.until('<a id="fresh-show" href="/jobs\\?size=25">1 new job in this list')


async def test_stream_of_the_list_counts_what_an_action_would_be_about(admin: Client) -> None:
    first = await admin.write(world.one_job)
    await admin.write(lambda c: world.one_job(c, "commits"))
    query = f"view=jobs&since=1&state=queued&ids={first}"
    stream = await open_stream(admin, query)
    assert "To all 2 that match" in (await admin.get("/jobs?state=queued")).text
    await admin.write(lambda c: jobs.hold(c, first, HoldReason.DISK))
    await stream.until('hx-target="#bulk-all" hx-swap="outerMorph">.*To all 1 that match')


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


async def test_stream_of_a_burst_has_ten_messages_a_second_at_most(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    began = time.monotonic()
    stream = await open_stream(admin, f"view=jobs&since=1&ids={job_id}")
    reports = [jobs.Progress(number, 900) for number in range(1, 901)]
    for report in reports:
        await admin.write(functools.partial(jobs.progress, job_id=job_id, report=report))
    await stream.until("900 / 900")
    messages = re.findall(r"^id: \d+$", stream.text, re.MULTILINE)
    # The first comes at once, the others a tenth of a second after each other.
    assert 2 <= len(messages) <= 10 * (time.monotonic() - began) + 1


async def test_stream_of_who_signed_out_shows_nothing_more(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RECOGNISE_SECONDS", 0.0)
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


async def test_stream_tells_changes_in_their_order_and_ends_with_the_last(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    stream = await open_stream(admin, f"view=jobs&since=1&ids={job_id}")
    for number in range(1, 60):
        await tell(admin, job_id, number, 60)
    await tell(admin, job_id, 60, 60)
    await stream.until("60 / 60")
    shown = [int(each) for each in re.findall(r"(\d+) / 60", stream.text)]
    ids = [int(each) for each in re.findall(r"^id: (\d+)$", stream.text, re.MULTILINE)]
    assert (shown, ids) == (sorted(shown), sorted(set(ids)))


async def test_page_that_reads_itself_again_is_told_of_any_commit(admin: Client) -> None:
    stream = await open_stream(admin, "view=page")
    first = await stream.until(r"^id: \d+$")
    await admin.write(world.one_job)
    assert int(await stream.until(rf"^id: (?!{first}$)\d+$")) > int(first)


# ------------------------------------------------------------- all pages of a browser in one stream


async def test_pages_that_share_a_stream_each_get_their_own(admin: Client) -> None:
    first = await admin.write(world.one_job)
    second = await admin.write(lambda c: world.one_job(c, "commits"))
    stream = await open_shared(
        admin,
        f"1~~/live?view=jobs&since=2&ids={first}",
        f"22~~/live?view=jobs&since=2&ids={second}",
    )
    await tell(admin, first, 3)
    await stream.until(rf'event: 1\nid: \d+\n<hx-partial hx-target="#job-{first}"')
    await tell(admin, second, 4)
    await stream.until(rf'event: 22\nid: \d+\n<hx-partial hx-target="#job-{second}"')
    own = [f"#job-{first}" in each for each in stream.all if "event: 1\n" in each]
    foreign = [f"#job-{first}" in each for each in stream.all if "event: 22\n" in each]
    assert (any(own), any(foreign)) == (True, False)


async def test_page_that_shares_a_stream_goes_on_from_what_it_saw(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    await tell(admin, job_id, 3)
    seen = await admin.write(lambda c: c.exec_driver_sql("SELECT MAX(change) FROM job").scalar())
    address = f"/live?view=jobs&since=1&ids={job_id}"
    stream = await open_shared(admin, f"1~{seen}~{address}", f"2~~{address}")
    await stream.until(r"event: 2\n(.*\n)*.*3 / 9")
    await tell(admin, job_id, 8)
    await stream.until(r"event: 1\n(.*\n)*.*8 / 9")
    assert not [each for each in stream.all if "event: 1\n" in each and "3 / 9" in each]


async def test_page_that_is_not_for_the_visitor_is_told_nothing(stranger: Client) -> None:
    job_id = await stranger.write(world.one_job)
    person_id = await stranger.write(lambda c: world.participant(c, 101))
    someone = stranger.by(cookie=await stranger.session(Role.PARTICIPANT, person_id))
    alone = await someone.get("/live?view=jobs")
    stream = await open_shared(
        someone, f"1~~/live?view=jobs&since=1&ids={job_id}", "2~~/live?view=page", "3~~/none/live"
    )
    first = await stream.until("^event: 2$")
    await tell(stranger, job_id, 3)
    await stream.until(rf"^id: (?!{first}$)\d+$")
    told = set(re.findall("^event: (.*)$", stream.text, re.MULTILINE))
    ended = set(re.findall("^event: ended\ndata: (.*)$", stream.text, re.MULTILINE))
    assert (alone.status, told, ended) == (403, {"ended", "2"}, {"1", "3"})


async def test_shared_stream_of_who_signed_out_shows_nothing_more(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RECOGNISE_SECONDS", 0.0)
    job_id = await admin.write(world.one_job)
    stream = await open_shared(admin, f"7~~/live?view=jobs&since=1&ids={job_id}")
    await tell(admin, job_id, 3)
    await stream.until("3 / 9")
    await admin.post("/sign-out")
    await tell(admin, job_id, 8)
    rest = await stream.to_its_end()
    assert ("event: ended\ndata: 7" in rest, "8 / 9" in rest) == (True, False)


async def test_site_that_stops_ends_shared_streams_without_a_good_bye(admin: Client) -> None:
    job_id = await admin.write(world.one_job)
    stream = await open_shared(
        admin, f"1~~/live?view=jobs&since=1&ids={job_id}", "2~~/live?view=overview"
    )
    await stream.until("event: 2")
    async with asyncio.timeout(3):
        admin.stopping.set()
        await admin.serving
    assert "event: ended" not in await stream.to_its_end()


@pytest.mark.parametrize(
    "watch",
    [
        "",
        "1~~/jobs",
        "1~~/livez",
        "x~~/live",
        "1~\n~/live",
        "1~~//evil.example/live",
        "1~~/api/admin/../live",
        "1~~http://evil.example/live",
    ],
)
async def test_watch_that_names_no_stream_is_invalid(admin: Client, watch: str) -> None:
    assert (await admin.get(f"/streams?{urlencode({'watch': watch})}")).status == 422
