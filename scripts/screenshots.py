"""Takes pictures of the website: each kind of page once, light and dark, wide and as a phone.

    make screenshots                      # of two demos that it runs itself: a crawl and a study
    make screenshots ARGS=SIGN-IN-LINK    # of a site that runs, as the one who has the link
    make screenshots ARGS=--tour          # the small ones of docs/tour.md instead, of the two demos

The pages are found by following the site's own links, so that a new one is not left out. The
pictures come below `dist/screenshots`; `--to FOLDER` names another place. A link is used up.
"""

import argparse
import base64
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from scripts.demo_sites import signed_in, study, team

BROWSERS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LOOKS = {"wide": 1440, "phone": 360}
# What docs/tour.md shows, by who looks and the kind of page.
TOUR: dict[tuple[str, str], tuple[Scheme, str]] = {
    ("team-admin", "overview"): ("light", "wide"),
    ("team-admin", "jobs"): ("dark", "wide"),
    ("team-admin", "jobs-one"): ("light", "wide"),
    ("team-admin", "coverage"): ("light", "wide"),
    ("team-admin", "areas"): ("light", "phone"),
    ("team-admin", "insights"): ("dark", "wide"),
    ("team-admin", "health"): ("light", "wide"),
    ("study-nobody", "sign-in"): ("light", "phone"),
    ("study-participant", "me"): ("light", "wide"),
    ("study-participant", "me-consent"): ("dark", "phone"),
    ("study-participant", "me-records-one"): ("light", "wide"),
}
TOUR_SIZES = {"wide": (1280, 760), "phone": (360, 760)}
TOUR_QUALITY = 50
# A long page is not taller than this: nobody looks at the thousandth row.
LEAST, TALLEST = 900, 2400
DRAWN_MS = 250
LINKS = "links => links.filter(a => !a.hasAttribute('download')).map(a => a.getAttribute('href'))"
# What a link leads to that is no page, or ends something.
NO_PAGES = re.compile(r"/static/|/api/|/live|/parquet|/download\?|/sign-in")


def installed_browser() -> str:
    """Return the path of the first installed browser."""
    found = next((path for name in BROWSERS if name and (path := shutil.which(name))), None)
    return found or sys.exit("no Chromium is installed: scripts/browser.sh gets one")


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Start the installed browser; end it with the block."""
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=args)
        yield browser
        browser.close()


def kind_of(address: str) -> str:
    """Name the kind of page behind an address: numbers, places and queries do not matter."""
    path = re.sub(r"/[^/]*\d[^/]*", "/one", urlsplit(address).path)
    return path.strip("/").replace("/", "-") or "overview"


def kinds(page: Page, start: str) -> dict[str, str]:
    """Follow the links from an address; the first address of each kind of page."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(start))
    found, waiting = {kind_of(start): start}, deque([start])
    while waiting:
        address = waiting.popleft()
        page.goto(address)
        for link in page.eval_on_selector_all("a[href]", LINKS):
            other = urljoin(address, link)
            is_ours = other.startswith(origin) and not NO_PAGES.search(other)
            if is_ours and kind_of(other) not in found:
                found[kind_of(other)] = other
                waiting.append(other)
    return found


def take(context: BrowserContext, start: str, folder: Path, who: str) -> None:
    """Write a PNG for each page, scheme and width."""
    page = context.new_page()
    for name, address in kinds(page, start).items():
        for look, width in LOOKS.items():
            for scheme in SCHEMES:
                path = folder / f"{who}-{name}-{scheme}-{look}.png"
                picture(page, address, scheme, width, path)
                print(path)
    page.close()


def take_for_tour(context: BrowserContext, start: str, folder: Path, who: str) -> None:
    """Write a WebP for each page that the tour shows, of what stands on the first screen."""
    page = context.new_page()
    for name, address in kinds(page, start).items():
        if (who, name) in TOUR:
            scheme, look = TOUR[who, name]
            small_picture(page, address, scheme, look, folder / f"{name}.webp")
            print(folder / f"{name}.webp")
    page.close()


def small_picture(page: Page, address: str, scheme: Scheme, look: str, path: Path) -> None:
    """Write the first screen of a page as WebP, which Playwright itself does not offer."""
    open_page(page, address, scheme, *TOUR_SIZES[look])
    wanted = {"format": "webp", "quality": TOUR_QUALITY}
    told = page.context.new_cdp_session(page).send("Page.captureScreenshot", wanted)
    path.write_bytes(base64.b64decode(told["data"]))


def open_page(page: Page, address: str, scheme: Scheme, width: int, height: int) -> None:
    """Open a page as large as wanted, and let what it draws be drawn."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    page.wait_for_timeout(DRAWN_MS)


def picture(page: Page, address: str, scheme: Scheme, width: int, path: Path) -> None:
    """Write one picture of the whole page, cut where it gets very long."""
    open_page(page, address, scheme, width, LEAST)
    # Charts are drawn when they come into view.
    tall = int(page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": min(max(tall, LEAST), TALLEST)})
    page.wait_for_timeout(DRAWN_MS)
    page.screenshot(path=path)


def take_demos(browser: Browser, folder: Path, taking: Callable[..., None]) -> None:
    """Run the demos one after the other and take their pages as everybody who looks."""
    for site in (team, study):
        with tempfile.TemporaryDirectory() as place, site(browser, Path(place)) as shown:
            for who, context in shown.visitors.items():
                start = {"participant": "/me", "nobody": "/sign-in"}.get(who, "/")
                taking(context, shown.url + start, folder, f"{site.__name__}-{who}")


def main() -> None:
    """Take the pictures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("link", nargs="?", help="a one-time sign-in link")
    options.add_argument("--to", type=Path, help="the folder of the pictures")
    options.add_argument("--tour", action="store_true", help="those of docs/tour.md alone")
    given = options.parse_args()
    folder = given.to or Path("docs/tour" if given.tour else "dist/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with browsing() as browser:
        if given.link:
            start = given.link.partition("/sign-in")[0]
            take(signed_in(browser, given.link), start + "/", folder, "yours")
        else:
            take_demos(browser, folder, take_for_tour if given.tour else take)


if __name__ == "__main__":
    main()
