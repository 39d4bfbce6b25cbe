"""The page of programs: what it shows, who may restart what, and where there is no supervisor."""

import asyncio
import re
from urllib.parse import urlencode

import msgspec

from labtrawl.errors import PeerGone
from labtrawl.store import audit
from labtrawl.store.sessions import Role
from tests.integration.website.conftest import Client, Reply
from tests.integration.website.kept import CRAWLER, WEBSITE, Journal

RESTART = "/supervisor/restart"


async def restart(client: Client, name: str, because: str) -> Reply:
    return await client.post(RESTART, urlencode({"name": name, "because": because}))


async def test_page_shows_each_program_with_what_it_logged_last(admin: Client) -> None:
    journal = Journal(admin.around.data_dir)
    for minute in range(6):
        journal.event("crawler-1", f"event_{minute}", minute=minute)
    text = (await admin.get("/supervisor")).text
    status, told = await admin.json("GET", "/api/v1/supervisor")
    names = re.findall(r'<h2 id="program-([^"]*)"', text)
    assert names == ["website", "crawler-1"]
    for words in ("83.0 MiB in memory", "2 crashes", "signal 9", "Crashed, starts again"):
        assert words in text
    assert status == 200
    (website, crawler) = told["programs"]
    assert (website["program"]["pid"], website["lines"]) == (4700, [])
    assert [each["words"] for each in crawler["lines"]] == [
        f"crawler: event_{minute}" for minute in (5, 4, 3, 2)
    ]


async def test_restart_asks_for_a_reason_and_is_written_down(admin: Client) -> None:
    silent = await restart(admin, "crawler-1", " ")
    unknown = await restart(admin, "crawler-9", "it hangs")
    done = await restart(admin, "crawler-1", "it  hangs\n")
    followed = await admin.get(done.headers["location"])
    assert (silent.status, unknown.status, done.status) == (422, 409, 303)
    assert admin.around.programs.restarted == ["crawler-1"]
    assert "crawler-1 does not run now: its state" in followed.text
    assert (
        "website runs, started 1 time so far."
        in (await admin.get("/supervisor?restarted=website")).text
    )
    rows = await admin.write(lambda c: audit.newest(c, 3))
    assert [(row.entry.outcome, row.entry.detail) for row in reversed(rows)] == [
        ("422", ""),
        ("409", "crawler-9: it hangs"),
        ("303", "crawler-1: it hangs"),
    ]


async def test_operator_reads_and_cannot_restart(admin: Client) -> None:
    operator = admin.by(cookie=await admin.session(Role.OPERATOR))
    page = await operator.get("/supervisor")
    refused = await restart(operator, "crawler-1", "x")
    assert (page.status, RESTART in page.text, refused.status) == (200, False, 403)
    assert RESTART in (await admin.get("/supervisor")).text
    assert admin.around.programs.restarted == []


async def test_page_says_that_nobody_keeps_the_website_or_does_not_answer(admin: Client) -> None:
    admin.around.programs.is_there = False
    alone = await admin.get("/supervisor")
    admin.around.programs.failure = PeerGone("the supervisor does not answer on control.sock")
    silent = await admin.get("/supervisor")
    assert (alone.status, "No supervisor keeps this website" in alone.text) == (200, True)
    assert (silent.status, "does not answer on control.sock" in silent.text) == (200, True)
    assert RESTART not in alone.text + silent.text


async def test_program_that_is_on_its_way_is_not_told_as_down_and_the_figures_follow_it(
    admin: Client,
) -> None:
    kept = admin.around.programs
    kept.programs = (msgspec.structs.replace(WEBSITE, state="starting"), CRAWLER)
    page = (await admin.get("/supervisor?restarted=website")).text
    assert "website is on its way: below is how far." in page
    reader = await admin.send("GET", "/supervisor/live")
    said = await until(reader, "<dt>Ready</dt><dd>0</dd>")
    kept.programs = (WEBSITE, CRAWLER)
    said += await until(reader, "<dt>Ready</dt><dd>1</dd>")
    assert said.count('hx-target="#lives"') == 2


async def until(reader: asyncio.StreamReader, words: str) -> str:
    """Read a stream until it says this."""
    said = ""
    async with asyncio.timeout(10):
        while words not in said:
            said += (await reader.read(65536)).decode()
    return said
