"""Website and crawlers in terminals of their own: one supervisor, joined in any order."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from labtrawl.supervisor import linux
from tests.integration.supervisor.commands import Folder, Terminal, folder_with_gitlab
from tests.integration.supervisor.conftest import gone


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Folder]:
    async with folder_with_gitlab(folder) as made:
        yield made


def pid_of(event: dict[str, object]) -> int:
    pid = event["pid"]
    assert isinstance(pid, int)
    return pid


def instant(event: dict[str, object]) -> datetime:
    return datetime.fromisoformat(str(event["timestamp"]))


async def ready(terminal: Terminal, name: str) -> dict[str, object]:
    return await terminal.until("program_ready", program=name)


@pytest.mark.seed("S1.8", "S1.9", "S1.13")
async def test_crawler_started_first_waits_visibly_and_goes_on_with_the_website(
    place: Folder,
) -> None:
    crawler = await place.open("start", "crawler")
    waiting = await crawler.until("program_pending", program="crawler-1")
    assert waiting["reason"] == (
        "waiting for credentials from the website; start it with `labtrawl start website`"
    )
    website = await place.open("start", "website")
    up = await ready(website, "website")
    starting = await crawler.until("program_starting", program="crawler-1")
    assert (instant(starting) - instant(up)).total_seconds() < 1
    await ready(crawler, "crawler-1")
    crawler.interrupt()
    assert await crawler.end() == 0
    assert await place.status() == {"website": "ready"}
    website.interrupt()
    assert await website.end() == 0
    code, lines = await place.run("status")
    kinds = [line.partition(":")[0] for line in lines]
    nothing = f"nothing runs on {place.data_dir}"
    assert (code, kinds) == (3, [nothing, "collected", "jobs", "last crawled"])


async def test_website_stopped_in_its_terminal_leaves_the_crawler_running(place: Folder) -> None:
    website = await place.open("start", "website")
    crawler = await place.open("start", "crawler")
    await ready(crawler, "crawler-1")
    website.interrupt()
    assert await website.end() == 0
    assert await place.status() == {"crawler-1": "ready"}
    again = await place.open("start", "website")
    await ready(again, "website")
    assert await place.status() == {"crawler-1": "ready", "website": "ready"}


@pytest.mark.seed("S1.8", "S1.9")
async def test_crawlers_join_the_website_and_their_interrupt_stops_them_only(
    place: Folder,
) -> None:
    website = await place.open("start", "website")
    await ready(website, "website")
    crawlers = await place.open("start", "crawler", "--count", "2")
    up = {(await ready(crawlers, "crawler-"))["program"] for _ in range(2)}
    assert up == {"crawler-1", "crawler-2"}
    third = await place.open("start", "crawler")
    await ready(third, "crawler-3")
    assert set(await place.status()) == {"website", "crawler-1", "crawler-2", "crawler-3"}
    crawlers.interrupt()
    assert await crawlers.end() == 0
    assert await place.status() == {"website": "ready", "crawler-3": "ready"}
    shown = {line for line in crawlers.lines if '"program": "website"' in line}
    assert shown == set()
    assert (await place.run("stop"))[0] == 0
    assert [await website.end(), await third.end()] == [0, 0]


async def test_terminal_that_is_killed_takes_its_program_with_it(place: Folder) -> None:
    crawler = await place.open("start", "crawler")
    website = await place.open("start", "website")
    pid = pid_of(await ready(crawler, "crawler-1"))
    crawler.process.kill()
    await asyncio.to_thread(gone, pid)
    assert await place.status() == {"website": "ready"}
    website.interrupt()
    assert await website.end() == 0


async def test_second_website_is_refused_in_one_sentence(place: Folder) -> None:
    website = await place.open("start", "website")
    pid = pid_of(await ready(website, "website"))
    assert await place.run("start", "website") == (
        2,
        [f"labtrawl: website runs here already (pid {pid})"],
    )
    assert await place.status() == {"website": "ready"}
    website.interrupt()
    assert await website.end() == 0


async def test_refused_terminal_leaves_no_supervisor_behind(place: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, lines = await place.run("start", "website", "--port", port)
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"labtrawl: port {port} on 127.0.0.1 is in use")
    following = await place.open("logs", "--follow", "--json", "supervisor")
    await following.until("stopping")
    (place.path / "labtrawl.toml").write_text("")
    assert (await place.run("start", "website"))[1] == [
        "labtrawl: no GitLab is connected yet: run `labtrawl init`, then start again"
    ]


async def test_kill_9_of_the_supervisor_ends_programs_and_terminals(place: Folder) -> None:
    website = await place.open("start", "website")
    crawler = await place.open("start", "crawler")
    pids = [pid_of(await ready(website, "website")), pid_of(await ready(crawler, "crawler-1"))]
    entry = linux.process_entry(pids[0])
    assert entry is not None
    os.kill(entry.parent, signal.SIGKILL)
    await asyncio.to_thread(gone, *pids)
    assert [await website.end(), await crawler.end()] == [2, 2]
    sentence = "labtrawl: the supervisor has ended, and with it what it had started here"
    assert [website.lines[-1], crawler.lines[-1]] == [sentence, sentence]


async def test_crawler_joins_a_whole_start_and_leaves_it_running(place: Folder) -> None:
    whole = await place.open("start")
    await ready(whole, "crawler-1")
    crawler = await place.open("start", "crawler")
    await ready(crawler, "crawler-2")
    crawler.interrupt()
    assert await crawler.end() == 0
    assert await place.status() == {"website": "ready", "crawler-1": "ready"}
    whole.interrupt()
    assert await whole.end() == 0


async def test_two_terminals_at_the_same_instant_share_one_supervisor(place: Folder) -> None:
    terminals = [await place.open("start", "crawler") for _ in range(2)]
    for terminal in terminals:
        await terminal.until("program_pending", program="crawler-")
    assert await place.status() == {"crawler-1": "pending", "crawler-2": "pending"}
    for terminal in terminals:
        terminal.interrupt()
    assert [await each.end() for each in terminals] == [0, 0]


async def test_flags_before_the_program_are_refused(place: Folder) -> None:
    code, lines = await place.run("start", "--port", "0", "website")
    assert code == 2
    assert lines[0].startswith("labtrawl: write the flags after 'website'")


@pytest.mark.seed("S1.17")
async def test_token_that_gitlab_refuses_withdraws_the_credentials(folder: Path) -> None:
    async with folder_with_gitlab(folder, token="glpat-no-longer-valid-0") as place:
        website = await place.open("start", "website")
        crawler = await place.open("start", "crawler")
        await website.until("account_not_verified")
        log = await place.open("logs", "--follow", "--json", "supervisor")
        await log.until("credentials_withdrawn")
        await crawler.until("program_pending", reason="waiting for credentials from the website")
        assert await place.status() == {"website": "ready", "crawler-1": "pending"}
