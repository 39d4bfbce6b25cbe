"""The page of logs: the newest lines, filtered, followed over its stream, downloaded; no secret."""

import asyncio
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from labtrawl import logs
from labtrawl.domain.credential import Secret
from labtrawl.website.answering import log_files
from tests.integration.website.conftest import Client, Reply
from tests.integration.website.kept import Journal

TOKEN = "glpat-canaryCanaryCanary"
EXACT = "correct-horse-battery-staple"


def lines(reply: Reply) -> list[str]:
    found = re.findall(r'<bdi class="words">(.*?)</bdi>', reply.text)
    return [re.sub("</?a[^>]*>", "", each) for each in found]


async def test_newest_lines_come_first_and_filters_narrow_them(admin: Client) -> None:
    journal = Journal(admin.around.data_dir)
    journal.event("website", "request_allowed", minute=1)
    journal.event("crawler-1", "lease_lost", minute=2, level="warning", job="4711")
    journal.event("crawler-1", "no_budget", minute=3, level="error")
    journal.take("crawler-2", "Traceback <b>of</b> a \x1b[31mcrash\u202e")
    shown = {
        query: lines(await admin.get(f"/logs{query}"))
        for query in ("", "?level=warning", "?program=website", "?job=4711", "?text=BUDGET")
    }
    trace = "Traceback &lt;b&gt;of&lt;/b&gt; a \\x1b[31mcrash\\u202e"
    allowed, lost, budget = (
        "website: request_allowed",
        "crawler: lease_lost job=4711",
        "crawler: no_budget",
    )
    assert shown == {
        "": [budget, lost, allowed, trace],
        "?level=warning": [budget, lost],
        "?program=website": [allowed],
        "?job=4711": [lost],
        "?text=BUDGET": [budget],
    }
    _, told = await admin.json("GET", "/api/v1/logs?job=4711")
    assert told["lines"] == [
        {
            "at": "2026-11-22T09:02:00.000000Z",
            "program": "crawler-1",
            "level": "warning",
            "words": lost,
            "job": 4711,
        }
    ]
    assert told["programs"] == ["crawler-1", "crawler-2", "website"]


async def test_word_that_names_the_job_of_a_line_is_the_link_to_it(admin: Client) -> None:
    journal = Journal(admin.around.data_dir)
    journal.event("crawler-1", "waits", minute=1, job="47", path="/x?job=470", seconds=3)
    journal.event("crawler-1", "ends", minute=2, job="47")
    page = (await admin.get("/logs")).text
    link = '<a href="/jobs/47">job=47</a>'
    assert re.findall(r'<bdi class="words">(.*?)</bdi>(.*?)</li>', page) == [
        (f"crawler: ends {link}", ""),
        (f"crawler: waits {link} path=/x?job=470 seconds=3", ""),
    ]


async def test_no_secret_is_on_page_stream_or_download(admin: Client) -> None:
    """Masked before it was written; and what was not, by whomever, is masked on its way out."""
    logs.conceal(Secret(EXACT))
    journal = Journal(admin.around.data_dir)
    journal.event("website", "asked", minute=1, header=f"Bearer {EXACT}", error=f"{TOKEN} refused")
    folder = admin.around.data_dir / "logs"
    assert not [each for each in folder.iterdir() if TOKEN in each.read_text()]
    raw = {"timestamp": "2026-11-22T09:02:00Z", "event": "slipped_by", "url": f"http://a:{EXACT}@b"}
    with (folder / "website.log").open("a") as file:
        file.write(json.dumps(raw | {"token": TOKEN}) + "\n" + f"not JSON {TOKEN} {EXACT}\n")
    try:
        page = await admin.get("/logs")
        searched = await admin.get(f"/logs?text={TOKEN}")
        file_ = await admin.get("/logs/download")
        stream = await following(admin, "/logs/live", enough="not JSON")
        twin = await admin.get("/api/v1/logs")
    finally:
        logs.forget(Secret(EXACT))
    for text in (page.text, file_.text, stream, twin.text):
        assert "slipped_by" in text
        assert (TOKEN in text, EXACT in text) == (False, False)
    assert lines(searched) == []


async def following(client: Client, address: str, enough: str) -> str:
    """What a stream says until it has said enough."""
    reader = await client.send("GET", address)
    said = ""
    async with asyncio.timeout(10):
        while enough not in said:
            said += (await reader.read(65536)).decode()
    return said


async def test_following_goes_on_where_the_page_ended_over_a_rotation(admin: Client) -> None:
    journal = Journal(admin.around.data_dir)
    journal.event("website", "seen_on_the_page", minute=1)
    page = await admin.get("/logs?follow=1&program=website")
    address = re.search(r'data-watch="([^"]*)"', page.text)
    assert address is not None
    place = address[1].replace("&amp;", "&")
    live = admin.around.data_dir / "logs" / "website.log"
    journal.event("website", "before_it_moved", minute=2)
    live.rename(live.with_name("website.log.1"))
    journal.event("website", "after_it_moved", minute=3)
    journal.event("crawler-1", "of_another_program", minute=4)
    said = await following(admin, place, enough="after_it_moved")
    assert ("seen_on_the_page" in said, "of_another_program" in said) == (False, False)
    assert said.index("after_it_moved") < said.index("before_it_moved")
    (last,) = re.findall(r"^id: (.*)$", said, re.MULTILINE)
    journal.event("website", "after_the_connection_broke", minute=5)
    again = await following(
        admin.by(cookie=admin.cookie), place, enough="after_the_connection_broke"
    )
    assert "before_it_moved" in again  # without the id the page's own place counts
    reader = await admin.send("GET", place, {"Last-Event-ID": last.strip()})
    said = ""
    async with asyncio.timeout(10):
        while "after_the_connection_broke" not in said:
            said += (await reader.read(65536)).decode()
    assert "after_it_moved" not in said
    assert parse_qs(urlsplit(place).query)["program"] == ["website"]


async def test_download_has_all_that_match_the_oldest_first(admin: Client) -> None:
    journal = Journal(admin.around.data_dir)
    for minute in range(5):
        journal.event("website" if minute % 2 else "crawler-1", f"event_{minute}", minute=minute)
    reply = await admin.get("/logs/download?text=event_")
    assert [json.loads(each)["event"] for each in reply.text.splitlines()] == [
        f"event_{minute}" for minute in range(5)
    ]
    assert re.fullmatch(
        r'attachment; filename="labtrawl-logs-\d{8}T\d{6}Z\.jsonl"',
        reply.headers["content-disposition"],
    )


async def test_search_says_how_far_back_it_looked(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(admin.around.data_dir)
    for minute in range(20):
        journal.event("website", "common", minute=minute)
    monkeypatch.setattr(log_files, "SEARCHED_BYTES", 700)
    _, told = await admin.json("GET", "/api/v1/logs?text=nowhere")
    page = await admin.get("/logs?text=nowhere")
    assert (told["lines"], told["searched_since"]) == ([], "2026-11-22T09:13:00.000000Z")
    assert "Searched back to" in page.text
    assert "No line matches" in page.text


async def test_there_are_no_logs_yet(admin: Client) -> None:
    assert "There are no logs" in (await admin.get("/logs")).text


async def test_bad_words_are_refused_without_a_look(admin: Client) -> None:
    wrong = ("program=../etc", "program=a/b", "level=loud", "job=-1", "job=x", "follow=yes")
    found = [await admin.status("GET", f"/logs?{query}", {}) for query in wrong]
    found.append(await admin.status("GET", "/logs/live?place=a%20b", {}))
    assert set(found) == {422}
