"""Every page by keyboard alone: Tab reaches all of it once and in order, focus is seen, nothing traps."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.everywhere import ADMIN, Everywhere, populated
from tests.e2e.test_website_everywhere import visit
from tests.integration.website.running import running_site

# All that a person can use on the page, in the order of the document. Of a group of radio buttons Tab
# stops at the chosen one, or at the first. What can be opened is open, but for the menus of the bar.
BEGIN = """() => {
  for (const each of document.querySelectorAll("main details")) each.open = true;
  document.activeElement.blur();
  const native = "a[href], button, input, select, textarea, summary";
  const group = (one) => [...document.querySelectorAll("input[type=radio]")]
    .filter((each) => each.name === one.name && each.form === one.form);
  const isStop = (one) => one.type !== "radio"
    || one === (group(one).find((each) => each.checked) ?? group(one)[0]);
  const isUsable = (one) => (one.matches(native) || one.tabIndex >= 0) && !one.disabled
    && one.type !== "hidden" && one.checkVisibility({ visibilityProperty: true }) && isStop(one);
  const look = (one) => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(one);
    return [outlineStyle, outlineWidth, outlineColor, boxShadow].join(" ");
  };
  window.wanted = [...document.querySelectorAll(`${native}, [tabindex]`)].filter(isUsable);
  window.unfocused = new Map(wanted.map((one) => [one, look(one)]));
  window.reached = [];
  window.unseen = [];
  addEventListener("focusin", ({ target }) => {
    reached.push(target);
    if (look(target) === unfocused.get(target)) unseen.push(target);
  });
  return wanted.length;
}"""
# What Chromium stops at besides: a box that scrolls and holds nothing to stop at.
END = """() => {
  const name = (one) => one.id || one.outerHTML.slice(0, 80);
  const scrolls = (one) => one.scrollHeight > one.clientHeight || one.scrollWidth > one.clientWidth;
  const again = reached.indexOf(reached[0], 1);
  const round = again < 0 ? reached : reached.slice(0, again);
  const stops = round.filter((one) => wanted.includes(one));
  const first = wanted.indexOf(stops[0]);
  const due = [...wanted.slice(first), ...wanted.slice(0, first)];
  return {
    missed: wanted.filter((one) => !stops.includes(one)).map(name),
    "out of order": stops.filter((one, at) => one !== due[at]).slice(0, 1).map(name),
    strange: round.filter((one) => !wanted.includes(one) && !scrolls(one)).map(name),
    "not seen": unseen.map(name),
    "before its turn": wanted.filter((one) => one.tabIndex > 0).map(name),
    "no round": again < 0 ? [name(reached.at(-1))] : [],
    "only for a mouse": [...document.querySelectorAll("[onclick], [role=button], [role=link]")].map(name),
  };
}"""
# Some boxes scroll; then the round ends at what was first.
MORE = 8


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everywhere]:
    with running_site(tmp_path_factory.mktemp("keyboard") / "labtrawl.db") as site:
        yield populated(site)


@pytest.fixture(scope="module")
def base_url(everywhere: Everywhere) -> str:
    return everywhere.own.site.url


def wrong_by_tab(page: Page) -> dict[str, list[str]]:
    """Go once round the page, from wherever it is; what is wrong with it."""
    for _ in range(page.evaluate(BEGIN) + MORE):
        page.keyboard.press("Tab")
    found: dict[str, list[str]] = page.evaluate(END)
    return {name: those for name, those in found.items() if those}


def skips(page: Page) -> bool:
    """Say whether the first stop of a fresh page is seen, and leads over the bar."""
    skip = page.locator(".skip")
    page.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    return not page.evaluate("!!document.activeElement.closest('header, .skip')")


@pytest.mark.timeout(300)
def test_tab_reaches_everything_on_every_page_once_and_seen(
    new_context: Any, everywhere: Everywhere
) -> None:
    wrong = {}
    for route, page in visit(everywhere, new_context):
        skipped = skips(page)
        if found := wrong_by_tab(page):
            wrong[route] = found
        if not skipped:
            wrong[route] = {"skip link": ["leads back to the bar"]}
    assert wrong == {}


def test_menus_of_the_bar_open_by_keys_and_escape_gives_the_focus_back(
    new_context: Any, everywhere: Everywhere
) -> None:
    context = new_context()
    everywhere.sign_in(context, ADMIN)
    page = context.new_page()
    page.goto("/audit")  # no page has fewer scripts
    menus = page.locator("details.more")
    for number, key in enumerate(("Enter", "Space")):
        menu, summary = menus.nth(number), menus.nth(number).locator("summary")
        summary.focus()
        page.keyboard.press(key)
        expect(menu).to_have_attribute("open", "")
        page.keyboard.press("Tab")
        expect(menu.locator("a").first).to_be_focused()
        page.keyboard.press("Escape")
        expect(menu).not_to_have_attribute("open", "")
        expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(menus.nth(1).locator("a").count() + 1):
        page.keyboard.press("Tab")
    expect(page.locator("#sign-out")).to_be_focused()
    expect(menus.nth(1)).not_to_have_attribute("open", "")


def test_everything_of_the_jobs_page_is_done_by_keys(
    new_context: Any, everywhere: Everywhere
) -> None:
    context = new_context()
    everywhere.sign_in(context, ADMIN)
    page = context.new_page()
    page.goto("/jobs?state=failed")
    tick = page.locator("tbody input").first
    tick.focus()
    page.keyboard.press("Space")
    expect(tick).to_be_checked()
    number = tick.get_attribute("value")
    page.locator("#bulk-ticked").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main h1")).to_contain_text("1 job")
    page.locator("#because").focus()
    page.keyboard.type("to see")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/operations/\d+$"))
    page.goto(f"/jobs/{number}")
    expect(page.locator("#job .title .badge")).not_to_have_text("Failed")
