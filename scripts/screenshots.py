"""Takes pictures of the running website: scripts/screenshots.py SIGN-IN-LINK [FOLDER].

Each page that the navigation names, and the first job, area and operation, in light and dark, wide
and as a phone.
The link is the one that `make demo` or `labtrawl admin link` prints; it is used up by this.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")
WIDTHS = (1440, 360)


def installed_browser() -> str:
    """The path of the first installed browser."""
    found = next((path for name in BROWSERS if name and (path := shutil.which(name))), None)
    return found or sys.exit("no Chromium is installed: scripts/browser.sh gets one")


def pages_of(page: Page) -> list[str]:
    """The addresses in the navigation of `page`, and the first of each kind that the pages name."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    listed = "links => links.map(link => link.getAttribute('href'))"
    wanted = [urljoin(origin, link) for link in page.eval_on_selector_all("nav a[href]", listed)]
    for address in list(dict.fromkeys(wanted)):
        page.goto(address)
        links = page.eval_on_selector_all("main a[href]", listed)
        for kind in ("jobs", "areas", "operations"):
            found = [link for link in links if re.fullmatch(rf"(/me)?/{kind}/\d+", link)]
            wanted += [urljoin(origin, link) for link in found[:1]]
    return [address for address in dict.fromkeys(wanted) if address.startswith(origin)]


def take(browser: Browser, link: str, folder: Path) -> None:
    """Write one PNG for each page, scheme and width."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    if page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).count():
        page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
    for address in pages_of(page):
        name = urlsplit(address).path.strip("/").replace("/", "-") or "overview"
        for scheme in SCHEMES:
            for width in WIDTHS:
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(address)
                page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
                print(folder / f"{name}-{scheme}-{width}.png")


def main() -> int:
    """Sign in with the link and take the pictures."""
    if len(sys.argv) < 2:
        sys.exit("usage: make screenshots ARGS=SIGN-IN-LINK")
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "test-results/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed_browser(), args=["--no-sandbox"]
        )
        take(browser, sys.argv[1], folder)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
