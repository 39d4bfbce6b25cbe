"""Every page, as it looks: axe, sideways scroll, console, light and dark, phone and desk.

Most are looked at in one of both schemes here, and in the other by `make proof`, as all of e2e.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Request

from tests.integration.website import world
from tests.integration.website.running import RunningSite, running_site

WIDTHS = (360, 1440)
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
# Further states; every page once, and once without content, is looked at in test_website_everywhere.
FULL = {
    "failed jobs": "/jobs?state=failed",
    "no job matches": "/jobs?area=nothing-is-called-so",
    "failed job": "/jobs/{failed}",
    "running job": "/jobs/{running}",
    "held job": "/jobs/{held}",
    "discovery": "/jobs/1",
    "area": "/areas/20",
    "no area matches": "/coverage?path=nothing-is-called-so",
    "not found": "/nothing/here",
    "invalid": "/jobs?state=asleep",
    "signed in already": "/sign-in",
}

# A long list: its figures are as wide as they come.
MANY = "UPDATE job SET processed_items = 1234567, total_items = 9876543 WHERE state = 'running'"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("full") / "labtrawl.db") as site:
        # Few rows of each look: axe takes its time for each cell.
        site.write(lambda connection: world.build(connection, projects=8))
        site.write(lambda connection: connection.exec_driver_sql(MANY))
        site.around.problems = ("example: GitLab refuses the token; enter a new one",)
        yield site


@pytest.fixture(scope="module")
def base_url(full: RunningSite) -> str:
    return full.url


def sign_in(context: BrowserContext, site: RunningSite) -> None:
    name, value = site.cookie().split("=", 1)
    context.add_cookies([{"name": name, "value": value, "url": site.url}])


def in_state(site: RunningSite, state: str) -> int:
    query = "SELECT MAX(id) FROM job WHERE state = ?"
    return int(site.write(lambda c: c.exec_driver_sql(query, (state,)).scalar_one()))


def address(site: RunningSite, path: str) -> str:
    states = ("failed", "running", "held")
    return site.url + path.format(**{state: in_state(site, state) for state in states})


def look_at(page: Page, width: int) -> list[str]:
    wide = fits(page, width)
    found = Axe().run(page, options=RULES)
    wrong = [f"{page.url} at {width}\n{found.generate_report()}"] if found.violations_count else []
    return wrong + wide


def fits(page: Page, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 800})
    has: int = page.evaluate("document.documentElement.scrollWidth")
    return [] if has <= width else [f"{page.url} is {has} wide in {width}"]


def look(context: BrowserContext, url: str, clean_page: list[str]) -> list[str]:
    """Open a page, in the one tab there is; return what is wrong with it.

    Colours are a matter of the scheme, places one of the width: the phone is looked at in the dark.
    """
    page = context.pages[0] if context.pages else context.new_page()
    told = len(clean_page)
    response = page.goto(url)
    assert response is not None
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    seen, other = WIDTHS if is_dark else reversed(WIDTHS)
    wrong = [*fits(page, other), *look_at(page, seen)]
    if response.status >= 400:
        # The browser notes that status by itself; nothing else may be there.
        note = f"Failed to load resource: the server responded with a status of {response.status}"
        wrong += [each for each in clean_page[told:] if note not in each]
        del clean_page[told:]
    return wrong


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.proof)])
def test_page_in_any_state_is_accessible_and_fits(
    new_context: Any, full: RunningSite, clean_page: list[str], scheme: str
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    sign_in(context, full)
    wrong = {state: look(context, address(full, FULL[state]), clean_page) for state in FULL}
    assert wrong == {state: [] for state in FULL}


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.proof)])
def test_page_for_strangers_is_accessible_and_fits(
    new_context: Any, full: RunningSite, clean_page: list[str], scheme: str
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    addresses = (f"{full.url}/", f"{full.url}/sign-in?token=wrong", full.link())
    pages = [look(context, each, clean_page) for each in addresses]
    assert "\n".join(chain.from_iterable(pages)) == ""


def test_first_view_is_light(page: Page, context: BrowserContext, full: RunningSite) -> None:
    sign_in(context, full)
    finished: list[Request] = []

    def note(request: Request) -> None:
        finished.append(request)

    page.on("requestfinished", note)
    page.goto("/jobs")
    page.locator("#live-state.on").wait_for()
    assert len(finished) <= 16
    assert sum(each.sizes()["responseBodySize"] for each in finished) <= 45_000
