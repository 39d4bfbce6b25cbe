"""Health, backups, notices and the public page in a browser, full of trouble; and a request to stop."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy import Connection

from labtrawl.store import backup, notices
from labtrawl.store.notices import Notice
from labtrawl.website.given.care import AboutCrawl, BackupPlan, Care
from tests.e2e.test_website_pages import look, sign_in
from tests.integration.website.running import RunningSite, running_site
from tests.integration.website.world import HOSTILE

PAGES = ("/health", "/backups", "/notices")


def trouble(connection: Connection) -> None:
    """A backup of each end, a notice on its way, one that failed, two requests to stop."""
    failed = backup.begin(connection, f"/mnt/{HOSTILE}")
    backup.fail(connection, failed, HOSTILE)
    backup.end(connection, backup.begin(connection, "/b"), "/b/1", 12, 4096, 0)
    backup.begin(connection, "/b")
    for number in range(2):
        made = Notice("gaps", str(number), "stop_requests", HOSTILE, f"{HOSTILE}\n{HOSTILE}")
        notices.raise_notice(connection, made, ("mail", "webhook"))
        notices.ask_to_stop(connection, HOSTILE, HOSTILE, 9)
    first, second = notices.due(connection)[:2]
    notices.sent(connection, first, "taken by the server")
    notices.not_sent(connection, second, HOSTILE, 60_000)
    notices.answer_stop(connection, 1, "admin")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("care") / "labtrawl.db") as site:
        site.write(trouble)
        about = AboutCrawl("lab@example.org", "a study", "labtrawl/1", 600, 0.3, 2, 32, ("a",))
        care = Care(backup=BackupPlan(Path("/b"), 24.0, 7, 48.0), channels=("mail",), about=about)
        site.around.care = care
        site.restart(lambda _connection: None)
        yield site


@pytest.fixture(scope="module")
def base_url(troubled: RunningSite) -> str:
    return troubled.url


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.proof)])
def test_pages_full_of_trouble_are_accessible_and_fit(
    new_context: Any, troubled: RunningSite, clean_page: list[str], scheme: str
) -> None:
    context: BrowserContext = new_context(color_scheme=scheme)
    sign_in(context, troubled)
    wrong = [each for path in PAGES for each in look(context, troubled.url + path, clean_page)]
    assert "\n".join(wrong) == ""


def test_stranger_asks_to_stop_and_an_operator_answers_without_javascript(
    new_context: Any, troubled: RunningSite
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/about")
    expect(page.locator("nav a")).to_have_count(0)
    page.get_by_label("How to reach you").fill("root@gitlab.example")
    page.get_by_label("What is wrong").fill("You wake us at night.")
    page.locator("#ask-to-stop").click()
    expect(page).to_have_url(re.compile(r"/about\?asked=true$"))
    expect(page.locator("[role=status]")).to_contain_text("written down")
    context: BrowserContext = new_context(java_script_enabled=False)
    sign_in(context, troubled)
    ours = context.new_page()
    ours.goto("/health")
    expect(ours.locator("#check-stop_requests")).to_contain_text("2 wait for an answer")
    ours.goto("/notices")
    expect(ours.locator("#stop-3")).to_contain_text("You wake us at night.")
    ours.locator("#answer-3").click()
    expect(ours.locator("#stop-3")).to_contain_text("answered")
    detail = "SELECT detail FROM audit WHERE action LIKE 'POST /notices%' ORDER BY id DESC"
    assert troubled.write(lambda c: c.exec_driver_sql(detail).scalar()) == "request 3"
