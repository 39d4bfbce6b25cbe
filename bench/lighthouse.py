"""Lighthouse on the pages that people see first: `python -m bench.lighthouse`.

Two demos are crawled to their end (a team's and a study's), then each page is measured three times
as a phone on a slow network; the median counts. Lighthouse is a tool of this bench alone: npm puts
it below `.venv`. It multiplies what a page takes on this machine, so a busy machine makes every page
slow: the load stands beside the figures.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext

from scripts.demo_sites import Shown, study, team
from scripts.screenshots import browsing, installed_browser

# The newest that runs with Node 20.
LIGHTHOUSE = "lighthouse@12.8.2"
PLACE = Path(".venv/lighthouse")
LIMITS = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# A page whose stream stays open is never quiet: it is not waited for longer than this.
LONGEST_MS = 12_000
SECONDS = 180
# Chromium's recording lacks the begin of the page now and then; Lighthouse says to run it again.
UNRECORDED = "NO_NAVSTART"
TRIES = 5


@dataclass(frozen=True)
class Wanted:
    """A page to measure, as somebody sees it."""

    name: str
    url: str
    cookie: str


def installed() -> Path:
    """Get Lighthouse where it is not there yet; its program."""
    program = PLACE / "node_modules/.bin/lighthouse"
    if not program.exists():
        if shutil.which("npm") is None:
            sys.exit("Lighthouse needs Node and npm: sudo apt-get install nodejs npm")
        subprocess.run(
            ["npm", "install", "--silent", "--no-save", "--prefix", str(PLACE), LIGHTHOUSE],
            check=True,
        )
    return program


def cookie(context: BrowserContext) -> str:
    return "; ".join(f"{each['name']}={each['value']}" for each in context.cookies())


def pages_of_team(shown: Shown) -> list[Wanted]:
    admin = shown.visitors["admin"]
    page = admin.new_page()
    page.goto(f"{shown.url}/jobs")
    job = page.locator("tbody a").first.get_attribute("href")
    page.close()
    places = (("overview", "/"), ("jobs", "/jobs"), ("job", job or ""))
    return [Wanted(name, shown.url + path, cookie(admin)) for name, path in places]


def pages_of_study(shown: Shown) -> list[Wanted]:
    people = shown.visitors
    return [
        Wanted("landing", f"{shown.url}/sign-in", cookie(people["nobody"])),
        Wanted("participant home", f"{shown.url}/me", cookie(people["participant"])),
    ]


def measured(program: Path, wanted: Wanted, folder: Path) -> dict[str, Any]:
    """One run; Lighthouse's own report."""
    report = folder / "report.json"
    command = [
        *(str(program), wanted.url, "--quiet", "--output=json", f"--output-path={report}"),
        *(f"--max-wait-for-load={LONGEST_MS}", f"--chrome-flags={' '.join(FLAGS)}"),
        f"--extra-headers={json.dumps({'Cookie': wanted.cookie})}",
    ]
    environment = os.environ | {"CHROME_PATH": installed_browser()}
    for _ in range(TRIES):
        ran = subprocess.run(
            command,
            env=environment,
            timeout=SECONDS,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ran.returncode == 0:
            break
        if UNRECORDED not in ran.stderr:
            sys.exit(f"{wanted.name}: {ran.stderr}")
        print(f"{wanted.name}: not recorded, once more", file=sys.stderr)
    else:
        sys.exit(f"{wanted.name}: not recorded in {TRIES} tries")
    told: dict[str, Any] = json.loads(report.read_text("utf-8"))
    if told["finalDisplayedUrl"].partition("?")[0] != wanted.url:
        sys.exit(f"{wanted.name}: it was sent on to {told['finalDisplayedUrl']}")
    return told


def scores(report: dict[str, Any]) -> dict[str, float]:
    return {name: round(report["categories"][name]["score"] * 100) for name in LIMITS}


def failing(report: dict[str, Any]) -> list[str]:
    """The checks that took points from a report, the slow ones with their figure."""
    wrong = []
    for name in LIMITS:
        for each in report["categories"][name]["auditRefs"]:
            audit = report["audits"][each["id"]]
            if each["weight"] and audit["score"] not in {None, 1}:
                wrong.append(f"{each['id']} {audit.get('displayValue', '')}".strip())
    return wrong


def told_of(wanted: Wanted, runs: Sequence[dict[str, Any]]) -> bool:
    """Print the medians of a page and what took points; say whether it is good enough."""
    found = [scores(each) for each in runs]
    medians = {name: statistics.median(each[name] for each in found) for name in LIMITS}
    blocked = statistics.median(
        each["audits"]["total-blocking-time"]["numericValue"] for each in runs
    )
    figures = "".join(f"{medians[name]:>16.0f}" for name in LIMITS)
    print(f"{wanted.name:18}{figures}{blocked:>12.0f}{os.getloadavg()[0]:>8.1f}", flush=True)
    good = all(medians[name] >= limit for name, limit in LIMITS.items())
    if not good:
        for line in sorted({each for run in runs for each in failing(run)}):
            print(f"    {line}")
    return good


def measure(pages: Sequence[Wanted], runs: int) -> list[str]:
    """Measure pages one after the other; the names of those that are not good enough."""
    program, bad = installed(), []
    for wanted in pages:
        with tempfile.TemporaryDirectory() as folder:
            reports = [measured(program, wanted, Path(folder)) for _ in range(runs)]
        if not told_of(wanted, reports):
            bad.append(wanted.name)
    return bad


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    installed()
    print(f"{'page':18}{''.join(f'{name:>16}' for name in LIMITS)}{'blocked ms':>12}{'load':>8}")
    bad = []
    with browsing() as browser:
        for site, pages in ((team, pages_of_team), (study, pages_of_study)):
            with tempfile.TemporaryDirectory() as folder, site(browser, Path(folder)) as shown:
                bad += measure(pages(shown), given.runs)
    if bad:
        sys.exit(f"below the limits {LIMITS}: {', '.join(bad)}")


if __name__ == "__main__":
    main()
