"""The page of settings in a browser: by keyboard, without JavaScript, and accessible when it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.test_website_pages import WIDTHS, look_at, sign_in
from tests.integration.website.paper import TEXT
from tests.integration.website.running import RunningSite, running_site


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("settings") / "labtrawl.db") as running:
        yield running


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


def fill(page: Page, name: str, value: str, why: str) -> None:
    """Fill in the form of a setting by keyboard and send it."""
    form = page.locator(f"[id='{name}']")
    form.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(value)
    page.keyboard.press("Tab")
    page.keyboard.type(why)
    page.keyboard.press("Enter")
    page.wait_for_load_state()


@pytest.mark.seed("S2.105")
@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.proof)])
def test_refusal_and_what_waits_are_accessible_and_fit(
    new_context: Any, site: RunningSite, clean_page: list[str], scheme: str
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    sign_in(context, site)
    page = context.new_page()
    page.goto(f"{site.url}/settings")
    fill(page, "crawler.count", "2", "twice the areas")
    expect(page.get_by_role("status").first).to_contain_text("crawler.count is saved")
    fill(page, "lease.seconds", "4", "why not")
    expect(page.get_by_role("alert")).to_contain_text("lease.renew_seconds must be less than")
    expect(page.locator("[id='value-lease.seconds']")).to_be_focused()
    assert [wrong for width in WIDTHS for wrong in look_at(page, width)] == []
    assert all("status of 422" in each for each in clean_page)
    clean_page.clear()


@pytest.mark.seed("S2.105")
def test_change_and_apply_need_no_javascript(new_context: Any, site: RunningSite) -> None:
    context: BrowserContext = new_context(java_script_enabled=False)
    sign_in(context, site)
    page = context.new_page()
    page.goto(f"{site.url}/settings")
    fill(page, "crawler.count", "2", "twice the areas")
    page.get_by_role("button", name="Apply what is saved").click()
    expect(page.get_by_role("alert")).to_contain_text("crawler-2 added")
    told = page.locator("section", has=page.locator("#history")).get_by_role("row")
    expect(told.filter(has_text="twice the areas").get_by_role("cell")).to_contain_text(
        ["", "", "crawler.count", "1", "2", "twice the areas"]
    )
    sheet = site.around.settings.read()
    assert sheet.file is not None
    assert sheet.file.read_text() == TEXT.replace("count = 1", "count = 2")
