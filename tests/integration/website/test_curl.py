"""The examples of docs/reference/http-api.md, and those of the seeds, as they stand there."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.integration.website.house import House, house

EXAMPLE = re.compile(r"^ {4}(curl (?:.*\\\n)*.*)$", re.MULTILINE)
STATUS = "\n%{http_code}"


async def curl(all_of_it: House, example: str, job_id: str, **words: str) -> tuple[int, Any]:
    """Run an example on the site that is here; the status and what the JSON says."""
    text = example.replace("job-id", job_id).replace("http://127.0.0.1:3000", all_of_it.client.url)
    socket = str(all_of_it.client.around.sockets["http"])
    text = text.replace("data.private/config/http.sock", shlex.quote(socket))
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", f"{text} -sS -w '{STATUS}'"),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", **words},
    )
    said, _ = await process.communicate()
    body, _, status = said.decode().rpartition("\n")
    return int(status), json.loads(body)


async def credentials(all_of_it: House) -> dict[str, str]:
    client = all_of_it.client
    return {
        "TOKEN": await client.token("admin"),
        "CRAWLER_TOKEN": await client.token("crawler"),
        "SESSION": await client.session(),
    }


@pytest.mark.seed("S2.91", "S2.92", "S2.93", "S2.113")
async def test_examples_of_the_page_work(tmp_path: Path, repository: Path) -> None:
    page = (repository / "docs" / "reference" / "http-api.md").read_text()
    examples = EXAMPLE.findall(page)
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(2)
        await all_of_it.site.claim("crawler-1", 1)
        words = await credentials(all_of_it)
        found = [(await curl(all_of_it, example, "1", **words))[0] for example in examples]
    assert (len(examples), found) == (9, [200] * 9)


# The seed's own words: a method, a path, a body (2-direct-communication.md, "Testing").
HEARTBEAT = ("POST", "/api/admin/crawler", {"action": "heartbeat"})
OPEN = ("GET", "/api/internal/jobs/open", None)
PROGRESS = {"status": "processing", "timestamp": "2025-01-03T19:00:00.000Z"}


@pytest.mark.seed("S2.91", "S2.92", "S2.93", "S2.33", "S2.35", "S2.38", "S2.39")
@pytest.mark.parametrize("way", ["socket", "session"])
async def test_requests_of_the_seed_work(tmp_path: Path, way: str) -> None:
    async with house(tmp_path) as all_of_it:
        await all_of_it.site.plant(2)
        await all_of_it.site.claim("crawler-1", 1)
        client = all_of_it.client.over_socket() if way == "socket" else await all_of_it.admin()
        _, sent = await client.json(*HEARTBEAT)
        _, listed = await client.json(*OPEN)
        progress = "/api/internal/jobs/progress"
        status, _ = await client.json("POST", progress, {"taskId": "1", **PROGRESS})
        unknown = await client.json("POST", progress, {"taskId": "99", **PROGRESS})
        missing = await client.json("POST", progress, {"taskId": "job-id", **PROGRESS})
    assert sent == {"action": "heartbeat", "crawlers": [], "jobs": 0}
    assert [task["taskId"] for task in listed] == ["2"]
    assert status == 200
    words = {"code": "not_found", "message": "there is no job 99"}
    assert unknown == (404, {"error": words})
    assert (missing[0], missing[1]["error"]["code"]) in {(404, "not_found"), (422, "bad_message")}
