"""A browser as a person has it: installed Chromium, and no page may complain or call elsewhere.

Playwright's event loop counts as running for as long as it lives, and no async test can run beside
it. So it lives for one module, not for the session as pytest-playwright has it, and a module holds
either browser tests (plain functions that take `page`) or async tests.
"""

import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    BrowserType,
    ConsoleMessage,
    Playwright,
    Request,
    WebError,
    sync_playwright,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LAUNCH_ARGS = [
    "--no-sandbox",  # its own sandbox does not start for root; it opens only our pages
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OWN_ORIGINS = ("http://127.0.0.1", "http://localhost", "data:", "blob:", "about:")


def find_browser() -> str:
    """The Chromium to use: $CHROMIUM, or the first one on PATH; a test without one fails."""
    names = (os.environ["CHROMIUM"],) if os.environ.get("CHROMIUM") else BROWSERS
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.fail(
        "the browser tests need Chromium: sudo apt-get install chromium fonts-liberation",
        pytrace=False,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser; refuse a module that mixes it with async tests."""
    asynchronous = {
        item.path
        for item in items
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function)
    }
    for item in items:
        if "playwright" not in getattr(item, "fixturenames", ()):
            continue
        item.add_marker(pytest.mark.browser)
        if item.path in asynchronous:
            raise pytest.UsageError(f"{item.path}: move its async tests away from browser tests")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, "executable_path": find_browser(), "args": LAUNCH_ARGS}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser_type(playwright: Playwright) -> BrowserType:
    return playwright.chromium


@pytest.fixture(scope="module")
def browser(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any]
) -> Iterator[Browser]:
    launched = browser_type.launch(**browser_type_launch_args)
    yield launched
    launched.close()


@pytest.fixture(scope="module")
def browser_context_args(base_url: str) -> dict[str, Any]:
    """Paths are enough for `page.goto`; a module of browser tests defines `base_url`."""
    return {"base_url": base_url}


@pytest.fixture
def clean_page() -> Iterator[list[str]]:
    """What the pages of this test complained about; a test takes out what it expects."""
    complaints: list[str] = []
    yield complaints
    assert complaints == []


def watch(context: BrowserContext, complaints: list[str]) -> BrowserContext:
    """Note each error in a page's script, each console error, each request to a foreign host."""

    def on_error(error: WebError) -> None:
        complaints.append(f"error: {error.error}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith(OWN_ORIGINS):
            complaints.append(f"foreign request: {request.url}")

    context.on("weberror", on_error)
    context.on("console", on_console)
    context.on("request", on_request)
    return context


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], clean_page: list[str]
) -> Callable[..., BrowserContext]:
    """Every context of pytest-playwright, `page` included, is watched."""
    return lambda **options: watch(new_context(**options), clean_page)
