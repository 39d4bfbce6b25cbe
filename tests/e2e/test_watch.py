"""A real crawl, watched in a real browser: the page follows the jobs without a reload."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.typed import Running, started

# Every list but the notes is held back, so that the last jobs stay queued for some seconds.
SLOW = {
    "path": r"/projects/\d+/(?!issues/)",
    "kind": "delay",
    "times": 0,
    "retry_after_seconds": 0.6,
}


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    flags = ("--world", "small", "--port", "0", "--data-dir", "data", "--no-chaos")
    with started(tmp_path, "demo", *flags, "--fault", json.dumps(SLOW)) as running:
        yield running


@pytest.mark.seed("S1.29", "S2.104")
def test_crawl_is_signed_into_watched_filtered_and_opened(page: Page, demo: Running) -> None:
    link = demo.until(r"sign in +(\S+)\n")[1]
    site = link.split("/sign-in")[0]
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    rows = page.locator("tr[id^='job-']")
    page.goto(f"{site}/jobs?resource=events")
    while rows.count() < 4:  # they are listed as soon as they are discovered, before they run
        page.reload()
    page.locator("#live-state.on").wait_for()
    page.evaluate("window.isTheSamePage = true")
    last = max(int(found) for found in re.findall(r'<tr id="job-(\d+)"', page.content()))
    row = page.locator(f"#job-{last}")
    expect(row).to_contain_text("Queued")
    expect(row).to_contain_text("Completed", timeout=60_000)
    assert page.evaluate("window.isTheSamePage") is True, "the page was loaded again"
    demo.until("The site stays up")
    page.get_by_label("Resource").select_option("issues")
    expect(page).to_have_url(re.compile("resource=issues"))
    expect(rows).to_have_count(4)
    expect(page.locator("#facet-completed")).to_contain_text("4")
    page.locator("table.jobs tbody a").first.click()
    expect(page.locator("#job .title .badge")).to_have_text("Completed")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Issues job")


def test_demo_of_a_study_lets_people_of_the_look_alike_take_part(
    tmp_path: Path, page: Page
) -> None:
    with started(
        tmp_path,
        "demo",
        "--world",
        "small",
        "--port",
        "0",
        "--data-dir",
        "data",
        "--study",
        terminal=True,
    ) as demo:
        demo.until("The site stays up")
        found = re.search(r"take part +(http://[^/ ]+)/sign-in ", demo.said)
        assert found is not None
        page.goto(f"{found[1]}/sign-in")
        page.get_by_role("button", name="Take part with").first.click()
        page.get_by_role("button", name="Authorize").click()
        page.goto(f"{found[1]}/me/consent")
        expect(page.locator("main")).to_contain_text("How teams work together (a demo)")
        page.locator("#agreed").check()
        page.locator("#agree").click()
        expect(page.locator("main")).to_contain_text("You agreed")
        demo.type(b"\x03")
        assert demo.end() == 0
    with started(
        tmp_path,
        "demo",
        "--world",
        "small",
        "--port",
        "0",
        "--data-dir",
        "data",
        "--study",
        terminal=True,
    ) as again:
        again.until("The site stays up")
        again.type(b"\x03")
        assert again.end() == 0
