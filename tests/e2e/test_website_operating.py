"""The operators' pages in a browser: accessible with every form open, followed live, without JavaScript."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labtrawl.store import accounts
from labtrawl.store.engine import Connection
from labtrawl.website.given.keeping import BudgetTold
from tests.e2e.test_website_pages import WIDTHS, look_at, sign_in
from tests.integration.website import world
from tests.integration.website.kept import Journal
from tests.integration.website.running import RunningSite, running_site

PAGES = ("/crawlers", "/supervisor", "/logs", "/audit", "/accounts")
NOTHING = ("/logs?text=nothing-says-so", "/audit?who=nobody-is-called-so")


def crew(connection: Connection) -> None:
    """Few rows of each look: axe takes its time for each of them."""
    world.one_job(connection)
    world.start(connection)
    for number, name in enumerate(("off", "gone"), 2):
        told = accounts.VerifiedAccount(
            "example", "https://gitlab.example", "", number, name, (), "x"
        )
        accounts.record(connection, told)
    accounts.switch(connection, 2, is_on=False)
    connection.exec_driver_sql("UPDATE account SET token = '' WHERE username = 'gone'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("operating") / "labtrawl.db") as running:
        running.write(crew)
        budget = BudgetTold(
            endpoints="rest", allowed_per_minute=80, used_last_minute=12, waits_until=1
        )
        running.around.accounts.told = {1: (budget,)}
        running.around.problems = ("example: GitLab refuses the token; enter a new one",)
        journal = Journal(running.around.data_dir)
        for level in ("info", "warning", "error"):
            journal.event("website", f"it_is_{level}", level=level, job="1")
        yield running


@pytest.fixture(scope="module")
def base_url(site: RunningSite) -> str:
    return site.url


def opened(page: Page) -> None:
    """Open every form of the page."""
    for each in page.locator("main details > summary").all():
        each.click()


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", WIDTHS[0]), pytest.param("dark", WIDTHS[1], marks=pytest.mark.proof)],
)
def test_pages_with_every_form_open_are_accessible_and_fit(
    new_context: Any, site: RunningSite, scheme: str, width: int
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    sign_in(context, site)
    page = context.new_page()
    wrong = []
    for path in (*PAGES, *NOTHING):
        page.goto(path)
        opened(page)
        wrong += look_at(page, width)
    assert wrong == []


def test_new_lines_appear_above_the_others_while_one_follows(
    new_context: Any, site: RunningSite
) -> None:
    context: BrowserContext = new_context()
    sign_in(context, site)
    page = context.new_page()
    page.goto("/logs?program=crawler-7")
    page.locator("#follow").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live-state")).to_contain_text("Live")
    page.locator("#filter-text").focus()
    journal = Journal(site.around.data_dir)
    first = page.locator("#lines > li").first
    for number in (1, 2):
        journal.event("crawler-7", f"line_{number}", minute=number)
        journal.event("website", "of_another_program", minute=number)
        expect(first).to_contain_text(f"line_{number}")
    expect(page.locator("#lines > li")).to_have_count(2)
    expect(page.locator("#filter-text")).to_be_focused()
    page.locator("#follow").click()
    expect(page.locator("#live")).to_have_count(0)


def test_page_of_a_job_shows_its_own_lines_or_says_that_there_are_none(
    new_context: Any, site: RunningSite
) -> None:
    context: BrowserContext = new_context()
    sign_in(context, site)
    page = context.new_page()
    page.goto("/jobs/1")
    tail = page.locator("#log-tail")
    page.locator("#job-log-open").click()
    expect(tail.locator("li")).to_have_count(3)
    expect(tail).to_contain_text("it_is_warning")
    # Another job, of which nothing was logged.
    number = site.write(lambda connection: world.one_job(connection, "labels"))
    page.goto(f"/jobs/{number}")
    page.locator("#job-log-open").click()
    expect(tail).to_contain_text("No line that is kept names this job.")
    expect(tail.locator("li")).to_have_count(0)


def test_restart_and_pause_need_no_javascript(new_context: Any, site: RunningSite) -> None:
    context: BrowserContext = new_context(java_script_enabled=False)
    sign_in(context, site)
    page = context.new_page()
    page.goto("/supervisor")
    page.locator("#open-crawler-1").click()
    page.locator("#because-crawler-1").fill("it hangs")
    page.locator("#restart-crawler-1").click()
    expect(page.get_by_role("status").first).to_contain_text(
        "crawler-1 does not run now: its state"
    )
    page.goto("/crawlers")
    page.locator("#pause-crawler-1").click()
    expect(page.get_by_role("status").first).to_contain_text("crawler-1 stops after the page")
    page.goto("/audit?action=restart")
    expect(page.locator("table")).to_contain_text("crawler-1: it hangs")
    assert site.around.programs.restarted == ["crawler-1"]
