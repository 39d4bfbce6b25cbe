"""A participant from the first click to the last, and the study around them: nothing is a stand-in.

A GitLab (the sandbox) with an application, `labtrawl start` in mode study, an admin who publishes a
text, and a person in a browser who signs in, agrees, watches, looks, takes it away and withdraws.
"""

import asyncio
import json
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labtrawl.sandbox import Application, Options, World, running
from tests.e2e.typed import labtrawl, started
from tests.integration.website.entering import people
from tests.rig.private import write_private

TEXT = "The lab reads what you can read, to learn how reviews work.\n\nAsk ethics@example.org."


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


def free_port() -> int:
    """A port that nobody has now; GitLab has to know the site's address before it is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def gitlab(world: World, redirect_uri: str) -> Iterator[str]:
    """A GitLab in a thread of its own; its address."""
    options = Options(
        latency_ms=30,
        applications=(Application(client_id="labtrawl", redirect_uris=(redirect_uri,)),),
    )
    address: Future[str] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with running(world, options) as server:
            address.set_result(server.url)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield address.result(30)
    finally:
        over.set()
        thread.join(30)


def set_up(folder: Path, url: str, token: str) -> None:
    """As docs/how-to/study.md tells it, with the application of docs/how-to/sign-in.md."""
    write_private(folder / "token", token)
    flags = ("--url", url, "--token-file", "token", "--allow-address", "127.0.0.0/8")
    done = labtrawl(folder, "init", "--mode", "study", "--basis", "How reviews work", *flags)
    assert (done.code, done.err) == (0, "")
    path = folder / "labtrawl.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("[[instances]]\n", '[[instances]]\nclient_id = "labtrawl"\n', 1))


def publish(page: Page, site: str, link: str) -> None:
    """The admin comes by the console's link and writes the text."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.goto(f"{site}/consents")
    page.get_by_label("Title").fill("How reviews work")
    page.locator("#body").fill(TEXT)
    page.get_by_label("Every kind of data").check()
    last_day = datetime.now(UTC) + timedelta(days=200)
    page.get_by_label("Last day of the study").fill(f"{last_day:%Y-%m-%d}")
    page.get_by_label("Everybody is asked to agree to this.").check()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=2).first).to_have_text("How reviews work")


def sign_in(page: Page, site: str, username: str) -> None:
    """At our site, on to the GitLab, and back."""
    page.goto(f"{site}/sign-in")
    page.get_by_role("button", name=re.compile("^Take part with")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Authorize labtrawl")
    page.get_by_label("Sign in as").select_option(username)
    page.get_by_role("button", name="Authorize").click()


def agree(page: Page) -> None:
    page.locator("#to-consent").click()
    expect(page.get_by_text("ethics@example.org")).to_be_visible()
    page.get_by_label("I have read the text, and I agree to it.").check()
    page.get_by_role("button", name="I agree").click()
    expect(page.locator("#state-title")).to_contain_text("You agreed")


def watch(page: Page, site: str) -> None:
    """Lists are read while the page is open; it is never loaded again."""
    page.goto(f"{site}/me")
    expect(page.locator("#mine h2").first).to_have_text("So far")
    page.evaluate("window.isTheSamePage = true")
    # Of all areas: the one that is read first says so of itself long before.
    now = page.locator("#mine .numbers .moving")
    expect(now).to_contain_text("nothing left to do now", timeout=60_000)
    assert page.evaluate("window.isTheSamePage") is True, "the page was loaded again"


def look(page: Page) -> None:
    """The records are there, pseudonyms where names were, and free text nowhere."""
    page.locator("#to-records").click()
    page.locator("#filter-resource").select_option("issues")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("resource=issues"))
    page.locator("tbody th a").first.click()
    line = page.locator("pre").first
    expect(line).to_contain_text(re.compile(r'"username": "p-[a-z2-7]{26}"'))
    expect(line).not_to_contain_text('"description"')


def take_away(page: Page, secrets: list[str]) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download everything").click()
    with zipfile.ZipFile(waiting.value.path()) as packed:
        assert json.loads(packed.read("manifest.json"))["is_complete"]
        # The note names whose data they are; nothing else names anybody.
        data = [packed.read(name) for name in packed.namelist() if name != "README.txt"]
        whole = b"".join(data)
    assert [each for each in secrets if each.encode() in whole] == []


def withdraw(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Consent").click()
    page.get_by_text("Withdraw", exact=True).click()
    page.get_by_label("I withdraw my consent.").check()
    page.get_by_role("button", name="Withdraw now").click()
    expect(page.get_by_text("You withdrew your consent.")).to_be_visible()


@pytest.mark.timeout(240)
def test_participant_signs_in_agrees_watches_looks_takes_away_and_withdraws(
    new_context: Callable[[], BrowserContext], tmp_path: Path
) -> None:
    world, port = people(), free_port()
    site = f"http://127.0.0.1:{port}"
    with gitlab(world, f"{site}/sign-in/gitlab/main/answer") as url:
        # An account of those who run the study: it proves that the GitLab answers, and reads nothing.
        set_up(tmp_path, url, world.accounts[1].token)
        with started(tmp_path, "start", "--port", str(port)) as running_site:
            running_site.until(r"labtrawl is ready at ")
            link = labtrawl(tmp_path, "admin", "link").out.strip()
            publish(new_context().new_page(), site, link)
            page = new_context().new_page()
            sign_in(page, site, world.accounts[0].username)
            agree(page)
            watch(page, site)
            look(page)
            take_away(page, [user.username for user in world.users])
            withdraw(page)
            page.goto(f"{site}/me")
            expect(page.get_by_role("heading", name="Nothing is read now")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Sign in or take part")
            running_site.interrupt()
            assert running_site.end() == 0
