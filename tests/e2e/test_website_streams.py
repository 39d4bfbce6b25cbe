"""The pages of one browser share a stream: many tabs, a site that restarts, a tab that nobody sees."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labtrawl.store import jobs
from tests.e2e.test_website_live import live, sign_in
from tests.integration.website import world
from tests.integration.website.running import RunningSite, running_site

TABS = 10


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("streams") / "labtrawl.db") as running:
        yield running


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


def report(site: RunningSite, job_id: int, done: int) -> None:
    site.write(lambda c: jobs.progress(c, job_id, jobs.Progress(done, 9)))


def test_ten_visible_tabs_follow_at_once_and_none_hangs(
    context: BrowserContext, site: RunningSite
) -> None:
    """HTTP/1.1 has six connections for a site: with a stream for each tab the seventh would hang."""
    job_id = site.write(world.one_job)
    sign_in(context, site)
    tabs = [context.new_page() for _ in range(TABS)]
    for number, tab in enumerate(tabs):
        live(tab, f"{site.url}/jobs" if number % 2 else f"{site.url}/jobs/{job_id}")
    report(site, job_id, 3)
    for tab in tabs:
        expect(tab.get_by_text("3 / 9").first).to_be_visible()
    tabs[3].close()
    tabs[0].goto(f"{site.url}/areas")
    report(site, job_id, 5)
    for tab in (*tabs[1:3], *tabs[4:]):
        expect(tab.get_by_text("5 / 9").first).to_be_visible()


def test_tabs_that_are_open_while_the_site_restarts_miss_nothing(
    context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    addresses = ("/", "/jobs", f"/jobs/{job_id}")
    tabs = [context.new_page() for _ in addresses]
    for tab, address in zip(tabs, addresses, strict=True):
        live(tab, site.url + address)
        tab.evaluate("window.isTheSamePage = true")
    site.restart(world.start)
    expect(tabs[0].locator("#tile-running .tile-number")).to_have_text("1")
    expect(tabs[1].locator(f"#job-{job_id}")).to_contain_text("Running")
    expect(tabs[2].locator("#job .title .badge")).to_have_text("Running")
    assert [tab.evaluate("window.isTheSamePage") for tab in tabs] == [True] * 3


def test_tab_that_is_seen_again_is_told_what_it_missed(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    other = context.new_page()
    live(other, f"{site.url}/jobs")
    seen(page, "true")
    report(site, job_id, 3)
    expect(other.get_by_text("3 / 9")).to_be_visible()
    expect(page.get_by_text("3 / 9")).to_have_count(0)
    seen(page, "false")
    expect(page.get_by_text("3 / 9")).to_be_visible()


def seen(page: Page, is_hidden: str) -> None:
    """Let a page believe that its tab was hidden or shown."""
    page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{value: {is_hidden}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_ticks_focus_and_scroll_survive_what_comes(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    site.write(lambda connection: world.build(connection, projects=8))
    sign_in(context, site)
    page.set_viewport_size({"width": 1200, "height": 500})
    live(page, f"{site.url}/jobs?state=running")
    ticks = page.locator("input[id^='tick-']")
    job_id = int((ticks.nth(2).get_attribute("value")) or 0)
    ticks.nth(2).check()
    ticks.nth(4).check()
    ticks.nth(4).focus()
    page.evaluate("window.scrollTo(0, 150)")
    for done in (401, 402, 403):
        site.write(lambda c, done=done: jobs.progress(c, job_id, jobs.Progress(done, 999)))  # type: ignore[misc]
        expect(page.locator(f"#job-{job_id}")).to_contain_text(f"{done} / 999")
    assert [ticks.nth(number).is_checked() for number in range(5)] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert page.evaluate("scrollY") == 150
    expect(ticks.nth(4)).to_be_focused()


def test_browser_without_shared_workers_follows_too(
    new_context: Callable[[], BrowserContext], site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    context = new_context()
    context.add_init_script("delete window.SharedWorker")
    sign_in(context, site)
    page = context.new_page()
    live(page, f"{site.url}/jobs")
    assert page.evaluate("typeof SharedWorker") == "undefined"
    report(site, job_id, 3)
    expect(page.get_by_text("3 / 9")).to_be_visible()
    site.restart(world.start)
    expect(page.locator(f"#job-{job_id}")).to_contain_text("Running")


def test_end_of_the_session_loads_every_tab_again(
    context: BrowserContext, site: RunningSite, clean_page: list[str]
) -> None:
    sign_in(context, site)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        live(tab, f"{site.url}/")
        # A page that is younger than two seconds would say so instead.
        tab.evaluate("performance.now = () => 10_000")
    site.write(lambda c: c.exec_driver_sql("UPDATE session SET revoked_at = 1"))
    for tab in tabs:
        expect(tab.get_by_role("heading", level=1)).to_have_text("Please sign in")
    assert [each for each in clean_page if "401" not in each] == []
    clean_page.clear()
