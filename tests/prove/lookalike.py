"""The GitLab look-alike of the proofs: a process of its own, and what a perfect crawl of it holds."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from labtrawl.domain.credential import Secret
from labtrawl.domain.visit import Schedule
from labtrawl.sandbox import Truth, build_world, truth

PROGRAM = (sys.executable, "-P", "-m", "labtrawl")
# About 2,000 records in some 35 lists: lists of many issues, lists of several pages, small ones,
# by REST and by GraphQL. What this leaves out is read in the same ways as what is there.
RESOURCES = (
    *("*", "!*_events", "*_state_events", "!*_award_emoji", "!*_links"),
    *("!merge_request_[acprv]*", "!environments", "!deployments", "!timelogs", "!languages"),
)
WORLD = "small"
SIZES = {
    "projects": 2,
    "issues": 230,
    "merge_requests": 60,
    "notes": 700,
    "commits": 460,
    "pipelines": 120,
    "ci_jobs": 250,
    "events": 80,
    "milestones": 8,
    "releases": 6,
    "branches": 8,
}


@dataclass(frozen=True, slots=True)
class GitLab:
    """A running look-alike, its main account, and what a perfect crawl of `RESOURCES` holds."""

    url: str
    username: str
    token: Secret
    truth: Truth


@contextlib.contextmanager
def gitlab(latency_ms: float) -> Iterator[GitLab]:
    """Serve the world of the proofs from a process of its own."""
    sizes = [f"--size={name}={number}" for name, number in SIZES.items()]
    arguments = ("sandbox", "serve", f"--world={WORLD}", *sizes, f"--latency-ms={latency_ms}")
    with subprocess.Popen(
        (*PROGRAM, *arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()
            account = build_world(WORLD, 1, SIZES).accounts[0]
            found = collected(truth(build_world(WORLD, 1, SIZES), account.username, url))
            yield GitLab(url, account.username, Secret(account.token), found)
        finally:
            process.kill()


def collected(whole: Truth) -> Truth:
    """The part of a truth that the crawls of the proofs ask for."""
    wanted = Schedule(resources=RESOURCES)
    return replace(whole, cells=tuple(cell for cell in whole.cells if wanted.has(cell.resource)))


def environment() -> dict[str, str]:
    """What a program gets from the shell: nothing of ours, and no coverage that a kill tears."""
    strange = ("LABTRAWL_", "SOCKET_PATH", "COPILOT_", "CRAWLER_API", "AUTH_IPC", "COV", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)}
