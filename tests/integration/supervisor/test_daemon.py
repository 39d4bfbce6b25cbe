"""In the background: ready when the command returns, logged, reloaded, stopped."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labtrawl.store.engine import database_path
from tests.integration.supervisor.commands import SECONDS, SETTINGS, Folder, folder_with_gitlab


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Folder]:
    async with folder_with_gitlab(folder) as made:
        yield made


async def whole_status(place: Folder) -> dict[str, dict[str, object]]:
    _code, lines = await place.run("status", "--json")
    return {each["name"]: each for each in json.loads(lines[-1])["programs"]}


@pytest.mark.seed("S1.1", "S2.119", "S2.30", "S2.111")
async def test_daemon_returns_when_the_website_is_ready_and_stop_ends_it(place: Folder) -> None:
    code, lines = await place.run("start", "--daemon")
    assert code == 0
    assert re.fullmatch(
        r"labtrawl is ready at http://127\.0\.0\.1:\d+, in the background", lines[0]
    )
    assert (await place.status())["website"] == "ready"
    assert (await place.run("start", "--daemon"))[0] == 2
    following = await place.open("logs", "--follow", "--json", "crawler-1")
    restarted = await place.run("restart", "crawler-1")
    assert restarted[0] == 0
    assert restarted[1][0].startswith("crawler-1 is ")
    assert (await following.until("connected"))["program"] == "crawler-1"
    following.interrupt()
    assert await following.end() == 130
    assert await place.run("stop") == (0, ["stopped"])
    _code, kept = await place.run("logs", "--json")
    events = [json.loads(line) for line in kept]
    assert {event["program"] for event in events} == {"supervisor", "website", "crawler-1"}
    assert [each["timestamp"] for each in events] == sorted(each["timestamp"] for each in events)
    assert (await place.run("logs", "-n", "2"))[1] == (await place.run("logs"))[1][-2:]


@pytest.mark.seed("S1.6", "S1.7")
async def test_start_under_supervisor_runs_both_and_prints_them_as_text_or_json(
    place: Folder,
) -> None:
    for form, mark in (("console", "website    | "), ("json", '{"program": "website", ')):
        whole = await place.open("supervisor", "start", "--log-format", form)
        while not (await whole.line()).startswith(mark):
            pass
        while "crawler-1" not in await whole.line():
            pass
        assert (await place.run("supervisor", "stop"))[0] == 0
        assert await whole.end() == 0
    kept = (place.data_dir / "logs" / "website.log").read_text().splitlines()
    assert all(json.loads(line)["timestamp"] for line in kept)


async def test_daemon_that_cannot_listen_says_why_and_is_gone(place: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert await place.run("start", "--daemon", "--port", port) == (
            2,
            [
                f"labtrawl: port {port} on 127.0.0.1 is in use; "
                "stop what uses it or choose another by --port"
            ],
        )
    assert (await place.run("status"))[0] == 3


@pytest.mark.proof
async def test_daemon_whose_website_crashes_again_and_again_gives_up(place: Folder) -> None:
    database_path(place.data_dir).mkdir(parents=True)
    code, lines = await place.run("start", "--daemon")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("labtrawl: website cannot work: ")
    assert (await place.run("status"))[0] == 3


async def test_reload_touches_only_what_changed(place: Folder) -> None:
    await place.run("start", "--daemon")
    assert await place.run("reload") == (0, ["nothing changed"])
    before = await whole_status(place)
    place.set(SETTINGS + "[crawler]\ncount = 2\n")
    assert await place.run("reload") == (0, ["crawler-2 added"])
    added = await whole_status(place)
    place.set(SETTINGS + "[crawler]\ncount = 2\njobs = 3\n")
    assert await place.run("reload") == (0, ["crawler-1 restarted", "crawler-2 restarted"])
    restarted = await whole_status(place)
    place.set(SETTINGS + "[crawler]\ncount = 1\njobs = 3\n")
    assert await place.run("reload") == (0, ["crawler-2 removed"])
    after = await whole_status(place)
    assert [list(each) for each in (before, added, restarted, after)] == [
        ["website", "crawler-1"],
        ["website", "crawler-1", "crawler-2"],
        ["website", "crawler-1", "crawler-2"],
        ["website", "crawler-1"],
    ]
    assert {each["website"]["pid"] for each in (before, added, restarted, after)} == {
        before["website"]["pid"]
    }
    assert added["crawler-1"]["starts"] == 1
    assert restarted["crawler-1"]["starts"] == 2


async def test_reload_of_what_cannot_change_is_one_sentence_and_changes_nothing(
    place: Folder,
) -> None:
    await place.run("start", "--daemon")
    before = await whole_status(place)
    place.set(SETTINGS.replace("port = 0", "port = 0\nhost = '127.0.0.2'") + "[crawler]\ncount=3\n")
    assert await place.run("reload") == (
        2,
        [
            "labtrawl: website.* cannot change while labtrawl runs; "
            "`labtrawl stop`, then start it again"
        ],
    )
    place.set("[crawler]\ncuont = 3\n")
    code, lines = await place.run("reload", "--config", "accounts.toml")
    assert code == 2
    assert "the nearest known one is" in lines[0]
    place.set(SETTINGS)
    assert list(await whole_status(place)) == list(before)


async def test_hangup_reloads_where_no_terminal_has_closed(place: Folder) -> None:
    whole = await place.open("start")
    await whole.until("program_ready", program="crawler-1")
    place.set(SETTINGS + "[crawler]\ncount = 2\n")
    whole.process.send_signal(signal.SIGHUP)
    assert (await whole.until("reloaded"))["changes"] == ["crawler-2 added"]
    place.set("[crawler]\ncuont = 3\n")
    whole.process.send_signal(signal.SIGHUP)
    refused = await whole.until("reload_refused")
    assert "the nearest known one is" in str(refused["error"])
    whole.interrupt()
    assert await whole.end() == 0


async def test_hangup_only_reloads_what_nohup_started_though_its_terminal_closes(
    place: Folder,
) -> None:
    ours, theirs = os.openpty()
    plain = place.program
    # The leader of a session that opens a terminal is controlled by it from then on (man 4 tty).
    taking = ("setsid", "sh", "-c", 'exec "$@" <"$0"', os.ttyname(theirs))
    place.program = ("nohup", *taking, *plain)
    whole = await place.open("start")
    place.program = plain
    await whole.until("program_ready", program="crawler-1")
    os.close(theirs)
    place.set(SETTINGS + "[crawler]\ncount = 2\n")
    os.close(ours)  # the kernel sends SIGHUP to the leader of the session
    assert (await whole.until("reloaded"))["changes"] == ["crawler-2 added"]
    place.set(SETTINGS)
    whole.process.send_signal(signal.SIGHUP)
    assert (await whole.until("reloaded"))["changes"] == ["crawler-2 removed"]
    whole.interrupt()
    assert await whole.end() == 0


async def test_reload_gives_joined_terminals_what_they_read(place: Folder) -> None:
    crawler = await place.open("start", "crawler", "--exclude", "nothing/*")
    await crawler.until("program_pending", program="crawler-1")
    assert await place.run("reload") == (0, ["nothing changed"])
    place.set(SETTINGS + "[crawler]\ncount = 5\njobs = 3\n")
    assert await place.run("reload") == (0, ["crawler-1 restarted"])
    assert await place.status() == {"crawler-1": "pending"}
    crawler.interrupt()
    assert await crawler.end() == 0


async def test_logs_of_an_unknown_program_name_those_that_are_there(place: Folder) -> None:
    folder = place.data_dir / "logs"
    folder.mkdir()
    (folder / "website.log").write_text('{"timestamp":"2026-11-22T01:00:00Z","event":"a"}\n')
    code, lines = await place.run("logs", "crawler-7")
    assert (code, lines) == (
        2,
        [f"labtrawl: there is no log of 'crawler-7' in {folder}; there are: website"],
    )


async def test_terminal_that_closes_stops_everything(place: Folder) -> None:
    ours, theirs = os.openpty()
    # A leader of a session that opens a terminal is controlled by it from then on (man 4 tty).
    taking = ("sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(theirs))
    process = await asyncio.create_subprocess_exec(
        *(*taking, *place.program, "start"),
        cwd=place.path,
        env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(place.path)},
        start_new_session=True,
    )
    shown = b""
    while b"is ready at" not in shown:
        shown += os.read(ours, 4096)
    os.close(theirs)  # before the child has opened it, a read would find a terminal that hung up
    os.close(ours)
    async with asyncio.timeout(SECONDS):
        await process.wait()
    assert (await place.run("status"))[0] == 3
