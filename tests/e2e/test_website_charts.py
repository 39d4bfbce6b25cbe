"""Charts as people meet them: drawn in the colours of the page, told by a table, at any width."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labtrawl.store import samples
from labtrawl.store.engine import Connection, database_path
from tests.e2e.test_website_pages import look, sign_in
from tests.integration.dataset.exported import collected
from tests.integration.dataset.test_insights import ADA, BOB, lines
from tests.integration.website.running import RunningSite, running_site
from tests.integration.website.test_insights import made
from tests.integration.website.test_statistics import sampled

PAGES = ("/", "/statistics", "/insights")
# How many pixels of the first chart have the colour of its first line.
DRAWN = """() => {
  const figure = document.querySelector("figure.chart");
  const wanted = getComputedStyle(figure.querySelector(".keys li")).color.match(/\\d+/g).map(Number);
  const canvas = figure.querySelector("canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let at = 0; at < pixels.length; at += 4)
    if (pixels[at + 3] === 255 && wanted.every((one, of) => Math.abs(pixels[at + of] - one) < 3)) found++;
  return found;
}"""

# Notes every text that is written into a canvas: what stands at the axes.
NOTED = """() => {
  window.written = [];
  const fill = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.written.push(text);
    return fill.call(this, text, ...rest);
  };
}"""


def fill(connection: Connection, minutes: int) -> None:
    for one in sampled(minutes):
        samples.write(connection, one.at, one.figures)


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A site with a few minutes of samples and a small dataset."""
    folder = tmp_path_factory.mktemp("charted")
    # Not in this thread: the browser's event loop runs here.
    with ThreadPoolExecutor(1) as beside:
        beside.submit(asyncio.run, collected(folder, lines(ADA, BOB))).result()

    with running_site(database_path(folder)) as site:
        site.around.data_dir = folder
        site.restart(lambda connection: fill(connection, 12))
        made(site, site.cookie())
        yield site


@pytest.fixture(scope="module")
def base_url(charted: RunningSite) -> str:
    return charted.url


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.proof)])
def test_charts_are_drawn_in_the_colours_of_the_page_and_fit(
    new_context: Any, charted: RunningSite, clean_page: list[str], scheme: str
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    sign_in(context, charted)
    for path in PAGES:
        # The overview is looked at with the other pages.
        assert path == "/" or look(context, charted.url + path, clean_page) == []
        page = context.new_page()
        page.goto(charted.url + path)
        page.locator("figure.chart").first.scroll_into_view_if_needed()
        expect(page.locator("figure.chart canvas").first).to_be_visible()
        page.wait_for_function(f"({DRAWN})() > 20")
        page.close()


def test_chart_far_below_is_drawn_when_one_comes_near(
    new_context: Any, charted: RunningSite
) -> None:
    context: BrowserContext = new_context(viewport={"width": 360, "height": 640})
    sign_in(context, charted)
    page: Page = context.new_page()
    page.goto(charted.url + "/statistics")
    charts, canvases = page.locator("figure.chart:has(.plot)"), page.locator("figure.chart canvas")
    expect(charts.first.locator("canvas")).to_be_visible()
    assert canvases.count() < charts.count()
    charts.last.scroll_into_view_if_needed()
    expect(charts.last.locator("canvas")).to_be_visible()


def test_chart_tells_the_values_below_the_pointer_and_its_table_says_the_same(
    new_context: Any, charted: RunningSite
) -> None:
    context: BrowserContext = new_context()
    sign_in(context, charted)
    page: Page = context.new_page()
    page.goto(charted.url + "/statistics")
    chart = page.locator("#chart-requests")
    chart.locator(".u-over").hover()
    expect(chart.locator(".keys output").first).to_have_text("120")
    chart.locator("summary").click()
    expect(chart.locator("tbody tr").first.locator("td").first).to_have_text("120")


def test_without_javascript_the_tables_are_there(new_context: Any, charted: RunningSite) -> None:
    context: BrowserContext = new_context(java_script_enabled=False)
    sign_in(context, charted)
    page: Page = context.new_page()
    page.goto(charted.url + "/statistics?span=hour")
    chart = page.locator("#chart-requests")
    expect(chart.locator(".plot")).to_be_hidden()
    chart.locator("summary").click()
    # Its head and twelve minutes; one more, where a minute has passed meanwhile.
    expect(chart.get_by_role("row").nth(12)).to_be_visible()


def test_sql_behind_a_chart_can_be_copied(new_context: Any, charted: RunningSite) -> None:
    context: BrowserContext = new_context(permissions=["clipboard-read", "clipboard-write"])
    sign_in(context, charted)
    page: Page = context.new_page()
    page.goto(charted.url + "/insights")
    page.locator("#sql-time-to-merge").click()
    page.locator("#copy-sql-text-time-to-merge").click()
    expect(page.locator("#copy-sql-text-time-to-merge")).to_have_text("Copied")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith('labtrawl dataset query "WITH merged AS (')
    with page.expect_download() as download:
        page.locator("#parquet-time-to-merge").click()
    assert download.value.suggested_filename == "labtrawl-time-to-merge.parquet"


def test_first_figures_of_a_crawl_are_drawn_within_their_hour_without_a_new_look(
    new_context: Any, tmp_path: Path
) -> None:
    """One figure alone; and a page that was open before there was any."""
    with running_site(tmp_path / "labtrawl.db") as site:
        context: BrowserContext = new_context()
        sign_in(context, site)
        page = context.new_page()
        page.add_init_script(f"({NOTED})()")
        page.clock.install()
        page.goto(f"{site.url}/statistics?span=hour")
        chart = page.locator("#chart-requests")
        expect(chart.locator(".unplotted")).to_be_visible()
        expect(page.locator("#sums dd").first).to_have_text("0")
        site.restart(lambda connection: fill(connection, 1))
        page.clock.fast_forward(61_000)
        expect(chart.locator("canvas")).to_be_visible()
        expect(page.locator("#sums dd").first).to_have_text("120")
        expect(page.locator("#endpoints tbody tr")).to_have_count(1)
        written: list[str] = page.evaluate("window.written")
        # Of steps below a minute only the first has a name.
        named = filter(None, written)
        instants = [each for each in named if not re.fullmatch(r"[\d.,]+( [kMG])?", each)]
        assert instants
        assert [each for each in instants if not re.fullmatch(r"\d\d:\d\d|\d+ \w{3}", each)] == []
