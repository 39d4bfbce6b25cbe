"""What a person fills in, and what they get to see of it: nothing is lost, nothing is stale."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import Connection

from tests.e2e.test_website_pages import sign_in
from tests.integration.website import world
from tests.integration.website.running import RunningSite, running_site

# Jobs of different progress: figures of one, two and many digits.
MIXED = (
    "UPDATE job SET processed_items = 3 + id % 7, total_items = 9 + (id % 2) * 4000"
    " WHERE state = 'running'"
)
CANCEL_FIVE = (
    "UPDATE job SET state = 'cancelled', change = (SELECT MAX(change) + 1 FROM job) WHERE id IN"
    " (SELECT id FROM job WHERE state = 'queued' ORDER BY id LIMIT 5)"
)


def build(connection: Connection) -> None:
    world.build(connection, projects=8)
    connection.exec_driver_sql(MIXED)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("forms") / "labtrawl.db") as running:
        running.write(build)
        yield running


@pytest.fixture(scope="module")
def base_url(site: RunningSite) -> str:
    return site.url


@pytest.fixture
def operator(new_context: Callable[..., BrowserContext], site: RunningSite) -> Page:
    context = new_context()
    sign_in(context, site)
    return context.new_page()


def refused(clean_page: list[str]) -> None:
    """The browser notes the status of a refusal by itself; that alone is expected."""
    assert all("422" in each for each in clean_page)
    clean_page.clear()


@pytest.mark.parametrize("with_javascript", [True, False])
def test_what_was_written_into_a_refused_form_is_there_after_going_back(
    new_context: Callable[..., BrowserContext],
    site: RunningSite,
    clean_page: list[str],
    with_javascript: bool,
) -> None:
    context = new_context(java_script_enabled=with_javascript)
    sign_in(context, site)
    page = context.new_page()
    page.goto("/accounts")
    page.locator("summary[id^=open-remove-]").first.click()
    because = page.locator("input[id^=remove-because-]").first
    because.fill("left the lab")
    page.locator("input[id^=name-]").first.fill("somebody else")
    page.locator("button[id^=remove-]").first.click()
    expect(page.locator("main")).to_contain_text("Type the account's name to confirm")
    expect(page.locator("main")).to_contain_text("what you wrote is still there")
    page.go_back()
    expect(because).to_have_value("left the lab")
    refused(clean_page)


def test_page_that_is_not_there_speaks_of_no_form(operator: Page, clean_page: list[str]) -> None:
    operator.goto("/nothing/here")
    expect(operator.locator("main")).not_to_contain_text("what you wrote")
    clean_page.clear()


def test_filter_that_works_while_typing_can_be_cleared(operator: Page) -> None:
    operator.goto("/jobs")
    all_there = operator.locator("#bulk-all").inner_text()
    operator.locator("#filter-kind").select_option("group")
    expect(operator).to_have_url(re.compile(r"/jobs\?kind=group&sort=newest&size=50$"))
    expect(operator.locator("#bulk-all")).not_to_have_text(all_there)
    operator.locator("#filter-clear").click()
    expect(operator).to_have_url(re.compile("/jobs$"))
    expect(operator.locator("#bulk-all")).to_have_text(all_there)


def test_button_for_all_that_match_counts_them_as_they_are_now(
    operator: Page, site: RunningSite
) -> None:
    operator.goto("/jobs?state=queued")
    operator.locator("#live-state.on").wait_for()
    number = int(re.sub(r"\D", "", operator.locator("#bulk-all").inner_text()))
    operator.locator("#bulk-all").focus()
    site.write(lambda connection: connection.exec_driver_sql(CANCEL_FIVE))
    expect(operator.locator("#bulk-all")).to_have_text(f"To all {number - 5} that match")
    expect(operator.locator("#bulk-all")).to_be_focused()


def test_bars_of_progress_stand_in_one_column_whatever_their_figures(operator: Page) -> None:
    operator.set_viewport_size({"width": 1440, "height": 900})
    operator.goto("/")
    left = "bars => bars.map(bar => bar.getBoundingClientRect().left)"
    places = operator.eval_on_selector_all(".work progress", left)
    assert (len(places) > 3, len(set(places))) == (True, 1)


def end_sessions(site: RunningSite) -> None:
    site.write(lambda connection: connection.exec_driver_sql("UPDATE session SET revoked_at = 1"))


@pytest.mark.parametrize("with_javascript", [True, False])
def test_what_was_written_when_the_session_ended_is_there_after_signing_in_again(
    new_context: Callable[..., BrowserContext],
    site: RunningSite,
    clean_page: list[str],
    with_javascript: bool,
) -> None:
    context = new_context(java_script_enabled=with_javascript)
    sign_in(context, site)
    page = context.new_page()
    page.goto("/settings")
    change = page.locator("article[id='crawler.count'] details")
    change.locator("summary").click()
    change.get_by_label("New value").fill("7")
    change.get_by_label("Why").fill("the GitLab is slow")
    end_sessions(site)
    change.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("Nothing was done.")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in in a new tab").click()
    opened.value.goto(site.link())
    opened.value.get_by_role("button", name="Sign in").click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Overview")
    page.go_back()
    expect(change.get_by_label("Why")).to_have_value("the GitLab is slow")
    expect(change.get_by_label("New value")).to_have_value("7")
    assert all("401" in each for each in clean_page)
    clean_page.clear()


def test_who_signs_out_after_the_session_ended_is_told_of_no_form(
    operator: Page, site: RunningSite, clean_page: list[str]
) -> None:
    operator.goto("/areas")
    end_sessions(site)
    operator.get_by_role("button", name="Sign out").click()
    expect(operator.get_by_role("heading", level=1)).to_have_text("Please sign in")
    expect(operator.locator("main")).not_to_contain_text("what you wrote")
    assert all("401" in each for each in clean_page)
    clean_page.clear()


def test_filter_that_is_refused_while_typing_shows_the_refusal(
    operator: Page, site: RunningSite, clean_page: list[str]
) -> None:
    operator.route("**/streams**", lambda route: route.abort())
    operator.goto("/jobs")
    end_sessions(site)
    operator.locator("#filter-kind").select_option("group")
    expect(operator.get_by_role("heading", level=1)).to_have_text("Please sign in")
    expect(operator).to_have_url(re.compile("kind=group"))
    assert all("401" in each or "net::ERR_FAILED" in each for each in clean_page)
    clean_page.clear()


def test_filter_that_nobody_answers_says_so_and_keeps_the_list(
    operator: Page, clean_page: list[str]
) -> None:
    operator.goto("/jobs")
    operator.locator("#live-state.on").wait_for()
    operator.route("**/jobs?**", lambda route: route.abort(), times=1)
    operator.locator("#filter-kind").select_option("group")
    expect(operator.locator("#fresh")).to_contain_text("The website did not answer")
    expect(operator.locator("#bulk-all")).to_be_visible()
    operator.locator("#filter-apply").click()
    expect(operator).to_have_url(re.compile("kind=group"))
    expect(operator.locator("#fresh")).to_have_text("")
    assert all("net::ERR_FAILED" in each or "Failed to fetch" in each for each in clean_page)
    clean_page.clear()
