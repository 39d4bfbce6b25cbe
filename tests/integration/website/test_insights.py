"""The insights: made in a process of their own, kept until the dataset changes, and as Parquet."""

import asyncio
import re
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from labtrawl.store.engine import database_path
from tests.integration.dataset.exported import collected
from tests.integration.dataset.test_insights import ADA, BOB, lines
from tests.integration.website.conftest import Client
from tests.integration.website.running import RunningSite, running_site

# What is sent as a file, one of each way to make it.
RANGED = ("/static/app.css", "/insights/time-to-merge/parquet", "/audit/download", "/logs/download")


def get(site: RunningSite, path: str, cookie: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    request = Request(site.url + path, headers={"Cookie": cookie, **headers})
    with urlopen(request) as reply:
        return reply.read(), {name.lower(): value for name, value in reply.headers.items()}


def made(site: RunningSite, cookie: str) -> str:
    """The page, once the answers are there."""
    while True:
        page = get(site, "/insights", cookie)[0].decode()
        if "are being read" not in page:
            return page


def test_charts_are_made_from_the_dataset_shown_with_their_sql_and_kept(tmp_path: Path) -> None:
    asyncio.run(collected(tmp_path, lines(ADA, BOB)))
    with running_site(database_path(tmp_path)) as site:
        site.around.data_dir = tmp_path
        site.restart(lambda _connection: None)
        cookie = site.cookie()
        page = made(site, cookie)
        for title in ("Activity by week", "Time to merge", "Pipelines that succeed"):
            assert title in page
        assert 'labtrawl dataset query "WITH happened AS (' in page
        body, headers = get(site, "/insights/time-to-merge/parquet", cookie)
        assert body[:4] == b"PAR1"
        assert headers["content-disposition"] == (
            'attachment; filename="labtrawl-time-to-merge.parquet"'
        )
        kept = list((tmp_path / "cache" / "insights").iterdir())
        assert len(kept) == 1
        # A restart reads what is kept: nothing is made again.
        site.restart(lambda _connection: None)
        kept_at = kept[0].stat().st_mtime_ns
        assert "Made from" in get(site, "/insights", cookie)[0].decode()
        assert [path.stat().st_mtime_ns for path in kept] == [kept_at]


def test_ten_thousand_ranges_of_a_file_cost_nothing(tmp_path: Path) -> None:
    """F28, Starlette CVE-2025-62727: time that grows with the square of the ranges."""
    asyncio.run(collected(tmp_path, lines(ADA, BOB)))
    with running_site(database_path(tmp_path)) as site:
        site.around.data_dir = tmp_path
        site.restart(lambda _connection: None)
        cookie = site.cookie()
        made(site, cookie)
        told = {}
        for path in RANGED:
            whole = get(site, path, cookie)[0]
            began = time.process_time()
            ranges = "bytes=" + ",".join(f"{each}-{each}" for each in range(10_000))
            body = get(site, path, cookie, Range=ranges)[0]
            told[path] = (body == whole, time.process_time() - began < 0.05)
    assert told == dict.fromkeys(RANGED, (True, True))


def test_damaged_dataset_is_told_with_what_to_do(tmp_path: Path) -> None:
    asyncio.run(collected(tmp_path, lines(ADA, BOB)))
    for path in (tmp_path / "dataset").rglob("*.zst"):
        path.write_bytes(path.read_bytes()[:-3])
    with running_site(database_path(tmp_path)) as site:
        site.around.data_dir = tmp_path
        site.restart(lambda _connection: None)
        page = made(site, site.cookie())
    assert "The answers could not be made" in page
    assert re.search(r"<bdi>[^<]*\.zst[^<]*</bdi>", page)
    assert "labtrawl dataset verify" in page
    assert not list(tmp_path.glob("cache/insights/*/answers.json"))


async def test_empty_dataset_says_what_to_do(admin: Client) -> None:
    page = await admin.get("/insights")
    assert page.status == 200
    assert "Nothing is collected that these charts could be made of." in page.text
    _, told = await admin.json("GET", "/api/v1/insights")
    assert (told["insights"], told["records"], told["is_being_made"]) == ([], 0, False)


@pytest.mark.parametrize("name", ["activity", "..%2f..%2fconfig", "nothing"])
async def test_file_that_is_not_there_is_not_found(admin: Client, name: str) -> None:
    assert (await admin.get(f"/insights/{name}/parquet")).status == 404
