"""The page of settings of a labtrawl that runs: what is changed there is what runs afterwards."""

import asyncio
import contextlib
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from tests.integration.supervisor.commands import SETTINGS, Folder, folder_with_gitlab


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Folder]:
    async with folder_with_gitlab(folder) as made:
        yield made


@dataclass
class Browser:
    """Keeps its cookies and follows redirects; knows no JavaScript."""

    site: str
    opener: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    )

    async def open(self, path: str, **fields: str) -> str:
        """Get a page, or send a form; the text of what comes back, refusals too."""
        return await asyncio.to_thread(self._open, path, fields)

    async def open_again(self, path: str, wanted: str) -> str:
        """Load a page until it is there: its website restarts, and says so."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(ConnectionError, urllib.error.URLError):
                    if wanted in (page := await self.open(path)):
                        return page

    def _open(self, path: str, fields: dict[str, str]) -> str:
        body = urlencode(fields).encode() if fields else None
        request = urllib.request.Request(self.site + path, body, {"Origin": self.site})
        try:
            with self.opener.open(request, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            return refusal.read().decode()


async def signed_in(place: Folder) -> Browser:
    _code, lines = await place.run("admin", "link")
    link = next(line for line in lines if "/sign-in?" in line).strip()
    site, _, query = link.partition("/sign-in?")
    browser = Browser(site)
    await browser.open("/sign-in", token=parse_qs(query)["token"][0])
    return browser


def applied(page: str) -> list[str]:
    found = re.search(r'aria-label="What the apply did">.*?</section>', page, re.DOTALL)
    return re.findall(r"<li[^>]*>([^<]*)</li>", found[0]) if found else []


@pytest.mark.seed("S2.105")
async def test_setting_changed_on_the_page_is_what_runs(place: Folder) -> None:
    place.set(SETTINGS + "[crawler]\ncount = 1  # for now\n")
    await place.run("start", "--daemon")
    browser = await signed_in(place)
    wish = {"value": "2", "seen": "1", "because": "twice the areas"}
    saved = await browser.open("/settings/crawler.count", **wish)
    assert "crawler.count is saved in the file" in saved
    assert "count = 2  # for now" in (place.path / "labtrawl.toml").read_text()
    assert list(await place.status()) == ["website", "crawler-1"]
    assert applied(await browser.open("/settings/apply", now="1")) == ["crawler-2 added"]
    assert list(await place.status()) == ["website", "crawler-1", "crawler-2"]
    assert place.token not in await browser.open("/settings")
    _code, rows = await place.run("audit", "list")
    assert any("crawler.count" in row and "1 -> 2" in row for row in rows)


@pytest.mark.seed("S2.105")
async def test_change_that_restarts_the_website_is_answered_before_it_goes(place: Folder) -> None:
    await place.run("start", "--daemon")
    browser = await signed_in(place)
    wish = {"value": "7", "seen": "5", "because": "a bad network"}
    await browser.open("/settings/retry.attempts", **wish)
    told = applied(await browser.open("/settings/apply", now="1"))
    again = await browser.open_again("/settings", 'aria-label="Apply"')
    assert told == [
        "the website itself restarts with the new settings; load the page again in a moment"
    ]
    waits = again.partition('aria-label="Apply"')[2].partition("<form")[0]
    assert "Nothing that was saved waits to be applied" in waits, waits
    assert (await place.run("reload")) == (0, ["nothing changed"])
    _code, kept = await place.run("logs", "--json")
    assert [line for line in kept if "killed" in line] == []
