"""The demo as people see it, for pictures and measurements: `team` for operators, `study` for participants.

Each is a real `labtrawl demo` in a folder of its own with browsers that are signed in; it is stopped
at the end of the block.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, expect

from tests.e2e.typed import Running, started

# Some lists cannot be read, so that there are failures and gaps to look at.
FAULT = {"path": r"/projects/\d*3/releases", "kind": "500", "times": 0}
PATIENCE_MS = 600_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A site, and the browser of each who may look at it by their name."""

    url: str
    visitors: dict[str, BrowserContext]


@contextmanager
def demo(folder: Path, *flags: str) -> Iterator[Running]:
    """Run `labtrawl demo` in a folder; LABTRAWL_* settings of the caller do not count."""
    wanted = ("demo", "--port", "0", "--data-dir", "data", *flags)
    with started(folder, *wanted, LABTRAWL_RETRY_ATTEMPTS="2") as running:
        yield running


def signed_in(browser: Browser, link: str) -> BrowserContext:
    """Return a browser that used a one-time link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.locator("#sign-in").click()
    page.locator("#sign-out").wait_for()
    page.close()
    return context


@contextmanager
def team(browser: Browser, folder: Path, world: str = "default") -> Iterator[Shown]:
    """Crawl a whole world with some faults, then let an admin look."""
    flags = ("--world", world, "--no-chaos", "--fault", json.dumps(FAULT))
    with demo(folder, *flags) as running:
        link = running.until(r"sign in +(\S+)\n")[1]
        running.until("The site stays up")
        url = link.partition("/sign-in")[0]
        yield Shown(url, {"admin": signed_in(browser, link)})


@contextmanager
def study(browser: Browser, folder: Path, world: str = "small") -> Iterator[Shown]:
    """Play a study until everything of one participant is collected, then let all look."""
    with demo(folder, "--world", world, "--study") as running:
        running.until("The site stays up")
        url = running.until(r"site +(\S+)\n")[1]
        link = running.until(r"operate +(\S+)")[1]
        taking_part = participant(browser, url)
        yield Shown(
            url,
            {
                "admin": signed_in(browser, link),
                "participant": taking_part,
                "nobody": browser.new_context(),
            },
        )


def participant(browser: Browser, url: str) -> BrowserContext:
    """Sign somebody in at the look-alike, agree, and wait for what is collected."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_role("button", name="Take part with").first.click()
    page.get_by_role("button", name="Authorize").click()
    page.goto(f"{url}/me/consent")
    page.locator("#agreed").check()
    page.locator("#agree").click()
    page.goto(f"{url}/me")
    expect(page.locator(".numbers .moving")).to_contain_text(
        "nothing left to do now", timeout=PATIENCE_MS
    )
    page.close()
    return context
