"""From what failures say to the jobs that say it: the overview's groups, the list, operations."""

import html
import re
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from labtrawl.store import jobs
from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.test_operations import ended, fields
from tests.integration.website.test_pages import every_row, rows

FOUR = "404 Not Found (…)"
QUOTED = '"100%" of a_b is <gone> & away'
LONG = "x" * 700
# The reason and the cause of failures, and what they say; some causes are a part of others.
SAID: dict[tuple[str, str], tuple[str, ...]] = {
    ("not_found", FOUR): ("404 Not Found (/api/v4/a)", "404 Not Found (/api/v4/b?page=2)"),
    ("not_found", f"once more: {FOUR}"): ("once more: 404 Not Found (/api/v4/c)",),
    ("not_found", f"{FOUR}, twice"): ("404 Not Found (/api/v4/d), twice",),
    ("failed", QUOTED): (QUOTED,),
    ("failed", "100 of axb"): ("100 of axb",),
    ("failed", "two…lines"): ("two\nlines", "two\r\n\tlines"),
    ("failed", "y"): ("y",),
    ("forbidden", "y"): ("y",),
    ("forbidden", LONG): (LONG,),
}


def fail(connection: Connection) -> dict[tuple[str, str], list[int]]:
    """Let a job fail with each of these, and one wait that failed so before; return who said what."""
    world.build(connection, projects=2)
    connection.exec_driver_sql(
        "UPDATE job SET state = 'cancelled', error_reason = NULL WHERE state = 'failed'"
    )
    numbers = iter(world.start(connection, sum(map(len, SAID.values()))))
    failed: dict[tuple[str, str], list[int]] = {}
    for group, messages in SAID.items():
        failed[group] = [next(numbers) for _ in messages]
        for number, message in zip(failed[group], messages, strict=True):
            jobs.fail(connection, number, group[0], message)
    connection.exec_driver_sql("UPDATE job SET error_message = 'y' WHERE state <> 'failed'")
    return failed


def links(page: str) -> dict[int, str]:
    """The addresses of the overview's groups, each by the newest job of the group."""
    found = re.findall(r'<a id="says-(\d+)" href="([^"]+)">', page)
    return {int(number): html.unescape(address) for number, address in found}


async def listed(admin: Client, **filters: str) -> list[int]:
    return sorted(await every_row(admin, f"/jobs?{urlencode(filters)}", "page-next"))


async def test_group_of_the_overview_leads_to_exactly_its_jobs(admin: Client) -> None:
    failed = await admin.write(fail)
    _, told = await admin.json("GET", "/api/v1/overview")
    newest = {
        cause["newest_id"]: (group["reason"], cause["words"])
        for group in told["overview"]["now"]["failures"]
        for cause in group["causes"]
    }
    led = {}
    for number, address in links((await admin.get("/")).text).items():
        _, page = await admin.json("GET", f"/api/v1{address}")
        led[newest[number]] = sorted(row["id"] for row in page["rows"])
        # The page has the same rows, and its count is of these.
        page_of = await admin.get(address)
        assert sorted(rows(page_of.text)) == led[newest[number]]
        assert page["counts"]["failed"] == {"number": len(led[newest[number]]), "more": False}
    assert led == failed


async def test_failures_are_found_by_what_they_say(admin: Client) -> None:
    of = await admin.write(fail)
    fours = [of["not_found", FOUR], of["not_found", f"once more: {FOUR}"]]
    twice = of["not_found", f"{FOUR}, twice"]
    expected = {
        " not FOUND ": [*fours[0], *fours[1], *twice],
        f'"{FOUR}"': fours[0],
        "404…twice": twice,
        "100%": of["failed", QUOTED],
        "a_b": of["failed", QUOTED],
        '"y"': [*of["failed", "y"], *of["forbidden", "y"]],
        '"': of["failed", QUOTED],
        "never said": [],
    }
    assert {words: await listed(admin, message=words) for words in expected} == expected
    assert await listed(admin, message='"y"', error="failed") == of["failed", "y"]
    assert await listed(admin, message='"y"', sort="changed", error="failed") == of["failed", "y"]
    assert await listed(admin, message='"y"', state="queued") == []
    assert await listed(admin, message='"y"', hold="paused") == []


async def test_operation_on_a_message_is_about_the_jobs_that_the_list_shows(admin: Client) -> None:
    of = await admin.write(fail)
    part = QUOTED[:-5]
    page = (await admin.get(f"/jobs?{urlencode({'message': part})}")).text
    assert rows(page) == of["failed", QUOTED]
    asked = _unescaped(page, "bulk")
    assert ("message", part) in asked
    query = urlencode([*asked, ("action", "retry"), ("of", "all")])
    confirm = (await admin.get(f"/operations/new?{query}")).text
    sent = [*_unescaped(confirm, "confirm"), ("because", "it is back")]
    await admin.post("/operations", urlencode(sent))
    row = await ended(admin)
    assert (row.expected, row.matching, row.done, row.skipped) == (1, 1, 1, {})
    assert await state_of(admin, of["failed", QUOTED]) == ["queued"]
    body: dict[str, Any] = {"action": "retry", "because": "x", "all": True, "message": f'"{FOUR}"'}
    assert (await admin.json("POST", "/api/v1/operations", body))[0] == 202
    row = await ended(admin, 2)
    assert (row.expected, row.matching, row.done) == (2, 2, 2)
    assert await state_of(admin, of["not_found", FOUR]) == ["queued"]
    assert await state_of(admin, of["not_found", f"{FOUR}, twice"]) == ["failed"]


def _unescaped(page: str, form: str) -> list[tuple[str, str]]:
    return [(name, html.unescape(value)) for name, value in fields(page, form)]


async def state_of(admin: Client, numbers: list[int]) -> list[str]:
    marks = ", ".join(map(str, numbers))
    sql = f"SELECT DISTINCT state FROM job WHERE id IN ({marks})"
    return list(await admin.write(lambda c: c.exec_driver_sql(sql).scalars().all()))


async def test_message_that_is_too_long_for_an_address_is_refused_in_plain_words(
    admin: Client,
) -> None:
    assert (await admin.get(f"/jobs?message={'x' * 300}")).status == 200
    assert (await admin.get(f"/jobs?message={'x' * 301}")).status == 422
    body = {"action": "retry", "because": "x", "all": True, "message": "x" * 301}
    assert (await admin.json("POST", "/api/v1/operations", body))[0] == 422
