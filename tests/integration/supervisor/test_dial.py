"""`socket.role = "dial"`: the one crawler listens on the supervisor's socket, the website dials it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.supervisor.commands import SETTINGS, Folder, folder_with_gitlab

DIAL = '[socket]\nrole = "dial"\n' + SETTINGS


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Folder]:
    async with folder_with_gitlab(folder) as made:
        made.set(DIAL)
        yield made


async def test_website_dials_the_crawler_and_again_after_each_of_them_restarts(
    place: Folder,
) -> None:
    whole = await place.open("start", "--log-level", "debug")
    await whole.until("client_authorized", client="crawler-1")
    await whole.until("job_started", resource="project")
    for name in ("website", "crawler-1"):
        assert (await place.run("restart", name))[0] == 0
        await whole.until("client_authorized", client="crawler-1")
    assert await place.status() == {"website": "ready", "crawler-1": "ready"}
    whole.interrupt()
    assert await whole.end() == 0


async def test_second_crawler_is_refused_where_the_website_dials(place: Folder) -> None:
    website = await place.open("start", "website")
    crawler = await place.open("start", "crawler")
    await crawler.until("program_ready", program="crawler-1")
    refusal = 'labtrawl: socket.role = "dial" is for one crawler; start one, or set it to "listen"'
    assert await place.run("start", "crawler") == (2, [refusal])
    assert await place.status() == {"website": "ready", "crawler-1": "ready"}
    for terminal in (crawler, website):
        terminal.interrupt()
        assert await terminal.end() == 0


async def test_settings_with_two_crawlers_are_refused_where_the_website_dials(
    place: Folder,
) -> None:
    assert await place.run("start", "--crawlers", "2") == (
        2,
        [
            'labtrawl: socket.role = "dial" is for one crawler, which listens; set crawler.count '
            'to 1, or socket.role to "listen"'
        ],
    )
