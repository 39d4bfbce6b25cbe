"""The page of crawlers: who is there, what each has in hand, and what it is told to do."""

import asyncio
import re
from dataclasses import replace
from urllib.parse import urlencode

from labtrawl.store import commands
from labtrawl.store.commands import Wanted
from labtrawl.store.engine import Connection
from tests.integration.website import world
from tests.integration.website.conftest import Client
from tests.integration.website.running import HEARTBEAT


def crew(connection: Connection) -> int:
    """A job in hand of crawler-1, and a crawler that is not there."""
    job_id = world.one_job(connection)
    assert world.start(connection) == [job_id]
    commands.register(connection, "crawler-10", "x")
    commands.register(connection, "crawler-2", "x")
    commands.want(connection, "crawler-2", Wanted.DRAIN)
    return job_id


async def test_page_shows_connections_and_jobs_in_hand(admin: Client) -> None:
    job_id = await admin.write(crew)
    text = (await admin.get("/crawlers")).text
    _, told = await admin.json("GET", "/api/v1/crawlers")
    assert re.findall(r'<h2 id="crawler-([^"]*)"', text) == ["crawler-1", "crawler-2", "crawler-10"]
    first, second, _ = told["crawlers"]
    assert [each["id"] for each in first["jobs"]] == [job_id]
    assert f'<a href="/jobs/{job_id}">Issues</a>' in text
    assert (first["requests_per_minute"], first["version"], first["is_connected"]) == (
        1840,
        "1.0",
        True,
    )
    assert (second["is_connected"], second["wanted"], second["heard_at"]) == (False, "drain", None)


async def test_order_reaches_the_crawlers_and_is_told(admin: Client) -> None:
    for action, name in (("pause", "crawler-1"), ("resume", "crawler-1"), ("drain", "")):
        done = await admin.post("/crawlers/order", urlencode({"action": action, "crawler": name}))
        assert done.status == 303
        said = (await admin.get(done.headers["location"])).text
        assert f'role="status">{name or "Every crawler"} ' in said
    assert admin.around.commands == [
        ("pause", "crawler-1", None),
        ("resume", "crawler-1", None),
        ("drain", None, None),
    ]
    for wrong in ({"action": "explode"}, {"action": "cancel"}, {}):
        assert (await admin.post("/crawlers/order", urlencode(wrong))).status == 422
    missing = await admin.post("/crawlers/order", "action=pause&crawler=crawler-9")
    assert (missing.status, len(admin.around.commands)) == (404, 3)


async def test_figures_above_the_crawlers_follow_them(admin: Client) -> None:
    reader = await admin.send("GET", "/crawlers/live")
    said, first = "", "Connected</dt><dd>1 "
    async with asyncio.timeout(10):
        while first not in said:
            said += (await reader.read(65536)).decode()
        around = admin.around
        around.crawlers = tuple(replace(each, connected=False) for each in around.crawlers)
        while "Connected</dt><dd>0 " not in said:
            said += (await reader.read(65536)).decode()
    assert said.count('hx-target="#lives"') == 2


async def test_test_waits_for_the_next_sign_of_life(admin: Client) -> None:
    body = {"action": "heartbeat", "crawler": "crawler-1"}
    asking = asyncio.create_task(admin.json("POST", "/api/v1/crawlers/order", body))
    await admin.around.commanded.wait()
    admin.around.heard_at = HEARTBEAT.replace(year=2027)
    status, told = await asking
    assert (status, told["crawlers"]) == (200, ["crawler-1"])
    assert list(told["answered_after_ms"]) == ["crawler-1"]


async def test_nobody_was_here_yet(admin: Client) -> None:
    admin.around.crawlers = ()
    text = (await admin.get("/crawlers")).text
    assert ("No crawler was here yet" in text, "/crawlers/order" in text) == (True, False)
