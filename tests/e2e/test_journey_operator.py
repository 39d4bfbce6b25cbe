"""An operator's day: watches, pauses, goes on, cancels, retries very many jobs at once, changes a setting,
restarts a crawler, and finds all of it in the audit log.
"""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import Connection

from tests.e2e.test_own_gitlab import connected, own_gitlab
from tests.e2e.test_website_live import live
from tests.e2e.test_website_pages import sign_in
from tests.e2e.test_website_settings import fill
from tests.e2e.typed import labtrawl, pids, started
from tests.integration.website import world
from tests.integration.website.running import running_site


@pytest.fixture(scope="module")
def base_url() -> str:
    return "http://127.0.0.1"


def listening(numbers: list[int]) -> set[str]:
    """What processes listen on over the network (proc(5), /proc/PID/net/tcp), HOST:PORT in hex."""
    inodes = set()
    for number in numbers:
        for each in Path(f"/proc/{number}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{numbers[0]}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if rest[5] in inodes and (state == "0A" or table.startswith("udp")):
                found.add(local)
    return found


def hold_all(page: Page, site: str) -> None:
    """Pause every crawler: what runs stops at its next page, what is queued stays so."""
    page.goto(f"{site}/crawlers")
    page.locator("#pause-all").click()
    expect(page.get_by_role("status").first).to_contain_text("page")


def steer_a_job(page: Page, site: str) -> str:
    """Pause a queued job, let it go on, cancel it with a reason, retry it; return its number."""
    live(page, f"{site}/jobs?state=queued")
    number = (page.locator("tr[id^='job-']").first.get_attribute("id") or "")[4:]
    page.locator(f"#job-{number}-open").click()
    badge = page.locator("#job .title .badge")
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("Held")
    page.get_by_role("button", name="Resume").click()
    expect(badge).to_have_text("Queued")
    page.locator("#cancel").click()
    page.get_by_label("Why").fill("not needed any more")
    page.locator("#do").click()
    expect(page.get_by_text("not needed any more")).to_be_visible()
    page.goto(f"{site}/jobs/{number}")
    expect(badge).to_have_text("Cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(badge).to_have_text("Queued")
    return number


def go_on(page: Page, site: str, number: str) -> None:
    """The crawlers go on, and the job is seen to end."""
    page.goto(f"{site}/crawlers")
    page.locator("#resume-all").click()
    expect(page.get_by_role("status").first).to_contain_text("works again")
    live(page, f"{site}/jobs/{number}")
    expect(page.locator("#job .title .badge")).to_have_text("Completed", timeout=60_000)


def change_a_setting(page: Page, site: str) -> None:
    page.goto(f"{site}/settings")
    fill(page, "retry.attempts", "7", "the GitLab is slow today")
    expect(page.get_by_role("status").first).to_contain_text("retry.attempts is saved")


def restart_a_crawler(page: Page, site: str) -> None:
    page.goto(f"{site}/supervisor")
    page.locator("#open-crawler-1").click()
    page.locator("#because-crawler-1").fill("to see that it comes back")
    page.locator("#restart-crawler-1").click()
    expect(page.get_by_role("status").first).to_have_text("crawler-1 runs, started 2 times so far.")


def read_the_log(page: Page, site: str) -> None:
    """Everything is in the audit log, with who did it and why."""
    page.goto(f"{site}/audit")
    told = page.locator("table.audit").inner_text()
    for words in ("not needed any more", "to see that it comes back", "retry.attempts"):
        assert words in told, words
    assert told.count("admin") >= 5


@pytest.mark.timeout(240)
def test_operator_steers_jobs_settings_and_crawlers_and_the_log_tells_it(
    new_context: Callable[[], BrowserContext], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with own_gitlab(tmp_path / "gitlab", "--latency-ms", "50") as own:
        connected(home, own)
        with started(home, "start", "--port", "0") as running:
            site = running.until(r"labtrawl is ready at (http://127\.0\.0\.1:\d+)")[1]
            # F4: nothing listens but the site, on this machine alone.
            port = int(site.rpartition(":")[2])
            assert listening(pids(home, "data.private")) == {f"0100007F:{port:04X}"}
            page = new_context().new_page()
            page.goto(labtrawl(home, "admin", "link").out.strip())
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
            hold_all(page, site)
            number = steer_a_job(page, site)
            go_on(page, site, number)
            change_a_setting(page, site)
            restart_a_crawler(page, site)
            read_the_log(page, site)
            running.interrupt()
            assert running.end() == 0


# ---------------------------------------------------------------- very many jobs at once


def fail_many(connection: Connection, count: int) -> None:
    """Very many failed jobs, of as many areas."""
    world.one_job(connection)
    area = "SELECT instance_id FROM area LIMIT 1"
    instance = connection.exec_driver_sql(area).scalar_one()
    connection.exec_driver_sql(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        " INSERT INTO area (instance_id, kind, gitlab_id, full_path, name, web_url, parent_path,"
        " discovered_at, seen_at) SELECT ?, 'project', 100000 + i, 'many/p' || i, 'p' || i, '', 'many',"
        " 1, 1 FROM n",
        (instance,),
    )
    connection.exec_driver_sql(
        "INSERT INTO job (area_id, resource, state, created_at, updated_at, started_at, finished_at,"
        " error_reason, error_message, change)"
        " SELECT id, 'labels', 'failed', 1, 1, 1, 2, 'unavailable', '502', id FROM area"
        " WHERE parent_path = 'many'"
    )


def retry_many(
    new_context: Callable[[], BrowserContext], folder: Path, count: int, seconds: int
) -> None:
    with running_site(folder / "labtrawl.db") as site:
        site.write(lambda connection: fail_many(connection, count))
        context = new_context()
        sign_in(context, site)
        page = context.new_page()
        page.goto(f"{site.url}/jobs?state=failed")
        page.get_by_label("What to do").select_option("retry")
        page.locator("#bulk-all").click()
        page.get_by_label("Why").fill("the GitLab is back")
        page.locator("#do").click()
        expect(page).to_have_url(re.compile(r"/operations/\d+$"))
        page.evaluate("window.isTheSamePage = true")
        done = page.locator("main p[role=status]")
        expect(done).to_have_text(f"{count:,} done", timeout=seconds * 1000)
        assert page.evaluate("window.isTheSamePage") is True, "the page was loaded again"
        page.goto(f"{site.url}/jobs?state=queued")
        expect(page.locator("#facet-failed .amount")).to_have_text("0")
        page.goto(f"{site.url}/audit")
        expect(page.locator("table.audit")).to_contain_text("the GitLab is back")


def test_all_that_match_are_retried_with_progress(
    new_context: Callable[[], BrowserContext], tmp_path: Path
) -> None:
    retry_many(new_context, tmp_path, 2_000, 20)


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_hundred_thousand_that_match_are_retried_with_progress(
    new_context: Callable[[], BrowserContext], tmp_path: Path
) -> None:
    retry_many(new_context, tmp_path, 100_000, 500)
