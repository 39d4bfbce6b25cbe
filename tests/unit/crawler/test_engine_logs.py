"""Whatever is logged while a job runs names the job, so that its page can show it."""

import asyncio
import io
import json
from collections.abc import Iterator

import pytest
import structlog

from labtrawl import logs
from labtrawl.config import Logs
from labtrawl.crawler.engine import Running
from tests.unit.crawler.website import Website, engine_of, task_of, until


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.set_up(Logs(format="json"), stream)
    yield stream
    structlog.reset_defaults()


async def test_every_event_of_a_job_names_it_and_no_other_does(written: io.StringIO) -> None:
    website, log = Website([[task_of("7"), task_of("8")]]), logs.get("crawler.gitlab")
    both = asyncio.Barrier(2)

    async def request(path: str) -> None:
        log.info("request_waits", path=path)

    async def run(running: Running) -> None:
        await both.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(request(f"projects/{running.task.task_id}/labels"))

    async with engine_of(website, run) as engine:
        await until(lambda: not engine.running and len(website.forgotten) == 2)
        log.info("outside")
    told = {
        event.get("path", event["event"]): event.get("job")
        for event in map(json.loads, written.getvalue().splitlines())
    }
    assert told == {"projects/7/labels": "7", "projects/8/labels": "8", "outside": None}
