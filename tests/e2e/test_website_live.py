"""A person at work: signs in, watches, filters, opens, retries; with and without JavaScript."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import Connection

from labtrawl.store import jobs, ledger
from tests.integration.website import world
from tests.integration.website.running import RunningSite, running_site

# What can be done, to which jobs, and the box of the first one lie between.
TABS_TO_A_JOB = 6


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("site") / "labtrawl.db") as running:
        yield running


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


def sign_in(context: BrowserContext, site: RunningSite) -> None:
    name, value = site.cookie().split("=", 1)
    context.add_cookies([{"name": name, "value": value, "url": site.url}])


def live(page: Page, url: str) -> None:
    """Open a page and wait until its stream is open."""
    page.goto(url)
    page.locator("#live-state.on").wait_for()


def complete(connection: Connection, job_id: int, records: int = 40) -> None:
    place = jobs.place_of(connection, job_id)
    jobs.progress(connection, job_id, jobs.Progress(records, records, 2))
    ledger.count(connection, place.area_id, place.resource, records)
    ledger.close_row(connection, place.area_id, place.resource, ledger.Entry(records, "x-total"))
    jobs.step(connection, job_id, jobs.Step(is_end=True))


def row_ids(page: Page) -> list[str]:
    return re.findall(r'<tr id="(job-\d+)"', page.content())


def turn(page: Page, link: str, seen: list[str]) -> None:
    """Follow a link to another page of the list; return when that stands."""
    page.locator(link).click()
    expect(page.locator(f"#{seen[0]}")).to_have_count(0)
    page.wait_for_load_state()


def test_sign_in_by_link_opens_the_overview_and_out_again(page: Page, site: RunningSite) -> None:
    link = site.link()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Please sign in")


def test_sign_in_by_a_used_link_says_how_to_get_another(
    page: Page, site: RunningSite, clean_page: list[str]
) -> None:
    link = site.link()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link was used already")
    expect(page.get_by_text("labtrawl admin link")).to_be_visible()
    assert [each for each in clean_page if "410" not in each] == []
    clean_page.clear()


def test_job_list_while_a_job_runs_goes_from_queued_to_completed(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    row = page.locator(f"#job-{job_id}")
    expect(row).to_contain_text("Queued")
    page.locator(f"#job-{job_id}-open").focus()
    site.write(world.start)
    expect(row).to_contain_text("Running")
    site.write(lambda c: jobs.progress(c, job_id, jobs.Progress(10, 40, 1)))
    expect(row).to_contain_text("10 / 40")
    site.write(lambda c: complete(c, job_id))
    expect(row).to_contain_text("Completed")
    expect(page.locator("#facet-completed")).to_contain_text("1")
    expect(page.locator(f"#job-{job_id}-open")).to_be_focused()


def test_job_page_while_the_job_runs_follows_it(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/jobs/{job_id}")
    site.write(world.start)
    expect(page.locator("#job .title .badge")).to_have_text("Running")
    site.write(lambda c: complete(c, job_id, 1234))
    expect(page.locator("#job .title .badge")).to_have_text("Completed")
    expect(page.locator("#job .timeline")).to_contain_text("Completed")
    expect(page.locator("#job")).to_contain_text("1,234")


def test_overview_while_jobs_finish_counts_them(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/")
    expect(page.locator("#tile-queued .tile-number")).to_have_text("1")
    site.write(world.start)
    site.write(lambda c: complete(c, job_id))
    expect(page.locator("#tile-completed .tile-number")).to_have_text("1")
    expect(page.locator(".headline strong")).to_have_text("100 %")


def test_job_list_with_new_jobs_offers_to_show_them(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    new = site.write(lambda connection: world.one_job(connection, "commits"))
    page.get_by_role("link", name="1 new job in this list").click()
    expect(page.locator(f"#job-{new}")).to_be_visible()


def test_filter_by_typing_changes_rows_address_and_stream(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    site.write(world.build)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    page.get_by_label("Area").fill("kelp/labs")
    expect(page).to_have_url(re.compile(r"area=kelp%2Flabs"))
    expect(page.locator("table.jobs tbody tr").first).to_contain_text("kelp/labs")
    expect(page.get_by_label("Area")).to_be_focused()
    page.get_by_label("Resource").select_option("issues")
    expect(page.locator("#facet-all .amount")).to_have_text("4")
    first = page.locator("table.jobs tbody tr").first
    job_id = int((first.get_attribute("id") or "")[4:])
    site.write(lambda c: c.exec_driver_sql(TOUCHED, (job_id,)))
    expect(first).to_contain_text("stopped here")
    page.go_back()
    expect(page).not_to_have_url(re.compile("resource=issues"))


TOUCHED = (
    "UPDATE job SET state = 'failed', lease_holder = NULL, lease_expires_at = NULL,"
    " run_after = NULL, hold_reason = NULL, error_reason = 'failed',"
    " error_message = 'stopped here', change = (SELECT MAX(change) + 1 FROM job) WHERE id = ?"
)


@pytest.mark.parametrize("javascript", [True, False])
def test_paging_reaches_every_job_and_comes_back(
    new_context: Any, site: RunningSite, javascript: bool
) -> None:
    site.write(world.build)
    context: BrowserContext = new_context(java_script_enabled=javascript)
    sign_in(context, site)
    page = context.new_page()
    page.goto(f"{site.url}/jobs?kind=group")
    pages = [row_ids(page)]
    while page.locator("#page-next").count():
        turn(page, "#page-next", pages[-1])
        pages.append(row_ids(page))
    every = [each for rows in pages for each in rows]
    assert (len(every), len(set(every)), [len(rows) for rows in pages]) == (60, 60, [50, 10])
    turn(page, "#page-previous", pages[-1])
    assert row_ids(page) == pages[0]


def test_filter_and_retry_without_javascript_work(new_context: Any, site: RunningSite) -> None:
    job_id = site.write(world.one_job)
    site.write(world.start)
    site.write(lambda c: jobs.fail(c, job_id, "unavailable", "502 <b>Bad</b> Gateway"))
    context: BrowserContext = new_context(java_script_enabled=False)
    sign_in(context, site)
    page = context.new_page()
    page.goto(f"{site.url}/jobs")
    page.get_by_label("Resource").select_option("issues")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=f"#{job_id}").click()
    expect(page.locator("#trouble-title")).to_have_text("GitLab unavailable")
    expect(page.get_by_role("code").get_by_text("502 <b>Bad</b> Gateway")).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#job .title .badge")).to_have_text("Queued")


def test_page_after_a_restart_of_the_site_misses_nothing(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    site.restart(world.start)
    expect(page.locator(f"#job-{job_id}")).to_contain_text("Running")
    site.write(lambda c: complete(c, job_id))
    expect(page.locator(f"#job-{job_id}")).to_contain_text("Completed")


def test_keyboard_alone_reaches_a_job(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    job_id = site.write(world.one_job)
    sign_in(context, site)
    live(page, f"{site.url}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.locator("#facet-cancelled").focus()
    for _ in range(TABS_TO_A_JOB):
        page.keyboard.press("Tab")
    expect(page.locator(f"#job-{job_id}-open")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Issues")


def test_live_update_keeps_scroll_and_focus(
    page: Page, context: BrowserContext, site: RunningSite
) -> None:
    site.write(world.build)
    sign_in(context, site)
    live(page, f"{site.url}/jobs")
    page.get_by_label("Kind").focus()
    page.evaluate("window.scrollTo(0, 240)")
    running = page.locator("table.jobs tbody tr").nth(9)
    job_id = int((running.get_attribute("id") or "")[4:])
    site.write(lambda c: jobs.progress(c, job_id, jobs.Progress(4321, 5000, 99)))
    expect(running).to_contain_text("4,321 / 5,000")
    assert page.evaluate("window.scrollY") == 240
    expect(page.get_by_label("Kind")).to_be_focused()


def test_session_that_was_revoked_ends_the_page(
    page: Page, context: BrowserContext, site: RunningSite, clean_page: list[str]
) -> None:
    sign_in(context, site)
    live(page, f"{site.url}/")
    site.write(lambda c: c.exec_driver_sql("UPDATE session SET revoked_at = 1"))
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Please sign in")
    assert [each for each in clean_page if "401" not in each] == []
    clean_page.clear()
