"""A participant in a browser: looks at their areas and records, takes them away; with and without JavaScript."""

import itertools
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import Connection

from labtrawl.store import jobs, ledger
from tests.integration.website.own import Own, plant
from tests.integration.website.running import running_site

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# Every page once is looked at elsewhere; these are further states of them.
STATES = (
    ("A", "/me?opened={group}"),
    ("A", "/me/areas/{group}"),
    ("A", "/me/records?text=nowhere"),
    ("N", "/me"),
)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with running_site(tmp_path_factory.mktemp("me") / "labtrawl.db") as site:
        yield plant(site)


@pytest.fixture(scope="module")
def base_url(mine: Own) -> str:
    return mine.site.url


def enter(context: BrowserContext, mine: Own, who: str = "A") -> Page:
    name, value = mine.cookies[who].split("=", 1)
    context.add_cookies([{"name": name, "value": value, "url": mine.site.url}])
    return context.new_page()


def looks(page: Page, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 800})
    found = Axe().run(page, options=RULES)
    wrong = [f"{page.url} at {width}\n{found.generate_report()}"] if found.violations_count else []
    has: int = page.evaluate("document.documentElement.scrollWidth")
    return wrong if has <= width else [*wrong, f"{page.url} is {has} wide in {width}"]


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 360), pytest.param("dark", 1440, marks=pytest.mark.proof)]
)
def test_own_pages_in_any_state_are_accessible_and_fit(
    new_context: Any, mine: Own, scheme: str, width: int
) -> None:
    wrong: list[str] = []
    for who, states in itertools.groupby(STATES, key=lambda each: each[0]):
        page = enter(new_context(color_scheme=scheme), mine, who)
        for _, path in states:
            page.goto(path.format(**mine.areas))
            wrong += looks(page, width)
    assert "\n".join(wrong) == ""


def count_more(connection: Connection, area_id: int) -> None:
    """Commit as a crawler would: some more records of a list, whose job goes on."""
    query = "SELECT id FROM job WHERE area_id = ?"
    job_id = connection.exec_driver_sql(query, (area_id,)).scalar_one()
    ledger.count(connection, area_id, "issues", 1000)
    jobs.progress(connection, job_id, jobs.Progress(1000, None, 3))


def test_own_tree_follows_what_is_committed_and_keeps_the_focus(
    context: BrowserContext, mine: Own
) -> None:
    page = enter(context, mine)
    group, area = mine.areas["group"], mine.areas["own"]
    page.goto(f"/me?opened={group}")
    page.locator("#live-state.on").wait_for()
    row = page.locator(f"#area-{area}")
    before = int(str(row.locator("td.number").first.text_content()).replace(",", ""))
    page.locator(f"#area-{area}-link").focus()
    mine.site.write(lambda c: count_more(c, area))
    expect(row.locator("td.number").first).to_have_text(f"{before + 1000:,}")
    expect(page.locator(f"#area-{area}-link")).to_be_focused()


def test_own_tree_is_asked_for_again_when_it_could_not_be_had(
    context: BrowserContext, mine: Own, clean_page: list[str]
) -> None:
    page = enter(context, mine)
    area = mine.areas["own"]
    page.goto(f"/me/areas/{area}")
    page.locator("#live-state.on").wait_for()
    records = page.locator("#mine .numbers dd").nth(1)
    before = int(records.inner_text().replace(",", ""))
    page.route(f"**/me/areas/{area}", lambda route: route.abort(), times=1)
    mine.site.write(lambda c: count_more(c, area))
    expect(records).to_have_text(f"{before + 1000:,}")
    assert [each for each in clean_page if "net::ERR_FAILED" not in each] == []
    clean_page.clear()


def test_page_that_nobody_touches_says_so_when_it_asks_for_itself(
    context: BrowserContext, mine: Own
) -> None:
    page = enter(context, mine)
    area = mine.areas["own"]
    page.goto(f"/me/areas/{area}")
    page.locator("#live-state.on").wait_for()
    with page.expect_request(f"**/me/areas/{area}") as touched:
        mine.site.write(lambda c: count_more(c, area))
    page.evaluate(
        "const now = performance.now; performance.now = () => now.call(performance) + 61_000"
    )
    with page.expect_request(f"**/me/areas/{area}") as untouched:
        mine.site.write(lambda c: count_more(c, area))
    asked = [each.value.headers.get("x-labtrawl-unattended") for each in (touched, untouched)]
    assert asked == [None, "1"]


@pytest.mark.parametrize("is_scripted", [True, False])
def test_participant_opens_searches_turns_pages_and_downloads(
    new_context: Any, mine: Own, is_scripted: bool
) -> None:
    page = enter(new_context(java_script_enabled=is_scripted), mine)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("What is collected in your name")
    page.get_by_role("link", name="Open kelp").click()
    page.locator(f"#area-{mine.areas['shared']}-link").click()
    page.get_by_role("link", name="Look at Issues").click()
    expect(page.locator("tbody th")).to_have_text([f"Issue {each}" for each in range(1, 51)])
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody th").first).to_have_text("Issue 51")
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("tbody th")).to_have_text([f"Issue {each}" for each in range(1, 51)])
    page.get_by_label("Text").fill("title 99")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody th")).to_have_text(["Issue 99"])
    page.get_by_role("link", name="Issue 99").click()
    expect(page.locator("pre").first).to_contain_text('"title": "Title 99"')
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download everything").click()
    with zipfile.ZipFile(waiting.value.path()) as packed:
        assert json.loads(packed.read("manifest.json"))["is_complete"]
